// HostRegistry: the hosts of a session, and what the driver tells of them.
//
// Threads  Every member may be called from any thread; events come on the driver's.
// Owns     A share of each host that a ring asked for. The driver holds only a number that stands for the registry, so
//          that its late events are harmless.
#ifndef TFCASS_OPS_FETCH_RING_HOST_REGISTRY_H_
#define TFCASS_OPS_FETCH_RING_HOST_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "ops/driver/driver_api.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/ring/host.h"

namespace tfcass {

class HostRegistry {
 public:
  static std::shared_ptr<HostRegistry> Create();
  ~HostRegistry();
  HostRegistry(const HostRegistry&) = delete;
  HostRegistry& operator=(const HostRegistry&) = delete;

  // Has the driver tell this registry of nodes that come, go, break and recover. A driver that is too old for
  // it is left alone: rings are then read anew by time and failures only.
  void ListenTo(const DriverApi& api, CassCluster* cluster);

  // The same object as before for the same place.
  std::shared_ptr<Host> Get(const std::string& address, int port, const std::string& dc, const std::string& rack);

  // The addresses by which the driver knows nodes; empty when it does not tell.
  std::set<std::string> Known() const;

  // Grows with each event.
  uint64_t events() const { return events_.load(std::memory_order_acquire); }

 private:
  struct Entry {
    bool known = false;  // To the driver.
    bool up = true;
    std::shared_ptr<Host> host;
  };

  HostRegistry() = default;

  static void OnEvent(CassHostListenerEvent event, CassInet address, void* number) noexcept;
  void Note(CassHostListenerEvent event, const std::string& address);

  uintptr_t number_ = 0;
  std::atomic<uint64_t> events_{0};
  mutable Mutex mu_;
  std::map<std::string, Entry> hosts_ TFCASS_GUARDED_BY(mu_);  // By address: the driver tells no port.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_HOST_REGISTRY_H_
