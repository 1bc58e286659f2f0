// Many threads at once, real time: for the sanitizers above all.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include "ops/testing/fetcher_fixture.h"

namespace tfcass {
namespace {

class RowFetcherStressTest : public GroupedFixture, public testing::WithParamInterface<bool> {
 protected:
  // Submits elements of 1 to 6 keys, with `rows` keys in all, of ids from 0 on, one in `every` of them twice in a row.
  // Each id that was delivered is counted, and each whose error named it.
  void ReadAll(uint32_t rows, uint32_t every, std::vector<int>* delivered, std::vector<int>* failed) {
    delivered->assign(rows, 0);
    failed->assign(rows, 0);
    std::vector<std::vector<uint32_t>> elements;
    uint32_t next = 0;
    while (true) {
      while (next < rows && fetcher_->HasRoom()) {
        std::vector<uint32_t> ids;
        for (uint32_t i = 0; i <= next % 6 && next + i < rows; ++i) ids.push_back(next + i);
        next += static_cast<uint32_t>(ids.size());
        if (every > 0 && next % every == 0) ids.push_back(ids.back());
        fetcher_->Submit(KeysOf(ids));
        elements.push_back(ids);
      }
      if (fetcher_->Pending() == 0) return;
      Element element;
      const Status status = fetcher_->Next(&element);
      if (status.ok()) {
        for (const Row& row : element.rows) {
          ++(*delivered)[IdOf(row.key)];
          EXPECT_EQ(row.cells[1].bytes, "data " + std::to_string(IdOf(row.key)));
        }
        continue;
      }
      // In order, the element fails with the error of one row; else one slot does.
      std::vector<uint32_t> ids;
      for (const RowSlot& slot : element.taken) ids.push_back(elements[static_cast<size_t>(slot.element)][slot.place]);
      if (ids.empty()) ids = elements[static_cast<size_t>(element.index)];
      bool named = false;
      for (const uint32_t id : ids) {
        ++(*failed)[id];
        named = named || Contains(status.message(), ToUuidText(KeyOf(id)));
      }
      EXPECT_TRUE(named) << status.message();
    }
  }

  // Threads that play the driver's: they answer what is open until told to stop.
  void StartAnswering(int threads, const std::function<FakeAnswer(const FakeRead&, std::minstd_rand&)>& answer) {
    for (int i = 0; i < threads; ++i) {
      answering_.emplace_back([this, answer, i] {
        std::minstd_rand random(static_cast<unsigned>(i + 1));
        while (!stop_) {
          if (!driver_.AnswerOldest([&](const FakeRead& read) { return answer(read, random); }))
            std::this_thread::yield();
        }
      });
    }
  }

  void TearDown() override {
    stop_ = true;
    for (std::thread& thread : answering_) thread.join();
  }

