#include "ops/fetch/background_call.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <thread>

namespace tfcass {
namespace {

using Call = BackgroundCall<std::shared_ptr<int>>;

// Says when it is destroyed.
std::shared_ptr<int> Result(std::promise<void>* destroyed) {
  return {new int(7), [destroyed](const int* value) {
            delete value;
            destroyed->set_value();
          }};
}

TEST(BackgroundCallTest, GivesTheResult) {
  auto call = Call::Start([](std::shared_ptr<int>* result) {
    *result = std::make_shared<int>(7);
    return OkStatus();
  });
  std::shared_ptr<int> result;
  ASSERT_TRUE(call->Wait(&result).ok());
  EXPECT_EQ(*result, 7);
}

TEST(BackgroundCallTest, GivesTheError) {
  auto call = Call::Start([](std::shared_ptr<int>*) { return Unavailable("nobody there"); });
  std::shared_ptr<int> result;
  const Status status = call->Wait(&result);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "nobody there");
}

TEST(BackgroundCallTest, CancelReleasesTheConsumerWhileTheWorkGoesOn) {
  std::promise<void> may_end, destroyed;
  auto call = Call::Start([&](std::shared_ptr<int>* result) {
    may_end.get_future().wait();
    *result = Result(&destroyed);
    return OkStatus();
  });
  std::thread canceller([&] { call->Cancel(); });
  std::shared_ptr<int> result;
  EXPECT_EQ(call->Wait(&result).code(), StatusCode::kCancelled);
  canceller.join();
  may_end.set_value();
  destroyed.get_future().wait();  // Nobody wanted it.
  EXPECT_EQ(call->Wait(&result).code(), StatusCode::kCancelled);
  EXPECT_EQ(result, nullptr);
}

TEST(BackgroundCallTest, NobodyNeedsToKeepIt) {
  std::promise<void> may_end, destroyed;
  auto call = Call::Start([&](std::shared_ptr<int>* result) {
    may_end.get_future().wait();
    *result = Result(&destroyed);
    return OkStatus();
  });
  call.reset();  // Returns though the work has not ended.
  may_end.set_value();
  destroyed.get_future().wait();
}

TEST(BackgroundCallTest, WhatTheWorkCapturedIsGoneWhenItsEndIsKnown) {
  auto captured = std::make_shared<int>(1);
  auto call = Call::Start([captured](std::shared_ptr<int>*) { return OkStatus(); });
  std::shared_ptr<int> result;
  ASSERT_TRUE(call->Wait(&result).ok());
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(BackgroundCallTest, AForkedChildDoesNotWaitForAThreadThatItDoesNotHave) {
  std::promise<void> may_end;
  auto call = Call::Start([&](std::shared_ptr<int>*) {
    may_end.get_future().wait();
    return OkStatus();
  });
  const pid_t child = fork();
  if (child == 0) {
    std::shared_ptr<int> result;
    _exit(call->Wait(&result).code() == StatusCode::kFailedPrecondition ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  may_end.set_value();
  std::shared_ptr<int> result;
  EXPECT_TRUE(call->Wait(&result).ok());
}

}  // namespace
}  // namespace tfcass
