#include "ops/fetch/row_fetcher.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "ops/fetch/consistency.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

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

CassConsistency ConsistencyOf(const FetchOptions& options) {
  CassConsistency consistency = CASS_CONSISTENCY_LOCAL_ONE;
  ParseConsistency(options.consistency, &consistency);  // Validate() knows the same names.
  return consistency;
}

std::string KeyspaceOf(const QuerySpec& query) { return query.table.substr(0, query.table.find('.')); }

bool WantsRing(const FetchOptions& options) {
  return options.RowsPerRequest() > 1 || options.hedge_after != HedgeAfter::kNever;
}

}  // namespace

Status RowFetcher::Create(std::shared_ptr<Session> session, const QuerySpec& query, const FetchOptions& options,
                          std::unique_ptr<RowFetcher>* fetcher, Clock* clock) {
  TFCASS_RETURN_IF_ERROR(options.Validate());
  std::shared_ptr<ReadStatements> statements;
  TFCASS_RETURN_IF_ERROR(session->PrepareReads(query, options.RowsPerRequest() > 1, &statements));
  if (WantsRing(options) && statements->can_pin()) {
    session->ring(KeyspaceOf(query), nullptr, clock);  // The first one blocks: here it may.
  }
  fetcher->reset(new RowFetcher(std::move(session), query, options, std::move(statements), clock));
  return OkStatus();
}

RowFetcher::RowFetcher(std::shared_ptr<Session> session, QuerySpec query, const FetchOptions& options,
                       std::shared_ptr<ReadStatements> statements, Clock* clock)
    : session_(std::move(session)),
      query_(std::move(query)),
      options_(options),
      consistency_(ConsistencyOf(options)),
      statements_(std::move(statements)),
      clock_(clock),
      mailbox_(std::make_shared<Mailbox>(clock)),
      metrics_(MetricsOf(options.metrics_id)),
      control_(options),
      retry_(options, static_cast<uint64_t>(clock->Now().time_since_epoch().count())),
      slow_(options.hedge_after),
      window_(options.deterministic, options.missing == Missing::kSkip),
      planner_(
          statements_,
          [this, keyspace = KeyspaceOf(query_)] { return session_->ring(keyspace, nullptr, clock_); }, &keys_,
          statements_->can_pin() ? static_cast<size_t>(options.RowsPerRequest()) : 1,
          statements_->can_pin() && options.hedge_after != HedgeAfter::kNever,
          static_cast<uint64_t>(clock->Now().time_since_epoch().count())) {}

RowFetcher::~RowFetcher() {
  for (const auto& [ticket, request] : in_flight_.requests()) planner_.Done(request.plan);
  // In a forked child the mailbox's lock may be held forever; nothing will be posted there.
  if (session_->CheckProcess().ok()) mailbox_->Close();
}

bool RowFetcher::HasRoom() const {
  if (window_.elements() == 0) return true;
  // Elements are bounded too: those without keys hold no rows, and there may be any number of them.
  if (window_.rows() >= control_.rows() || window_.elements() >= control_.rows()) return false;
  const auto coming = static_cast<double>(in_flight_rows_ + planner_.waiting());
  return static_cast<double>(*held_bytes_) + coming * control_.mean_row_bytes() <
         static_cast<double>(options_.MaxBufferedBytes());
}

void RowFetcher::Submit(const std::vector<Key>& keys) {
  const int64_t element = window_.next_index();
  std::vector<PendingKey*> wanted;
  wanted.reserve(keys.size());
  size_t duplicates = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    bool fresh;
    wanted.push_back(keys_.Want(keys[i], {element, i}, &fresh));
    if (fresh) {
      planner_.Add(wanted.back());
    } else {
      ++duplicates;
    }
  }
  window_.Add(std::move(wanted));
  control_.OnSubmitted(keys.size());
  if (duplicates > 0) metrics_.OnDuplicates(duplicates);
  if (session_->CheckProcess().ok()) SendWaiting(/*consumer_waits=*/false);
}

