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

  // Replicas of a row. Transient ones, Cassandra's "3/1", do not keep it once the full ones have it: reads go to those.
  struct Factor {
    size_t all = 0;
    size_t transient = 0;
  };

  Strategy strategy = Strategy::kSimple;
  Factor factor;                          // Of kSimple.
  std::map<std::string, Factor> factors;  // Of kNetworkTopology, by datacenter.

  // From {'class': 'org.apache.cassandra.locator.SimpleStrategy', 'replication_factor': '3'} and the like.
  // FailedPrecondition in words when class or number are not known.
  static Status Parse(const std::map<std::string, std::string>& options, Replication* replication);
};

// A node's place, as far as replication looks at it.
struct NodePlace {
  std::string dc, rack;
};

// Which nodes hold the rows of a token, worked out as the server's strategies do: the same nodes, in the same order.
class ReplicaPlacement {
 public:
  // `ring` has the nodes of the tokens in rising order, as numbers of `nodes`. All three must outlive it.
  ReplicaPlacement(const Replication& replication, const std::vector<NodePlace>& nodes,
                   const std::vector<size_t>& ring);

  // The full replicas of the rows whose token is at `at` in the ring, or between it and the token before.
  std::vector<size_t> ReplicasAt(size_t at) const;

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  struct Datacenter {
    Replication::Factor factor;
    size_t nodes = 0;  // With tokens.
    size_t racks = 0;
  };
  struct Place {
    size_t datacenter = kNone;  // Into datacenters_; kNone: no replicas there.
    size_t rack = kNone;        // A number of its own for each rack of each datacenter.
  };

  std::vector<size_t> SimpleReplicas(size_t at) const;
  std::vector<size_t> NetworkTopologyReplicas(size_t at) const;

  const Replication& replication_;
  const std::vector<size_t>& ring_;
  std::vector<Datacenter> datacenters_;
  std::vector<Place> places_;  // By node.
  size_t racks_ = 0;
  size_t nodes_ = 0;  // With tokens.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_REPLICATION_H_
