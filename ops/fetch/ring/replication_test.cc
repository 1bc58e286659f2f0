#include "ops/fetch/ring/replication.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tfcass {
namespace {

using Strategy = Replication::Strategy;

std::string ProblemOf(const std::map<std::string, std::string>& options) {
  Replication replication;
  const Status status = Replication::Parse(options, &replication);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  return status.message();
}

TEST(ReplicationTest, ParsesWhatTheSchemaHas) {
  Replication parsed;
  ASSERT_TRUE(Replication::Parse(
                  {{"class", "org.apache.cassandra.locator.SimpleStrategy"}, {"replication_factor", "3"}}, &parsed)
                  .ok());
  EXPECT_EQ(parsed.strategy, Strategy::kSimple);
  EXPECT_EQ(parsed.factor.all, 3u);
  EXPECT_EQ(parsed.factor.transient, 0u);

  ASSERT_TRUE(
      Replication::Parse({{"class", "NetworkTopologyStrategy"}, {"dc1", "3/1"}, {"dc 2", "0"}}, &parsed).ok());
  EXPECT_EQ(parsed.strategy, Strategy::kNetworkTopology);
  EXPECT_EQ(parsed.factors.at("dc1").all, 3u);
  EXPECT_EQ(parsed.factors.at("dc1").transient, 1u);
  EXPECT_EQ(parsed.factors.at("dc 2").all, 0u);

  ASSERT_TRUE(Replication::Parse({{"class", "org.apache.cassandra.locator.LocalStrategy"}}, &parsed).ok());
  EXPECT_EQ(parsed.strategy, Strategy::kLocal);
  ASSERT_TRUE(Replication::Parse({{"class", "org.apache.cassandra.locator.EverywhereStrategy"}}, &parsed).ok());
  EXPECT_EQ(parsed.strategy, Strategy::kEverywhere);
}

TEST(ReplicationTest, SaysWhatItDoesNotKnow) {
  EXPECT_EQ(ProblemOf({}), "its replication names no class");
  EXPECT_EQ(ProblemOf({{"class", "com.example.OwnStrategy"}}),
            "its replication strategy, com.example.OwnStrategy, is not known here");
  EXPECT_EQ(ProblemOf({{"class", "SimpleStrategy"}}),
            "its replication has 'replication_factor': '', which is no number of replicas");
  for (const char* bad : {"many", "3/", "/1", "1/2", "-1", "3 ", "99999999999999999999999"}) {
    EXPECT_EQ(ProblemOf({{"class", "NetworkTopologyStrategy"}, {"dc1", bad}}),
              std::string("its replication has 'dc1': '") + bad + "', which is no number of replicas");
  }
}

Replication Simple(size_t factor, size_t transient = 0) {
  Replication replication;
  replication.factor = {factor, transient};
  return replication;
}

Replication Network(std::map<std::string, Replication::Factor> factors) {
  Replication replication;
  replication.strategy = Strategy::kNetworkTopology;
  replication.factors = std::move(factors);
  return replication;
}

using Numbers = std::vector<size_t>;

TEST(ReplicaPlacementTest, SimpleTakesTheNextNodesAndNoneTwice) {
  const std::vector<NodePlace> nodes = {{"dc1", "a"}, {"dc1", "a"}, {"dc2", "b"}};
  const Numbers ring = {0, 0, 1, 0, 2};
  const Replication two = Simple(2), five = Simple(5), transient = Simple(3, 1), none = Simple(0);
  EXPECT_EQ(ReplicaPlacement(two, nodes, ring).ReplicasAt(0), (Numbers{0, 1}));
  EXPECT_EQ(ReplicaPlacement(two, nodes, ring).ReplicasAt(3), (Numbers{0, 2}));
  EXPECT_EQ(ReplicaPlacement(two, nodes, ring).ReplicasAt(4), (Numbers{2, 0}));  // Around the end.
  EXPECT_EQ(ReplicaPlacement(five, nodes, ring).ReplicasAt(2), (Numbers{1, 0, 2}));
  EXPECT_EQ(ReplicaPlacement(transient, nodes, ring).ReplicasAt(4), (Numbers{2, 0}));
  EXPECT_EQ(ReplicaPlacement(none, nodes, ring).ReplicasAt(0), Numbers{});
}

TEST(ReplicaPlacementTest, NetworkTopologyGoesToOtherRacksFirst) {
  const std::vector<NodePlace> nodes = {{"dc1", "a"}, {"dc1", "a"}, {"dc1", "b"}, {"dc1", "b"}};
  const Numbers ring = {0, 1, 2, 3};
  const Replication two = Network({{"dc1", {2, 0}}}), three = Network({{"dc1", {3, 0}}});
  EXPECT_EQ(ReplicaPlacement(two, nodes, ring).ReplicasAt(0), (Numbers{0, 2}));
  EXPECT_EQ(ReplicaPlacement(two, nodes, ring).ReplicasAt(3), (Numbers{3, 0}));
  EXPECT_EQ(ReplicaPlacement(three, nodes, ring).ReplicasAt(0), (Numbers{0, 1, 2}));  // Two racks: one comes twice.
}

TEST(ReplicaPlacementTest, NetworkTopologyCountsEachDatacenterByItself) {
  const std::vector<NodePlace> nodes = {{"dc1", "a"}, {"dc2", "a"}, {"dc1", "a"}, {"dc2", "a"}, {"dc3", "a"}};
  const Numbers ring = {0, 1, 2, 3, 4};
  const Replication one_two = Network({{"dc1", {1, 0}}, {"dc2", {2, 0}}, {"dc3", {0, 0}}, {"dc9", {3, 0}}});
  EXPECT_EQ(ReplicaPlacement(one_two, nodes, ring).ReplicasAt(4), (Numbers{0, 1, 3}));
  EXPECT_EQ(ReplicaPlacement(one_two, nodes, ring).ReplicasAt(1), (Numbers{1, 2, 3}));
}

TEST(ReplicaPlacementTest, TransientReplicasAreTheLastAndGoFirstWhenNodesAreFew) {
  const std::vector<NodePlace> nodes = {{"dc1", "a"}, {"dc1", "b"}, {"dc1", "c"}};
  const Numbers ring = {0, 1, 2}, two_nodes = {0, 1};
  const Replication transient = Network({{"dc1", {3, 1}}});
  EXPECT_EQ(ReplicaPlacement(transient, nodes, ring).ReplicasAt(1), (Numbers{1, 2}));
  EXPECT_EQ(ReplicaPlacement(transient, nodes, two_nodes).ReplicasAt(0), (Numbers{0, 1}));
}

TEST(ReplicaPlacementTest, EverywhereIsEveryNodeWithTokens) {
  const std::vector<NodePlace> nodes = {{"dc1", "a"}, {"dc1", "a"}, {"dc2", "a"}, {"dc1", "a"}};
  const Numbers ring = {2, 0, 3};
  Replication everywhere;
  everywhere.strategy = Strategy::kEverywhere;
  EXPECT_EQ(ReplicaPlacement(everywhere, nodes, ring).ReplicasAt(1), (Numbers{0, 3, 2}));
}

// NetworkTopologyStrategy told the other way about, as older servers do it: in each datacenter the first node of each
// rack; nodes passed over meanwhile as soon as every rack has one, in the order in which they were passed.
std::set<size_t> Reference(const std::map<std::string, Replication::Factor>& factors,
                           const std::vector<NodePlace>& nodes, const Numbers& ring, size_t at) {
  std::set<size_t> replicas;
  for (const auto& [dc, factor] : factors) {
    std::set<size_t> members;
    std::set<std::string> racks;
    Numbers met;  // In the order of the ring, each once.
    for (size_t step = 0; step < ring.size(); ++step) {
      const size_t node = ring[(at + step) % ring.size()];
      if (nodes[node].dc != dc || !members.insert(node).second) continue;
      met.push_back(node);
      racks.insert(nodes[node].rack);
    }
    std::set<size_t> chosen;
    std::set<std::string> seen;
    Numbers skipped;
    for (const size_t node : met) {
      if (chosen.size() == factor.all) break;
      if (seen.size() == racks.size() || seen.insert(nodes[node].rack).second) {
        chosen.insert(node);
        if (seen.size() < racks.size()) continue;
        for (const size_t left : skipped) {
          if (chosen.size() < factor.all) chosen.insert(left);
        }
        skipped.clear();
      } else {
        skipped.push_back(node);
      }
    }
    replicas.insert(chosen.begin(), chosen.end());
  }
  return replicas;
}

TEST(ReplicaPlacementTest, AgreesWithAReferenceOnRandomClusters) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    std::vector<NodePlace> nodes;
    const size_t dcs = 1 + below(3), racks = 1 + below(4), count = 1 + below(12), vnodes = 1 + below(8);
    Numbers ring;
    for (size_t n = 0; n < count; ++n) {
      nodes.push_back({"dc" + std::to_string(below(dcs)), "r" + std::to_string(below(racks))});
      for (size_t v = 0; v < vnodes; ++v) ring.push_back(n);
    }
    std::shuffle(ring.begin(), ring.end(), random);
    std::map<std::string, Replication::Factor> factors;
    for (size_t dc = 0; dc < dcs; ++dc) factors["dc" + std::to_string(dc)] = {below(6), 0};
    const Replication replication = Network(factors);
    const ReplicaPlacement placement(replication, nodes, ring);
    for (size_t at = 0; at < ring.size(); ++at) {
      const Numbers found = placement.ReplicasAt(at);
      const std::set<size_t> found_set(found.begin(), found.end());
      EXPECT_EQ(found_set.size(), found.size()) << "seed " << seed << " at " << at;
      ASSERT_EQ(found_set, Reference(factors, nodes, ring, at)) << "seed " << seed << " at " << at;
    }
  }
}

}  // namespace
}  // namespace tfcass
