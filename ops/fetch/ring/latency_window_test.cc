#include "ops/fetch/ring/latency_window.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

const Clock::TimePoint kStart = Clock::TimePoint(std::chrono::hours(1));

TEST(LatencyWindowTest, SaysNothingBeforeTheFirstRequest) {
  LatencyWindow window;
  EXPECT_EQ(window.p50(), 0);
  EXPECT_EQ(window.p99(), 0);
  EXPECT_EQ(window.count(), 0);
}

TEST(LatencyWindowTest, QuantilesAreAtMostAnEighthTooHigh) {
  for (const int64_t us : {0, 1, 7, 8, 9, 15, 16, 100, 999, 1000, 123456, 10'000'000, 66'000'000}) {
    LatencyWindow window;
    window.Record(microseconds(us), kStart);
    EXPECT_GT(window.p50(), us);
    EXPECT_LE(window.p50(), us + us / 8 + 1);
    EXPECT_EQ(window.p99(), window.p50());
  }
}

TEST(LatencyWindowTest, QuantilesTellTheTailFromTheMiddle) {
  LatencyWindow window;
  for (int i = 1; i <= 1000; ++i) window.Record(microseconds(i <= 985 ? 1000 : 50'000), kStart);
  EXPECT_LE(window.p50(), 1125);
  EXPECT_LE(window.Quantile(0.985), 1125);
  EXPECT_GT(window.p99(), 50'000);
  EXPECT_EQ(window.Quantile(0.5, 1001), 0);  // Too few to say.
  EXPECT_GT(window.Quantile(0.5, 1000), 0);
}

TEST(LatencyWindowTest, ForgetsWhatIsTwoWindowsOld) {
  LatencyWindow window;
  window.Record(microseconds(50'000), kStart);
  window.Record(microseconds(1000), kStart + seconds(10));  // The next window: the first is the one before.
  EXPECT_EQ(window.count(), 2);
  EXPECT_GT(window.p99(), 50'000);
  window.Record(microseconds(1000), kStart + seconds(20));
  EXPECT_EQ(window.count(), 2);
  EXPECT_LE(window.p99(), 1125);
}

TEST(LatencyWindowTest, WhatIsOutOfRangeCountsAsTheLeastOrTheMost) {
  LatencyWindow window;
  window.Record(microseconds(-5), kStart);
  EXPECT_EQ(window.p50(), 1);
  window.Record(microseconds(int64_t{1} << 60), kStart);
  EXPECT_EQ(window.p99(), int64_t{1} << 26);
}

}  // namespace
}  // namespace tfcass
