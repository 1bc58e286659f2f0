#include "ops/fetch/ring/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ops/fetch/ring/murmur3.h"

namespace tfcass {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();

Ring::Node NodeOf(const std::string& address, const std::string& dc, const std::string& rack,
                  std::vector<int64_t> tokens) {
  return {std::make_shared<Host>(address, 9042, dc, rack), std::move(tokens)};
}

Replication Simple(size_t factor) {
  Replication replication;
  replication.factor = {factor, 0};
  return replication;
}

Replication Network(std::map<std::string, Replication::Factor> factors) {
  Replication replication;
  replication.strategy = Replication::Strategy::kNetworkTopology;
  replication.factors = std::move(factors);
  return replication;
}

std::shared_ptr<const Ring> Built(const std::vector<Ring::Node>& nodes, const Replication& replication,
                                  const std::string& dc = "dc1") {
  std::shared_ptr<const Ring> ring;
  const Status status = Ring::Build(nodes, replication, dc, &ring);
  EXPECT_TRUE(status.ok()) << status.message();
  return ring;
}

std::string Names(const Owners& owners) {
  std::string names;
  for (const auto& owner : owners) names += (names.empty() ? "" : " ") + owner->address();
  return names;
}

const std::vector<Ring::Node>& ThreeNodes() {
  static const auto* nodes = new std::vector<Ring::Node>{
      NodeOf("a", "dc1", "r1", {-100}), NodeOf("b", "dc1", "r1", {0}), NodeOf("c", "dc1", "r1", {100})};
  return *nodes;
}

TEST(RingTest, ATokenBelongsToTheNextNodeAndThoseAfterTheLastToTheFirst) {
  const auto ring = Built(ThreeNodes(), Simple(1));
  for (const auto& [token, owner] : std::vector<std::pair<int64_t, std::string>>{
           {kLeast, "a"}, {-101, "a"}, {-100, "a"}, {-99, "b"}, {0, "b"}, {1, "c"}, {100, "c"}, {101, "a"},
           {kGreatest, "a"}}) {
    EXPECT_EQ(Names(ring->OwnersOf(token)), owner) << token;
  }
}

TEST(RingTest, ReplicasFollowInRingOrder) {
  EXPECT_EQ(Names(Built(ThreeNodes(), Simple(2))->OwnersOf(50)), "c a");
  EXPECT_EQ(Names(Built(ThreeNodes(), Simple(3))->OwnersOf(-50)), "b c a");
  EXPECT_EQ(Names(Built(ThreeNodes(), Simple(7))->OwnersOf(-50)), "b c a");
}

TEST(RingTest, OneNodeOwnsEverything) {
  const auto ring = Built({NodeOf("a", "dc1", "r1", {5, -7, 90})}, Simple(1));
  const auto ranges = ring->Ranges();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].start, kLeast);
  EXPECT_EQ(ranges[0].end, kGreatest);
  EXPECT_EQ(Names(ranges[0].owners), "a");
}

TEST(RingTest, OnlyTheLocalDatacentersReplicasAreOwners) {
  const std::vector<Ring::Node> nodes = {NodeOf("a1", "dc1", "r1", {-100}), NodeOf("b1", "dc2", "r1", {-50}),
                                         NodeOf("a2", "dc1", "r2", {0}), NodeOf("b2", "dc2", "r1", {50})};
  const Replication both = Network({{"dc1", {2, 0}}, {"dc2", {1, 0}}});
  EXPECT_EQ(Names(Built(nodes, both, "dc1")->OwnersOf(-60)), "a2 a1");
  EXPECT_EQ(Names(Built(nodes, both, "dc2")->OwnersOf(-60)), "b1");
  EXPECT_EQ(Built(nodes, both, "dc2")->hosts().size(), 2u);

  const auto elsewhere = Built(nodes, Network({{"dc2", {1, 0}}}), "dc1");  // No replica here at all.
  EXPECT_TRUE(elsewhere->OwnersOf(3).empty());
  EXPECT_EQ(elsewhere->Ranges().size(), 1u);
  EXPECT_EQ(Names(Built(nodes, Simple(1), "dc1")->OwnersOf(-60)), "");  // Its one replica is b1.
  EXPECT_EQ(Names(Built(nodes, Simple(1), "dc1")->OwnersOf(-10)), "a2");
}

