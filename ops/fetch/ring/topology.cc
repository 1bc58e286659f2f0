#include "ops/fetch/ring/topology.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>

#include "ops/fetch/driver_errors.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr char kLocal[] =
    "SELECT data_center, rack, tokens, rpc_address, broadcast_address, partitioner FROM system.local "
    "WHERE key = 'local'";
constexpr char kPeers[] = "SELECT data_center, rack, tokens, rpc_address, peer FROM system.peers";
constexpr char kKeyspaces[] = "SELECT keyspace_name, replication FROM system_schema.keyspaces";

enum NodeColumn : size_t { kDc, kRack, kTokens, kRpcAddress, kOwnAddress, kPartitioner };

// One row of a result, read with as little trust as a server deserves: what is not there or of another type is empty.
class SystemRow {
 public:
  SystemRow(const DriverApi& api, const CassRow* row) : api_(api), row_(row) {}

  std::string Bytes(size_t column) const { return BytesOf(api_.cass_row_get_column(row_, column)); }

  std::string Address(size_t column) const {
    const std::string bytes = Bytes(column);
    return AddressText(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }

  std::vector<int64_t> Tokens(size_t column) const {
    std::vector<int64_t> tokens;
    const CassValue* value = api_.cass_row_get_column(row_, column);
    if (IsNull(value)) return tokens;
    const IteratorPtr items = Own(api_, api_.cass_iterator_from_collection(value));
    while (items != nullptr && api_.cass_iterator_next(items.get())) {
      const std::string text = BytesOf(api_.cass_iterator_get_value(items.get()));
      int64_t token = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), token);
      if (error == std::errc() && end == text.data() + text.size()) tokens.push_back(token);
    }
    std::sort(tokens.begin(), tokens.end());
    return tokens;
  }

  std::map<std::string, std::string> Options(size_t column) const {
    std::map<std::string, std::string> options;
    const CassValue* value = api_.cass_row_get_column(row_, column);
    if (IsNull(value)) return options;
    const IteratorPtr items = Own(api_, api_.cass_iterator_from_map(value));
    while (items != nullptr && api_.cass_iterator_next(items.get())) {
      options[BytesOf(api_.cass_iterator_get_map_key(items.get()))] =
          BytesOf(api_.cass_iterator_get_map_value(items.get()));
    }
    return options;
  }

 private:
  bool IsNull(const CassValue* value) const { return value == nullptr || api_.cass_value_is_null(value); }

  std::string BytesOf(const CassValue* value) const {
    const uint8_t* bytes = nullptr;
    size_t size = 0;
    if (IsNull(value) || api_.cass_value_get_bytes(value, &bytes, &size) != CASS_OK) return "";
    return {reinterpret_cast<const char*>(bytes), size};
  }

  const DriverApi& api_;
  const CassRow* row_;
};

bool IsAny(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

Topology::Node ReadNode(const SystemRow& row) {
  Topology::Node node{row.Address(kRpcAddress), row.Bytes(kDc), row.Bytes(kRack), row.Tokens(kTokens)};
  if (IsAny(node.address)) node.address = row.Address(kOwnAddress);
  return node;
}

uint64_t Microseconds(Clock::Duration duration) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return static_cast<uint64_t>(std::max<int64_t>(us, 0));
}

}  // namespace

std::string AddressText(const uint8_t* bytes, size_t size) {
  char text[INET6_ADDRSTRLEN] = "";
  if (size == 4) inet_ntop(AF_INET, bytes, text, sizeof(text));
  if (size == 16) inet_ntop(AF_INET6, bytes, text, sizeof(text));
  return text;
}

void Topology::UseKnownAddresses(const std::set<std::string>& known, const std::string& local_dc) {
  std::set<std::string> unclaimed = known;
  Node* stranger = nullptr;
  size_t strangers = 0;
  for (Node& node : nodes) {
    if (unclaimed.erase(node.address) > 0 || node.dc != local_dc) continue;
    stranger = &node;
    ++strangers;
  }
  if (strangers == 1 && unclaimed.size() == 1) stranger->address = *unclaimed.begin();
}

TopologyReader::TopologyReader(std::shared_ptr<const DriverApi> api, CassSession* session, int port, double timeout_s)
    : api_(std::move(api)), session_(session), port_(port), timeout_s_(timeout_s) {
  Ask("system.local", StatementFor(kLocal), &local_);
}

StatementPtr TopologyReader::StatementFor(const char* cql) {
  StatementPtr statement = Own(*api_, api_->cass_statement_new_n(cql, std::strlen(cql), 0));
  api_->cass_statement_set_consistency(statement.get(), CASS_CONSISTENCY_ONE);
  api_->cass_statement_set_request_timeout(statement.get(), static_cast<uint64_t>(timeout_s_ * 1e3) + 1);
  api_->cass_statement_set_is_idempotent(statement.get(), cass_true);
  return statement;
}

void TopologyReader::Ask(const char* table, StatementPtr statement, Question* question) {
  *question = {table, Own(*api_, api_->cass_session_execute(session_, statement.get()))};
}

