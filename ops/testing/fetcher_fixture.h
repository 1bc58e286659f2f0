// FetcherFixture: a RowFetcher on a FakeDriver and a ManualClock. GroupedFixture: the same on a cluster of several
// nodes, whose token ring is known.
#ifndef TFCASS_OPS_TESTING_FETCHER_FIXTURE_H_
#define TFCASS_OPS_TESTING_FETCHER_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/fetch/ring/murmur3.h"
#include "ops/fetch/row_fetcher.h"
#include "ops/testing/fake_driver.h"
#include "ops/testing/fake_topology.h"
#include "ops/testing/manual_clock.h"

namespace tfcass {

using Ids = std::vector<uint32_t>;
using Labels = std::vector<int>;
using Reads = std::vector<std::string>;  // As GroupedFixture::Open() has them.

// A key whose text ends in `id`.
inline Key KeyOf(uint32_t id) {
  Key key{};
  for (int i = 0; i < 4; ++i) key[15 - i] = static_cast<uint8_t>(id >> (8 * i));
  return key;
}

inline uint32_t IdOf(const Key& key) {
  return static_cast<uint32_t>(key[12]) << 24 | static_cast<uint32_t>(key[13]) << 16 |
         static_cast<uint32_t>(key[14]) << 8 | key[15];
}

inline std::vector<Key> KeysOf(const Ids& ids) {
  std::vector<Key> keys;
  for (const uint32_t id : ids) keys.push_back(KeyOf(id));
  return keys;
}

inline Labels LabelsOf(const Ids& ids) { return Labels(ids.begin(), ids.end()); }

// The row that the fake table holds for a key: its id as label, "data <id>" as data.
inline FakeAnswer RowOf(const Key& key) {
  return FakeAnswer::Row(key, static_cast<int32_t>(IdOf(key)), "data " + std::to_string(IdOf(key)));
}

// The rows of all keys that a read asks for, in another order than it asked.
inline FakeAnswer RowsOf(const FakeRead& read) {
  std::vector<FakeAnswer> rows;
  for (auto key = read.keys.rbegin(); key != read.keys.rend(); ++key) rows.push_back(RowOf(*key));
  return FakeAnswer::Rows(rows);
}

class FetcherFixture : public testing::Test {
 protected:
  void Start(const FetchOptions& options, Clock* clock) {
    ASSERT_TRUE(Session::Connect(driver_.api(), Config(), 1, &session_).ok());
    const Status created = RowFetcher::Create(session_, query_, options, &fetcher_, clock);
    ASSERT_TRUE(created.ok()) << created.message();
  }
  void Start(const FetchOptions& options = {}) { Start(options, &clock_); }

  static ClusterConfig Config() {
    ClusterConfig config;
    config.contact_points = {"10.0.0.1"};
    return config;
  }

  void AnswerAll(const Ids& ids) {
    for (const uint32_t id : ids) EXPECT_TRUE(driver_.Answer(KeyOf(id), RowOf(KeyOf(id)))) << id;
  }

  Ids OpenIds() const {
    Ids ids;
    for (const FakeRead& read : driver_.OpenReads()) ids.push_back(IdOf(read.key));
    return ids;
  }

  // The next element's labels, each checked against its row's key and data; -1 where a row was not found.
  Labels NextLabels() {
    Element element;
    const Status status = fetcher_->Next(&element);
    EXPECT_TRUE(status.ok()) << status.message();
    last_index_ = element.index;
    Labels labels;
    for (const Row& row : element.rows) {
      labels.push_back(row.found ? row.cells[0].As<int32_t>() : -1);
      if (!row.found) continue;
      EXPECT_EQ(static_cast<uint32_t>(labels.back()), IdOf(row.key));
      EXPECT_EQ(row.cells[1].bytes, "data " + std::to_string(labels.back()));
    }
    return labels;
  }

  Status NextStatus() {
    Element element;
    const Status status = fetcher_->Next(&element);
    last_index_ = element.index;
    return status;
  }

  ManualClock clock_;  // First: outlives all that asks it for the time.
  FakeDriver driver_;
  QuerySpec query_{"ks.data", "patch_id", {{"label", CellType::kInt32}, {"data", CellType::kBytes}}};
  std::shared_ptr<Session> session_;
  std::unique_ptr<RowFetcher> fetcher_;
  int64_t last_index_ = -1;
};

// The first two nodes of GroupedFixture.
constexpr char kFirst[] = "10.0.0.1";
constexpr char kSecond[] = "10.0.0.2";

inline FetchOptions GroupsOf(int64_t rows, int64_t window = 1000) {
  FetchOptions options;
  options.rows_per_request = rows;
  options.max_in_flight = window;
  return options;
}

class GroupedFixture : public FetcherFixture {
 protected:
  // Nodes 10.0.0.1 to 10.0.0.<nodes>; `rf` of them hold each row.
  void StartCluster(size_t nodes, size_t rf, const FetchOptions& options, Clock* clock) {
    cluster_.nodes.clear();
    for (size_t i = 0; i < nodes; ++i) {
      const auto token = static_cast<int64_t>(UINT64_MAX / nodes * i);  // Round the ring.
      cluster_.nodes.push_back({"10.0.0." + std::to_string(i + 1), "dc1", "r1", {token}});
    }
    cluster_.keyspaces["ks"] = {{"class", "SimpleStrategy"}, {"replication_factor", std::to_string(rf)}};
    driver_.answer_query = [this](const FakeQuery& query) { return cluster_.Answer(query); };
    Start(options, clock);
  }
  void StartCluster(size_t nodes, size_t rf, const FetchOptions& options = {}) {
    StartCluster(nodes, rf, options, &clock_);
  }

  Owners OwnersOf(uint32_t id) { return session_->ring("ks", nullptr, &clock_)->OwnersOf(TokenOf(KeyOf(id))); }
  std::shared_ptr<Host> HostOf(const std::string& address) {
    for (const auto& host : session_->ring("ks", nullptr, &clock_)->hosts()) {
      if (host->address() == address) return host;
    }
    return nullptr;
  }

  // The first `count` ids from `from` on whose first owner is this node.
  Ids IdsOf(const std::string& address, size_t count, uint32_t from = 1) {
    Ids ids;
    for (uint32_t id = from; ids.size() < count; ++id) {
      if (OwnersOf(id)[0]->address() == address) ids.push_back(id);
    }
    return ids;
  }

  // The open reads as "address: id id id", the ids in order; "any" where the driver routes.
  Reads Open() const {
    Reads reads;
    for (const FakeRead& read : driver_.OpenReads()) reads.push_back(Describe(read));
    return reads;
  }
  static std::string Describe(const FakeRead& read) {
    std::string text = (read.host.empty() ? "any" : read.host) + ":";
    for (const Key& key : read.keys) text += " " + std::to_string(IdOf(key));
    return text;
  }
  static std::string Asks(const std::string& address, const Ids& ids) {
    std::string text = address + ":";
    for (const uint32_t id : ids) text += " " + std::to_string(id);
    return text;
  }

  // Answers what is open with its rows, oldest first. How many reads that were.
  int AnswerOpen() {
    int answered = 0;
    for (size_t open = driver_.OpenReads().size(); open > 0; --open) answered += driver_.AnswerOldest(RowsOf) ? 1 : 0;
    return answered;
  }

  // As a cluster that answers whenever the consumer waits.
  void AnswerWhenWaiting() {
    clock_.OnWait([this] { return driver_.AnswerOldest(RowsOf); });
  }

  FakeTopology cluster_;
};

inline bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace tfcass

#endif  // TFCASS_OPS_TESTING_FETCHER_FIXTURE_H_
