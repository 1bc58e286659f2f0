// Ring: which nodes hold the rows of a token, for one keyspace, as the cluster was when it was asked.
//
// Terms    Token: a key's place on the ring (murmur3.h). Owners: the replicas of a token that reads may go to, those of
//          the local datacenter, in the order in which the ring meets them. Local datacenter: the one that the
//          cluster's config names; if it names none, that of the node that first told about the ring, which is the
//          driver's too.
// Threads  Immutable: everything may be called from any thread. (Its hosts change: host.h.)
// Owns     A share of its hosts.
#ifndef TFCASS_OPS_FETCH_RING_RING_H_
#define TFCASS_OPS_FETCH_RING_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/fetch/ring/host.h"
#include "ops/fetch/ring/replication.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Some replicas. Lives as long as the ring that it comes from.
class Owners {
 public:
  Owners() = default;
  explicit Owners(const std::vector<std::shared_ptr<Host>>& hosts) : hosts_(&hosts) {}

  size_t size() const { return hosts_ == nullptr ? 0 : hosts_->size(); }
  bool empty() const { return size() == 0; }
  const std::shared_ptr<Host>& operator[](size_t i) const { return (*hosts_)[i]; }
  const std::shared_ptr<Host>* begin() const { return hosts_ == nullptr ? nullptr : hosts_->data(); }
  const std::shared_ptr<Host>* end() const { return begin() + size(); }

 private:
  const std::vector<std::shared_ptr<Host>>* hosts_ = nullptr;
};

// The tokens t with start < t <= end. Never wraps: the range that crosses the ring's end comes as two. kMinimumToken as
// start: from the first token on. The last range ends at the greatest number.
struct TokenRange {
  int64_t start;
  int64_t end;
  Owners owners;
};

class Ring {
 public:
  // A node and its tokens, any number of them.
  struct Node {
    std::shared_ptr<Host> host;
    std::vector<int64_t> tokens;
  };

  // `nodes` is the whole cluster, all datacenters. FailedPrecondition in words when `local_dc` is none of them, when no
  // node has a token, or when the keyspace's rows have no owner that could be told from their token.
  static Status Build(const std::vector<Node>& nodes, const Replication& replication, const std::string& local_dc,
                      std::shared_ptr<const Ring>* ring);

  // In O(log tokens). Empty when no node of the local datacenter holds the token's rows: ask through the driver then.
  Owners OwnersOf(int64_t token) const { return Owners(sets_[set_of_[IndexOf(token)]]); }

  // The local datacenter's nodes that have tokens.
  const std::vector<std::shared_ptr<Host>>& hosts() const { return hosts_; }
  const std::string& local_dc() const { return local_dc_; }

  // Every token once, in rising order.
  std::vector<TokenRange> Ranges() const;

 private:
  Ring() = default;

  size_t IndexOf(int64_t token) const;

  std::string local_dc_;
  std::vector<std::shared_ptr<Host>> hosts_;
  std::vector<int64_t> tokens_;   // Rising. tokens_[i] is the last of the tokens that set_of_[i] is about.
  std::vector<uint32_t> set_of_;  // Into sets_.
  std::vector<std::vector<std::shared_ptr<Host>>> sets_;  // Each once.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_RING_RING_H_
