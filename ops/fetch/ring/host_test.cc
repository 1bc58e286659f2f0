#include "ops/fetch/ring/host.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Clock::TimePoint kStart = Clock::TimePoint(std::chrono::hours(1));

class HostTest : public testing::Test {
 protected:
  Host host_{"10.0.0.1", 9042, "dc1", "r1"};
};

TEST_F(HostTest, IsNamedByAddressAndPort) {
  EXPECT_EQ(host_.name(), "10.0.0.1:9042");
  EXPECT_EQ(Host("2001:db8::1", 19042, "dc1", "r1").name(), "[2001:db8::1]:19042");
}

TEST_F(HostTest, IsTrustedUntilItFails) {
  EXPECT_TRUE(host_.Claim(kStart));
  EXPECT_TRUE(host_.Claim(kStart));
  EXPECT_FALSE(host_.Shunned(kStart));
}

TEST_F(HostTest, IsLeftAloneForASecondAndThenProbedOnce) {
  host_.MarkFailed(kStart);
  EXPECT_TRUE(host_.Shunned(kStart + milliseconds(999)));
  EXPECT_FALSE(host_.Claim(kStart + milliseconds(999)));

  EXPECT_FALSE(host_.Shunned(kStart + seconds(1)));
  EXPECT_TRUE(host_.Claim(kStart + seconds(1)));
  EXPECT_FALSE(host_.Claim(kStart + seconds(1)));  // The probe is under way.
  EXPECT_TRUE(host_.Shunned(kStart + seconds(1)));

  host_.MarkAnswered();
  EXPECT_TRUE(host_.Claim(kStart + seconds(1)));
  EXPECT_TRUE(host_.Claim(kStart + seconds(1)));
}

TEST_F(HostTest, EachFailedProbeDoublesTheQuietUpToHalfAMinute) {
  Clock::TimePoint now = kStart;
  host_.MarkFailed(now);
  for (const int quiet_s : {1, 2, 4, 8, 16, 30, 30}) {
    EXPECT_FALSE(host_.Claim(now + seconds(quiet_s) - milliseconds(1))) << quiet_s;
    now += seconds(quiet_s);
    ASSERT_TRUE(host_.Claim(now)) << quiet_s;
    host_.MarkFailed(now);
  }
  host_.MarkAnswered();
  host_.MarkFailed(now);
  EXPECT_TRUE(host_.Claim(now + seconds(1)));  // It starts over.
}

TEST_F(HostTest, RequestsThatFailTogetherCountOnce) {
  for (int i = 0; i < 10; ++i) host_.MarkFailed(kStart + milliseconds(i));
  EXPECT_TRUE(host_.Claim(kStart + seconds(1)));
}

TEST_F(HostTest, AProbeThatNobodyTellsOfIsFollowedByAnother) {
  host_.MarkFailed(kStart);
  ASSERT_TRUE(host_.Claim(kStart + seconds(1)));
  EXPECT_FALSE(host_.Claim(kStart + milliseconds(1999)));
  EXPECT_TRUE(host_.Claim(kStart + seconds(2)));
}

TEST_F(HostTest, IsNotAskedWhileDown) {
  host_.SetUp(false);
  EXPECT_TRUE(host_.Shunned(kStart));
  EXPECT_FALSE(host_.Claim(kStart));
  host_.SetUp(true);
  EXPECT_TRUE(host_.Claim(kStart));
}

TEST_F(HostTest, StressTestOneProbeAtATimeAndNoRowLost) {
  host_.MarkFailed(kStart);
  std::atomic<int> probes{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        host_.AddOutstanding(3);
        if (host_.Claim(kStart + seconds(1))) ++probes;
        host_.latency().Record(std::chrono::microseconds(i), kStart);
        host_.RemoveOutstanding(3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(probes, 1);
  EXPECT_EQ(host_.outstanding_rows(), 0);
  EXPECT_EQ(host_.latency().count(), 8000);
}

}  // namespace
}  // namespace tfcass
