#include "ops/fetch/retry.h"

#include <algorithm>

namespace tfcass {

RetryPolicy::RetryPolicy(const FetchOptions& options, uint64_t seed)
    : max_retries_(options.max_retries),
      timeout_(Clock::Seconds(options.timeout_s)),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

RetryPolicy::Duration RetryPolicy::AttemptTimeout(const Tries& tries) const {
  const Duration left = std::max(timeout_ - tries.spent, Duration::zero());
  return tries.attempts - tries.outages < max_retries_ ? left / 2 : left;
}

bool RetryPolicy::NextDelay(const Tries& tries, double jitter, Duration* delay) const {
  // Without any retries, not even an outage is waited out.
  if (tries.attempts - tries.outages > max_retries_ || max_retries_ == 0) return false;
  Duration longest = kFirstDelay;
  for (int64_t i = 1; i < tries.attempts && longest < kLongestDelay; ++i) longest *= 2;
  longest = std::min<Duration>(longest, kLongestDelay);
  *delay = Clock::Seconds(std::chrono::duration<double>(longest).count() * jitter);
  return tries.spent + *delay < timeout_;
}

}  // namespace tfcass
