// SessionPool: one session for all equal configs of a process.
//
// Threads  Get() may be called from any thread. Two calls for one cluster connect once; other clusters do not wait.
// Owns     Each session for kLinger after its last user let go, so that a dataset made anew for the next epoch finds it
//          open. The first Get() after that, of any cluster, closes it: nothing here waits for a clock. Users must let
//          go before the pool is destroyed.
// Fork     A child opens its own sessions and never touches its parent's, which it leaks on purpose: their threads are
//          in the parent only.
#ifndef TFCASS_OPS_FETCH_SESSION_POOL_H_
#define TFCASS_OPS_FETCH_SESSION_POOL_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "ops/driver/loader.h"
#include "ops/driver/per_process.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"

namespace tfcass {

class SessionPool {
 public:
  using Loader = std::function<LoadedDriver(const std::string& explicit_path)>;

  static constexpr auto kLinger = std::chrono::seconds(30);

  explicit SessionPool(Loader loader = LoadDriver, Clock* clock = Clock::Real())
      : loader_(std::move(loader)), clock_(clock) {}

  // The open session of an equal config, or a new one. Blocks while it connects, about connect_timeout_s at most; who
  // comes meanwhile gets the same outcome. `io_threads` is part of what must be equal.
  // Errors are Session::Connect's, and FailedPrecondition when no driver can be loaded.
  Status Get(const ClusterConfig& config, int64_t io_threads, std::shared_ptr<Session>* session);

  // The process's own, with the real driver. Never destroyed.
  static SessionPool& Global();

 private:
  struct Outcome {
    Status status;
    std::shared_ptr<Session> session;
  };
  struct Entry {
    std::weak_ptr<Session> lent;             // What its users share.
    std::shared_ptr<Session> idle;           // Kept for its next user.
    Clock::TimePoint idle_since;             // Of `idle`.
    std::shared_future<Outcome> connecting;  // Valid while a thread connects.
  };
  struct Sessions {
    Mutex mu;                                                    // Not held while connecting.
    std::map<std::string, Entry> entries TFCASS_GUARDED_BY(mu);  // By fingerprint.
  };

  Outcome Open(const ClusterConfig& config, int64_t io_threads) const;

  // The session as its users share it: the last of them gives it back.
  std::shared_ptr<Session> Lend(const std::string& key, std::shared_ptr<Session> session);
  void TakeBack(const std::string& key, std::shared_ptr<Session> session);

  const Loader loader_;
  Clock* const clock_;
  PerProcess<Sessions> sessions_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SESSION_POOL_H_
