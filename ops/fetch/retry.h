// RetryPolicy: how often, how long after each other, and until when a request is attempted.
#ifndef TFCASS_OPS_FETCH_RETRY_H_
#define TFCASS_OPS_FETCH_RETRY_H_

#include <cstdint>
#include <random>

#include "ops/fetch/clock.h"
#include "ops/fetch/options.h"

namespace tfcass {

// Not thread safe.
class RetryPolicy {
 public:
  using Duration = Clock::Duration;

  static constexpr auto kFirstDelay = std::chrono::milliseconds(50);
  static constexpr auto kLongestDelay = std::chrono::seconds(2);

  // Equal seeds give equal jitter.
  RetryPolicy(const FetchOptions& options, uint64_t seed);

  // The time that the next attempt may take: what is left if it is the last one, else half of it, so that a node that
  // does not answer leaves time to ask another. `spent`: by the attempts and delays so far.
  Duration AttemptTimeout(int64_t attempts, Duration spent) const;

  // Whether another attempt is due after `attempts`, and how long from now: doubling from kFirstDelay to kLongestDelay,
  // less up to half at random, so that the requests of many processes that failed together do not return together.
  bool NextDelay(int64_t attempts, Duration spent, Duration* delay);

 private:
  const int64_t max_retries_;  // Any number up to INT64_MAX: nothing is added to it.
  const Duration timeout_;
  std::minstd_rand random_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RETRY_H_
