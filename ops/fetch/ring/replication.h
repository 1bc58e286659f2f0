// Replication: how a keyspace's rows are laid over the ring, from the `replication` map of system_schema.keyspaces.
#ifndef TFCASS_OPS_FETCH_RING_REPLICATION_H_
#define TFCASS_OPS_FETCH_RING_REPLICATION_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "ops/fetch/status.h"

namespace tfcass {

struct Replication {
  enum class Strategy {
    kSimple,           // `factor` nodes, wherever they are.
    kNetworkTopology,  // factors[dc] nodes of each datacenter, of as many racks as there are.
    kEverywhere,       // Every node.
    kLocal,            // The node that is asked, whichever it is: tables of its own.
  };

  Strategy strategy = Strategy::kSimple;
  size_t factor = 1;
  std::map<std::string, size_t> factors;  // Datacenters without replicas are left out.

  // From {'class': 'org.apache.cassandra.locator.SimpleStrategy', 'replication_factor': '3'} and the like. Of transient
  // replication, "3/1", the full replicas count: 2. FailedPrecondition in words when class or number are not known.
  static Status Parse(const std::map<std::string, std::string>& options, Replication* replication);

  bool operator==(const Replication& other) const {
    return strategy == other.strategy && factor == other.factor && factors == other.factors;
  }
};

// A node's place, as far as replication looks at it.
struct NodePlace {
  std::string dc, rack;
};

// The token `at` of a ring belongs to node ring[at]; going on from it, which nodes hold its rows? `ring` has the nodes of
// the tokens in rising order, as numbers of `nodes`. The same nodes in the same order as the server's own strategy.
class ReplicaPlacement {
 public:
  ReplicaPlacement(const Replication& replication, const std::vector<NodePlace>& nodes, const std::vector<size_t>& ring);

  std::vector<size_t> ReplicasAt(size_t at) const;

 private:
  struct Datacenter {
    size_t wanted = 0;  // Replicas: never more than it has nodes.
    size_t racks = 0;
  };

  const Replication& replication_;
  const std::vector<NodePlace>& nodes_;
  const std::vector<size_t>& ring_;
  std::vector<size_t> members_;              // The nodes that have tokens.
  std::map<std::string, Datacenter> datacenters_;  // Those with replicas.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_REPLICATION_H_
