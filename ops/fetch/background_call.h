// BackgroundCall: work that may wait for the network, such as a connect, for somebody who may lose interest meanwhile.
//
// Threads  Wait(): one at a time. Cancel(): any thread, any number of times. The work runs on a thread of its own that
//          nobody joins, so that neither a cancelled consumer nor a destructor waits for the network.
// Owns     What the work captured, until it ends. So capture what keeps itself alive, and nothing of the consumer's. A
//          result that nobody took is destroyed on the work's thread.
// Fork     A child has no such thread: Wait() fails there.
//
//   auto opening = BackgroundCall<Opened>::Start([config](Opened* opened) { return Open(config, opened); });
//   status = opening->Wait(&opened);
#ifndef TFCASS_OPS_FETCH_BACKGROUND_CALL_H_
#define TFCASS_OPS_FETCH_BACKGROUND_CALL_H_

#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "ops/fetch/mutex.h"
#include "ops/fetch/status.h"

namespace tfcass {

template <typename Result>
class BackgroundCall {
 public:
  using Work = std::function<Status(Result*)>;

  static std::shared_ptr<BackgroundCall> Start(Work work) {
    std::shared_ptr<BackgroundCall> call(new BackgroundCall(std::move(work)));
    try {
      std::thread([call] { call->Run(); }).detach();
    } catch (const std::system_error&) {  // No thread to be had: better late than never.
      call->Run();
    }
    return call;
  }

  BackgroundCall(const BackgroundCall&) = delete;
  BackgroundCall& operator=(const BackgroundCall&) = delete;

  // Until the work has ended: its status and, once, its result. CANCELLED, at once, after Cancel().
  Status Wait(Result* result) {
    if (getpid() != process_) return FailedPrecondition("it began in the process that this one was forked from");
    MutexLock lock(&mu_);
    while (!ended_ && !cancelled_) changed_.wait(lock.ForWait());
    if (cancelled_) return Cancelled("it was cancelled");
    *result = std::move(result_);
    return status_;
  }

  void Cancel() {
    MutexLock lock(&mu_);
    cancelled_ = true;
    changed_.notify_all();
  }

 private:
  explicit BackgroundCall(Work work) : process_(getpid()), work_(std::move(work)) {}

  void Run() {
    Result result{};
    Status status = work_(&result);
    work_ = nullptr;  // What it captured goes before anybody hears of the end.
    MutexLock lock(&mu_);
    ended_ = true;
    if (!cancelled_) {
      status_ = std::move(status);
      result_ = std::move(result);
    }  // Else `result` goes with this frame, after the lock.
    changed_.notify_all();
  }

  const pid_t process_;
  Work work_;  // Run()'s alone.
  Mutex mu_;  // Not held while the work runs.
  std::condition_variable changed_;
  bool ended_ TFCASS_GUARDED_BY(mu_) = false;
  bool cancelled_ TFCASS_GUARDED_BY(mu_) = false;  // Never goes back to false.
  Status status_ TFCASS_GUARDED_BY(mu_);
  Result result_ TFCASS_GUARDED_BY(mu_){};
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_BACKGROUND_CALL_H_
