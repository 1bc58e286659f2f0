// SessionPool: one session for all equal configs of a process.
//
// Threads  Get() may be called from any thread. Two calls for one cluster connect once; other clusters do not wait.
// Owns     No session: one lives as long as somebody holds it. Hold it from the dataset, not only from the iterator, so
//          that the next epoch finds it open.
// Fork     A child opens its own sessions and never touches its parent's, which it leaks on purpose: their threads
// exist
//          in the parent only.
#ifndef TFCASS_OPS_FETCH_SESSION_POOL_H_
#define TFCASS_OPS_FETCH_SESSION_POOL_H_

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>

#include "ops/driver/loader.h"
#include "ops/driver/per_process.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"

namespace tfcass {

class SessionPool {
 public:
  using Loader = std::function<LoadedDriver(const std::string& explicit_path)>;

  explicit SessionPool(Loader loader = LoadDriver) : loader_(std::move(loader)) {}

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
    std::weak_ptr<Session> open;
    std::shared_future<Outcome> connecting;  // Valid while a thread connects.
  };
  struct Sessions {
    Mutex mu;                                                    // Not held while connecting.
    std::map<std::string, Entry> entries TFCASS_GUARDED_BY(mu);  // By fingerprint.
  };

  Outcome Open(const ClusterConfig& config, int64_t io_threads) const;

  const Loader loader_;
  PerProcess<Sessions> sessions_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SESSION_POOL_H_
