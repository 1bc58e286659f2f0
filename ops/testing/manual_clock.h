// ManualClock: time that moves only when a test, or a wait that nothing ends, moves it. No test sleeps.
#ifndef TFCASS_OPS_TESTING_MANUAL_CLOCK_H_
#define TFCASS_OPS_TESTING_MANUAL_CLOCK_H_

#include <algorithm>
#include <functional>
#include <mutex>
#include <utility>

#include "ops/fetch/clock.h"

namespace tfcass {

// Threads  Now() and Advance(): any thread. Waits: one thread at a time.
class ManualClock : public Clock {
 public:
  TimePoint Now() override {
    std::lock_guard<std::mutex> lock(mu_);
    return now_;
  }

  void Advance(Duration by) {
    std::lock_guard<std::mutex> lock(mu_);
    now_ += by;
  }

  // Called when somebody would wait: true when it did something that may end the wait, so that time stands still.
  void OnWait(std::function<bool()> on_wait) { on_wait_ = std::move(on_wait); }

  // Does not block: jumps to `until`, as nothing else is going to happen before.
  void WaitUntil(std::condition_variable&, std::unique_lock<std::mutex>& lock, TimePoint until) override {
    lock.unlock();
    if (!on_wait_ || !on_wait_()) {
      std::lock_guard<std::mutex> mine(mu_);
      now_ = std::max(now_, until);
    }
    lock.lock();
  }

 private:
  std::mutex mu_;
  TimePoint now_ = TimePoint(std::chrono::hours(1));
  std::function<bool()> on_wait_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_TESTING_MANUAL_CLOCK_H_
