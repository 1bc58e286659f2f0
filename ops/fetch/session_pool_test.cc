#include "ops/fetch/session_pool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

#include "ops/fetch/retired_sessions.h"
#include "ops/testing/fake_driver.h"
#include "ops/testing/manual_clock.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;

ClusterConfig Config(const std::string& host) {
  ClusterConfig config;
  config.contact_points = {host};
  return config;
}

class SessionPoolTest : public testing::Test {
 protected:
  std::shared_ptr<Session> Get(const std::string& host, int64_t io_threads = 1) {
    std::shared_ptr<Session> session;
    EXPECT_TRUE(pool_.Get(Config(host), io_threads, &session).ok());
    return session;
  }

  ManualClock clock_;
  FakeDriver driver_;
  SessionPool pool_{[this](const std::string&) { return LoadedDriver{driver_.api(), ""}; }, &clock_};
};

TEST_F(SessionPoolTest, EqualConfigsShareASession) {
  const auto first = Get("a");
  EXPECT_EQ(first, Get("a"));
  EXPECT_NE(first, Get("b"));
  EXPECT_NE(first, Get("a", /*io_threads=*/2));
  EXPECT_EQ(driver_.connect_calls, 3);
}

TEST_F(SessionPoolTest, ASessionLingersAfterItsLastUser) {
  auto first = Get("a");
  auto second = Get("a");
  first.reset();
  clock_.Advance(SessionPool::kLinger);  // In use all the time, so this does not count.
  second.reset();
  clock_.Advance(SessionPool::kLinger - milliseconds(1));
  Get("a").reset();
  clock_.Advance(SessionPool::kLinger - milliseconds(1));
  Get("a").reset();
  EXPECT_EQ(driver_.connect_calls, 1);
  EXPECT_EQ(driver_.close_calls, 0);
}

TEST_F(SessionPoolTest, ASessionThatLingeredLongEnoughIsClosedByTheNextUse) {
  Get("a").reset();
  clock_.Advance(SessionPool::kLinger);
  const auto other = Get("b");
  EXPECT_EQ(driver_.close_calls, 1);
  EXPECT_EQ(driver_.sessions, 1);
  const auto again = Get("a");
  EXPECT_EQ(driver_.connect_calls, 3);
}

TEST_F(SessionPoolTest, ASessionThatFailedDoesNotLinger) {
  auto failed = Get("a");
  failed->Doubt();
  failed.reset();
  EXPECT_EQ(driver_.close_calls, 1);
  EXPECT_EQ(driver_.sessions, 0);
  Get("a");
  EXPECT_EQ(driver_.connect_calls, 2);
}

TEST_F(SessionPoolTest, ASessionThatFailedIsLentToNobodyElse) {
  auto failed = Get("a");
  failed->Doubt();
  const auto fresh = Get("a");
  EXPECT_NE(fresh, failed);
  EXPECT_EQ(fresh, Get("a"));
  EXPECT_EQ(driver_.connect_calls, 2);
  failed.reset();
  EXPECT_EQ(driver_.close_calls, 1);
  EXPECT_EQ(fresh, Get("a"));
  EXPECT_EQ(driver_.connect_calls, 2);
}

TEST_F(SessionPoolTest, ClosingDoesNotBlockAndIsFinishedLater) {
  driver_.closes = false;
  Get("a").reset();
  clock_.Advance(SessionPool::kLinger);
  const auto other = Get("b");
  EXPECT_EQ(driver_.close_calls, 1);
  EXPECT_EQ(driver_.sessions, 2);
  EXPECT_EQ(FreeClosedSessions(), 1u);
  driver_.closes = true;
  const auto third = Get("b");  // Any use of the pool clears up.
  EXPECT_EQ(driver_.sessions, 1);
  EXPECT_EQ(FreeClosedSessions(), 0u);
}

TEST_F(SessionPoolTest, AFailureIsNotRemembered) {
  driver_.connect_answer = FakeAnswer::Error(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, "down");
  std::shared_ptr<Session> session;
  EXPECT_EQ(pool_.Get(Config("a"), 1, &session).code(), StatusCode::kUnavailable);
  EXPECT_EQ(session, nullptr);
  driver_.connect_answer = {};
  EXPECT_NE(Get("a"), nullptr);
}

TEST_F(SessionPoolTest, StressTestConcurrentUsersConnectOnce) {
  std::vector<std::shared_ptr<Session>> sessions(8);
  std::vector<std::thread> threads;
  for (auto& session : sessions) threads.emplace_back([&] { session = Get("a"); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& session : sessions) EXPECT_EQ(session, sessions[0]);
  EXPECT_EQ(driver_.connect_calls, 1);
}

TEST_F(SessionPoolTest, StressTestSessionsComeAndGoInManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        EXPECT_NE(Get("a"), nullptr);
        if (round % 50 == 0) clock_.Advance(SessionPool::kLinger);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  clock_.Advance(SessionPool::kLinger);
  const auto other = Get("b");
  EXPECT_EQ(driver_.sessions, 1);
}

TEST_F(SessionPoolTest, AForkedChildNeitherUsesNorClosesAnIdleOne) {
  auto parents = Get("a");
  Get("b").reset();
  const pid_t child = fork();
  if (child == 0) {
    parents.reset();
    clock_.Advance(SessionPool::kLinger);
    const auto own = Get("b");
    _exit(driver_.connect_calls == 3 && driver_.close_calls == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(SessionPoolTest, AForkedChildOpensItsOwn) {
  const auto parents = Get("a");
  const pid_t child = fork();
  if (child == 0) {
    const auto own = Get("a");
    _exit(own != parents && own->CheckProcess().ok() && driver_.connect_calls == 2 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(SessionPoolWithoutDriverTest, ReportsTheLoadersError) {
  SessionPool pool([](const std::string& path) { return LoadedDriver{nullptr, "no driver at " + path}; });
  ClusterConfig config = Config("a");
  config.driver_path = "/nowhere.so";
  std::shared_ptr<Session> session;
  const Status status = pool.Get(config, 1, &session);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "no driver at /nowhere.so");
}

}  // namespace
}  // namespace tfcass
