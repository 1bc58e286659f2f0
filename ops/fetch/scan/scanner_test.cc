#include "ops/fetch/scan/scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "ops/fetch/metrics.h"
#include "ops/testing/fake_driver.h"
#include "ops/testing/fake_topology.h"
#include "ops/testing/manual_clock.h"

namespace tfcass {
namespace {

using Ids = std::vector<int32_t>;

int64_t BigEndian64(const std::string& bytes) {
  uint64_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<uint8_t>(c);
  return static_cast<int64_t>(number);
}

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A table (x int, data text) whose rows are at given tokens, several at one if need be: x counts them in token order.
class ScannerTest : public testing::Test {
 protected:
  ScannerTest() {
    spec_.table = "ks.t";
    spec_.columns = {{"x", "int"}, {"data", "text"}};
    spec_.asked = 2;
    spec_.partition_key = {"id"};
    EXPECT_TRUE(spec_.Validate().ok());
    options_.deterministic = false;
    driver_.answer_query = [this](const FakeQuery& query) -> std::optional<FakeAnswer> {
      if (!Contains(query.cql, "\"ks\".\"t\"")) return Topology(query);
      return std::nullopt;
    };
    // Who waits makes a page arrive, any of those on the way.
    clock_.OnWait([this] {
      const size_t open = driver_.OpenQueries().size();
      return open > 0 && driver_.AnswerQuery([this](const FakeQuery& query) { return Page(query); }, random_() % open);
    });
  }

  FakeAnswer Topology(const FakeQuery& query) {
    if (topology_.nodes.empty()) return FakeAnswer::Error(CASS_ERROR_SERVER_UNAUTHORIZED, "no system tables for you");
    return topology_.Answer(query);
  }

  // What the server says.
  FakeAnswer Page(const FakeQuery& query) {
    ++asked_[query.host];
    if (on_page_) {
      if (std::optional<FakeAnswer> answer = on_page_(query)) return *answer;
    }
    FakeAnswer answer;
    answer.types = {CASS_VALUE_TYPE_INT, CASS_VALUE_TYPE_VARCHAR};
    const int64_t after = BigEndian64(query.values[0]), upto = BigEndian64(query.values[1]);
    size_t first = query.paging_state.empty() ? 0 : static_cast<size_t>(std::stoul(query.paging_state));
    for (size_t i = first; i < tokens_.size(); ++i) {
      if (tokens_[i] <= after || tokens_[i] > upto) continue;
      if (answer.rows.size() == static_cast<size_t>(query.page_rows)) {
        answer.next_page = std::to_string(i);
        break;
      }
      answer.rows.push_back({BigEndianInt(static_cast<int32_t>(i)), std::string(row_bytes_, 'd')});
    }
    return answer;
  }

  void Start(const std::string& state = "") {
    if (session_ == nullptr) {
      ClusterConfig config;
      config.contact_points = {"10.0.0.1"};
      ASSERT_TRUE(Session::Connect(driver_.api(), config, 1, &session_).ok());
    }
    const Status created = Scanner::Create(session_, spec_, options_, state, &scanner_, &clock_);
    ASSERT_TRUE(created.ok()) << created.message();
  }

