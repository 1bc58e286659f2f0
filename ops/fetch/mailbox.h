// Mailbox: where replies wait for the consumer, between the driver's threads and the fetcher's.
//
// Threads  All members: any thread.
// Owns     Replies. It owns no thread and no session, so it does not matter which thread lets go of it last: a callback
//          that outlives its fetcher, too, may be that one.
#ifndef TFCASS_OPS_FETCH_MAILBOX_H_
#define TFCASS_OPS_FETCH_MAILBOX_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/mutex.h"

namespace tfcass {

struct Reply {
  uint64_t ticket = 0;  // Of the attempt that it answers.
  FuturePtr future;     // Resolved. Null when the driver refused to tell us of its end.
  Clock::TimePoint arrived;
};

class Mailbox {
 public:
  explicit Mailbox(Clock* clock) : clock_(clock) {}

  // Has the end of `future` posted to `mailbox` under `ticket`: later on a driver thread, or before this returns.
  static void Expect(const std::shared_ptr<Mailbox>& mailbox, const DriverApi& api, FuturePtr future, uint64_t ticket);

  // All replies so far, oldest first. False, and none, once cancelled.
  bool TakeAll(std::vector<Reply>* replies);

  // Until there is a reply, it is cancelled, or `until` has come. May return early.
  void WaitUntil(Clock::TimePoint until);

  void Cancel();

  // Drops the replies it has and those that come.
  void Close();

 private:
  static void OnReply(CassFuture* future, void* data) noexcept;
  void Post(uint64_t ticket, FuturePtr future);

  Mutex mu_;  // Not held while calling into the driver.
  std::condition_variable changed_;
  Clock* const clock_;
  std::vector<Reply> replies_ TFCASS_GUARDED_BY(mu_);
  bool cancelled_ TFCASS_GUARDED_BY(mu_) = false;  // Never goes back to false.
  bool closed_ TFCASS_GUARDED_BY(mu_) = false;     // Never goes back to false.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_MAILBOX_H_
