#include "ops/fetch/session_pool.h"

#include <utility>
#include <vector>

#include "ops/fetch/retired_sessions.h"
#include "ops/fetch/strings.h"

namespace tfcass {

SessionPool::Outcome SessionPool::Open(const ClusterConfig& config, int64_t io_threads) const {
  LoadedDriver driver = loader_(config.driver_path);
  if (driver.api == nullptr) return {FailedPrecondition(driver.error), nullptr};
  Outcome outcome;
  outcome.status = Session::Connect(std::move(driver.api), config, io_threads, &outcome.session);
  return outcome;
}

std::shared_ptr<Session> SessionPool::Lend(const std::string& key, std::shared_ptr<Session> session) {
  Session* shared = session.get();
  return {shared, [this, key, session = std::move(session)](Session*) mutable { TakeBack(key, std::move(session)); }};
}

void SessionPool::TakeBack(const std::string& key, std::shared_ptr<Session> session) {
  if (session->doubtful() || !session->CheckProcess().ok()) return;  // Retired; or the parent's, and leaked.
  Sessions& sessions = sessions_.Get();
  MutexLock lock(&sessions.mu);
  Entry& entry = sessions.entries[key];
  entry.idle.swap(session);  // There is one when another thread came just now: it goes, after the lock.
  entry.idle_since = clock_->Now();
}

Status SessionPool::Get(const ClusterConfig& config, int64_t io_threads, std::shared_ptr<Session>* session) {
  session->reset();  // Without the lock, which giving one back takes.
  FreeClosedSessions();
  const std::string key = StrCat(config.Fingerprint(), io_threads);
  Sessions& sessions = sessions_.Get();

  std::vector<std::shared_ptr<Session>> expired;  // Closed after the lock.
  std::shared_ptr<Session> doubtful;              // Let go after the lock.
  std::promise<Outcome> mine;
  std::shared_future<Outcome> others;
  {
    MutexLock lock(&sessions.mu);
    const Clock::TimePoint now = clock_->Now();
    for (auto& [other, entry] : sessions.entries) {
      if (entry.idle != nullptr && now - entry.idle_since >= kLinger) expired.push_back(std::move(entry.idle));
    }
    Entry& entry = sessions.entries[key];
    *session = entry.lent.lock();
    if (*session != nullptr && (*session)->doubtful()) doubtful = std::move(*session);  // Its users keep it.
    if (*session == nullptr && entry.idle != nullptr) {
      *session = Lend(key, std::move(entry.idle));
      entry.lent = *session;
    }
    if (*session != nullptr) return OkStatus();
    others = entry.connecting;
    if (!others.valid()) entry.connecting = mine.get_future().share();
  }
  if (others.valid()) {
    const Outcome& outcome = others.get();
    *session = outcome.session;
    return outcome.status;
  }

  Outcome outcome = Open(config, io_threads);
  if (outcome.session != nullptr) outcome.session = Lend(key, std::move(outcome.session));
  {
    MutexLock lock(&sessions.mu);
    Entry& entry = sessions.entries[key];
    entry.lent = outcome.session;
    entry.connecting = {};  // A failure is not remembered: the next call tries again.
  }
  mine.set_value(outcome);
  *session = outcome.session;
  return outcome.status;
}

SessionPool& SessionPool::Global() {
  static auto* pool = new SessionPool;
  return *pool;
}

}  // namespace tfcass
