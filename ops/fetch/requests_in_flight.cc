#include "ops/fetch/requests_in_flight.h"

#include <algorithm>

namespace tfcass {

uint64_t RequestsInFlight::Add(Request request) {
  const uint64_t ticket = next_ticket_++;
  timers_.emplace(request.timer_at, ticket);
  requests_.emplace(ticket, std::move(request));
  return ticket;
}

std::optional<Request> RequestsInFlight::Take(uint64_t ticket) {
  const auto found = requests_.find(ticket);
  if (found == requests_.end()) return std::nullopt;
  timers_.erase({found->second.timer_at, ticket});
  std::optional<Request> request = std::move(found->second);
  requests_.erase(found);
  return request;
}

Request* RequestsInFlight::Due(Clock::TimePoint now, uint64_t* ticket) {
  if (timers_.empty() || timers_.begin()->first > now) return nullptr;
  *ticket = timers_.begin()->second;
  return &requests_.at(*ticket);
}

void RequestsInFlight::SetTimer(uint64_t ticket, Request* request, Request::Timer timer, Clock::TimePoint at) {
  timers_.erase({request->timer_at, ticket});
  request->timer = timer;
  request->timer_at = at;
  timers_.emplace(at, ticket);
}

std::optional<RequestsInFlight::Again> RequestsInFlight::TakeDelayed(Clock::TimePoint now) {
  if (delayed_.empty() || delayed_.begin()->first > now) return std::nullopt;
  Again again = std::move(delayed_.begin()->second);
  delayed_.erase(delayed_.begin());
  return again;
}

Clock::TimePoint RequestsInFlight::NextTimer() const {
  Clock::TimePoint next = Clock::TimePoint::max();
  if (!timers_.empty()) next = timers_.begin()->first;
  if (!delayed_.empty()) next = std::min(next, delayed_.begin()->first);
  return next;
}

}  // namespace tfcass
