#include "ops/fetch/session_pool.h"

#include <utility>

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

Status SessionPool::Get(const ClusterConfig& config, int64_t io_threads, std::shared_ptr<Session>* session) {
  FreeClosedSessions();
  const std::string key = StrCat(config.Fingerprint(), io_threads);
  Sessions& sessions = sessions_.Get();

  std::promise<Outcome> mine;
  std::shared_future<Outcome> others;
  {
    MutexLock lock(&sessions.mu);
    Entry& entry = sessions.entries[key];
    *session = entry.open.lock();
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
  {
    MutexLock lock(&sessions.mu);
    Entry& entry = sessions.entries[key];
    entry.open = outcome.session;
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
