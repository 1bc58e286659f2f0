// Many threads at once, real time: for the sanitizers above all.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "ops/testing/fetcher_fixture.h"

namespace tfcass {
namespace {

class RowFetcherStressTest : public FetcherFixture, public testing::WithParamInterface<bool> {
 protected:
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
