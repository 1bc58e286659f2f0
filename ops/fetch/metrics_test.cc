#include "ops/fetch/metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

Clock::TimePoint At(Clock::Duration since) { return Clock::TimePoint(std::chrono::hours(1)) + since; }

bool Holds(const std::string& json, const std::string& part) { return json.find(part) != std::string::npos; }

TEST(LatencyHistogramTest, BucketsAreAtMostAnEighthWideAndFollowEachOther) {
  for (int bucket = 8; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    const int64_t low = LatencyHistogram::UpperBoundUs(bucket - 1);
    const int64_t high = LatencyHistogram::UpperBoundUs(bucket);
    ASSERT_LT(low, high);
    ASSERT_LE((high - low) * 8, low);
    ASSERT_EQ(LatencyHistogram::BucketOf(low), bucket);
    ASSERT_EQ(LatencyHistogram::BucketOf(high - 1), bucket);
  }
}

TEST(LatencyHistogramTest, EveryLatencyHasABucket) {
  EXPECT_EQ(LatencyHistogram::BucketOf(-1), 0);
  EXPECT_EQ(LatencyHistogram::BucketOf(0), 0);
  EXPECT_EQ(LatencyHistogram::BucketOf(7), 7);
  EXPECT_EQ(LatencyHistogram::BucketOf(int64_t{1} << 27), LatencyHistogram::kBuckets - 1);
  EXPECT_EQ(LatencyHistogram::BucketOf((int64_t{1} << 27) - 1), LatencyHistogram::kBuckets - 2);
  EXPECT_EQ(LatencyHistogram::BucketOf(std::numeric_limits<int64_t>::max()), LatencyHistogram::kBuckets - 1);
}

TEST(LatencyHistogramTest, PercentilesAreUpperBoundsOfTheirBucket) {
  LatencyHistogram latency;
  for (int i = 0; i < 90; ++i) latency.Record(microseconds(1000));
  for (int i = 0; i < 6; ++i) latency.Record(microseconds(2000));
  for (int i = 0; i < 4; ++i) latency.Record(microseconds(5000));
  EXPECT_EQ(latency.ToJson(), R"({"count": 100, "p50": 1024, "p90": 1024, "p95": 2048, "p99": 5120, )"
                              R"("buckets": [[1024, 90], [2048, 6], [5120, 4]]})");
}

TEST(MetricsTest, JsonOfAnUnusedProcess) {
  EXPECT_EQ(Metrics().ToJson(),
            R"({"rows": 0, "bytes": 0, "requests": 0, )"
            R"("requests_by_kind": {"single": 0, "grouped": 0, "fallback": 0, "hedged": 0}, )"
            R"("retries": 0, "fallbacks": 0, "hedges_won": 0, "duplicates": 0, "missing": 0, "errors": 0, "elements": 0, )"
            R"("consumer_wait_us": 0, "consumer_next_us": 0, "consumer_busy_us": 0, "active_us": 0, "fetchers": 0, )"
            R"("window_rows": 0, "buffered_bytes": 0, "buffered_bytes_peak": 0, )"
            R"("latency_us": {"count": 0, "p50": 0, "p90": 0, "p95": 0, "p99": 0, "buckets": []}, )"
            R"("latency_us_by_host": {}})");
}

TEST(MetricsSinkTest, CountsIntoTheDatasetAndTheProcess) {
  const int64_t before = Metrics::Global().rows;
  const auto dataset = std::make_shared<Metrics>();
  MetricsSink sink(dataset);
  sink.OnRows(5, 1000, 1);
  EXPECT_EQ(dataset->rows, 5);
  EXPECT_EQ(dataset->bytes, 1000);
  EXPECT_EQ(dataset->missing, 1);
  EXPECT_EQ(Metrics::Global().rows, before + 5);
}

TEST(MetricsSinkTest, CountsForTheProcessAloneWithoutADataset) {
  const int64_t before = Metrics::Global().errors;
  MetricsSink(nullptr).OnErrors(3);
  EXPECT_EQ(Metrics::Global().errors, before + 3);
}

TEST(MetricsSinkTest, TellsRequestsByKind) {
  const auto dataset = std::make_shared<Metrics>();
  MetricsSink sink(dataset);
  sink.OnSent(RequestKind::kGrouped, false);
  sink.OnSent(RequestKind::kGrouped, true);
  sink.OnSent(RequestKind::kFallback, false);
  sink.OnSent(RequestKind::kHedged, false);
  sink.OnFallbacks(7);
  sink.OnHedgeWon();
  sink.OnDuplicates(2);
  const std::string json = dataset->ToJson();
  EXPECT_TRUE(Holds(json, R"("requests": 4, "requests_by_kind": {"single": 0, "grouped": 2, "fallback": 1, "hedged": 1})"));
  EXPECT_TRUE(Holds(json, R"("retries": 1, "fallbacks": 7, "hedges_won": 1, "duplicates": 2)")) << json;
}

TEST(MetricsSinkTest, LatencyIsKeptByHost) {
  const auto dataset = std::make_shared<Metrics>();
  MetricsSink sink(dataset);
  sink.OnReply("10.0.0.1", milliseconds(1));
  sink.OnReply("10.0.0.2", milliseconds(10));
  sink.OnReply("10.0.0.2", milliseconds(10));
  sink.OnReply("", milliseconds(1));
  const std::string json = dataset->ToJson();
  EXPECT_TRUE(Holds(json, R"("latency_us": {"count": 4,)")) << json;
  EXPECT_TRUE(Holds(json, R"("latency_us_by_host": {"10.0.0.1": {"count": 1, "p50": 1024,)")) << json;
  EXPECT_TRUE(Holds(json, R"("10.0.0.2": {"count": 2, "p50": 10240,)")) << json;
}

