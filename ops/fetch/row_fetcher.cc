#include "ops/fetch/row_fetcher.h"

#include <algorithm>
#include <cmath>

#include "ops/fetch/driver_errors.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/reply_reader.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// Weight of one row in the mean size: follows a change within some hundred rows.
constexpr double kMeanWeight = 1.0 / 64;

std::chrono::microseconds InMicroseconds(Clock::Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

int64_t CellBytes(const Row& row) {
  size_t bytes = 0;
  for (const Cell& cell : row.cells) bytes += cell.bytes.size();
  return static_cast<int64_t>(bytes);
}

// The next move of who reads the error.
const char* AdviceFor(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
      return "check that the nodes are up, or raise FetchOptions(max_retries, timeout_s)";
    case StatusCode::kDeadlineExceeded:
      return "check the load of the nodes, lower max_in_flight, or raise FetchOptions(timeout_s)";
    case StatusCode::kFailedPrecondition:
      return "check the table with `tfcass schema check`, and the user's SELECT permission";
    default:
      return "";
  }
}

}  // namespace

Status RowFetcher::Create(std::shared_ptr<Session> session, const QuerySpec& query, const FetchOptions& options,
                          std::unique_ptr<RowFetcher>* fetcher, Clock* clock) {
  std::unique_ptr<RequestPlanner> planner;
  TFCASS_RETURN_IF_ERROR(RequestPlanner::Create(session.get(), query, options, &planner));
  fetcher->reset(new RowFetcher(std::move(session), query, options, std::move(planner), clock));
  return OkStatus();
}

RowFetcher::RowFetcher(std::shared_ptr<Session> session, QuerySpec query, const FetchOptions& options,
                       std::unique_ptr<RequestPlanner> planner, Clock* clock)
    : session_(std::move(session)),
      query_(std::move(query)),
      options_(options),
      clock_(clock),
      mailbox_(std::make_shared<Mailbox>(clock)),
      planner_(std::move(planner)),
      window_(options.deterministic, options.missing == Missing::kSkip),
      retry_(options, static_cast<uint64_t>(clock->Now().time_since_epoch().count())) {}

RowFetcher::~RowFetcher() {
  // In a forked child the mailbox's lock may be held forever; nothing will be posted there.
  if (session_->CheckProcess().ok()) mailbox_->Close();
}

size_t RowFetcher::WindowRows() const {
  const auto rows = static_cast<size_t>(options_.MaxInFlight());
  if (mean_row_bytes_ == 0) return std::min(rows, kProbeRows);
  const double fitting = static_cast<double>(options_.MaxBufferedBytes()) / std::max(mean_row_bytes_, 1.0);
  return fitting < static_cast<double>(rows) ? std::max<size_t>(1, static_cast<size_t>(fitting)) : rows;
}

bool RowFetcher::HasRoom() const {
  // Elements are bounded too: those without keys hold no rows, and there may be any number of them.
  return window_.rows() < WindowRows() && window_.elements() < static_cast<size_t>(options_.MaxInFlight());
}

void RowFetcher::Submit(const std::vector<Key>& keys) {
  const int64_t element = window_.Add(keys);
  for (size_t i = 0; i < keys.size(); ++i) planner_->Add({keys[i], element, i});
  if (session_->CheckProcess().ok()) SendWaiting();
}

Status RowFetcher::Next(Element* element) {
  *element = {};
  TFCASS_RETURN_IF_ERROR(session_->CheckProcess());
  std::vector<Reply> replies;
  while (true) {
    if (!mailbox_->TakeAll(&replies)) return Cancelled(StrCat("the reading of ", query_.table, " was cancelled"));
    for (Reply& reply : replies) OnReply(std::move(reply));
    OnTimers();
    SendWaiting();  // Before the rows are returned: the next ones travel while the caller copies these.
    if (window_.Ready()) return window_.Take(element);
    if (window_.elements() == 0) return FailedPrecondition("RowFetcher::Next() was called with nothing submitted");

    const Clock::TimePoint before = clock_->Now();
    mailbox_->WaitUntil(timers_.begin()->first);  // Rows are missing, so requests are open, so there is a timer.
    Metrics::Global().consumer_wait_us += InMicroseconds(clock_->Now() - before).count();
  }
}

void RowFetcher::SendWaiting() {
  const size_t limit = WindowRows();
  while (planner_->waiting() > 0 && in_flight_rows_ < limit) {
    Request request;
    request.plan = planner_->Take(limit - in_flight_rows_);
    in_flight_rows_ += request.plan.slots.size();
    Send(std::move(request));
  }
}

void RowFetcher::Send(Request request) {
  const Clock::Duration timeout = retry_.AttemptTimeout(request.attempts, request.spent);
  const StatementPtr statement = planner_->Bind(request.plan, timeout);
  const uint64_t ticket = next_ticket_++;
  ++Metrics::Global().requests;
  if (request.attempts++ > 0) ++Metrics::Global().retries;
  request.sent = true;
  request.sent_at = clock_->Now();
  const Clock::TimePoint overdue = request.sent_at + timeout + kDriverGrace;
  SetTimer(ticket, &requests_.emplace(ticket, std::move(request)).first->second, overdue);
  // Last: the reply may arrive within this call.
  Mailbox::Expect(mailbox_, session_->api(), session_->Execute(statement.get()), ticket);
}

