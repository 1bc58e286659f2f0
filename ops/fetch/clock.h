// Clock: time as the fetcher sees it, so that tests of deadlines and backoff need not wait.
#ifndef TFCASS_OPS_FETCH_CLOCK_H_
#define TFCASS_OPS_FETCH_CLOCK_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace tfcass {

class Clock {
 public:
  using Duration = std::chrono::steady_clock::duration;
  using TimePoint = std::chrono::steady_clock::time_point;

  virtual ~Clock() = default;

  virtual TimePoint Now() = 0;

  // As condition_variable::wait_until on this clock: may wake early, and `lock` is held again when it returns.
  virtual void WaitUntil(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, TimePoint until) = 0;

  // The steady clock, of the process.
  static Clock* Real();

  static Duration Seconds(double seconds) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  }
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_CLOCK_H_
