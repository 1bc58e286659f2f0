#include "ops/fetch/retry.h"

#include <algorithm>

namespace tfcass {

RetryPolicy::RetryPolicy(const FetchOptions& options, uint64_t seed)
    : max_retries_(options.max_retries),
      timeout_(Clock::Seconds(options.timeout_s)),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

RetryPolicy::Duration RetryPolicy::AttemptTimeout(int64_t attempts, Duration spent) const {
  const Duration left = std::max(timeout_ - spent, Duration::zero());
  return attempts < max_retries_ ? left / 2 : left;
}

bool RetryPolicy::NextDelay(int64_t attempts, Duration spent, Duration* delay) {
  if (attempts > max_retries_) return false;
  Duration longest = kFirstDelay;
  for (int64_t i = 1; i < attempts && longest < kLongestDelay; ++i) longest *= 2;
  longest = std::min<Duration>(longest, kLongestDelay);
  *delay = Clock::Seconds(std::chrono::duration<double>(longest).count() *
                          std::uniform_real_distribution<>(0.5, 1.0)(random_));
  return spent + *delay < timeout_;
}

}  // namespace tfcass
