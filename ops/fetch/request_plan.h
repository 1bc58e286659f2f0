// RequestPlanner decides which keys travel together, to which node, and when.
//
// Terms    Owner: a local replica of a key's token (ring/ring.h). Group: keys of one owner that travel as one request,
//          pinned to it. Lane: what this fetcher has for one host: the group that fills, and its open requests.
//          Alone: a key that travels by itself, to whichever replica the driver chooses.
//
// Waiting keys are planned as the window lets them: each gets an owner, of two drawn at random the one with less to do,
// and joins its lane's group. A group leaves when it is full. Before the consumer waits, as nothing more will join the
// groups then, those leave too whose host has next to nothing to do, or that hold a key the consumer waits for; another
// one leaves later, when its host has answered, unless it has filled up by then. So no group waits on time alone, and
// small requests go only to idle hosts or for rows that are wanted at once.
#ifndef TFCASS_OPS_FETCH_REQUEST_PLAN_H_
#define TFCASS_OPS_FETCH_REQUEST_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/pending_key.h"
#include "ops/fetch/read_statements.h"
#include "ops/fetch/ring/choose.h"
#include "ops/fetch/ring/host.h"
#include "ops/fetch/ring/ring.h"

namespace tfcass {

// A request to be sent.
struct PlannedRequest {
  RequestKind kind = RequestKind::kSingle;
  std::shared_ptr<Host> host;     // That it is pinned to. Null: the driver routes it.
  std::vector<PendingKey*> keys;  // Not empty.
  bool probe = false;             // Asks a suspect host for what a trusted one is asked for too, if there is one.
};

// The latest ring of the table's keyspace, or null.
using LatestRing = std::function<std::shared_ptr<const Ring>()>;

// Not thread safe. Counts the rows it assigns as outstanding at their hosts until they are Done(), and their keys as
// asked (KeyTable::Asked) from then on: whoever takes a request owes its keys an Answered().
class RequestPlanner {
 public:
  // A reply of this size is large enough that its own costs vanish, and small enough to let others pass.
  static constexpr size_t kReplyBytes = 512 << 10;

  // `group` keys at most travel together; 1: each travels alone. `pin`: even then one owner is asked for it, so that it
  // is known whom to blame.
  RequestPlanner(std::shared_ptr<const ReadStatements> statements, LatestRing ring, KeyTable* keys, size_t group,
                 bool pin, uint64_t seed);
  ~RequestPlanner();

  RequestPlanner(const RequestPlanner&) = delete;
  RequestPlanner& operator=(const RequestPlanner&) = delete;

  // A key that nobody asked for yet.
  void Add(PendingKey* key) { waiting_.push_back(key); }

  // Keys added and not planned; the first of them, if any.
  size_t waiting() const { return waiting_.size(); }
  const PendingKey& next() const { return *waiting_.front(); }

  // Looks at the ring again, and at what group sizes go by: the mean size of rows, 0 if not known, and how many rows
  // may be in flight.
  void Update(double mean_row_bytes, size_t in_flight_rows);

  // Plans the first waiting key.
  void PlanNext(Clock::TimePoint now);
  // Plans a key again, besides the host that failed it, if any.
  void PlanAgain(PendingKey* key, const Host* failed, Clock::TimePoint now);

  // The next request that should leave now. False: none.
  bool TakeReady(Clock::TimePoint now, PlannedRequest* request);
  // Likewise, before the consumer waits for output `awaited` (ElementWindow::awaited()).
  bool TakeDue(Clock::TimePoint now, int64_t awaited, PlannedRequest* request);

  // Whether the key has an owner besides `host` that may be asked now.
  bool HasOther(const PendingKey& key, const Host& host, Clock::TimePoint now) const;

  // Requests to other owners than `host` for those of `keys` that have one which may be asked now.
  std::vector<PlannedRequest> Elsewhere(const std::vector<PendingKey*>& keys, const Host& host, Clock::TimePoint now);

  // A request was sent, is over.
  void Sent(const PlannedRequest& request);
  void Done(const PlannedRequest& request);

  // Whether keys travel in groups now, as far as is known.
  bool grouping() const { return GroupLimit() > 1; }

 private:
  struct Lane {
    std::shared_ptr<Host> host;
    PlannedRequest group;
    int64_t first_element = 0;  // The earliest that wants one of the group.
    size_t requests = 0;
  };

  size_t GroupLimit() const { return std::min(group_, statements_->max_group()); }
  size_t GroupRows() const;
  Owners OwnersOf(const PendingKey& key) const;
  std::shared_ptr<Host> ChooseOwner(PendingKey* key, const Host* besides, Clock::TimePoint now);
  void Plan(PendingKey* key, const Host* besides, Clock::TimePoint now);
  void Alone(PendingKey* key);
  PlannedRequest Pinned(std::shared_ptr<Host> host, PendingKey* key);
  void Join(PlannedRequest* request, PendingKey* key);
  PlannedRequest TakeGroup(Lane* lane);
  void DropSettled(PlannedRequest* request);
  bool MayLeave(const PlannedRequest& request, Clock::TimePoint now) const;
  void Dissolve(const PlannedRequest& request, Clock::TimePoint now);

  const std::shared_ptr<const ReadStatements> statements_;
  const LatestRing latest_ring_;
  KeyTable* const keys_;
  const size_t group_;
  const bool pin_;
  Random random_;
  double mean_row_bytes_ = 0;
  size_t in_flight_rows_ = 1;
  std::shared_ptr<const Ring> ring_;  // Of the last Update().
  std::deque<PendingKey*> waiting_;
  std::deque<PlannedRequest> ready_;
  std::unordered_map<const Host*, Lane> lanes_;  // The lanes hold their hosts, so that no address is used again.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_REQUEST_PLAN_H_