  std::atomic<bool> stop_{false};
  std::vector<std::thread> answering_;
};

TEST_P(RowFetcherStressTest, StressTestWithTransientErrors) {
  constexpr uint32_t kRows = 3000;
  FetchOptions options;
  options.deterministic = GetParam();
  options.max_in_flight = 64;
  options.max_retries = 50;
  Start(options, Clock::Real());
  StartAnswering(3, [](const FakeRead& read, std::minstd_rand& random) {
    if (random() % 1000 == 0) return FakeAnswer::Error(CASS_ERROR_SERVER_OVERLOADED, "busy");
    return RowOf(read.key);
  });

  std::vector<int> seen(kRows, 0);
  uint32_t next = 0;
  while (true) {
    while (next < kRows && fetcher_->HasRoom()) {
      std::vector<uint32_t> ids;
      for (uint32_t i = 0; i < next % 7 && next + i < kRows; ++i) ids.push_back(next + i);
      if (ids.empty()) ids.push_back(next);
      next += static_cast<uint32_t>(ids.size());
      fetcher_->Submit(KeysOf(ids));
    }
    if (fetcher_->Pending() == 0) break;
    for (const int label : NextLabels()) ++seen[static_cast<size_t>(label)];
  }
  for (uint32_t id = 0; id < kRows; ++id) EXPECT_EQ(seen[id], 1) << id;
}

// Groups of three replicas that lose rows, fail in every way and answer in any order, while duplicates are asked for:
// every key is delivered as often as it was asked for, or its error names it.
TEST_P(RowFetcherStressTest, StressTestOfGroupsWithFailures) {
  constexpr uint32_t kRows = 4000;
  FetchOptions options;
  options.deterministic = GetParam();
  options.max_in_flight = 128;
  options.rows_per_request = 8;
  options.max_retries = 6;
  options.hedge_after = HedgeAfter::kP95;
  StartCluster(3, 3, options, Clock::Real());
  const auto is_missing = [](uint32_t id) { return id % 500 == 7; };
  StartAnswering(3, [&](const FakeRead& read, std::minstd_rand& random) {
    static constexpr CassError kErrors[] = {
        CASS_ERROR_SERVER_OVERLOADED,      CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, CASS_ERROR_LIB_WRITE_ERROR,
        CASS_ERROR_SERVER_READ_TIMEOUT,    CASS_ERROR_SERVER_READ_FAILURE,    CASS_ERROR_SERVER_UNAVAILABLE,
        CASS_ERROR_LIB_REQUEST_TIMED_OUT,  CASS_ERROR_SERVER_UNPREPARED,
    };
    if (random() % 50 == 0) return FakeAnswer::Error(kErrors[random() % std::size(kErrors)], "at random");
    std::vector<FakeAnswer> rows;
    for (const Key& key : read.keys) {
      if (!is_missing(IdOf(key))) rows.push_back(RowOf(key));
    }
    std::shuffle(rows.begin(), rows.end(), random);
    return FakeAnswer::Rows(rows);
  });
  std::vector<int> delivered, failed;
  ReadAll(kRows, 10, &delivered, &failed);
  for (uint32_t id = 0; id < kRows; ++id) {
    const int wanted = delivered[id] + failed[id];
    EXPECT_TRUE(wanted == 1 || wanted == 2) << id;  // 2: a duplicate.
    EXPECT_TRUE(!is_missing(id) || delivered[id] == 0) << id;
    EXPECT_TRUE(failed[id] == 0 || is_missing(id) || GetParam()) << id;  // In order, it fails with its element.
  }
  EXPECT_GT(driver_.execute_calls, 500);
  EXPECT_LT(driver_.execute_calls, 4000);
  fetcher_.reset();
  for (const auto& host : session_->ring("ks")->hosts()) EXPECT_EQ(host->outstanding_rows(), 0) << host->name();
}

// Several fetchers of one session at once, which share its hosts, its statements and its ring.
TEST_P(RowFetcherStressTest, StressTestOfFetchersOnOneSession) {
  constexpr uint32_t kRows = 1000;
  FetchOptions options;
  options.deterministic = GetParam();
  options.max_in_flight = 64;
  options.rows_per_request = 8;
  options.max_retries = 50;
  StartCluster(3, 2, options, Clock::Real());
  StartAnswering(2, [](const FakeRead& read, std::minstd_rand& random) {
    if (random() % 100 == 0) return FakeAnswer::Error(CASS_ERROR_LIB_WRITE_ERROR, "connection closed");
    return RowsOf(read);
  });
  std::vector<std::thread> consumers;
  for (int consumer = 0; consumer < 4; ++consumer) {
    consumers.emplace_back([&] {
      std::unique_ptr<RowFetcher> fetcher;
      ASSERT_TRUE(RowFetcher::Create(session_, query_, options, &fetcher).ok());
      std::set<uint32_t> seen;
      uint32_t next = 0;
      while (next < kRows || fetcher->Pending() > 0) {
        for (; next < kRows && fetcher->HasRoom(); next += 10) {
          std::vector<Key> keys;
          for (uint32_t i = 0; i < 10; ++i) keys.push_back(KeyOf(next + i));
          fetcher->Submit(keys);
        }
        Element element;
        const Status status = fetcher->Next(&element);
        ASSERT_TRUE(status.ok()) << status.message();
        for (const Row& row : element.rows) EXPECT_TRUE(seen.insert(IdOf(row.key)).second);
      }
      EXPECT_EQ(seen.size(), kRows);
    });
  }
  for (std::thread& consumer : consumers) consumer.join();
  for (const auto& host : session_->ring("ks")->hosts()) EXPECT_EQ(host->outstanding_rows(), 0) << host->name();
}

TEST_P(RowFetcherStressTest, StressTestDestroyedWhileRepliesArrive) {
  StartAnswering(3, [](const FakeRead& read, std::minstd_rand&) { return RowOf(read.key); });
  for (int round = 0; round < 100; ++round) {
    FetchOptions options;
    options.deterministic = GetParam();
    Start(options, Clock::Real());
    for (uint32_t id = 0; id < 50; ++id) fetcher_->Submit(KeysOf({id}));
    if (round % 3 == 0) {
      NextLabels();
    } else if (round % 3 == 1) {
      std::thread canceller([this] { fetcher_->Cancel(); });
      (void)NextStatus();  // Cancelled, or the first row, whichever came first.
      canceller.join();
    }
    fetcher_.reset();
    session_.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, RowFetcherStressTest, testing::Bool(),
                         [](const auto& order) { return order.param ? "Deterministic" : "FirstComplete"; });

}  // namespace
}  // namespace tfcass
