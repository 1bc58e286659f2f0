#include "ops/fetch/request_plan.h"

#include <algorithm>
#include <utility>

#include "ops/fetch/consistency.h"

namespace tfcass {
namespace {

uint64_t BigEndian(const Key& key, std::initializer_list<size_t> places) {
  uint64_t value = 0;
  for (const size_t place : places) value = value << 8 | key[place];
  return value;
}

// The driver keeps a UUID as two numbers, the first with its fields in reverse.
CassUuid ToCassUuid(const Key& key) {
  return {BigEndian(key, {6, 7, 4, 5, 0, 1, 2, 3}), BigEndian(key, {8, 9, 10, 11, 12, 13, 14, 15})};
}

}  // namespace

Status RequestPlanner::Create(Session* session, const QuerySpec& query, const FetchOptions& options,
                              std::unique_ptr<RequestPlanner>* planner) {
  TFCASS_RETURN_IF_ERROR(options.Validate());
  CassConsistency consistency = CASS_CONSISTENCY_LOCAL_ONE;
  ParseConsistency(options.consistency, &consistency);  // Validate() knows the same names.
  std::shared_ptr<const CassPrepared> prepared;
  TFCASS_RETURN_IF_ERROR(session->Prepare(query, &prepared));
  planner->reset(new RequestPlanner(session->api(), std::move(prepared), consistency));
  return OkStatus();
}

RequestPlanner::RequestPlanner(const DriverApi& api, std::shared_ptr<const CassPrepared> prepared,
                               CassConsistency consistency)
    : api_(api), single_key_(std::move(prepared)), consistency_(consistency) {}

PlannedRequest RequestPlanner::Take(size_t) {
  PlannedRequest request{{waiting_.front()}};
  waiting_.pop_front();
  return request;
}

StatementPtr RequestPlanner::Bind(const PlannedRequest& request, Clock::Duration timeout) const {
  StatementPtr statement = Own(api_, api_.cass_prepared_bind(single_key_.get()));
  // None of these fails for a statement with one uuid parameter, which Session::Prepare has checked.
  api_.cass_statement_bind_uuid(statement.get(), 0, ToCassUuid(request.slots.front().key));
  api_.cass_statement_set_consistency(statement.get(), consistency_);
  api_.cass_statement_set_is_idempotent(statement.get(), cass_true);
  const auto timeout_ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  api_.cass_statement_set_request_timeout(statement.get(), std::max<int64_t>(1, timeout_ms));  // 0 would mean none.
  return statement;
}

}  // namespace tfcass
