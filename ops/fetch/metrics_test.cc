#include "ops/fetch/metrics.h"

#include <gtest/gtest.h>

namespace tfcass {
namespace {

using std::chrono::microseconds;

TEST(MetricsTest, JsonOfAnUnusedProcess) {
  EXPECT_EQ(Metrics().ToJson(),
            R"({"rows": 0, "bytes": 0, "requests": 0, "retries": 0, "missing": 0, "errors": 0, "consumer_wait_us": 0, )"
            R"("latency_us": {"p50": 0, "p90": 0, "p99": 0, "buckets": []}})");
}

TEST(MetricsTest, LatencyFallsIntoBucketsByPowersOfTwo) {
  Metrics metrics;
  metrics.RecordLatency(microseconds(0));
  metrics.RecordLatency(microseconds(1));
  metrics.RecordLatency(microseconds(1023));
  metrics.RecordLatency(microseconds(1024));
  metrics.RecordLatency(std::chrono::hours(24));
  EXPECT_EQ(metrics.latency[0], 2);
  EXPECT_EQ(metrics.latency[9], 1);
  EXPECT_EQ(metrics.latency[10], 1);
  EXPECT_EQ(metrics.latency[Metrics::kLatencyBuckets - 1], 1);
}

TEST(MetricsTest, PercentilesAreUpperBoundsOfTheirBucket) {
  Metrics metrics;
  metrics.rows = 10;
  for (int i = 0; i < 98; ++i) metrics.RecordLatency(microseconds(1000));
  for (int i = 0; i < 2; ++i) metrics.RecordLatency(microseconds(5000));
  EXPECT_NE(metrics.ToJson().find(R"("p50": 1024, "p90": 1024, "p99": 8192, "buckets": [[1024, 98], [8192, 2]])"),
            std::string::npos)
      << metrics.ToJson();
}

}  // namespace
}  // namespace tfcass
