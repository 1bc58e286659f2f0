// Metrics: what this process fetched, so that a user sees whether Cassandra is the bottleneck.
//
// Threads  Everything here may be called from any thread. Counters only grow; a snapshot is not atomic over counters.
#ifndef TFCASS_OPS_FETCH_METRICS_H_
#define TFCASS_OPS_FETCH_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace tfcass {

struct Metrics {
  using Counter = std::atomic<int64_t>;

  Counter rows{0};              // Found and received.
  Counter bytes{0};             // Of their cells.
  Counter requests{0};          // Sent, retries included.
  Counter retries{0};           // Sent again.
  Counter missing{0};           // Keys without a row.
  Counter errors{0};            // Keys given up.
  Counter consumer_wait_us{0};  // Time that Next() waited for replies.

  // Bucket i counts requests that took [2^i, 2^(i+1)) microseconds from sending to reply; the first also takes faster
  // ones, the last slower ones.
  static constexpr int kLatencyBuckets = 28;
  std::array<Counter, kLatencyBuckets> latency{};

  void RecordLatency(std::chrono::microseconds taken);

  // {"rows": 1, ..., "latency_us": {"buckets": [[upper bound, count], ...], "p50": 1.0, "p90": ..., "p99": ...}}.
  // Percentiles are upper bounds of their bucket, 0 before the first reply.
  std::string ToJson() const;

  // The process's own.
  static Metrics& Global();
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_METRICS_H_
