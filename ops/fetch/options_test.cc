#include "ops/fetch/options.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace tfcass {
namespace {

TEST(FetchOptionsTest, DefaultsAreValidAndAutotuned) {
  const FetchOptions options;
  EXPECT_TRUE(options.Validate().ok());
  EXPECT_EQ(options.MaxInFlight(), 512);
  EXPECT_EQ(options.MaxBufferedBytes(), 256 << 20);
  EXPECT_EQ(options.RowsPerRequest(), 64);
  EXPECT_EQ(options.hedge_after, HedgeAfter::kNever);
  EXPECT_EQ(options.IoThreads(), 1);
}

TEST(FetchOptionsTest, ParsesEveryField) {
  FetchOptions options;
  const Status status = FetchOptions::Parse(
      "consistency=LOCAL_QUORUM\ndeterministic=0\nhedge_after=p99.9\nio_threads=2\nmax_buffered_bytes=1000\n"
      "max_in_flight=64\nmax_retries=0\nmetrics_id=a%2Fb\nmissing=skip\nrows_per_request=8\ntimeout_s=2.5\n",
      &options);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_FALSE(options.deterministic);
  EXPECT_EQ(options.missing, Missing::kSkip);
  EXPECT_EQ(options.MaxInFlight(), 64);
  EXPECT_EQ(options.RowsPerRequest(), 8);
  EXPECT_EQ(options.MaxBufferedBytes(), 1000);
  EXPECT_EQ(options.timeout_s, 2.5);
  EXPECT_EQ(options.max_retries, 0);
  EXPECT_EQ(options.consistency, "LOCAL_QUORUM");
  EXPECT_EQ(options.IoThreads(), 2);
  EXPECT_EQ(options.hedge_after, HedgeAfter::kP999);
  EXPECT_EQ(options.metrics_id, "a/b");
}

TEST(FetchOptionsTest, HedgeAfterTakesEachPercentileByName) {
  const std::pair<const char*, HedgeAfter> known[] = {{"None", HedgeAfter::kNever},
                                                      {"p95", HedgeAfter::kP95},
                                                      {"p99", HedgeAfter::kP99},
                                                      {"p99.9", HedgeAfter::kP999}};
  for (const auto& [text, expected] : known) {
    FetchOptions options;
    ASSERT_TRUE(FetchOptions::Parse(std::string("hedge_after=") + text + "\n", &options).ok()) << text;
    EXPECT_EQ(options.hedge_after, expected) << text;
  }
}

struct BadField {
  const char* text;
  const char* message;
};

TEST(FetchOptionsTest, RefusesBadFieldsByNameAndValue) {
  const BadField bad_fields[] = {
      {"max_in_flight=0\n", "FetchOptions.max_in_flight=0 is not at least 1, or AUTOTUNE (-1)"},
      {"max_in_flight=-2\n", "FetchOptions.max_in_flight=-2 is not at least 1, or AUTOTUNE (-1)"},
      {"rows_per_request=0\n", "FetchOptions.rows_per_request=0 is not 1 to 64, or AUTOTUNE (-1)"},
      {"rows_per_request=65\n", "FetchOptions.rows_per_request=65 is not 1 to 64, or AUTOTUNE (-1)"},
      {"max_buffered_bytes=0\n", "FetchOptions.max_buffered_bytes=0 is not at least 1, or AUTOTUNE (-1)"},
      {"timeout_s=0\n", "FetchOptions.timeout_s=0 is not a number of seconds above 0 and up to 86400"},
      {"timeout_s=-1\n", "FetchOptions.timeout_s=-1 is not a number of seconds above 0 and up to 86400"},
      {"timeout_s=nan\n", "FetchOptions.timeout_s=nan is not a number of seconds above 0 and up to 86400"},
      {"timeout_s=inf\n", "FetchOptions.timeout_s=inf is not a number of seconds above 0 and up to 86400"},
      {"max_retries=-1\n", "FetchOptions.max_retries=-1 is not at least 0"},
      {"io_threads=0\n", "FetchOptions.io_threads=0 is not 1 to 64, or AUTOTUNE (-1)"},
      {"io_threads=65\n", "FetchOptions.io_threads=65 is not 1 to 64, or AUTOTUNE (-1)"},
      {"hedge_after=p50\n", "FetchOptions.hedge_after=p50 is not one of None, p95, p99, p99.9"},
      {"missing=ignore\n", "FetchOptions.missing=ignore is not one of error, skip, empty"},
      {"consistency=local_one\n",
       "FetchOptions.consistency=local_one is not one of LOCAL_ONE, ONE, TWO, THREE, LOCAL_QUORUM, QUORUM, ALL"},
      {"consistency=ANY\n",
       "FetchOptions.consistency=ANY is not one of LOCAL_ONE, ONE, TWO, THREE, LOCAL_QUORUM, QUORUM, ALL"},
      {"max_in_flight=many\n", "options: max_in_flight=many is not a whole number"},
  };
  for (const BadField& bad : bad_fields) {
    FetchOptions options;
    const Status status = FetchOptions::Parse(bad.text, &options);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << bad.text;
    EXPECT_EQ(status.message(), bad.message);
  }
}

}  // namespace
}  // namespace tfcass