  // Reads on until `most` rows were handed out, or the end. Errors are counted and passed by.
  Ids Read(size_t most = SIZE_MAX, size_t at_a_time = 16) {
    Ids ids;
    while (ids.size() < most) {
      ScanSlice slice;
      const Status status = scanner_->Next(std::min(at_a_time, most - ids.size()), Clock::TimePoint::max(), &slice);
      last_error_ = status.ok() ? last_error_ : status;
      if (!status.ok() && ++errors_ > 100'000) break;
      if (slice.end) break;
      for (size_t row = slice.first; row < slice.first + slice.rows; ++row) {
        int32_t id;
        std::memcpy(&id, slice.page->columns[0].values().data() + 4 * row, 4);
        ids.push_back(id);
        EXPECT_EQ(slice.page->columns[1].Bytes(row).size(), row_bytes_);
      }
    }
    return ids;
  }

  Ids All() const {
    Ids ids(tokens_.size());
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    return ids;
  }

  static Ids Sorted(Ids ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  void FillEvenly(size_t rows) {
    for (size_t i = 0; i < rows; ++i) {
      tokens_.push_back(static_cast<int64_t>(static_cast<uint64_t>(kMinToken) + (UINT64_MAX / rows) * i + 1));
    }
  }

  void Nodes(int count, int copies) {
    for (int i = 0; i < count; ++i) {
      topology_.nodes.push_back({"10.0.0." + std::to_string(i + 1), "dc1", "r1", {kMaxToken / count * i}});
    }
    topology_.keyspaces["ks"] = {{"class", "SimpleStrategy"}, {"replication_factor", std::to_string(copies)}};
  }

  ManualClock clock_;  // First: outlives all that asks it for the time.
  FakeDriver driver_;
  std::mt19937_64 random_{1};
  FakeTopology topology_;  // Without nodes: the system tables are refused.
  std::vector<int64_t> tokens_;
  size_t row_bytes_ = 100;
  std::function<std::optional<FakeAnswer>(const FakeQuery&)> on_page_;
  std::map<std::string, int> asked_;  // By host; "": the driver's choice.
  ScanSpec spec_;
  FetchOptions options_;
  std::shared_ptr<Session> session_;
  std::unique_ptr<Scanner> scanner_;
  int errors_ = 0;
  Status last_error_;
};

TEST_F(ScannerTest, AnyTableIsReadOnceInAnyOrderOfRepliesOverErrorsAndCheckpoints) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    random_.seed(seed);
    tokens_.clear();
    topology_ = {};
    session_ = nullptr;  // A new one asks for the ring anew.
    if (seed % 3 > 0) {
      Nodes(1 + static_cast<int>(random_() % 5), 1);
      for (FakeTopology::Node& node : topology_.nodes) {
        for (size_t i = random_() % 6; i > 0; --i) node.tokens.push_back(static_cast<int64_t>(random_()));
      }
    }
    const size_t rows = random_() % 2 == 0 ? random_() % 5 : random_() % 2000;
    while (tokens_.size() < rows) {
      int64_t token = static_cast<int64_t>(random_());
      if (random_() % 8 == 0) token = random_() % 2 == 0 ? kMinToken + 1 : kMaxToken;
      if (token == kMinToken) continue;
      for (size_t copies = random_() % 10 == 0 ? random_() % 200 : 1; copies > 0; --copies) tokens_.push_back(token);
    }
    std::sort(tokens_.begin(), tokens_.end());
    row_bytes_ = random_() % 4 == 0 ? random_() % 100'000 : random_() % 100;
    options_ = {};
    options_.deterministic = random_() % 2 == 0;
    if (random_() % 2 == 0) options_.max_in_flight = 1 + static_cast<int64_t>(random_() % 100);
    if (random_() % 3 == 0) options_.max_buffered_bytes = 1 + static_cast<int64_t>(random_() % 100'000);
    options_.max_retries = static_cast<int64_t>(random_() % 3);
    const uint64_t one_in = 2 + random_() % 20;
    on_page_ = [this, one_in](const FakeQuery& query) -> std::optional<FakeAnswer> {
      if (random_() % one_in > 0) return std::nullopt;
      if (random_() % 3 == 0) return FakeAnswer::Error(CASS_ERROR_SERVER_READ_TIMEOUT, "slow");
      if (random_() % 3 == 0 && !query.paging_state.empty()) {
        return FakeAnswer::Error(CASS_ERROR_SERVER_PROTOCOL_ERROR, "Invalid value for the paging state");
      }
      return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "down");
    };
    errors_ = 0;

    Start();
    Ids ids;
    while (random_() % 4 > 0) {
      const Ids some = Read(random_() % (rows + 1), 1 + random_() % 50);
      ids.insert(ids.end(), some.begin(), some.end());
      const std::string state = scanner_->Save();
      scanner_ = nullptr;
      if (random_() % 2 == 0) session_ = nullptr;  // In another process.
      Start(state);
    }
    const Ids rest = Read(SIZE_MAX, 1 + random_() % 50);
    ids.insert(ids.end(), rest.begin(), rest.end());

    EXPECT_EQ(options_.deterministic ? ids : Sorted(ids), All());
    scanner_ = nullptr;
    if (HasFailure()) return;
  }
}

TEST_F(ScannerTest, ATableIsReadFromTheOwnersOfItsRanges) {
  Nodes(3, 1);
  FillEvenly(5000);
  std::set<std::string> wrong;
  on_page_ = [&](const FakeQuery& query) -> std::optional<FakeAnswer> {
    const int64_t upto = BigEndian64(query.values[1]);
    const auto node = std::find_if(topology_.nodes.begin(), topology_.nodes.end(),
                                   [&](const auto& candidate) { return upto <= candidate.tokens[0]; });
    const std::string& owner = node == topology_.nodes.end() ? topology_.nodes[0].address : node->address;
    if (query.host != owner) wrong.insert(query.host + " for " + owner);
    return std::nullopt;
  };
  Start();

  EXPECT_EQ(Sorted(Read()), All());
  EXPECT_TRUE(wrong.empty()) << *wrong.begin();
  EXPECT_EQ(asked_.count(""), 0u);
}

TEST_F(ScannerTest, APageThatFailsGoesToAnotherReplicaAndThenAnywhere) {
  Nodes(3, 2);
  FillEvenly(100);
  std::vector<std::string> hosts;
  on_page_ = [&](const FakeQuery& query) -> std::optional<FakeAnswer> {
    hosts.push_back(query.host);
    if (hosts.size() > 2) return std::nullopt;
    return FakeAnswer::Error(CASS_ERROR_LIB_WRITE_ERROR, "the connection broke");
  };
  Start();

  EXPECT_EQ(Sorted(Read()), All());
  EXPECT_EQ(errors_, 0);
  EXPECT_NE(hosts[0], "");
  EXPECT_NE(hosts[1], "");
  EXPECT_NE(hosts[0], hosts[1]);
  EXPECT_EQ(hosts[2], "");
}

TEST_F(ScannerTest, APagingStateThatANodeDoesNotKnowCostsNoRow) {
  FillEvenly(1000);
  options_.rows_per_request = 5;
  int refusals = 0;
  on_page_ = [&](const FakeQuery& query) -> std::optional<FakeAnswer> {
    if (query.paging_state.empty() || refusals >= 3) return std::nullopt;
    ++refusals;
    return FakeAnswer::Error(CASS_ERROR_SERVER_PROTOCOL_ERROR, "Invalid value for the paging state");
  };
  Start();

  EXPECT_EQ(Sorted(Read()), All());
  EXPECT_EQ(refusals, 3);
  EXPECT_EQ(errors_, 0);
}

TEST_F(ScannerTest, APageThatIsTooMuchForTheServerIsAskedForInPieces) {
  FillEvenly(2000);
  row_bytes_ = 10;
  on_page_ = [&](const FakeQuery& query) -> std::optional<FakeAnswer> {
    if (query.page_rows <= 100) return std::nullopt;
    return FakeAnswer::Error(CASS_ERROR_SERVER_READ_TIMEOUT, "too much");
  };
  Start();

  EXPECT_EQ(Sorted(Read()), All());
  EXPECT_EQ(errors_, 0);
}

TEST_F(ScannerTest, WhatIsGivenUpSaysWhyAndIsAskedForAgainByTheNextCall) {
  FillEvenly(10);
  options_.max_retries = 2;
  bool down = true;
  on_page_ = [&](const FakeQuery&) -> std::optional<FakeAnswer> {
    if (!down) return std::nullopt;
    return FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "too much to do");
  };
  Start();
  ScanSlice slice;

