#include "ops/fetch/ring/replication.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr char kClass[] = "class";
constexpr char kFactor[] = "replication_factor";

bool ParseNumber(std::string_view text, size_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

// "3", or "3/1" of which one is transient.
Status ParseFactor(const std::string& name, const std::string& text, Replication::Factor* factor) {
  const size_t slash = text.find('/');
  const bool known = ParseNumber(std::string_view(text).substr(0, slash), &factor->all) &&
                     (slash == std::string::npos ||
                      ParseNumber(std::string_view(text).substr(slash + 1), &factor->transient)) &&
                     factor->transient <= factor->all;
  if (known) return OkStatus();
  return FailedPrecondition(StrCat("its replication has '", name, "': '", text, "', which is no number of replicas"));
}

bool Contains(const std::vector<size_t>& numbers, size_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

}  // namespace

Status Replication::Parse(const std::map<std::string, std::string>& options, Replication* replication) {
  *replication = {};
  const auto found = options.find(kClass);
  if (found == options.end()) return FailedPrecondition("its replication names no class");
  const std::string strategy = found->second.substr(found->second.rfind('.') + 1);
  if (strategy == "LocalStrategy") {
    replication->strategy = Strategy::kLocal;
    return OkStatus();
  }
  if (strategy == "EverywhereStrategy") {
    replication->strategy = Strategy::kEverywhere;
    return OkStatus();
  }
  if (strategy == "SimpleStrategy") {
    replication->strategy = Strategy::kSimple;
    const auto factor = options.find(kFactor);
    return ParseFactor(kFactor, factor == options.end() ? "" : factor->second, &replication->factor);
  }
  if (strategy == "NetworkTopologyStrategy") {
    replication->strategy = Strategy::kNetworkTopology;
    for (const auto& [name, text] : options) {
      if (name != kClass) TFCASS_RETURN_IF_ERROR(ParseFactor(name, text, &replication->factors[name]));
    }
    return OkStatus();
  }
  return FailedPrecondition(StrCat("its replication strategy, ", found->second, ", is not known here"));
}

ReplicaPlacement::ReplicaPlacement(const Replication& replication, const std::vector<NodePlace>& nodes,
                                   const std::vector<size_t>& ring)
    : replication_(replication), ring_(ring), places_(nodes.size()) {
  const std::set<size_t> with_tokens(ring.begin(), ring.end());
  nodes_ = with_tokens.size();
  std::map<std::string, size_t> datacenters;
  std::map<std::pair<size_t, std::string>, size_t> racks;
  for (const size_t node : with_tokens) {
    const auto factor = replication.factors.find(nodes[node].dc);
    if (factor == replication.factors.end() || factor->second.all == 0) continue;
    const size_t dc = datacenters.emplace(nodes[node].dc, datacenters.size()).first->second;
    if (dc == datacenters_.size()) datacenters_.push_back({factor->second, 0, 0});
    const auto [rack, is_new] = racks.emplace(std::make_pair(dc, nodes[node].rack), racks.size());
    ++datacenters_[dc].nodes;
    if (is_new) ++datacenters_[dc].racks;
    places_[node] = {dc, rack->second};
  }
  racks_ = racks.size();
}

std::vector<size_t> ReplicaPlacement::ReplicasAt(size_t at) const {
  switch (replication_.strategy) {
    case Replication::Strategy::kNetworkTopology:
      return NetworkTopologyReplicas(at);
    case Replication::Strategy::kSimple:
    case Replication::Strategy::kEverywhere:
      return SimpleReplicas(at);
    case Replication::Strategy::kLocal:
      break;
  }
  return {};
}

// The first nodes that the ring meets.
std::vector<size_t> ReplicaPlacement::SimpleReplicas(size_t at) const {
  const bool everywhere = replication_.strategy == Replication::Strategy::kEverywhere;
  const size_t wanted =
      everywhere ? nodes_ : std::min(nodes_, replication_.factor.all - replication_.factor.transient);
  std::vector<size_t> replicas;
  for (size_t step = 0; replicas.size() < wanted; ++step) {
    const size_t node = ring_[(at + step) % ring_.size()];
    if (!Contains(replicas, node)) replicas.push_back(node);
  }
  return replicas;
}

// In each datacenter the first node that the ring meets of each rack, and as many further ones as it has racks too few.
std::vector<size_t> ReplicaPlacement::NetworkTopologyReplicas(size_t at) const {
  struct Quota {
    size_t left;          // Replicas yet to find.
    size_t rack_repeats;  // Of which this many may be of a rack that has one already.
    size_t transient;     // The last ones are.
  };
  std::vector<Quota> quotas;
  size_t open = 0;
  for (const Datacenter& dc : datacenters_) {
    const size_t missing = dc.factor.all - std::min(dc.factor.all, dc.nodes);
    quotas.push_back({dc.factor.all - missing, dc.factor.all - std::min(dc.factor.all, dc.racks),
                      dc.factor.transient - std::min(dc.factor.transient, missing)});
    ++open;
  }
  std::vector<bool> rack_met(racks_);
  std::vector<size_t> met, full;
  for (size_t step = 0; open > 0 && step < ring_.size(); ++step) {
    const size_t node = ring_[(at + step) % ring_.size()];
    const Place& place = places_[node];
    if (place.datacenter == kNone) continue;
    Quota& quota = quotas[place.datacenter];
    if (quota.left == 0 || Contains(met, node)) continue;
    if (rack_met[place.rack]) {
      if (quota.rack_repeats == 0) continue;  // What is left goes to other racks.
      --quota.rack_repeats;
    }
    rack_met[place.rack] = true;
    met.push_back(node);
    if (quota.left > quota.transient) full.push_back(node);
    if (--quota.left == 0) --open;
  }
  return full;
}

}  // namespace tfcass