TEST(MetricsSinkTest, HostsBeyondTheBoundCountOverallOnly) {
  const auto dataset = std::make_shared<Metrics>();
  MetricsSink sink(dataset);
  for (size_t i = 0; i < Metrics::kMaxHosts + 10; ++i) sink.OnReply(StrCat("host", i), milliseconds(1));
  EXPECT_TRUE(Holds(dataset->ToJson(), StrCat("\"latency_us\": {\"count\": ", Metrics::kMaxHosts + 10, ",")));
  EXPECT_EQ(dataset->OfHost("another"), nullptr);
}

TEST(MetricsSinkTest, WaitAndBusyTimeAddUpToTheTimeBetweenFirstAndLast) {
  const auto dataset = std::make_shared<Metrics>();
  MetricsSink sink(dataset);
  sink.OnNextBegin(At(seconds(0)));
  sink.OnWaited(milliseconds(700));
  sink.OnNextEnd(At(seconds(1)), true);
  sink.OnNextBegin(At(seconds(4)));  // Busy for 3 s.
  sink.OnNextEnd(At(seconds(6)), false);
  EXPECT_EQ(dataset->consumer_wait_us, 700'000);
  EXPECT_EQ(dataset->consumer_next_us, 3'000'000);
  EXPECT_EQ(dataset->consumer_busy_us, 3'000'000);
  EXPECT_EQ(dataset->elements, 1);
  EXPECT_EQ(dataset->last_us - dataset->first_us, 6'000'000);
}

TEST(MetricsSinkTest, IdleTimeBetweenIteratorsIsNotBusyTime) {
  const auto dataset = std::make_shared<Metrics>();
  for (int epoch = 0; epoch < 2; ++epoch) {
    MetricsSink sink(dataset);
    sink.OnNextBegin(At(seconds(100 * epoch)));
    sink.OnNextEnd(At(seconds(100 * epoch + 1)), true);
  }
  EXPECT_EQ(dataset->consumer_busy_us, 0);
  EXPECT_EQ(dataset->consumer_next_us, 2'000'000);
  EXPECT_EQ(dataset->last_us - dataset->first_us, 101'000'000);
}

TEST(MetricsSinkTest, GaugesAreSumsOverTheFetchersAtWork) {
  const auto dataset = std::make_shared<Metrics>();
  {
    MetricsSink one(dataset), other(dataset);
    one.SetWindow(64, 1000);
    other.SetWindow(100, 500);
    one.SetWindow(128, 200);
    EXPECT_EQ(dataset->fetchers, 2);
    EXPECT_EQ(dataset->window_rows, 228);
    EXPECT_EQ(dataset->buffered_bytes, 700);
  }
  EXPECT_EQ(dataset->fetchers, 0);
  EXPECT_EQ(dataset->window_rows, 0);
  EXPECT_EQ(dataset->buffered_bytes, 0);
  EXPECT_EQ(dataset->buffered_bytes_peak, 1500);
}

TEST(MetricsRegistryTest, AnIdFindsTheSameMetricsAfterItsIteratorsAreGone) {
  MetricsSink(MetricsOf("ks.t/1")).OnRows(3, 30, 0);
  MetricsSink(MetricsOf("ks.t/1")).OnRows(4, 40, 0);
  EXPECT_TRUE(Holds(MetricsJson("ks.t/1"), R"({"rows": 7, "bytes": 70,)"));
}

TEST(MetricsRegistryTest, AnUnknownIdIsAllZero) { EXPECT_EQ(MetricsJson("nobody"), Metrics().ToJson()); }

TEST(MetricsRegistryTest, NoIdMeansTheProcess) {
  EXPECT_EQ(MetricsOf(""), nullptr);
  MetricsSink sink(MetricsOf(""));
  sink.OnRows(1, 1, 0);
  EXPECT_TRUE(Holds(MetricsJson(""), StrCat("{\"rows\": ", Metrics::Global().rows, ",")));
}

TEST(MetricsRegistryTest, DropsTheOldestIdleAndNoneInUse) {
  MetricsSink used(MetricsOf("used"));
  used.OnRows(1, 1, 0);
  MetricsOf("idle")->rows = 2;
  MetricsOf("idle but read")->rows = 3;
  for (size_t i = 0; i < kMaxIdleMetrics; ++i) {
    MetricsOf(StrCat("filler", i))->rows = 1;
    MetricsJson("idle but read");
  }
  EXPECT_TRUE(Holds(MetricsJson("used"), "{\"rows\": 1,"));
  EXPECT_TRUE(Holds(MetricsJson("idle"), "{\"rows\": 0,"));
  EXPECT_TRUE(Holds(MetricsJson("idle but read"), "{\"rows\": 3,"));
}

TEST(MetricsTest, StressTestOfManyThreadsThatCount) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) {
        MetricsSink sink(MetricsOf("stress"));
        sink.OnRows(1, 10, 0);
        sink.OnReply(StrCat("host", t), microseconds(i));
        sink.SetWindow(static_cast<size_t>(i), i);
        MetricsOf(StrCat("stress", t, "/", i));
        MetricsJson("stress");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto metrics = MetricsOf("stress");
  EXPECT_EQ(metrics->rows, 800);
  EXPECT_EQ(metrics->window_rows, 0);
  EXPECT_TRUE(Holds(metrics->ToJson(), "\"latency_us\": {\"count\": 800,"));
}

}  // namespace
}  // namespace tfcass
