#include "ops/fetch/ring/latency_window.h"

#include <algorithm>
#include <cmath>

namespace tfcass {

int LatencyWindow::BucketOf(int64_t us) {
  if (us < kPerOctave) return static_cast<int>(std::max<int64_t>(us, 0));
  const int octave = 63 - __builtin_clzll(static_cast<uint64_t>(us));  // At least 3.
  const int64_t eighth = us >> (octave - 3) & (kPerOctave - 1);
  return static_cast<int>(std::min<int64_t>(kPerOctave * (octave - 2) + eighth, kBuckets - 1));
}

int64_t LatencyWindow::UpperBound(int bucket) {
  if (bucket < kPerOctave) return bucket + 1;
  const int octave = bucket / kPerOctave + 2;
  return (kPerOctave + bucket % kPerOctave + 1) * (int64_t{1} << (octave - 3));
}

void LatencyWindow::Record(std::chrono::microseconds taken, Clock::TimePoint now) {
  const int bucket = BucketOf(taken.count());
  MutexLock lock(&mu_);
  if (now - began_ >= kWindow) {
    previous_ = current_;
    previous_count_ = current_count_;
    current_ = {};
    current_count_ = 0;
    began_ = now;
  }
  ++current_[static_cast<size_t>(bucket)];
  ++current_count_;
}

int64_t LatencyWindow::Quantile(double q, int64_t at_least) const {
  MutexLock lock(&mu_);
  const int64_t all = current_count_ + previous_count_;
  if (all == 0 || all < at_least) return 0;
  const auto rank = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(q * static_cast<double>(all))));
  int64_t below = 0;
  int bucket = 0;
  for (; bucket < kBuckets - 1; ++bucket) {
    below += current_[static_cast<size_t>(bucket)] + previous_[static_cast<size_t>(bucket)];
    if (below >= rank) break;
  }
  return UpperBound(bucket);
}

int64_t LatencyWindow::count() const {
  MutexLock lock(&mu_);
  return current_count_ + previous_count_;
}

}  // namespace tfcass
