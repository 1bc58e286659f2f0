// RetryPolicy: how often, how long after each other, and until when a key is asked for.
#ifndef TFCASS_OPS_FETCH_RETRY_H_
#define TFCASS_OPS_FETCH_RETRY_H_

#include <cstdint>
#include <random>

#include "ops/fetch/clock.h"
#include "ops/fetch/options.h"

namespace tfcass {

// What was tried so far.
struct Tries {
  int64_t attempts = 0;
  int64_t outages = 0;                              // Attempts that met no node which could answer: waited out.
  Clock::Duration spent = Clock::Duration::zero();  // By attempts and the delays between them.
};

// Not thread safe.
class RetryPolicy {
 public:
  using Duration = Clock::Duration;

  static constexpr auto kFirstDelay = std::chrono::milliseconds(50);
  static constexpr auto kLongestDelay = std::chrono::seconds(2);

  // Equal seeds give equal jitter.
  RetryPolicy(const FetchOptions& options, uint64_t seed);

  // The time that the next attempt may take: what is left if it is the last one, else half of it, so that a node that
  // does not answer leaves time to ask another.
  Duration AttemptTimeout(const Tries& tries) const;

  // Whether another attempt is due, and how long from now: doubling from kFirstDelay to kLongestDelay, less up to half,
  // so that the requests of many processes that failed together do not return together. `jitter`: how much less, from
  // Jitter(), once for keys that travelled together, so that they stay together. Outages count for the delay and
  // against the deadline, and not as attempts: when all nodes are gone, the deadline is the time they have to return.
  bool NextDelay(const Tries& tries, double jitter, Duration* delay) const;

  // In [0.5, 1).
  double Jitter() { return std::uniform_real_distribution<>(0.5, 1.0)(random_); }

  // Whether the deadline has passed.
  bool Late(const Tries& tries) const { return tries.spent >= timeout_; }

 private:
  const int64_t max_retries_;  // Any number up to INT64_MAX: nothing is added to it.
  const Duration timeout_;
  std::minstd_rand random_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RETRY_H_