void RowFetcher::SetTimer(uint64_t ticket, Request* request, Clock::TimePoint when) {
  request->timer = when;
  timers_.emplace(when, ticket);
}

RowFetcher::Request RowFetcher::Extract(Requests::iterator request) {
  timers_.erase({request->second.timer, request->first});
  Request extracted = std::move(request->second);
  requests_.erase(request);
  return extracted;
}

void RowFetcher::OnReply(Reply reply) {
  const auto found = requests_.find(reply.ticket);
  if (found == requests_.end()) return;  // Overdue, and given up.
  Request request = Extract(found);
  if (reply.future == nullptr) {
    return OnError(std::move(request), CASS_ERROR_LIB_INTERNAL_ERROR, "the driver took no callback");
  }

  const Clock::Duration taken = reply.arrived - request.sent_at;
  Metrics::Global().RecordLatency(InMicroseconds(taken));
  request.spent += taken;
  const DriverApi& api = session_->api();
  const CassError error = api.cass_future_error_code(reply.future.get());
  if (error != CASS_OK) return OnError(std::move(request), error, DriverMessage(api, reply.future.get()));

  std::vector<Row> rows;
  const Status read = ReadRows(api, query_, Own(api, api.cass_future_get_result(reply.future.get())), &rows);
  if (!read.ok()) return FailAll(request, read.code(), read.message(), "");
  OnRows(request, std::move(rows));
}

void RowFetcher::OnTimers() {
  const Clock::TimePoint now = clock_->Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Request request = Extract(requests_.find(timers_.begin()->second));
    if (request.sent) {
      request.spent += now - request.sent_at;
      OnError(std::move(request), CASS_ERROR_LIB_REQUEST_TIMED_OUT, "the driver gave no reply in time");
    } else {
      Send(std::move(request));
    }
  }
}

void RowFetcher::OnError(Request request, CassError error, const std::string& message) {
  Clock::Duration delay;
  if (IsRetriable(error) && retry_.NextDelay(request.attempts, request.spent, &delay)) {
    request.sent = false;
    request.spent += delay;
    const uint64_t ticket = next_ticket_++;
    SetTimer(ticket, &requests_.emplace(ticket, std::move(request)).first->second, clock_->Now() + delay);
    return;
  }
  FailAll(request, CodeOf(error), message, AdviceFor(CodeOf(error)));
}

void RowFetcher::OnRows(const Request& request, std::vector<Row> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (rows[i].key != rows[j].key) continue;
      return FailAll(request, StatusCode::kFailedPrecondition,
                     StrCat("the table has several rows of key ", ToUuidText(rows[i].key),
                            ": its primary key has more columns than ", query_.key_column),
                     "name a table whose primary key is that column alone");
    }
  }
  in_flight_rows_ -= request.plan.slots.size();
  Metrics& metrics = Metrics::Global();
  for (const KeySlot& slot : request.plan.slots) {
    // A few keys a request: a search beats a map. The same key may be asked for twice.
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Row& candidate) { return candidate.key == slot.key; });
    if (row == rows.end()) {
      SettleMissing(slot, request);
      continue;
    }
    const int64_t bytes = CellBytes(*row);
    ++metrics.rows;
    metrics.bytes += bytes;
    const auto size = static_cast<double>(std::max<int64_t>(bytes, 1));
    mean_row_bytes_ += (size - mean_row_bytes_) * (mean_row_bytes_ == 0 ? 1 : kMeanWeight);
    window_.Settle(slot.element, slot.row, *row);
  }
}

void RowFetcher::SettleMissing(const KeySlot& slot, const Request& request) {
  ++Metrics::Global().missing;
  if (options_.missing == Missing::kError) {
    window_.Fail(slot.element, slot.row,
                 NotFound(StrCat("no row ", ToUuidText(slot.key), " in ", query_.table, " (", Circumstances(request),
                                 "); ingest it again, or pass FetchOptions(missing=\"skip\")")));
    return;
  }
  Row row;
  row.key = slot.key;
  window_.Settle(slot.element, slot.row, std::move(row));
}

void RowFetcher::FailAll(const Request& request, StatusCode code, const std::string& why, const std::string& advice) {
  in_flight_rows_ -= request.plan.slots.size();
  Metrics::Global().errors += static_cast<int64_t>(request.plan.slots.size());
  if (code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded) session_->Doubt();
  for (const KeySlot& slot : request.plan.slots) {
    window_.Fail(slot.element, slot.row,
                 {code, StrCat("cannot read row ", ToUuidText(slot.key), " of ", query_.table, ": ", why, " (",
                               Circumstances(request), ")", advice.empty() ? "" : "; ", advice)});
  }
}

std::string RowFetcher::Circumstances(const Request& request) const {
  return StrCat("asked ", session_->description(), ", ", request.attempts,
                request.attempts == 1 ? " attempt" : " attempts", " in ",
                std::round(std::chrono::duration<double, std::milli>(request.spent).count()) / 1e3, " s, consistency ",
                options_.consistency);
}

}  // namespace tfcass
