// Host: one node of the cluster, as the fetchers of a session know it together: how much it has to do, how fast it
// answers and whether it is worth asking.
//
// Terms    Outstanding: rows asked of it, or about to be, and not answered yet. Suspect: it failed or hung, and is left
//          alone for kFirstQuiet, twice that after each failed probe, up to kLongestQuiet. Probe: the one request that
//          may try it once that time is over.
// Threads  Every member may be called from any thread. Nothing blocks; locks guard a few words each.
// Owns     Nothing. Rings of a session share it: a host stays the same object while its address, port, datacenter and
//          rack do, so that its counts survive a refresh of the ring.
#ifndef TFCASS_OPS_FETCH_RING_HOST_H_
#define TFCASS_OPS_FETCH_RING_HOST_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "ops/fetch/clock.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/ring/latency_window.h"

namespace tfcass {

class Host {
 public:
  static constexpr std::chrono::seconds kFirstQuiet{1};
  static constexpr std::chrono::seconds kLongestQuiet{30};

  Host(std::string address, int port, std::string dc, std::string rack);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // The driver's own address for it: what cass_statement_set_host_n takes, with port().
  const std::string& address() const { return address_; }
  int port() const { return port_; }
  const std::string& dc() const { return dc_; }
  const std::string& rack() const { return rack_; }
  const std::string& name() const { return name_; }  // "10.0.0.1:9042", for messages.

  // Work. Count rows from when they are assigned to it, so that the next choice sees them.
  void AddOutstanding(int64_t rows) { outstanding_rows_.fetch_add(rows, std::memory_order_relaxed); }
  void RemoveOutstanding(int64_t rows) { outstanding_rows_.fetch_sub(rows, std::memory_order_relaxed); }
  int64_t outstanding_rows() const { return outstanding_rows_.load(std::memory_order_relaxed); }

  // Health.
  // As the driver's host events say; true until one says otherwise.
  void SetUp(bool up) { up_.store(up, std::memory_order_relaxed); }
  bool up() const { return up_.load(std::memory_order_relaxed); }

  // A request pinned to it broke, timed out or was refused for lack of means (not: for its content). Of several that
  // were on the way together only the first counts.
  void MarkFailed(Clock::TimePoint now);
  // It answered: whatever it was suspected of is forgotten.
  void MarkAnswered();
  // Whether it may be asked now: up, and not suspect or due for a probe. The true that a suspect host gives lets the
  // caller send the probe: the next one comes no sooner than a quiet time later, unless the probe is marked answered.
  bool Claim(Clock::TimePoint now);
  // Whether Claim would say no. Claims nothing.
  bool Shunned(Clock::TimePoint now) const;

  // From sending a pinned request to its answer. The record forgets what is older than some 20 seconds.
  LatencyWindow& latency() { return latency_; }
  const LatencyWindow& latency() const { return latency_; }

 private:
  static constexpr int64_t kTrusted = 0;

  const std::string address_;
  const int port_;
  const std::string dc_, rack_, name_;

  std::atomic<int64_t> outstanding_rows_{0};
  std::atomic<bool> up_{true};
  std::atomic<int64_t> quiet_until_{kTrusted};  // Of the clock, in its own ticks; kTrusted: not suspect.
  LatencyWindow latency_;

  Mutex mu_;
  Clock::Duration quiet_ TFCASS_GUARDED_BY(mu_){};  // The last quiet time; zero: not suspect.
  bool probing_ TFCASS_GUARDED_BY(mu_) = false;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_HOST_H_
