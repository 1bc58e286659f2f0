// Choose: which of a key's owners to ask.
#ifndef TFCASS_OPS_FETCH_RING_CHOOSE_H_
#define TFCASS_OPS_FETCH_RING_CHOOSE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ops/fetch/clock.h"
#include "ops/fetch/ring/ring.h"

namespace tfcass {

// SplitMix64: a few instructions a number, good enough to pick replicas with. One thread at a time.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next();
  // In [0, n), n > 0.
  size_t Below(size_t n) { return static_cast<size_t>((static_cast<unsigned __int128>(Next()) * n) >> 64); }

 private:
  uint64_t state_;
};

// Of two owners drawn at random, the one with fewer outstanding rows: nearly as even as asking all, without the herd
// that all run to the one that was idle a moment ago. Only owners that are up and not suspect count; a suspect one
// whose quiet time is over may be chosen for a probe, once (Host::Claim). Null when none is left: ask through the
// driver. `besides`: not this one (a second replica for a request that `besides` is slow to answer).
std::shared_ptr<Host> Choose(const Owners& owners, Random* random, Clock::TimePoint now, const Host* besides = nullptr);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_CHOOSE_H_
