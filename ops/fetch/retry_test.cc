#include "ops/fetch/retry.h"

#include <gtest/gtest.h>

#include <limits>

#include "ops/fetch/driver_errors.h"

namespace tfcass {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

FetchOptions Options(double timeout_s, int64_t max_retries) {
  FetchOptions options;
  options.timeout_s = timeout_s;
  options.max_retries = max_retries;
  return options;
}

TEST(RetryPolicyTest, DelaysDoubleUpToALimitAndJitterDownToHalf) {
  RetryPolicy policy(Options(1000, 100), 1);
  const milliseconds longest[] = {milliseconds(50),  milliseconds(100),  milliseconds(200),  milliseconds(400),
                                  milliseconds(800), milliseconds(1600), milliseconds(2000), milliseconds(2000)};
  for (int attempts = 1; attempts <= 8; ++attempts) {
    for (int sample = 0; sample < 100; ++sample) {
      RetryPolicy::Duration delay;
      ASSERT_TRUE(policy.NextDelay(attempts, seconds(0), &delay));
      EXPECT_GE(delay, longest[attempts - 1] / 2);
      EXPECT_LE(delay, longest[attempts - 1]);
    }
  }
}

TEST(RetryPolicyTest, JitterVaries) {
  RetryPolicy policy(Options(1000, 100), 1);
  RetryPolicy::Duration first, second;
  ASSERT_TRUE(policy.NextDelay(5, seconds(0), &first));
  ASSERT_TRUE(policy.NextDelay(5, seconds(0), &second));
  EXPECT_NE(first, second);
}

TEST(RetryPolicyTest, StopsAfterTheLastAttempt) {
  RetryPolicy policy(Options(1000, 2), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(2, seconds(0), &delay));
  EXPECT_FALSE(policy.NextDelay(3, seconds(0), &delay));
}

TEST(RetryPolicyTest, TheLargestNumberOfRetriesIsNoneTooMany) {
  RetryPolicy policy(Options(8, std::numeric_limits<int64_t>::max()), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(1, seconds(0), &delay));
  EXPECT_EQ(policy.AttemptTimeout(0, seconds(0)), seconds(4));
}

TEST(RetryPolicyTest, StopsWhenTheDelayWouldPassTheDeadline) {
  RetryPolicy policy(Options(10, 100), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(1, milliseconds(9900), &delay));
  EXPECT_FALSE(policy.NextDelay(1, milliseconds(9980), &delay));
}

TEST(RetryPolicyTest, LeavesTimeForAnotherAttemptButGivesTheLastOneAll) {
  const RetryPolicy policy(Options(8, 2), 1);
  EXPECT_EQ(policy.AttemptTimeout(0, seconds(0)), seconds(4));
  EXPECT_EQ(policy.AttemptTimeout(1, seconds(4)), seconds(2));
  EXPECT_EQ(policy.AttemptTimeout(2, seconds(6)), seconds(2));
  EXPECT_EQ(policy.AttemptTimeout(2, seconds(9)), seconds(0));
}

TEST(DriverErrorsTest, RetriesWhatAnotherAttemptMayCure) {
  for (const CassError error :
       {CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, CASS_ERROR_LIB_REQUEST_TIMED_OUT, CASS_ERROR_LIB_WRITE_ERROR,
        CASS_ERROR_SERVER_OVERLOADED, CASS_ERROR_SERVER_UNAVAILABLE, CASS_ERROR_SERVER_READ_TIMEOUT}) {
    EXPECT_TRUE(IsRetriable(error)) << error;
  }
  for (const CassError error :
       {CASS_OK, CASS_ERROR_SERVER_INVALID_QUERY, CASS_ERROR_SERVER_UNAUTHORIZED, CASS_ERROR_LIB_BAD_PARAMS,
        CASS_ERROR_SERVER_BAD_CREDENTIALS, CASS_ERROR_SSL_IDENTITY_MISMATCH}) {
    EXPECT_FALSE(IsRetriable(error)) << error;
  }
}

TEST(DriverErrorsTest, MapsErrorsToCodes) {
  EXPECT_EQ(CodeOf(CASS_OK), StatusCode::kOk);
  EXPECT_EQ(CodeOf(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE), StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(CASS_ERROR_SERVER_OVERLOADED), StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(CASS_ERROR_LIB_REQUEST_TIMED_OUT), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CodeOf(CASS_ERROR_SERVER_READ_TIMEOUT), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CodeOf(CASS_ERROR_SERVER_BAD_CREDENTIALS), StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOf(CASS_ERROR_SSL_INVALID_PEER_CERT), StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOf(CASS_ERROR_SSL_IDENTITY_MISMATCH), StatusCode::kUnauthenticated);
  EXPECT_EQ(CodeOf(CASS_ERROR_SERVER_INVALID_QUERY), StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf(CASS_ERROR_SERVER_UNPREPARED), StatusCode::kFailedPrecondition);
  EXPECT_EQ(CodeOf(CASS_ERROR_LIB_BAD_PARAMS), StatusCode::kInternal);
}

}  // namespace
}  // namespace tfcass
