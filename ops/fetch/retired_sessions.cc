#include "ops/fetch/retired_sessions.h"

#include <utility>
#include <vector>

#include "ops/driver/per_process.h"
#include "ops/fetch/mutex.h"

namespace tfcass {
namespace {

struct Retired {
  std::shared_ptr<const DriverApi> api;
  CassSession* session;
  FuturePtr connecting;  // Null once it ended, or when there is nothing to wait for.
  FuturePtr closing;     // Null until it is asked to close.
};

struct Waiting {
  Mutex mu;  // Not held while calling into the driver.
  std::vector<Retired> sessions TFCASS_GUARDED_BY(mu);
};

Waiting& OfThisProcess() {
  static auto* waiting = new PerProcess<Waiting>;
  return waiting->Get();
}

// Moves one session on as far as it goes without blocking. True when it was freed.
bool Advance(Retired& retired) {
  const DriverApi& api = *retired.api;
  if (retired.connecting != nullptr) {
    if (!api.cass_future_ready(retired.connecting.get())) return false;
    retired.connecting.reset();
  }
  if (retired.closing == nullptr) retired.closing = Own(api, api.cass_session_close(retired.session));
  if (!api.cass_future_ready(retired.closing.get())) return false;
  retired.closing.reset();
  api.cass_session_free(retired.session);  // Closed: this only joins threads that are about to end.
  return true;
}

}  // namespace

void RetireSession(std::shared_ptr<const DriverApi> api, CassSession* session, FuturePtr connecting) {
  {
    Waiting& waiting = OfThisProcess();
    MutexLock lock(&waiting.mu);
    waiting.sessions.push_back({std::move(api), session, std::move(connecting), {}});
  }
  FreeClosedSessions();
}

size_t FreeClosedSessions() {
  Waiting& waiting = OfThisProcess();
  std::vector<Retired> taken;
  {
    MutexLock lock(&waiting.mu);
    taken.swap(waiting.sessions);
  }
  std::vector<Retired> open;
  for (Retired& retired : taken) {
    if (!Advance(retired)) open.push_back(std::move(retired));
  }
  MutexLock lock(&waiting.mu);
  for (Retired& retired : open) waiting.sessions.push_back(std::move(retired));
  return waiting.sessions.size();
}

}  // namespace tfcass