// Of the node that answered. The driver's own handle of it is sure to be understood; an address is the next best.
void TopologyReader::AskPeers() {
  const bool by_handle = api_->cass_future_coordinator != nullptr && api_->cass_statement_set_node != nullptr;
  const CassNode* node = by_handle ? api_->cass_future_coordinator(local_.future.get()) : nullptr;
  const auto ask = [&](const char* table, const char* cql, Question* question) {
    StatementPtr statement = StatementFor(cql);
    if (node != nullptr) {
      api_->cass_statement_set_node(statement.get(), node);
    } else {
      api_->cass_statement_set_host_n(statement.get(), answered_.data(), answered_.size(), port_);
    }
    Ask(table, std::move(statement), question);
  };
  ask("system.peers", kPeers, &peers_);
  ask("system_schema.keyspaces", kKeyspaces, &keyspaces_);
  asked_peers_ = true;
}

bool TopologyReader::Poll() {
  if (done_) return true;
  if (!asked_peers_) {
    if (!api_->cass_future_ready(local_.future.get())) return false;
    const Status read = ReadLocal();
    if (!read.ok()) return Finish(read);
    AskPeers();
  }
  if (!api_->cass_future_ready(peers_.future.get()) || !api_->cass_future_ready(keyspaces_.future.get())) return false;
  const Status read = ReadPeers();
  return Finish(read.ok() ? ReadKeyspaces() : read);
}

void TopologyReader::Wait() {
  const auto until = std::chrono::steady_clock::now() + Clock::Seconds(timeout_s_);
  const auto wait = [&](const Question& question) {
    const uint64_t left = Microseconds(until - std::chrono::steady_clock::now());
    if (!api_->cass_future_wait_timed(question.future.get(), left) && !done_) {
      Finish(DeadlineExceeded(StrCat(question.table, " gave no answer in ", timeout_s_, " s (connect_timeout_s)")));
    }
  };
  wait(local_);
  if (Poll()) return;
  wait(peers_);
  wait(keyspaces_);
  if (!Poll()) Finish(Internal("the system tables were read by halves"));
}

bool TopologyReader::Finish(Status status) {
  status_ = std::move(status);
  done_ = true;
  return true;
}

Status TopologyReader::ResultOf(const Question& question, ResultPtr* result) const {
  const CassError error = api_->cass_future_error_code(question.future.get());
  if (error != CASS_OK) {
    return {CodeOf(error), StrCat(question.table, " cannot be read: ", DriverMessage(*api_, question.future.get()))};
  }
  *result = Own(*api_, api_->cass_future_get_result(question.future.get()));
  if (*result == nullptr) return FailedPrecondition(StrCat(question.table, " cannot be read: no rows came"));
  return OkStatus();
}

Status TopologyReader::ReadLocal() {
  ResultPtr result;
  TFCASS_RETURN_IF_ERROR(ResultOf(local_, &result));
  const IteratorPtr rows = Own(*api_, api_->cass_iterator_from_result(result.get()));
  if (!api_->cass_iterator_next(rows.get())) return FailedPrecondition("system.local has no row");
  const SystemRow row(*api_, api_->cass_iterator_get_row(rows.get()));
  Topology::Node node = ReadNode(row);
  topology_.partitioner = row.Bytes(kPartitioner);
  if (node.address.empty() || node.dc.empty()) return FailedPrecondition("system.local lacks address or datacenter");
  answered_ = node.address;
  topology_.answered_dc = node.dc;
  topology_.nodes = {std::move(node)};
  return OkStatus();
}

Status TopologyReader::ReadPeers() {
  ResultPtr result;
  TFCASS_RETURN_IF_ERROR(ResultOf(peers_, &result));
  const IteratorPtr rows = Own(*api_, api_->cass_iterator_from_result(result.get()));
  while (api_->cass_iterator_next(rows.get())) {
    Topology::Node node = ReadNode(SystemRow(*api_, api_->cass_iterator_get_row(rows.get())));
    // Half a row is of a node that comes or goes; one about the node itself is an old server's mistake. The driver
    // passes over both.
    if (node.address.empty() || node.dc.empty() || node.address == answered_) continue;
    topology_.nodes.push_back(std::move(node));
  }
  std::sort(topology_.nodes.begin(), topology_.nodes.end(),
            [](const Topology::Node& a, const Topology::Node& b) { return a.address < b.address; });
  return OkStatus();
}

Status TopologyReader::ReadKeyspaces() {
  ResultPtr result;
  TFCASS_RETURN_IF_ERROR(ResultOf(keyspaces_, &result));
  const IteratorPtr rows = Own(*api_, api_->cass_iterator_from_result(result.get()));
  while (api_->cass_iterator_next(rows.get())) {
    const SystemRow row(*api_, api_->cass_iterator_get_row(rows.get()));
    topology_.keyspaces[row.Bytes(0)] = row.Options(1);
  }
  return OkStatus();
}

}  // namespace tfcass
