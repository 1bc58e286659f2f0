#include "ops/fetch/clock.h"

namespace tfcass {
namespace {

class RealClock : public Clock {
 public:
  TimePoint Now() override { return std::chrono::steady_clock::now(); }

  void WaitUntil(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, TimePoint until) override {
    condition.wait_until(lock, until);
  }
};

}  // namespace

Clock* Clock::Real() {
  static auto* clock = new RealClock;  // Never destroyed: late callbacks may still ask for the time.
  return clock;
}

}  // namespace tfcass