Status RowFetcher::Next(Element* element) {
  *element = {};
  TFCASS_RETURN_IF_ERROR(session_->CheckProcess());
  if (window_.elements() == 0) return FailedPrecondition("RowFetcher::Next() was called with nothing submitted");
  metrics_.OnNextBegin(clock_->Now());
  received_ = {};
  Status status;
  std::vector<Reply> replies;
  while (true) {
    if (!mailbox_->TakeAll(&replies)) {
      status = Cancelled(StrCat("the reading of ", query_.table, " was cancelled"));
      break;
    }
    for (Reply& reply : replies) OnReply(std::move(reply));
    OnTimers();
    const bool ready = window_.Ready();
    SendWaiting(/*consumer_waits=*/!ready);  // Before rows are returned: the next ones travel while these are copied.
    if (ready) {
      const size_t before = window_.rows();
      status = window_.Take(&keys_, element);
      control_.OnTaken(before - window_.rows(), clock_->Now());
      break;
    }
    const Clock::TimePoint until = in_flight_.NextTimer();
    if (until == Clock::TimePoint::max()) {
      status = Internal(StrCat("rows of ", query_.table, " are missing, and nobody was asked for them"));
      break;
    }
    const Clock::TimePoint began = clock_->Now();
    mailbox_->WaitUntil(until);
    const Clock::Duration waited = clock_->Now() - began;
    metrics_.OnWaited(waited);
    control_.OnWaited(waited);
  }
  metrics_.SetWindow(control_.rows(), *held_bytes_);
  metrics_.OnNextEnd(clock_->Now(), element->index >= 0);
  return status;
}

// --- sending

bool RowFetcher::MaySend(const PendingKey& key) const {
  if (in_flight_rows_ >= control_.in_flight_rows()) return false;
  const double coming = static_cast<double>(in_flight_rows_) * control_.mean_row_bytes();
  if (static_cast<double>(*held_bytes_) + coming < static_cast<double>(options_.MaxBufferedBytes())) return true;
  return window_.Needs(key, in_flight_rows_);  // What the consumer waits for is fetched however much is buffered.
}

void RowFetcher::SendWaiting(bool consumer_waits) {
  const Clock::TimePoint now = clock_->Now();
  if (planner_.waiting() > 0) planner_.Update(control_.mean_row_bytes(), control_.in_flight_rows());
  while (planner_.waiting() > 0 && MaySend(planner_.next())) {
    ++in_flight_rows_;
    planner_.PlanNext(now);
  }
  PlannedRequest request;
  while (planner_.TakeReady(now, &request)) Send(std::move(request), Attempt::kPlanned);
  // What waits must not be sent before a reply has come, and there is none to come: nothing will join the groups.
  const bool stuck = planner_.waiting() > 0 && in_flight_.requests().empty();
  if (!consumer_waits && !stuck) return;
  while (planner_.TakeDue(now, window_.awaited(), &request)) Send(std::move(request), Attempt::kPlanned);
}

void RowFetcher::Send(PlannedRequest plan, Attempt attempt) {
  const Clock::TimePoint now = clock_->Now();
  // A request that only doubles another one is no attempt of its own: it does not end the retries earlier.
  const bool extra = attempt == Attempt::kHedge || (plan.probe && plan.keys.front()->requests() > 1);
  Clock::Duration timeout = Clock::Duration::max();
  bool retry = false;
  for (PendingKey* key : plan.keys) {
    timeout = std::min(timeout, retry_.AttemptTimeout(key->tries));
    if (extra) continue;
    retry = retry || key->tries.attempts > 0;
    ++key->tries.attempts;
    key->counted = std::max(key->counted, now);
  }
  if (plan.kind == RequestKind::kFallback && !plan.keys.front()->fell_back) {
    plan.keys.front()->fell_back = true;
    metrics_.OnFallbacks(1);
  }
  metrics_.OnSent(attempt == Attempt::kHedge ? RequestKind::kHedged : plan.kind, retry && !extra);
  if (!extra) slow_.OnSent();
  planner_.Sent(plan);

  const StatementPtr statement = statements_->Bind(plan.keys, plan.host.get(), consistency_, timeout);
  Request request = Timed(std::move(plan), attempt, timeout);
  if (statement == nullptr) {
    planner_.Done(request.plan);
    return OnFailure(request, {CASS_ERROR_LIB_BAD_PARAMS, "the driver refuses this statement", now});
  }
  const uint64_t ticket = in_flight_.Add(std::move(request));
  // Last: the reply may arrive within this call.
  Mailbox::Expect(mailbox_, session_->api(), session_->Execute(statement.get()), ticket);
}

Request RowFetcher::Timed(PlannedRequest plan, Attempt attempt, Clock::Duration timeout) const {
  Request request;
  request.sent_at = clock_->Now();
  request.overdue_at = request.sent_at + timeout + kDriverGrace;
  request.timer_at = request.overdue_at;
  request.hedge = attempt == Attempt::kHedge;
  if (plan.host != nullptr) {
    request.hangs_at = request.sent_at + std::min<Clock::Duration>(SlowPolicy::HangAfter(*plan.host), timeout);
    request.timer = Request::Timer::kHanging;
    request.timer_at = request.hangs_at;
    const auto hedge_after = request.hedge || plan.probe ? std::nullopt : slow_.HedgeAfterOf(*plan.host);
    if (hedge_after.has_value() && request.sent_at + *hedge_after < request.hangs_at) {
      request.timer = Request::Timer::kSlow;
      request.timer_at = request.sent_at + *hedge_after;
    }
  }
  request.plan = std::move(plan);
  return request;
}

