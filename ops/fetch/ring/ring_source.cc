#include "ops/fetch/ring/ring_source.h"

#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr char kMurmur3[] = "Murmur3Partitioner";

// A class by its own name: "org.apache.cassandra.dht.Murmur3Partitioner" is "Murmur3Partitioner".
std::string ShortName(const std::string& name) { return name.substr(name.rfind('.') + 1); }

}  // namespace

RingSource::RingSource(std::shared_ptr<const DriverApi> api, CassSession* session, Settings settings,
                       std::shared_ptr<HostRegistry> hosts)
    : api_(std::move(api)), session_(session), settings_(std::move(settings)), hosts_(std::move(hosts)) {}

std::shared_ptr<const Ring> RingSource::Get(const std::string& keyspace, std::string* why, Clock* clock) {
  if (api_->cass_statement_set_host_n == nullptr) {
    if (why != nullptr) *why = StrCat("the driver, ", api_->path, ", cannot send a request to a node of choice");
    return nullptr;
  }
  bool wait;
  {
    MutexLock lock(&mu_);
    wait = MustWaitFor(keyspace);
  }
  if (wait) {
    ReadAndWait(keyspace, clock);
  } else {
    Advance(clock);
  }
  MutexLock lock(&mu_);
  auto found = rings_.find(keyspace);
  if (found == rings_.end()) found = rings_.emplace(keyspace, Build(keyspace)).first;
  if (why != nullptr) *why = found->second.why;
  return found->second.ring;
}

bool RingSource::MustWaitFor(const std::string& keyspace) const {
  if (!tried_) return true;
  // Somebody may have made it just now.
  return topology_ != nullptr && topology_->keyspaces.count(keyspace) == 0 && waited_for_.count(keyspace) == 0;
}

void RingSource::ReadAndWait(const std::string& keyspace, Clock* clock) {
  std::unique_ptr<TopologyReader> reader;
  {
    MutexLock lock(&mu_);
    while (reading_ && reader_ == nullptr && MustWaitFor(keyspace)) read_.wait(lock.ForWait());
    if (!MustWaitFor(keyspace)) return;
    reader = std::move(reader_);  // Or null: nobody has begun.
    if (!reading_) Began(clock->Now());
  }
  if (reader == nullptr) {
    reader = std::make_unique<TopologyReader>(api_, session_, settings_.port, settings_.timeout_s);
  }
  reader->Wait();
  MutexLock lock(&mu_);
  Take(reader.get(), clock->Now());
  waited_for_.insert(keyspace);
}

void RingSource::Advance(Clock* clock) {
  std::unique_ptr<TopologyReader> reader;
  {
    MutexLock lock(&mu_);
    if (reading_ && reader_ == nullptr) return;  // Another thread is at it.
    const Clock::TimePoint now = clock->Now();
    if (!reading_ && !Due(now)) return;
    if (!reading_) Began(now);
    reader = std::move(reader_);
  }
  if (reader == nullptr) {
    reader = std::make_unique<TopologyReader>(api_, session_, settings_.port, settings_.timeout_s);
  }
  const bool done = reader->Poll();
  MutexLock lock(&mu_);
  if (done) {
    Take(reader.get(), clock->Now());
  } else {
    reader_ = std::move(reader);
    read_.notify_all();  // Who waits for it may take it over.
  }
}

bool RingSource::Due(Clock::TimePoint now) const {
  if (now >= due_) return true;
  const bool wanted = wanted_.load(std::memory_order_relaxed) || hosts_->events() != events_seen_;
  return wanted && now - began_ >= kLeastGap;
}

void RingSource::Began(Clock::TimePoint now) {
  const uint64_t events = hosts_->events();
  changing_ = events != events_seen_ && tried_;
  events_seen_ = events;
  wanted_.store(false, std::memory_order_relaxed);
  began_ = now;
  reading_ = true;
}

void RingSource::Take(TopologyReader* reader, Clock::TimePoint now) {
  reading_ = false;
  tried_ = true;
  read_.notify_all();
  if (!reader->status().ok()) {
    due_ = now + kAfterError;
    if (topology_ == nullptr) {
      why_ = reader->status().message();
      rings_.clear();
    }
    return;
  }
  due_ = now + (changing_ ? kSettling : kPeriod);
  Topology& fresh = reader->topology();
  if (topology_ == nullptr) local_dc_ = settings_.local_dc.empty() ? fresh.answered_dc : settings_.local_dc;
  fresh.UseKnownAddresses(hosts_->Known(), local_dc_);
  if (topology_ != nullptr && *topology_ == fresh) return;  // The rings stay what they are.
  topology_ = std::make_unique<Topology>(std::move(fresh));
  rings_.clear();
}

RingSource::Answer RingSource::Build(const std::string& keyspace) const {
  if (topology_ == nullptr) return {nullptr, why_};
  if (ShortName(topology_->partitioner) != kMurmur3) {
    return {nullptr, StrCat("the cluster's partitioner is ", topology_->partitioner, ", not ", kMurmur3)};
  }
  const auto options = topology_->keyspaces.find(keyspace);
  if (options == topology_->keyspaces.end()) {
    return {nullptr, StrCat("keyspace ", keyspace, " is not in system_schema.keyspaces")};
  }
  std::vector<Ring::Node> nodes;
  std::set<std::string> addresses;
  for (const Topology::Node& node : topology_->nodes) {
    if (!addresses.insert(node.address).second) {
      return {nullptr, StrCat("several nodes have the address ", node.address, ", so none of them can be named by it")};
    }
    nodes.push_back({hosts_->Get(node.address, settings_.port, node.dc, node.rack), node.tokens});
  }
  Replication replication;
  Answer answer;
  Status built = Replication::Parse(options->second, &replication);
  if (built.ok()) built = Ring::Build(nodes, replication, local_dc_, &answer.ring);
  if (!built.ok()) answer.why = StrCat("keyspace ", keyspace, ": ", built.message());
  return answer;
}

}  // namespace tfcass
