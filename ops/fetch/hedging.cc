#include "ops/fetch/hedging.h"

#include <algorithm>

namespace tfcass {
namespace {

double QuantileOf(HedgeAfter hedge_after) {
  switch (hedge_after) {
    case HedgeAfter::kNever:
      return 0;
    case HedgeAfter::kP95:
      return 0.95;
    case HedgeAfter::kP99:
      return 0.99;
    case HedgeAfter::kP999:
      return 0.999;
  }
  return 0;
}

}  // namespace

SlowPolicy::SlowPolicy(HedgeAfter hedge_after)
    : quantile_(QuantileOf(hedge_after)),
      least_replies_(hedge_after == HedgeAfter::kP999 ? 10 * kLeastReplies : kLeastReplies) {}

std::optional<SlowPolicy::Duration> SlowPolicy::HedgeAfterOf(const Host& host) const {
  if (quantile_ == 0) return std::nullopt;
  const int64_t us = host.latency().Quantile(quantile_, least_replies_);
  if (us == 0) return std::nullopt;
  return std::max<Duration>(kLeastHedge, std::chrono::microseconds(us));
}

SlowPolicy::Duration SlowPolicy::HangAfter(const Host& host) {
  const int64_t us = host.latency().Quantile(0.99, kLeastKnown);
  if (us == 0) return kUnknownHang;
  return std::max<Duration>(kLeastHang, std::chrono::microseconds(kHangFactor * us));
}

void SlowPolicy::OnSent() { tokens_ = std::min(kHedgeBurst, tokens_ + kHedgeShare); }

bool SlowPolicy::TakeHedge() {
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

}  // namespace tfcass