TEST(RingTest, SaysWhyThereIsNone) {
  std::shared_ptr<const Ring> ring;
  Status status = Ring::Build(ThreeNodes(), Simple(1), "dc7", &ring);
  EXPECT_EQ(status.message(), "no node with tokens is in the datacenter 'dc7' (local_dc; the cluster has: dc1)");
  status = Ring::Build({NodeOf("a", "dc1", "r1", {})}, Simple(1), "dc1", &ring);
  EXPECT_EQ(status.message(), "no node has a token");
  Replication local;
  local.strategy = Replication::Strategy::kLocal;
  status = Ring::Build(ThreeNodes(), local, "dc1", &ring);
  EXPECT_EQ(status.message(), "each node has rows of its own in it (LocalStrategy)");
  EXPECT_EQ(ring, nullptr);
}

TEST(RingTest, NodesWithoutTokensAreNoHosts) {
  std::vector<Ring::Node> nodes = ThreeNodes();
  nodes.push_back(NodeOf("joining", "dc1", "r1", {}));
  EXPECT_EQ(Built(nodes, Simple(5))->hosts().size(), 3u);
}

TEST(RingTest, ATokenOfTheGreatestOrTheLeastNumberMakesNoEmptyRange) {
  const auto ring = Built({NodeOf("a", "dc1", "r1", {kLeast}), NodeOf("b", "dc1", "r1", {0}),
                           NodeOf("c", "dc1", "r1", {kGreatest})},
                          Simple(1));
  const auto ranges = ring->Ranges();
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(Names(ranges[0].owners), "b");
  EXPECT_EQ(ranges[0].end, 0);
  EXPECT_EQ(Names(ranges[1].owners), "c");
  EXPECT_EQ(ranges[1].end, kGreatest);
}

// The first token at or after `token`, or the first of all, says where SimpleStrategy starts walking.
std::vector<std::string> Reference(const std::vector<Ring::Node>& nodes, size_t factor, int64_t token) {
  std::vector<std::pair<int64_t, std::string>> ring;
  for (const Ring::Node& node : nodes) {
    for (const int64_t t : node.tokens) ring.emplace_back(t, node.host->address());
  }
  std::sort(ring.begin(), ring.end());
  size_t at = 0;
  while (at < ring.size() && ring[at].first < token) ++at;
  std::vector<std::string> owners;
  for (size_t step = 0; step < ring.size() && owners.size() < factor; ++step) {
    const std::string& address = ring[(at + step) % ring.size()].second;
    if (std::find(owners.begin(), owners.end(), address) == owners.end()) owners.push_back(address);
  }
  return owners;
}

TEST(RingTest, AgreesWithAReferenceOnRandomRingsAndItsRangesCoverEachTokenOnce) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    std::vector<Ring::Node> nodes;
    const size_t count = 1 + below(6), vnodes = 1 + below(16), factor = below(5);
    std::vector<int64_t> probes = {kLeast, kLeast + 1, -1, 0, 1, kGreatest - 1, kGreatest};
    for (size_t n = 0; n < count; ++n) {
      std::vector<int64_t> tokens;
      for (size_t v = 0; v < vnodes; ++v) {
        tokens.push_back(static_cast<int64_t>(random()));
        probes.insert(probes.end(), {tokens.back(), tokens.back() - 1, tokens.back() + 1});
      }
      nodes.push_back(NodeOf("n" + std::to_string(n), "dc1", "r1", tokens));
    }
    for (int i = 0; i < 50; ++i) probes.push_back(static_cast<int64_t>(random()));

    const auto ring = Built(nodes, Simple(factor));
    const auto ranges = ring->Ranges();
    EXPECT_EQ(ranges.back().end, kGreatest);
    for (size_t i = 0; i < ranges.size(); ++i) {
      EXPECT_LT(ranges[i].start, ranges[i].end);
      EXPECT_EQ(ranges[i].start, i == 0 ? kLeast : ranges[i - 1].end);
    }
    for (const int64_t token : probes) {
      std::vector<std::string> owners;
      for (const auto& owner : ring->OwnersOf(token)) owners.push_back(owner->address());
      ASSERT_EQ(owners, Reference(nodes, factor, token)) << "seed " << seed << " token " << token;
      if (token == kLeast) continue;  // No row's.
      const auto range =
          std::find_if(ranges.begin(), ranges.end(), [&](const TokenRange& r) { return token <= r.end; });
      EXPECT_EQ(Names(range->owners), Names(ring->OwnersOf(token))) << "seed " << seed << " token " << token;
    }
  }
}

}  // namespace
}  // namespace tfcass
