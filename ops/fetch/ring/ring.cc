#include "ops/fetch/ring/ring.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "ops/fetch/ring/murmur3.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

Status NoSuchDatacenter(const std::vector<Ring::Node>& nodes, const std::string& local_dc) {
  std::set<std::string> names;
  for (const Ring::Node& node : nodes) names.insert(node.host->dc());
  std::string known;
  for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
  return FailedPrecondition(
      StrCat("no node with tokens is in the datacenter '", local_dc, "' (local_dc; the cluster has: ", known, ")"));
}

}  // namespace

Status Ring::Build(const std::vector<Node>& nodes, const Replication& replication, const std::string& local_dc,
                   std::shared_ptr<const Ring>* ring) {
  if (replication.strategy == Replication::Strategy::kLocal) {
    return FailedPrecondition("each node has rows of its own in it (LocalStrategy)");
  }
  std::vector<std::pair<int64_t, size_t>> tokens;  // And the node of each.
  std::vector<NodePlace> places;
  std::shared_ptr<Ring> fresh(new Ring);
  fresh->local_dc_ = local_dc;
  for (size_t i = 0; i < nodes.size(); ++i) {
    places.push_back({nodes[i].host->dc(), nodes[i].host->rack()});
    for (const int64_t token : nodes[i].tokens) tokens.emplace_back(token, i);
    if (!nodes[i].tokens.empty() && nodes[i].host->dc() == local_dc) fresh->hosts_.push_back(nodes[i].host);
  }
  if (tokens.empty()) return FailedPrecondition("no node has a token");
  if (fresh->hosts_.empty()) return NoSuchDatacenter(nodes, local_dc);
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end(), [](auto& a, auto& b) { return a.first == b.first; }),
               tokens.end());  // Two nodes with one token, while one takes the other's place: either will do.

  std::vector<size_t> order;
  for (const auto& [token, node] : tokens) order.push_back(node);
  const ReplicaPlacement placement(replication, places, order);
  std::map<std::vector<size_t>, uint32_t> known;
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<size_t> owners = placement.ReplicasAt(i);
    owners.erase(std::remove_if(owners.begin(), owners.end(), [&](size_t node) { return places[node].dc != local_dc; }),
                 owners.end());
    const auto [entry, is_new] = known.emplace(std::move(owners), static_cast<uint32_t>(known.size()));
    if (is_new) {
      std::vector<std::shared_ptr<Host>> set;
      for (const size_t node : entry->first) set.push_back(nodes[node].host);
      fresh->sets_.push_back(std::move(set));
    }
    if (!fresh->set_of_.empty() && fresh->set_of_.back() == entry->second) {
      fresh->tokens_.back() = tokens[i].first;
    } else {
      fresh->tokens_.push_back(tokens[i].first);
      fresh->set_of_.push_back(entry->second);
    }
  }
  // What lies after the last token belongs to the first one's owners.
  if (fresh->set_of_.back() == fresh->set_of_.front()) {
    fresh->tokens_.back() = kGreatest;
  } else if (fresh->tokens_.back() != kGreatest) {
    fresh->tokens_.push_back(kGreatest);
    fresh->set_of_.push_back(fresh->set_of_.front());
  }
  *ring = std::move(fresh);
  return OkStatus();
}

size_t Ring::IndexOf(int64_t token) const {
  return static_cast<size_t>(std::lower_bound(tokens_.begin(), tokens_.end(), token) - tokens_.begin());
}

std::vector<TokenRange> Ring::Ranges() const {
  std::vector<TokenRange> ranges;
  int64_t start = kMinimumToken;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i] == start) continue;  // A node's token may be the least number: no row is there.
    ranges.push_back({start, tokens_[i], Owners(sets_[set_of_[i]])});
    start = tokens_[i];
  }
  return ranges;
}

}  // namespace tfcass
