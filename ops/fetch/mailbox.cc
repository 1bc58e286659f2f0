#include "ops/fetch/mailbox.h"

#include <utility>

namespace tfcass {
namespace {

// What a callback owns.
struct Expected {
  std::shared_ptr<Mailbox> mailbox;
  FuturePtr future;
  uint64_t ticket;
};

}  // namespace

// Runs on a driver thread, or inside cass_future_set_callback. It does not block, call the fetcher, or throw: running
// out of memory here ends the process, as C frames are above.
void Mailbox::OnReply(CassFuture*, void* data) noexcept {
  std::unique_ptr<Expected> expected(static_cast<Expected*>(data));  // One reply per request.
  expected->mailbox->Post(expected->ticket, std::move(expected->future));
}

void Mailbox::Expect(const std::shared_ptr<Mailbox>& mailbox, const DriverApi& api, FuturePtr future, uint64_t ticket) {
  CassFuture* raw = future.get();
  auto* expected = new Expected{mailbox, std::move(future), ticket};  // The callback's, which may free it at once.
  if (api.cass_future_set_callback(raw, OnReply, expected) != CASS_OK) {
    delete expected;
    mailbox->Post(ticket, nullptr);
  }
}

void Mailbox::Post(uint64_t ticket, FuturePtr future) {
  MutexLock lock(&mu_);
  if (closed_) return;  // `future` is freed by the caller's frame, after the lock.
  replies_.push_back({ticket, std::move(future), clock_->Now()});
  changed_.notify_one();
}

bool Mailbox::TakeAll(std::vector<Reply>* replies) {
  replies->clear();
  MutexLock lock(&mu_);
  if (cancelled_) return false;
  replies->swap(replies_);
  return true;
}

void Mailbox::WaitUntil(Clock::TimePoint until) {
  MutexLock lock(&mu_);
  if (replies_.empty() && !cancelled_) clock_->WaitUntil(changed_, lock.ForWait(), until);
}

void Mailbox::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  changed_.notify_one();
}

void Mailbox::Close() {
  std::vector<Reply> dropped;  // Freed after the lock.
  MutexLock lock(&mu_);
  closed_ = true;
  dropped.swap(replies_);
}

}  // namespace tfcass
