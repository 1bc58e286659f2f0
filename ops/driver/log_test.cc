#include "ops/driver/log.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace tfcass {
namespace {

CassLogMessage Message(CassLogLevel severity, const char* text) {
  CassLogMessage message{};
  message.severity = severity;
  std::snprintf(message.message, sizeof(message.message), "%s", text);
  return message;
}

TEST(DriverLogTest, PrintsToStderrAndNotToStdout) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  HandleLogMessage(Message(CASS_LOG_WARN, "a node is slow\n"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tfcass: driver warn: a node is slow\n");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(DriverLogTest, DropsTheShardingLine) {
  testing::internal::CaptureStderr();
  HandleLogMessage(Message(CASS_LOG_ERROR, "Could not retrieve sharding info from control connection"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(DriverLogTest, PrintsARepeatedLineOnce) {
  testing::internal::CaptureStderr();
  for (const char* text : {"b is down", "b is down", "c is down", "b is down"}) {
    HandleLogMessage(Message(CASS_LOG_WARN, text));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "tfcass: driver warn: b is down\ntfcass: driver warn: c is down\ntfcass: driver warn: b is down\n");
}

TEST(DriverLogTest, CapturesErrorsInsteadOfPrintingThem) {
  testing::internal::CaptureStderr();
  LogCapture capture;
  HandleLogMessage(Message(CASS_LOG_ERROR, "no route"));
  HandleLogMessage(Message(CASS_LOG_WARN, "slow"));
  EXPECT_EQ(capture.Take(), std::vector<std::string>{"no route"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tfcass: driver warn: slow\n");
}

TEST(DriverLogTest, PrintsCapturedErrorsThatNobodyTook) {
  testing::internal::CaptureStderr();
  {
    LogCapture capture;
    HandleLogMessage(Message(CASS_LOG_ERROR, "no route"));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tfcass: driver error: no route\n");
}

TEST(DriverLogTest, WarningsOfOurOwnAreToldUnlessSwitchedOff) {
  testing::internal::CaptureStderr();
  LogWarning("slower than it could be");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "tfcass: warning: slower than it could be\n");
  setenv("TFCASS_DRIVER_LOG", "error", 1);
  testing::internal::CaptureStderr();
  LogWarning("slower than it could be");
  unsetenv("TFCASS_DRIVER_LOG");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace tfcass
