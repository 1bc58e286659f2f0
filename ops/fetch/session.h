// Session: an open connection to a cluster, shared by the fetchers that read from it.
//
// Threads  Every member may be called from any thread. Prepare(), Connect() and the first ring() block; Execute() does
//          not.
// Owns     The driver's session and its prepared statements. Destruction does not wait for open requests: the driver
//          session is retired (retired_sessions.h) and their replies still arrive, at whoever holds their callback.
//          Never destroy a Session inside a driver callback: nothing that a callback owns may hold one.
// Fork     A session works in the process that made it. In a child, calls fail and destruction leaves it alone.
#ifndef TFCASS_OPS_FETCH_SESSION_H_
#define TFCASS_OPS_FETCH_SESSION_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/query.h"
#include "ops/fetch/read_statements.h"
#include "ops/fetch/ring/host_registry.h"
#include "ops/fetch/ring/ring.h"
#include "ops/fetch/ring/ring_source.h"
#include "ops/fetch/status.h"

namespace tfcass {

class Session {
 public:
  // Connects, for about connect_timeout_s at most. Unavailable: nobody answered. Unauthenticated: password or
  // certificate refused. InvalidArgument: a file or setting is unusable. Messages name contact points and the setting.
  static Status Connect(std::shared_ptr<const DriverApi> api, const ClusterConfig& config, int64_t io_threads,
                        std::shared_ptr<Session>* session);
  ~Session();

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The query's statement, prepared once per session, and again when a query expects other types: the driver reads
  // replies by the types that a table had when it was prepared. Lives as long as the session or the longest holder.
  Status Prepare(const QuerySpec& query, std::shared_ptr<const CassPrepared>* prepared);

  // The same, for one key and, if `grouped`, for several at a time, as far as the driver and the table can do that.
  // Shared by all that read this query, and so is what they learn of it.
  Status PrepareReads(const QuerySpec& query, bool grouped, std::shared_ptr<ReadStatements>* reads);

  // Prepares the query's statement without waiting, to learn what the server says about it now.
  FuturePtr CheckStatement(const QuerySpec& query);

  // Sends. The future is the caller's; errors come through it.
  FuturePtr Execute(const CassStatement* statement);

  // Who holds the rows of a keyspace: the latest that is known. The session's first call asks the cluster and waits for
  // it, connect_timeout_s at most; later ones return at once and ask anew in the background when a node came, went or
  // failed, or a minute has passed. Null where requests cannot be pinned to owners, as the partitioner or the
  // replication strategy is not known here or the system tables cannot be read: `why` says so. Ask again now and then,
  // e.g. whenever keys are planned: it is cheap, and what was in the way may be gone.
  std::shared_ptr<const Ring> ring(const std::string& keyspace, std::string* why = nullptr,
                                   Clock* clock = Clock::Real());
  // A pinned request failed in a way that a change of the ring would explain: the next ring() asks anew.
  void RefreshRing();

  // FailedPrecondition in a process that was forked from the session's.
  Status CheckProcess() const;

  // Somebody gave up reading from it. The driver goes on with the addresses and the password that it once was given, and
  // tries lost nodes again ever more seldom: whoever comes next does better with a session of its own.
  void Doubt() { doubtful_ = true; }
  bool doubtful() const { return doubtful_; }

  const DriverApi& api() const { return *api_; }
  const std::string& description() const { return description_; }  // Contact points and port, for messages.

 private:
  struct Statement {
    std::vector<CellType> types;  // That the columns had, as far as its query knew.
    std::shared_ptr<const CassPrepared> prepared;
  };
  struct Reads {
    std::shared_ptr<const CassPrepared> single;  // That they were made for.
    std::shared_ptr<ReadStatements> reads;
  };

  Status PrepareCql(const QuerySpec& query, const std::string& cql, std::shared_ptr<const CassPrepared>* prepared);

  Session(std::shared_ptr<const DriverApi> api, CassSession* session, const ClusterConfig& config,
          std::shared_ptr<HostRegistry> hosts);

  const std::shared_ptr<const DriverApi> api_;
  CassSession* const session_;  // Freed by RetireSession.
  const std::string description_;
  const double prepare_timeout_s_;
  const pid_t process_;
  std::atomic<bool> doubtful_{false};
  std::unique_ptr<RingSource> rings_;

  Mutex mu_;  // Not held while calling into the driver.
  std::map<std::string, Statement> prepared_ TFCASS_GUARDED_BY(mu_);  // By CQL.
  std::map<std::string, Reads> reads_ TFCASS_GUARDED_BY(mu_);         // By the CQL for several keys.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SESSION_H_
