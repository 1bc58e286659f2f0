#include "ops/fetch/ring/host.h"

#include <algorithm>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// IPv6 addresses in brackets, as everybody writes them beside a port.
std::string NameOf(const std::string& address, int port) {
  if (address.find(':') != std::string::npos) return StrCat("[", address, "]:", port);
  return StrCat(address, ":", port);
}

int64_t Ticks(Clock::TimePoint time) { return time.time_since_epoch().count(); }

}  // namespace

Host::Host(std::string address, int port, std::string dc, std::string rack)
    : address_(std::move(address)),
      port_(port),
      dc_(std::move(dc)),
      rack_(std::move(rack)),
      name_(NameOf(address_, port_)) {}

void Host::MarkFailed(Clock::TimePoint now) {
  MutexLock lock(&mu_);
  if (quiet_ != Clock::Duration::zero() && !probing_) return;  // Sent before the failure that is known already.
  quiet_ = quiet_ == Clock::Duration::zero() ? Clock::Duration(kFirstQuiet)
                                             : std::min<Clock::Duration>(2 * quiet_, kLongestQuiet);
  probing_ = false;
  quiet_until_.store(Ticks(now + quiet_), std::memory_order_relaxed);
}

void Host::MarkAnswered() {
  if (quiet_until_.load(std::memory_order_relaxed) == kTrusted) return;
  MutexLock lock(&mu_);
  quiet_ = Clock::Duration::zero();
  probing_ = false;
  quiet_until_.store(kTrusted, std::memory_order_relaxed);
}

bool Host::Claim(Clock::TimePoint now) {
  if (!up()) return false;
  if (quiet_until_.load(std::memory_order_relaxed) == kTrusted) return true;
  MutexLock lock(&mu_);
  const int64_t until = quiet_until_.load(std::memory_order_relaxed);
  if (until == kTrusted) return true;
  if (Ticks(now) < until) return false;
  probing_ = true;
  // For the others. Also the end of the probe if nobody tells how it went.
  quiet_until_.store(Ticks(now + quiet_), std::memory_order_relaxed);
  return true;
}

bool Host::Shunned(Clock::TimePoint now) const {
  if (!up()) return true;
  const int64_t until = quiet_until_.load(std::memory_order_relaxed);
  return until != kTrusted && Ticks(now) < until;
}

}  // namespace tfcass