  const Status status = scanner_->Next(10, Clock::TimePoint::max(), &slice);

  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(status.message(), "cannot read a page of ks.t: too much to do")) << status.message();
  EXPECT_TRUE(Contains(status.message(), "3 attempts")) << status.message();
  down = false;
  EXPECT_EQ(Sorted(Read()), All());
}

TEST_F(ScannerTest, AClusterThatIsGoneIsWaitedForAsLongAsThereIsTime) {
  FillEvenly(10);
  options_.max_retries = 1;
  const Clock::TimePoint back = clock_.Now() + std::chrono::seconds(6);
  on_page_ = [&](const FakeQuery&) -> std::optional<FakeAnswer> {
    if (clock_.Now() >= back) return std::nullopt;
    return FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "all hosts are down");
  };
  Start();

  EXPECT_EQ(Sorted(Read()), All());
  EXPECT_EQ(errors_, 0);
}

TEST_F(ScannerTest, AnErrorThatStaysIsToldAtOnce) {
  FillEvenly(10);
  on_page_ = [](const FakeQuery&) { return FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "unconfigured table t"); };
  Start();
  ScanSlice slice;

  const Status status = scanner_->Next(10, Clock::TimePoint::max(), &slice);

  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "unconfigured table t")) << status.message();
  EXPECT_TRUE(Contains(status.message(), "1 attempt ")) << status.message();
}

TEST_F(ScannerTest, AColumnOfAnotherTypeIsToldWithBothTypes) {
  FillEvenly(10);
  on_page_ = [](const FakeQuery&) {
    FakeAnswer answer;
    answer.types = {CASS_VALUE_TYPE_BIGINT, CASS_VALUE_TYPE_VARCHAR};
    return answer;
  };
  Start();
  ScanSlice slice;

  const Status status = scanner_->Next(10, Clock::TimePoint::max(), &slice);

  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "column x of ks.t is bigint in the cluster, but int was expected"))
      << status.message();
}

