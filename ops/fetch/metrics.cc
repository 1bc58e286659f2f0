#include "ops/fetch/metrics.h"

#include <numeric>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

using Counts = std::array<int64_t, Metrics::kLatencyBuckets>;

int64_t UpperBoundUs(int bucket) { return int64_t{2} << bucket; }

// The bound of the bucket that holds the given part of all replies; 0 when there is none.
int64_t PercentileUs(const Counts& counts, double part) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  int64_t seen = 0;
  for (int i = 0; i < Metrics::kLatencyBuckets; ++i) {
    seen += counts[i];
    if (total > 0 && static_cast<double>(seen) >= part * static_cast<double>(total)) return UpperBoundUs(i);
  }
  return 0;
}

}  // namespace

void Metrics::RecordLatency(std::chrono::microseconds taken) {
  int bucket = 0;
  while (bucket + 1 < kLatencyBuckets && taken.count() >= UpperBoundUs(bucket)) ++bucket;
  latency[bucket].fetch_add(1, std::memory_order_relaxed);
}

std::string Metrics::ToJson() const {
  Counts counts;
  for (int i = 0; i < kLatencyBuckets; ++i) counts[i] = latency[i];

  std::string buckets;
  for (int i = 0; i < kLatencyBuckets; ++i) {
    if (counts[i] == 0) continue;
    if (!buckets.empty()) buckets += ", ";
    buckets += StrCat("[", UpperBoundUs(i), ", ", counts[i], "]");
  }
  return StrCat("{\"rows\": ", rows, ", \"bytes\": ", bytes, ", \"requests\": ", requests, ", \"retries\": ", retries,
                ", \"missing\": ", missing, ", \"errors\": ", errors, ", \"consumer_wait_us\": ", consumer_wait_us,
                ", \"latency_us\": {\"p50\": ", PercentileUs(counts, 0.5), ", \"p90\": ", PercentileUs(counts, 0.9),
                ", \"p99\": ", PercentileUs(counts, 0.99), ", \"buckets\": [", buckets, "]}}");
}

Metrics& Metrics::Global() {
  static auto* metrics = new Metrics;  // Never destroyed: fetchers may outlive static destruction.
  return *metrics;
}

}  // namespace tfcass
