#include "ops/fetch/ring/host_registry.h"

#include <utility>

#include "ops/driver/per_process.h"
#include "ops/fetch/ring/topology.h"

namespace tfcass {
namespace {

// The registries that the driver may have events for, by number.
struct Listeners {
  Mutex mu;
  uintptr_t last TFCASS_GUARDED_BY(mu) = 0;
  std::map<uintptr_t, std::weak_ptr<HostRegistry>> registries TFCASS_GUARDED_BY(mu);
};

Listeners& AllListeners() {
  static auto* listeners = new PerProcess<Listeners>;  // Never destroyed: events may come until the process ends.
  return listeners->Get();
}

}  // namespace

std::shared_ptr<HostRegistry> HostRegistry::Create() {
  std::shared_ptr<HostRegistry> registry(new HostRegistry);
  Listeners& all = AllListeners();
  MutexLock lock(&all.mu);
  registry->number_ = ++all.last;
  all.registries[registry->number_] = registry;
  return registry;
}

HostRegistry::~HostRegistry() {
  Listeners& all = AllListeners();
  MutexLock lock(&all.mu);
  all.registries.erase(number_);
}

void HostRegistry::ListenTo(const DriverApi& api, CassCluster* cluster) {
  if (api.cass_cluster_set_host_listener_callback == nullptr) return;
  api.cass_cluster_set_host_listener_callback(cluster, &HostRegistry::OnEvent, reinterpret_cast<void*>(number_));
}

// Runs on a driver thread. Must not throw (C frames above).
void HostRegistry::OnEvent(CassHostListenerEvent event, CassInet address, void* number) noexcept {
  std::shared_ptr<HostRegistry> registry;
  {
    Listeners& all = AllListeners();
    MutexLock lock(&all.mu);
    const auto found = all.registries.find(reinterpret_cast<uintptr_t>(number));
    if (found != all.registries.end()) registry = found->second.lock();
  }
  if (registry == nullptr) return;
  try {
    registry->Note(event, AddressText(address.address, address.address_length));
  } catch (...) {  // No memory: as if the event had not come.
  }
}

void HostRegistry::Note(CassHostListenerEvent event, const std::string& address) {
  {
    MutexLock lock(&mu_);
    Entry& entry = hosts_[address];
    entry.known = event != CASS_HOST_LISTENER_EVENT_REMOVE;
    entry.up = event == CASS_HOST_LISTENER_EVENT_UP || event == CASS_HOST_LISTENER_EVENT_ADD;
    if (entry.host != nullptr) {
      entry.host->SetUp(entry.up);
      if (entry.up) entry.host->MarkAnswered();  // The driver has reached it again.
    }
  }
  events_.fetch_add(1, std::memory_order_release);
}

std::shared_ptr<Host> HostRegistry::Get(const std::string& address, int port, const std::string& dc,
                                        const std::string& rack) {
  MutexLock lock(&mu_);
  Entry& entry = hosts_[address];
  if (entry.host == nullptr || entry.host->port() != port || entry.host->dc() != dc || entry.host->rack() != rack) {
    entry.host = std::make_shared<Host>(address, port, dc, rack);
    entry.host->SetUp(entry.up);
  }
  return entry.host;
}

std::set<std::string> HostRegistry::Known() const {
  MutexLock lock(&mu_);
  std::set<std::string> known;
  for (const auto& [address, entry] : hosts_) {
    if (entry.known) known.insert(address);
  }
  return known;
}

}  // namespace tfcass
