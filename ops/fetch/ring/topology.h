// Topology: the cluster as one of its nodes sees it, read from the system tables.
#ifndef TFCASS_OPS_FETCH_RING_TOPOLOGY_H_
#define TFCASS_OPS_FETCH_RING_TOPOLOGY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/status.h"

namespace tfcass {

struct Topology {
  struct Node {
    std::string address;  // As the driver knows it: rpc_address, or the node's own where that is 0.0.0.0 or ::.
    std::string dc, rack;
    std::vector<int64_t> tokens;

    bool operator==(const Node& other) const {
      return address == other.address && dc == other.dc && rack == other.rack && tokens == other.tokens;
    }
  };

  std::string partitioner;
  std::vector<Node> nodes;                                              // By address.
  std::map<std::string, std::map<std::string, std::string>> keyspaces;  // The schema's replication options of each.
  std::string answered_dc;  // Of the node that told this.

  // Whether they tell of the same cluster, whoever told.
  bool operator==(const Topology& other) const {
    return partitioner == other.partitioner && nodes == other.nodes && keyspaces == other.keyspaces;
  }

  // A node that the driver was led to by a contact point keeps the contact point's address, whatever the node says its
  // address is (a port forwarded into a container). Where one node of `local_dc` is not among the addresses `known` to
  // the driver, and one address is no node's, they are the same.
  void UseKnownAddresses(const std::set<std::string>& known, const std::string& local_dc);
};

// "10.0.0.1", "2001:db8::1"; empty unless `size` is 4 or 16.
std::string AddressText(const uint8_t* bytes, size_t size);

// TopologyReader: one reading of system.local, then of system.peers and system_schema.keyspaces on the node that the
// first came from, as each node's tables are about itself and its peers. From system.peers and not peers_v2: it is what
// the driver finds nodes by, all at one port, so only nodes that are there can be pinned to.
//
// Needs    A driver that can send a request to a node of choice (cass_statement_set_host_n).
// Threads  One at a time.
// Owns     Its futures. Needs the session alive in Poll() and Wait(); not when destroyed: replies that nobody waits for
//          are dropped by the driver.
class TopologyReader {
 public:
  // Sends the first question.
  TopologyReader(std::shared_ptr<const DriverApi> api, CassSession* session, int port, double timeout_s);
  TopologyReader(const TopologyReader&) = delete;
  TopologyReader& operator=(const TopologyReader&) = delete;

  // Goes on as far as it can without blocking. Whether it is done.
  bool Poll();
  // Blocks until it is done, or `timeout_s` passed in all, which counts as done: DeadlineExceeded.
  void Wait();

  // Once it is done.
  const Status& status() const { return status_; }
  Topology& topology() { return topology_; }

 private:
  struct Question {
    const char* table = "";
    FuturePtr future;
  };

  StatementPtr StatementFor(const char* cql);
  void Ask(const char* table, StatementPtr statement, Question* question);
  void AskPeers();
  Status ResultOf(const Question& question, ResultPtr* result) const;
  Status ReadLocal();
  Status ReadPeers();
  Status ReadKeyspaces();
  bool Finish(Status status);

  const std::shared_ptr<const DriverApi> api_;
  CassSession* const session_;
  const int port_;
  const double timeout_s_;
  Question local_, peers_, keyspaces_;
  std::string answered_;  // The address of the node that did.
  bool asked_peers_ = false;
  bool done_ = false;
  Status status_;
  Topology topology_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_TOPOLOGY_H_
