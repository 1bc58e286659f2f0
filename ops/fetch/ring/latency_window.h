// LatencyWindow: how long the latest requests took, as a histogram of two windows of time: the current one, and the one
// before it, which is dropped when the next begins.
//
// Threads  Any. Each call holds a lock for a few words (Record) or some hundred (Quantile).
#ifndef TFCASS_OPS_FETCH_RING_LATENCY_WINDOW_H_
#define TFCASS_OPS_FETCH_RING_LATENCY_WINDOW_H_

#include <array>
#include <chrono>
#include <cstdint>

#include "ops/fetch/clock.h"
#include "ops/fetch/mutex.h"

namespace tfcass {

class LatencyWindow {
 public:
  static constexpr std::chrono::seconds kWindow{10};

  void Record(std::chrono::microseconds taken, Clock::TimePoint now);

  // Microseconds that a share `q` of the recorded requests stayed below, e.g. 0.99; at most an eighth too high. 0 when
  // fewer than `at_least` requests are on record.
  int64_t Quantile(double q, int64_t at_least = 1) const;
  int64_t p50() const { return Quantile(0.5); }
  int64_t p99() const { return Quantile(0.99); }
  int64_t count() const;  // Requests on record.

 private:
  // Below 8 us a bucket each, then eight to a power of two; the last takes what is longer than a minute.
  static constexpr int kPerOctave = 8;
  static constexpr int kBuckets = 24 * kPerOctave;
  using Histogram = std::array<uint32_t, kBuckets>;

  static int BucketOf(int64_t us);
  static int64_t UpperBound(int bucket);

  mutable Mutex mu_;
  Histogram current_ TFCASS_GUARDED_BY(mu_){};
  Histogram previous_ TFCASS_GUARDED_BY(mu_){};
  int64_t current_count_ TFCASS_GUARDED_BY(mu_) = 0;
  int64_t previous_count_ TFCASS_GUARDED_BY(mu_) = 0;
  Clock::TimePoint began_ TFCASS_GUARDED_BY(mu_){};
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_LATENCY_WINDOW_H_