// --- replies

void RowFetcher::OnReply(Reply reply) {
  if (reply.ticket == kStatementTicket) return OnStatementChecked(reply);
  const std::optional<Request> taken = in_flight_.Take(reply.ticket);
  if (!taken.has_value()) return;  // Overdue, and given up.
  const Request& request = *taken;
  planner_.Done(request.plan);
  if (reply.future == nullptr) {
    return OnFailure(request, {CASS_ERROR_LIB_INTERNAL_ERROR, "the driver took no callback", reply.arrived});
  }
  const Clock::Duration latency = reply.arrived - request.sent_at;
  Host* const host = request.plan.host.get();
  metrics_.OnReply(host == nullptr ? std::string() : host->name(), latency);
  ++received_.replies;
  std::vector<const Host*>& hosts = received_.hosts;
  if (host != nullptr && std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
  const DriverApi& api = session_->api();
  const CassError error = api.cass_future_error_code(reply.future.get());
  if (error != CASS_OK) return OnFailure(request, {error, DriverMessage(api, reply.future.get()), reply.arrived});
  if (host != nullptr && !request.given_up) {  // A late reply of a host that hung says nothing about what it does now.
    host->latency().Record(std::chrono::duration_cast<std::chrono::microseconds>(latency), reply.arrived);
    host->MarkAnswered();
  }

  std::vector<Row> rows;
  const Status read =
      ReadRows(api, query_, Own(api, api.cass_future_get_result(reply.future.get())), held_bytes_, &rows);
  reply.future.reset();
  if (read.ok()) return OnRows(request, std::move(rows), reply.arrived);
  if (read.code() == StatusCode::kInternal) {  // Nonsense: smaller requests may fare better.
    return OnFailure(request, {CASS_ERROR_LIB_UNEXPECTED_RESPONSE, read.message(), reply.arrived});
  }
  for (PendingKey* key : request.plan.keys) {
    key->CountTime(reply.arrived);
    if (!key->settled()) GiveUp(key, request, read.code(), read.message());
    keys_.Answered(key);
  }
}

void RowFetcher::OnRows(const Request& request, std::vector<Row> rows, Clock::TimePoint arrived) {
  const std::vector<PendingKey*>& keys = request.plan.keys;
  const KeyMatcher matcher(keys);
  std::array<Row*, kMaxRowsPerRequest> row_of{};
  std::array<bool, kMaxRowsPerRequest> repeated{};
  const Row* stranger = nullptr;
  for (Row& row : rows) {
    const size_t place = matcher.Find(row.key);
    if (place == KeyMatcher::kNone) {
      stranger = &row;
    } else {
      repeated[place] = row_of[place] != nullptr;
      row_of[place] = &row;
    }
  }

  size_t settled = 0, found = 0, missing = 0;
  int64_t bytes = 0;
  const double jitter = stranger == nullptr ? 0 : retry_.Jitter();
  for (size_t i = 0; i < keys.size(); ++i) {
    PendingKey* const key = keys[i];
    key->CountTime(arrived);
    if (key->settled()) {
      // By a reply that came first.
    } else if (repeated[i]) {
      ++settled;
      GiveUp(key, request, StatusCode::kFailedPrecondition,
             StrCat("the table has several rows of this key: its primary key has more columns than ",
                    query_.key_column));
    } else if (row_of[i] != nullptr) {
      ++settled;
      ++found;
      bytes += CellBytes(*row_of[i]);
      SettleFound(key, std::move(*row_of[i]));
    } else if (stranger != nullptr) {
      // Then the key may not be missing either.
      TryAgain(key, request,
               {CASS_ERROR_LIB_UNEXPECTED_RESPONSE,
                StrCat("the reply has row ", ToUuidText(stranger->key), " instead, which was not asked for"), arrived},
               jitter);
    } else {
      ++settled;
      ++missing;
      SettleMissing(key, request);
    }
    keys_.Answered(key);
  }
  if (settled == 0) return;
  if (request.hedge) metrics_.OnHedgeWon();
  metrics_.OnRows(found, bytes, missing);
  received_.rows += found;
  received_.bytes += bytes;
  control_.OnReply(settled, found, bytes, request.sent_at, arrived,
                   reinterpret_cast<uintptr_t>(request.plan.host.get()));
}

void RowFetcher::OnFailure(const Request& request, const Failure& failure) {
  const std::vector<PendingKey*>& keys = request.plan.keys;
  const bool host_failed = IsRetriable(failure.error) && RemedyFor(failure.error) == Remedy::kElsewhere;
  if (request.plan.host != nullptr && host_failed && !request.given_up) {
    request.plan.host->MarkFailed(clock_->Now());
    session_->RefreshRing();
  }
  if (failure.error == CASS_ERROR_SERVER_OVERLOADED) control_.OnOverloaded(clock_->Now());
  const bool refused =
      failure.error == CASS_ERROR_SERVER_INVALID_QUERY || failure.error == CASS_ERROR_LIB_BAD_PARAMS;
  if (keys.size() > 1 && refused) statements_->Refused(keys.size(), query_.table, failure.message);

  if (failure.error == CASS_ERROR_LIB_NO_HOSTS_AVAILABLE) CheckStatement();

  const double jitter = retry_.Jitter();
  for (PendingKey* key : keys) {
    key->CountTime(failure.when);
    // Unless another request may still bring it.
    if (!key->settled() && key->requests() == 1) TryAgain(key, request, failure, jitter);
    keys_.Answered(key);
  }
}

void RowFetcher::TryAgain(PendingKey* key, const Request& request, const Failure& failure, double jitter) {
  const Clock::TimePoint now = clock_->Now();
  const bool grouped = request.plan.keys.size() > 1;
  const bool pinned = request.plan.host != nullptr;
  const bool retriable = IsRetriable(failure.error);
  const bool first = key->tries.attempts <= 1;
  const bool late = retry_.Late(key->tries);
  // Errors that are none of this key's own: of the group, or of how we ask.
  const bool ours = grouped || (pinned && failure.error == CASS_ERROR_LIB_BAD_PARAMS);
  if (IsOutage(failure.error)) ++key->tries.outages;

  if (failure.error == CASS_ERROR_LIB_NO_HOSTS_AVAILABLE && refusal_.has_value()) {
    return GiveUp(key, request, CodeOf(refusal_->error), refusal_->message);
  }
  if (!retriable && !ours) return GiveUp(key, request, CodeOf(failure.error), failure.message);
  if (!retriable || (grouped && RemedyFor(failure.error) == Remedy::kOther)) {
    // Smaller groups where the server said so, else it may be another key of the group that is to blame.
    key->alone = failure.error != CASS_ERROR_SERVER_INVALID_QUERY || !planner_.grouping();
    if (first && !late) return planner_.PlanAgain(key, request.plan.host.get(), now);
  }
  if (pinned && first && !late && RemedyFor(failure.error) == Remedy::kElsewhere) {
    return planner_.PlanAgain(key, request.plan.host.get(), now);  // To another host at once.
  }
  Clock::Duration delay;
  if (retry_.NextDelay(key->tries, jitter, &delay)) {
    key->tries.spent += delay;
    in_flight_.Delay({key, request.plan.host}, now + delay);
  } else if (pinned && !late) {
    // That it was asked of one host only, and with others, must cost it nothing: once more as the driver likes it.
    key->alone = true;
    planner_.PlanAgain(key, nullptr, now);
  } else {
    GiveUp(key, request, CodeOf(failure.error), failure.message);
  }
}

// When the table was changed, servers forget our statement and refuse to prepare it anew. The driver, which tries that
// by itself, tells "no hosts available" then and nothing of their words.
void RowFetcher::CheckStatement() {
  if (checking_statement_) return;
  checking_statement_ = true;
  Mailbox::Expect(mailbox_, session_->api(), session_->CheckStatement(query_), kStatementTicket);
}

void RowFetcher::OnStatementChecked(const Reply& reply) {
  checking_statement_ = false;
  refusal_.reset();
  if (reply.future == nullptr) return;
  const CassError error = session_->api().cass_future_error_code(reply.future.get());
  if (CodeOf(error) != StatusCode::kFailedPrecondition) return;
  refusal_ = Failure{error, DriverMessage(session_->api(), reply.future.get()), reply.arrived};
}

// --- timers

void RowFetcher::OnTimers() {
  const Clock::TimePoint now = clock_->Now();
  uint64_t ticket;
  while (Request* request = in_flight_.Due(now, &ticket)) {
    switch (request->timer) {
      case Request::Timer::kSlow:
        OnSlow(request, ticket);
        break;
      case Request::Timer::kHanging:
        OnHanging(request, ticket);
        break;
      case Request::Timer::kOverdue:
        OnOverdue(ticket);
        break;
    }
  }
  while (const auto again = in_flight_.TakeDelayed(now)) planner_.PlanAgain(again->key, again->failed.get(), now);
}

void RowFetcher::OnOverdue(uint64_t ticket) {
  const std::optional<Request> request = in_flight_.Take(ticket);
  planner_.Done(request->plan);
  OnFailure(*request, {CASS_ERROR_LIB_REQUEST_TIMED_OUT, "the driver gave no reply in time", request->overdue_at});
}

void RowFetcher::OnSlow(Request* request, uint64_t ticket) {
  const Clock::TimePoint now = clock_->Now();
  in_flight_.SetTimer(ticket, request, Request::Timer::kHanging, request->hangs_at);
  request->slow = true;
  if (OthersAreSlow(*request, now) || !slow_.TakeHedge()) return;
  std::vector<PendingKey*> open;
  for (PendingKey* key : request->plan.keys) {
    if (!key->settled()) open.push_back(key);
  }
  const std::shared_ptr<Host> host = request->plan.host;  // Sending may move `request`.
  for (PlannedRequest& hedge : planner_.Elsewhere(open, *host, now)) Send(std::move(hedge), Attempt::kHedge);
}

void RowFetcher::OnHanging(Request* request, uint64_t ticket) {
  const Clock::TimePoint now = clock_->Now();
  const Clock::TimePoint when = request->timer_at;
  in_flight_.SetTimer(ticket, request, Request::Timer::kOverdue, request->overdue_at);
  std::vector<PendingKey*> open;
  bool others = false;
  for (PendingKey* key : request->plan.keys) {
    others = others || planner_.HasOther(*key, *request->plan.host, now);
    if (!key->settled() && key->requests() == 1) open.push_back(key);
  }
  if (!others) return;  // Nobody else has these rows: whatever comes comes from there.
  request->given_up = true;
  const std::shared_ptr<Host> host = request->plan.host;  // Sending may move `request`.
  host->MarkFailed(now);
  for (PendingKey* key : open) key->CountTime(when);
  for (PlannedRequest& moved : planner_.Elsewhere(open, *host, now)) Send(std::move(moved), Attempt::kPlanned);
}

// Whether all other hosts that have something to do are slow too: then they have enough to do.
bool RowFetcher::OthersAreSlow(const Request& request, Clock::TimePoint now) const {
  std::set<const Host*> fast, slow;
  for (const auto& [ticket, other] : in_flight_.requests()) {
    const Host* const host = other.plan.host.get();
    if (host == nullptr || host == request.plan.host.get() || host->Shunned(now)) continue;
    (other.slow ? slow : fast).insert(host);
  }
  return fast.empty() && !slow.empty();
}

// --- outcomes

void RowFetcher::SettleFound(PendingKey* key, Row row) {
  key->outcome = PendingKey::Outcome::kFound;
  key->row = std::move(row);
  Settled(key);
}

void RowFetcher::SettleMissing(PendingKey* key, const Request& request) {
  if (options_.missing == Missing::kError) {
    return SettleFailed(key, NotFound(StrCat("no row ", ToUuidText(key->key), " in ", query_.table, " (",
                                             Circumstances(*key, request),
                                             "); ingest it again, or pass FetchOptions(missing=\"skip\")")));
  }
  key->outcome = PendingKey::Outcome::kMissing;
  key->row.key = key->key;
  Settled(key);
}

void RowFetcher::GiveUp(PendingKey* key, const Request& request, StatusCode code, const std::string& why) {
  if (code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded) session_->Doubt();
  metrics_.OnErrors(1);
  const std::string advice = AdviceFor(code);
  SettleFailed(key, {code, StrCat("cannot read row ", ToUuidText(key->key), " of ", query_.table, ": ", why, " (",
                                  Circumstances(*key, request), ")", advice.empty() ? "" : "; ", advice)});
}

void RowFetcher::SettleFailed(PendingKey* key, Status error) {
  key->outcome = PendingKey::Outcome::kFailed;
  key->error = std::move(error);
  Settled(key);
}

void RowFetcher::Settled(PendingKey* key) {
  --in_flight_rows_;
  window_.Settled(key);
}

std::string RowFetcher::Circumstances(const PendingKey& key, const Request& request) const {
  const std::string host = request.plan.host == nullptr ? "" : request.plan.host->name() + " of ";
  return StrCat("asked ", host, session_->description(), ", ", key.tries.attempts,
                key.tries.attempts == 1 ? " attempt" : " attempts", " in ",
                std::round(std::chrono::duration<double, std::milli>(key.tries.spent).count()) / 1e3,
                " s, consistency ", options_.consistency);
}

}  // namespace tfcass
