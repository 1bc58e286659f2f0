#include "ops/fetch/retry.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

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

Tries After(int64_t attempts, RetryPolicy::Duration spent = seconds(0), int64_t outages = 0) {
  return {attempts, outages, spent};
}

TEST(RetryPolicyTest, DelaysDoubleUpToALimit) {
  const RetryPolicy policy(Options(1000, 100), 1);
  const milliseconds longest[] = {milliseconds(50),  milliseconds(100),  milliseconds(200),  milliseconds(400),
                                  milliseconds(800), milliseconds(1600), milliseconds(2000), milliseconds(2000)};
  for (int attempts = 1; attempts <= 8; ++attempts) {
    RetryPolicy::Duration delay;
    ASSERT_TRUE(policy.NextDelay(After(attempts), /*jitter=*/1, &delay));
    EXPECT_EQ(delay, longest[attempts - 1]);
    ASSERT_TRUE(policy.NextDelay(After(attempts), /*jitter=*/0.5, &delay));
    EXPECT_EQ(delay, longest[attempts - 1] / 2);
  }
}

TEST(RetryPolicyTest, JitterVariesFromHalfToWhole) {
  RetryPolicy policy(Options(1000, 100), 1);
  std::set<double> seen;
  for (int sample = 0; sample < 100; ++sample) {
    const double jitter = policy.Jitter();
    EXPECT_GE(jitter, 0.5);
    EXPECT_LE(jitter, 1);
    seen.insert(jitter);
  }
  EXPECT_GT(seen.size(), 90u);
}

TEST(RetryPolicyTest, StopsAfterTheLastAttempt) {
  const RetryPolicy policy(Options(1000, 2), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(After(2), 1, &delay));
  EXPECT_FALSE(policy.NextDelay(After(3), 1, &delay));
}

TEST(RetryPolicyTest, OutagesEndWithTheDeadlineOnly) {
  RetryPolicy::Duration delay;
  EXPECT_TRUE(RetryPolicy(Options(1000, 2), 1).NextDelay(After(100, seconds(0), 98), 1, &delay));
  EXPECT_EQ(delay, seconds(2));
  EXPECT_FALSE(RetryPolicy(Options(1000, 2), 1).NextDelay(After(100, seconds(0), 97), 1, &delay));
  EXPECT_FALSE(RetryPolicy(Options(10, 2), 1).NextDelay(After(9, seconds(9), 9), 1, &delay));
  EXPECT_FALSE(RetryPolicy(Options(10, 0), 1).NextDelay(After(1, seconds(0), 1), 1, &delay));  // None means none.
}

TEST(RetryPolicyTest, TheLargestNumberOfRetriesIsNoneTooMany) {
  const RetryPolicy policy(Options(8, std::numeric_limits<int64_t>::max()), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(After(1), 1, &delay));
  EXPECT_EQ(policy.AttemptTimeout(After(0)), seconds(4));
}

TEST(RetryPolicyTest, StopsWhenTheDelayWouldPassTheDeadline) {
  const RetryPolicy policy(Options(10, 100), 1);
  RetryPolicy::Duration delay;
  EXPECT_TRUE(policy.NextDelay(After(1, milliseconds(9900)), 1, &delay));
  EXPECT_FALSE(policy.NextDelay(After(1, milliseconds(9950)), 1, &delay));
  EXPECT_FALSE(policy.Late(After(1, milliseconds(9950))));
  EXPECT_TRUE(policy.Late(After(1, seconds(10))));
}

TEST(RetryPolicyTest, LeavesTimeForAnotherAttemptButGivesTheLastOneAll) {
  const RetryPolicy policy(Options(8, 2), 1);
  EXPECT_EQ(policy.AttemptTimeout(After(0)), seconds(4));
  EXPECT_EQ(policy.AttemptTimeout(After(1, seconds(4))), seconds(2));
  EXPECT_EQ(policy.AttemptTimeout(After(2, seconds(6))), seconds(2));
  EXPECT_EQ(policy.AttemptTimeout(After(2, seconds(6), 1)), seconds(1));
  EXPECT_EQ(policy.AttemptTimeout(After(2, seconds(9))), seconds(0));
}

TEST(DriverErrorsTest, RetriesWhatAnotherAttemptMayCure) {
  for (const CassError error :
       {CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, CASS_ERROR_LIB_REQUEST_TIMED_OUT, CASS_ERROR_LIB_WRITE_ERROR,
        CASS_ERROR_SERVER_OVERLOADED, CASS_ERROR_SERVER_UNAVAILABLE, CASS_ERROR_SERVER_READ_TIMEOUT,
        CASS_ERROR_SERVER_UNPREPARED}) {
    EXPECT_TRUE(IsRetriable(error)) << error;
  }
  for (const CassError error :
       {CASS_OK, CASS_ERROR_SERVER_INVALID_QUERY, CASS_ERROR_SERVER_UNAUTHORIZED, CASS_ERROR_LIB_BAD_PARAMS,
        CASS_ERROR_SERVER_BAD_CREDENTIALS, CASS_ERROR_SSL_IDENTITY_MISMATCH}) {
    EXPECT_FALSE(IsRetriable(error)) << error;
  }
}

TEST(DriverErrorsTest, TellsAHostThatIsGoneFromOneThatIsBusy) {
  for (const CassError error :
       {CASS_ERROR_LIB_NO_HOSTS_AVAILABLE, CASS_ERROR_LIB_REQUEST_TIMED_OUT, CASS_ERROR_LIB_WRITE_ERROR,
        CASS_ERROR_SERVER_IS_BOOTSTRAPPING, CASS_ERROR_SERVER_READ_TIMEOUT}) {
    EXPECT_EQ(RemedyFor(error), Remedy::kElsewhere) << error;
  }
  EXPECT_EQ(RemedyFor(CASS_ERROR_SERVER_OVERLOADED), Remedy::kLater);
  EXPECT_EQ(RemedyFor(CASS_ERROR_LIB_REQUEST_QUEUE_FULL), Remedy::kLater);
  EXPECT_EQ(RemedyFor(CASS_ERROR_SERVER_READ_FAILURE), Remedy::kOther);
  EXPECT_EQ(RemedyFor(CASS_ERROR_SERVER_UNAVAILABLE), Remedy::kOther);
  EXPECT_TRUE(IsOutage(CASS_ERROR_LIB_NO_HOSTS_AVAILABLE));
  EXPECT_TRUE(IsOutage(CASS_ERROR_SERVER_UNAVAILABLE));
  EXPECT_FALSE(IsOutage(CASS_ERROR_LIB_REQUEST_TIMED_OUT));
  EXPECT_FALSE(IsOutage(CASS_ERROR_SERVER_OVERLOADED));
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
