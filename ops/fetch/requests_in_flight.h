// RequestsInFlight: the requests that were sent and not answered, and the keys that wait for another attempt, each with
// the time at which something is to be done about it.
#ifndef TFCASS_OPS_FETCH_REQUESTS_IN_FLIGHT_H_
#define TFCASS_OPS_FETCH_REQUESTS_IN_FLIGHT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/pending_key.h"
#include "ops/fetch/request_plan.h"
#include "ops/fetch/ring/host.h"

namespace tfcass {

struct Request {
  // What its timer stands for, in the order in which it may come.
  enum class Timer {
    kSlow,     // It is slower than most: ask a second replica too.
    kHanging,  // It is so slow that its host must hang: ask others.
    kOverdue,  // The driver should have told how it ended.
  };

  PlannedRequest plan;
  bool hedge = false;     // It is itself the second one.
  bool slow = false;      // Its first timer has passed.
  bool given_up = false;  // Its second one has, and its keys were asked for elsewhere.
  Clock::TimePoint sent_at;
  Clock::TimePoint hangs_at;
  Clock::TimePoint overdue_at;
  Timer timer = Timer::kOverdue;
  Clock::TimePoint timer_at;
};

// Not thread safe.
class RequestsInFlight {
 public:
  // Takes a request, whose timer is set, and returns the ticket of its reply.
  uint64_t Add(Request request);

  // Takes the request out. Nothing if there is none of that ticket, as it was given up.
  std::optional<Request> Take(uint64_t ticket);

  // A request whose timer is due, or null. Its timer must be set later, or it must be taken out.
  Request* Due(Clock::TimePoint now, uint64_t* ticket);
  void SetTimer(uint64_t ticket, Request* request, Request::Timer timer, Clock::TimePoint at);

  // A key that is to be asked for again, besides `failed`, if any.
  struct Again {
    PendingKey* key;
    std::shared_ptr<Host> failed;
  };
  void Delay(Again again, Clock::TimePoint until) { delayed_.emplace(until, std::move(again)); }
  std::optional<Again> TakeDelayed(Clock::TimePoint now);

  // When the next timer or delay is due; far away if there is none.
  Clock::TimePoint NextTimer() const;

  const std::unordered_map<uint64_t, Request>& requests() const { return requests_; }

 private:
  std::unordered_map<uint64_t, Request> requests_;          // By ticket.
  std::set<std::pair<Clock::TimePoint, uint64_t>> timers_;  // One for each of them.
  std::multimap<Clock::TimePoint, Again> delayed_;
  uint64_t next_ticket_ = 0;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_REQUESTS_IN_FLIGHT_H_
