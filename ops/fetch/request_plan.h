// RequestPlanner decides which keys travel together, and as which statement.
//
// The seam for faster reads: today each request asks for one key. A planner that groups keys by the replica that owns
// them takes this one's place without a change to RowFetcher, which knows requests of many rows already.
#ifndef TFCASS_OPS_FETCH_REQUEST_PLAN_H_
#define TFCASS_OPS_FETCH_REQUEST_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/key.h"
#include "ops/fetch/options.h"
#include "ops/fetch/query.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"

namespace tfcass {

// A key and where its row goes.
struct KeySlot {
  Key key;
  int64_t element;  // Ordinal of its element.
  size_t row;       // Its place in the element.
};

// Keys that one request asks for; not empty. They may be of different elements.
struct PlannedRequest {
  std::vector<KeySlot> slots;
};

// Not thread safe.
class RequestPlanner {
 public:
  // Prepares what it needs; errors are Session::Prepare's.
  static Status Create(Session* session, const QuerySpec& query, const FetchOptions& options,
                       std::unique_ptr<RequestPlanner>* planner);

  void Add(const KeySlot& slot) { waiting_.push_back(slot); }

  // Keys added and not yet taken.
  size_t waiting() const { return waiting_.size(); }

  // The next request, of at most `max_rows` (at least 1) keys. waiting() must not be 0.
  PlannedRequest Take(size_t max_rows);

  // The statement that asks for it, to be answered within `timeout`.
  StatementPtr Bind(const PlannedRequest& request, Clock::Duration timeout) const;

 private:
  RequestPlanner(const DriverApi& api, std::shared_ptr<const CassPrepared> prepared, CassConsistency consistency);

  const DriverApi& api_;
  const std::shared_ptr<const CassPrepared> single_key_;
  const CassConsistency consistency_;
  std::deque<KeySlot> waiting_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_REQUEST_PLAN_H_
