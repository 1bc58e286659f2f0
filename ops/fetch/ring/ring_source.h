// RingSource: the latest rings of a session, and when to ask the cluster for newer ones.
//
// Threads  Every member may be called from any thread, but on the driver's. Only the first Get() blocks, and one for a
//          keyspace that nobody has heard of. No lock is held while the driver is called, and no callback is left with
//          it: each Get() looks whether the replies that are under way have come.
// Owns     Its registry of hosts. Borrows the driver's session, which must outlive it.
#ifndef TFCASS_OPS_FETCH_RING_RING_SOURCE_H_
#define TFCASS_OPS_FETCH_RING_RING_SOURCE_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ops/driver/driver_api.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/ring/host_registry.h"
#include "ops/fetch/ring/ring.h"
#include "ops/fetch/ring/topology.h"

namespace tfcass {

class RingSource {
 public:
  struct Settings {
    int port = 9042;        // Of every node.
    std::string local_dc;   // Empty: that of the first node to answer.
    double timeout_s = 10;  // Of a reading of the system tables.
  };

  static constexpr std::chrono::seconds kPeriod{60};     // A ring may be this old, if nothing tells of a change.
  static constexpr std::chrono::seconds kSettling{5};    // After one, the system tables may lag: they are read again.
  static constexpr std::chrono::seconds kAfterError{5};  // Until another attempt.
  static constexpr std::chrono::seconds kLeastGap{1};    // Between readings, whatever happens.

  RingSource(std::shared_ptr<const DriverApi> api, CassSession* session, Settings settings,
             std::shared_ptr<HostRegistry> hosts);
  RingSource(const RingSource&) = delete;
  RingSource& operator=(const RingSource&) = delete;

  // Session::ring().
  std::shared_ptr<const Ring> Get(const std::string& keyspace, std::string* why, Clock* clock);

  // The next Get() asks anew.
  void Refresh() { wanted_.store(true, std::memory_order_relaxed); }

 private:
  // A ring, or why there is none.
  struct Answer {
    std::shared_ptr<const Ring> ring;
    std::string why;
  };

  bool MustWaitFor(const std::string& keyspace) const TFCASS_REQUIRES(mu_);
  void ReadAndWait(const std::string& keyspace, Clock* clock);
  void Advance(Clock* clock);
  bool Due(Clock::TimePoint now) const TFCASS_REQUIRES(mu_);
  void Began(Clock::TimePoint now) TFCASS_REQUIRES(mu_);
  void Take(TopologyReader* reader, Clock::TimePoint now) TFCASS_REQUIRES(mu_);
  Answer Build(const std::string& keyspace) const TFCASS_REQUIRES(mu_);

  const std::shared_ptr<const DriverApi> api_;
  CassSession* const session_;
  const Settings settings_;
  const std::shared_ptr<HostRegistry> hosts_;
  std::atomic<bool> wanted_{false};

  Mutex mu_;
  std::condition_variable read_;                                   // A reading ended, or may be taken over.
  std::unique_ptr<TopologyReader> reader_ TFCASS_GUARDED_BY(mu_);  // Under way, and in nobody's hands.
  bool reading_ TFCASS_GUARDED_BY(mu_) = false;                    // Under way, in somebody's hands or nobody's.
  uint64_t events_seen_ TFCASS_GUARDED_BY(mu_) = 0;                // When the latest reading began.
  bool changing_ TFCASS_GUARDED_BY(mu_) = false;                   // Events were a reason for it.
  Clock::TimePoint began_ TFCASS_GUARDED_BY(mu_){};                // The latest reading.
  Clock::TimePoint due_ TFCASS_GUARDED_BY(mu_){};                  // The next one, if nothing happens.
  bool tried_ TFCASS_GUARDED_BY(mu_) = false;                      // A reading ended, well or not.
  std::set<std::string> waited_for_ TFCASS_GUARDED_BY(mu_);        // Keyspaces that a caller waited for.
  std::unique_ptr<Topology> topology_ TFCASS_GUARDED_BY(mu_);      // The latest; null: none could be read.
  std::string why_ TFCASS_GUARDED_BY(mu_);                         // Not.
  std::string local_dc_ TFCASS_GUARDED_BY(mu_);                    // Does not change once there is a topology.
  std::map<std::string, Answer> rings_ TFCASS_GUARDED_BY(mu_);     // Of the latest topology, by keyspace.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_RING_SOURCE_H_