TEST_F(ScannerTest, NoMoreRowsAreAskedForThanTheBoundAllows) {
  FillEvenly(3000);
  options_.max_in_flight = 40;
  int64_t most = 0;
  const auto on_the_way = [&] {
    int64_t rows = 0;
    for (const FakeQuery& query : driver_.OpenQueries()) rows += query.page_rows;
    return rows;
  };
  on_page_ = [&](const FakeQuery& query) -> std::optional<FakeAnswer> {
    most = std::max(most, on_the_way() + query.page_rows);
    return std::nullopt;
  };
  for (const bool deterministic : {false, true}) {
    options_.deterministic = deterministic;
    Start();
    EXPECT_EQ(Sorted(Read()), All());
  }

  EXPECT_GT(most, 20);
  EXPECT_LE(most, 40 + 5);  // In order, the page that everybody waits for is always allowed.
}

TEST_F(ScannerTest, BytesThatNobodyTakesStopTheReading) {
  FillEvenly(3000);
  row_bytes_ = 10'000;
  options_.max_buffered_bytes = 1'000'000;
  Start();
  EXPECT_EQ(Read(1).size(), 1u);
  for (int i = 0; i < 100; ++i) {  // Whatever is on the way arrives, and the consumer takes no second page.
    EXPECT_EQ(Read(1, 1).size(), 1u);
    while (driver_.AnswerQuery([this](const FakeQuery& query) { return Page(query); })) {
    }
  }

  int asked = 0;
  for (const auto& [host, count] : asked_) asked += count;
  EXPECT_LT(asked, 40);  // Of some pages of 50 rows, after the first small ones.
}

TEST_F(ScannerTest, AFilterLeavesOtherRowsOut) {
  FillEvenly(500);
  spec_.filters = {{0, {BigEndianInt(7), BigEndianInt(400), BigEndianInt(1'000)}}};
  ASSERT_TRUE(spec_.Validate().ok());
  Start();

  EXPECT_EQ(Sorted(Read()), (Ids{7, 400}));
}

TEST_F(ScannerTest, PartitionsAreReadInTheirOrder) {
  spec_.by_partition = true;
  spec_.partitions = {{"b"}, {"a"}, {"c"}};
  options_.deterministic = true;
  on_page_ = [](const FakeQuery& query) {
    FakeAnswer answer;
    answer.types = {CASS_VALUE_TYPE_INT, CASS_VALUE_TYPE_VARCHAR};
    for (int i = 0; i < 3; ++i) answer.rows.push_back({BigEndianInt(query.values[0][0] * 10 + i), std::string(100, 'd')});
    return answer;
  };
  Start();

  const Ids some = Read(4);
  Start(scanner_->Save());
  const Ids rest = Read();

  EXPECT_EQ(some, (Ids{980, 981, 982, 970}));
  EXPECT_EQ(rest, (Ids{971, 972, 990, 991, 992}));
}

TEST_F(ScannerTest, CancelEndsAWaitForGood) {
  FillEvenly(10);
  clock_.OnWait([this] {
    scanner_->Cancel();
    return true;
  });
  Start();
  ScanSlice slice;

  EXPECT_EQ(scanner_->Next(10, Clock::TimePoint::max(), &slice).code(), StatusCode::kCancelled);
  EXPECT_EQ(scanner_->Next(10, Clock::TimePoint::max(), &slice).code(), StatusCode::kCancelled);
}

TEST_F(ScannerTest, WithoutRowsItReturnsWhenTheTimeIsUp) {
  FillEvenly(10);
  clock_.OnWait(nullptr);
  Start();
  ScanSlice slice;

  ASSERT_TRUE(scanner_->Next(10, clock_.Now() + std::chrono::milliseconds(100), &slice).ok());

  EXPECT_EQ(slice.page, nullptr);
  EXPECT_FALSE(slice.end);
}

TEST_F(ScannerTest, LateRepliesFindNobody) {
  FillEvenly(3000);
  Nodes(2, 1);
  Start();
  EXPECT_EQ(Read(1, 1).size(), 1u);
  const std::shared_ptr<const Ring> ring = session_->ring("ks", nullptr, &clock_);
  ASSERT_NE(ring, nullptr);
  EXPECT_FALSE(driver_.OpenQueries().empty());

  scanner_ = nullptr;

  for (const auto& host : ring->hosts()) EXPECT_EQ(host->outstanding_rows(), 0) << host->name();
  while (driver_.AnswerQuery([this](const FakeQuery& query) { return Page(query); })) {
  }
  EXPECT_EQ(driver_.live_results, 0);
}

}  // namespace
}  // namespace tfcass
