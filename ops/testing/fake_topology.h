// FakeTopology: the system tables of a cluster, for a FakeDriver to answer with.
//
//   FakeTopology cluster;
//   cluster.nodes = {{"10.0.0.1", "dc1", "r1", {-100}}, {"10.0.0.2", "dc1", "r1", {100}}};
//   cluster.keyspaces["ks"] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
//   driver.answer_query = [&](const FakeQuery& query) { return cluster.Answer(query); };
#ifndef TFCASS_OPS_TESTING_FAKE_TOPOLOGY_H_
#define TFCASS_OPS_TESTING_FAKE_TOPOLOGY_H_

#include <arpa/inet.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "ops/testing/fake_driver.h"

namespace tfcass {

struct FakeTopology {
  struct Node {
    std::string address;
    std::string dc, rack;
    std::vector<int64_t> tokens;
    std::string rpc_address = "";  // Empty: `address`.
  };

  std::vector<Node> nodes;
  std::map<std::string, std::map<std::string, std::string>> keyspaces;
  std::string partitioner = "org.apache.cassandra.dht.Murmur3Partitioner";
  size_t answering = 0;  // The node that an unpinned question reaches.

  // As the node that the question is pinned to sees it, or nodes[answering].
  FakeAnswer Answer(const FakeQuery& query) const {
    const Node* self = &nodes[answering];
    if (!query.host.empty()) {
      self = nullptr;
      for (const Node& node : nodes) {
        if (node.address == query.host) self = &node;
      }
      if (self == nullptr) return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "no node " + query.host);
    }
    FakeAnswer answer;
    answer.coordinator = self->address;
    if (Asks(query, "FROM system.local")) {
      answer.rows = {NodeRow(*self)};
      answer.rows[0].push_back(partitioner);
    } else if (Asks(query, "FROM system.peers")) {
      for (const Node& node : nodes) {
        if (&node != self) answer.rows.push_back(NodeRow(node));
      }
    } else if (Asks(query, "FROM system_schema.keyspaces")) {
      for (const auto& [name, options] : keyspaces) {
        std::vector<std::string> items;
        for (const auto& [key, value] : options) items.insert(items.end(), {key, value});
        answer.rows.push_back({name, Collection(items, options.size())});
      }
    } else {
      return FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "not a system table: " + query.cql);
    }
    return answer;
  }

  // As on the wire.
  static std::string Inet(const std::string& address) {
    char bytes[16];
    if (inet_pton(AF_INET, address.c_str(), bytes) == 1) return {bytes, 4};
    if (inet_pton(AF_INET6, address.c_str(), bytes) == 1) return {bytes, 16};
    std::abort();
  }

  static std::string Collection(const std::vector<std::string>& items, size_t count) {
    std::string bytes = BigEndianInt(static_cast<int32_t>(count));
    for (const std::string& item : items) bytes += BigEndianInt(static_cast<int32_t>(item.size())) + item;
    return bytes;
  }

 private:
  static bool Asks(const FakeQuery& query, const char* what) { return query.cql.find(what) != std::string::npos; }

  static std::vector<FakeCell> NodeRow(const Node& node) {
    std::vector<std::string> tokens;
    for (const int64_t token : node.tokens) tokens.push_back(std::to_string(token));
    const std::string& rpc = node.rpc_address.empty() ? node.address : node.rpc_address;
    FakeCell set;
    if (!tokens.empty()) set = Collection(tokens, tokens.size());
    return {node.dc, node.rack, set, Inet(rpc), Inet(node.address)};
  }
};

}  // namespace tfcass

#endif  // TFCASS_OPS_TESTING_FAKE_TOPOLOGY_H_
