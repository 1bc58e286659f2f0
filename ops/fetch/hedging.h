// When a request is slow: SlowPolicy says after what time a second replica is asked (hedging), and after what time its
// host counts as hanging.
#ifndef TFCASS_OPS_FETCH_HEDGING_H_
#define TFCASS_OPS_FETCH_HEDGING_H_

#include <cstdint>
#include <optional>

#include "ops/fetch/clock.h"
#include "ops/fetch/options.h"
#include "ops/fetch/ring/host.h"

namespace tfcass {

// Not thread safe.
class SlowPolicy {
 public:
  using Duration = Clock::Duration;

  // A percentile is worth something from this many requests a host on.
  static constexpr int64_t kLeastReplies = 100;
  // Hedging has little to win below this.
  static constexpr auto kLeastHedge = std::chrono::milliseconds(2);
  // Of the requests, and how many of them at once.
  static constexpr double kHedgeShare = 0.05;
  static constexpr double kHedgeBurst = 10;

  // A host hangs when a request takes so many times its 99th percentile, and at least so long: a pause for garbage
  // collection is no hang. Of a host that has hardly answered yet, nothing is known.
  static constexpr int64_t kHangFactor = 10;
  static constexpr auto kLeastHang = std::chrono::milliseconds(500);
  static constexpr auto kUnknownHang = std::chrono::seconds(2);
  static constexpr int64_t kLeastKnown = 20;

  explicit SlowPolicy(HedgeAfter hedge_after);

  // After what time a request to the host is hedged; nothing when it is not.
  std::optional<Duration> HedgeAfterOf(const Host& host) const;
  // After what time the host hangs.
  static Duration HangAfter(const Host& host);

  // A request that is no hedge was sent. Whether a hedge may be, which then counts as sent.
  void OnSent();
  bool TakeHedge();

 private:
  const double quantile_;  // 0: no hedging.
  const int64_t least_replies_;
  double tokens_ = 1;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_HEDGING_H_
