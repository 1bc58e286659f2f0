// Metrics: what was fetched and how that went, so that a user sees whether the input or the model is the bottleneck.
//
// Terms    Metrics: counters of one dataset, over all its iterators, or of the process. Sink: one fetcher's hand on
//          both. Wait: time in RowFetcher::Next() in which replies were waited for. Busy: time between a return of Next()
//          and the next call, when the consumer did something else.
// Threads  Metrics and the registry: any thread. A sink: the fetcher's consumer. Counters but the gauges only grow; a
//          snapshot is not atomic over counters.
//
// A dataset's Metrics is found by an id that Python chooses and hands over in the canonical options text as
// `metrics_id` (FetchOptions::metrics_id, a std::string; empty: counted for the process only). It outlives iterators, and
// the dataset. Who makes a fetcher:
//
//   MetricsSink sink(MetricsOf(options.metrics_id));     // A member of RowFetcher, made in Create().
//
// and who asks: MetricsJson(id), which Python calls as tfcass_metrics_json(id).
#ifndef TFCASS_OPS_FETCH_METRICS_H_
#define TFCASS_OPS_FETCH_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "ops/fetch/clock.h"
#include "ops/fetch/mutex.h"

namespace tfcass {

// Latencies, in buckets that are 6 to 12 % wide.
class LatencyHistogram {
 public:
  void Record(std::chrono::microseconds taken);

  // {"count": 1, "p50": 1, "p90": 1, "p95": 1, "p99": 1, "buckets": [[upper bound, count], ...]}, in microseconds.
  // Percentiles are upper bounds of their bucket, 0 before the first.
  std::string ToJson() const;

  // Eight buckets for each power of two; exact below 8 microseconds, and the last one takes all from 2^27 (134 s) on.
  static constexpr int kBuckets = 8 + 24 * 8 + 1;
  static int BucketOf(int64_t us);
  static int64_t UpperBoundUs(int bucket);  // Exclusive.

 private:
  std::array<std::atomic<int64_t>, kBuckets> counts_{};
};

// Why a request was sent.
enum class RequestKind {
  kSingle,    // One key.
  kGrouped,   // Several keys of one owner.
  kFallback,  // One key of a group that failed or could not be sent.
  kHedged,    // To a second replica, as the first was slow.
};
inline constexpr int kRequestKinds = 4;

struct Metrics {
  using Counter = std::atomic<int64_t>;

  Counter rows{0};        // Found and received, each key once.
  Counter bytes{0};       // Of their cells.
  Counter requests{0};    // Sent, of all kinds, retries included.
  std::array<Counter, kRequestKinds> requests_by_kind{};
  Counter retries{0};     // Sent again after an error.
  Counter fallbacks{0};   // Keys that were asked for alone after a group of theirs failed, or could not be sent.
  Counter hedges_won{0};  // Hedged requests that answered before the first.
  Counter duplicates{0};  // Keys served by the fetch of the same key elsewhere in the window.
  Counter missing{0};     // Keys without a row.
  Counter errors{0};      // Keys given up.

  Counter elements{0};          // Returned by Next(), errors included.
  Counter consumer_wait_us{0};
  Counter consumer_next_us{0};  // In Next(), waits included.
  Counter consumer_busy_us{0};
  Counter first_us{0};  // First and last call of Next(), on the steady clock; 0: none.
  Counter last_us{0};

  // Gauges, summed over the fetchers at work now.
  Counter fetchers{0};
  Counter window_rows{0};     // The bound now.
  Counter buffered_bytes{0};  // Of rows received and not returned.
  Counter buffered_bytes_peak{0};

  LatencyHistogram latency;  // Of requests, from sending to reply.

  // Of one host's; null beyond kMaxHosts hosts. Valid as long as this.
  LatencyHistogram* OfHost(const std::string& host);
  static constexpr size_t kMaxHosts = 256;

  std::string ToJson() const;

  // The process's own.
  static Metrics& Global();

 private:
  mutable Mutex mu_;
  std::map<std::string, std::unique_ptr<LatencyHistogram>> hosts_ TFCASS_GUARDED_BY(mu_);
};

// The metrics of this id, made at its first use; null for "". The registry keeps those in use and the kMaxIdleMetrics
// that were asked for last of the others.
std::shared_ptr<Metrics> MetricsOf(const std::string& id);
inline constexpr size_t kMaxIdleMetrics = 256;

// Of this id, or of the process for ""; all zero for an id that is not known.
std::string MetricsJson(const std::string& id);

// Counts into a dataset's metrics and the process's. Not thread safe; what it counts is.
class MetricsSink {
 public:
  // `dataset` may be null.
  explicit MetricsSink(std::shared_ptr<Metrics> dataset);
  ~MetricsSink();  // Takes its share of the gauges back.

  MetricsSink(const MetricsSink&) = delete;
  MetricsSink& operator=(const MetricsSink&) = delete;

  // A request leaves. `retry`: sent again after an error of its own.
  void OnSent(RequestKind kind, bool retry);
  // It was answered, with rows or an error. `host`: its address; empty: not known.
  void OnReply(const std::string& host, Clock::Duration latency);
  // What the reply brought: distinct rows, their bytes, keys without a row.
  void OnRows(size_t rows, int64_t bytes, size_t missing);
  void OnFallbacks(size_t keys);
  void OnDuplicates(size_t keys);
  void OnErrors(size_t keys);
  void OnHedgeWon();

  // Next() begins; ends, with or without an element. A call of each for each Next().
  void OnNextBegin(Clock::TimePoint now);
  void OnNextEnd(Clock::TimePoint now, bool element);
  // A wait for replies within it.
  void OnWaited(Clock::Duration waited);

  // The window as it is now: its bound, and bytes received and not returned. Once a Next() is enough.
  void SetWindow(size_t bound_rows, int64_t buffered_bytes);

 private:
  template <typename Do>
  void Both(const Do& apply);

  struct HostLatency {
    LatencyHistogram* dataset;
    LatencyHistogram* process;
  };

  const std::shared_ptr<Metrics> dataset_;
  std::unordered_map<std::string, HostLatency> hosts_;
  Clock::TimePoint next_began_;
  Clock::TimePoint next_ended_;  // Zero: Next() was not called yet.
  int64_t window_rows_ = 0;
  int64_t buffered_bytes_ = 0;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_METRICS_H_
