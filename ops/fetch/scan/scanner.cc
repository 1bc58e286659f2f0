#include "ops/fetch/scan/scanner.h"

#include <algorithm>
#include <cmath>

#include "ops/fetch/consistency.h"
#include "ops/fetch/driver_errors.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

CassConsistency ConsistencyOf(const FetchOptions& options) {
  CassConsistency consistency = CASS_CONSISTENCY_LOCAL_ONE;
  ParseConsistency(options.consistency, &consistency);  // Validate() knows the same names.
  return consistency;
}

bool Varies(const ScanSpec& spec) {
  return std::any_of(spec.columns.begin(), spec.columns.end(),
                     [](const ScanColumn& column) { return column.layout == Layout::kBytes; });
}

// No page may be larger than the consumer's bounds, shared by those who read.
int64_t MostRows(const FetchOptions& options, int64_t readers) {
  if (options.rows_per_request != kAutotune) return options.rows_per_request;
  if (options.max_in_flight != kAutotune) return std::max<int64_t>(1, options.max_in_flight / readers);
  return INT64_MAX;
}

// The page may have been too much for the server, or for the time it had.
bool MayBeTooLarge(CassError error) {
  return error == CASS_ERROR_LIB_REQUEST_TIMED_OUT || error == CASS_ERROR_SERVER_READ_TIMEOUT ||
         error == CASS_ERROR_SERVER_READ_FAILURE || error == CASS_ERROR_SERVER_SERVER_ERROR;
}

// Numbers go big-endian over the wire.
std::string BigEndian(int64_t number) {
  std::string bytes(sizeof(number), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(static_cast<uint64_t>(number) >> (56 - 8 * i));
  return bytes;
}

const char* AdviceFor(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
      return "; check that the nodes are up, or raise FetchOptions(max_retries, timeout_s)";
    case StatusCode::kDeadlineExceeded:
      return "; check the load of the nodes, or raise FetchOptions(timeout_s)";
    case StatusCode::kFailedPrecondition:
      return "; check that the table and its columns are still there, and the user's SELECT permission";
    default:
      return "";
  }
}

}  // namespace

Status Scanner::Create(std::shared_ptr<Session> session, const ScanSpec& spec, const FetchOptions& options,
                       const std::string& state, std::unique_ptr<Scanner>* scanner, Clock* clock) {
  TFCASS_RETURN_IF_ERROR(options.Validate());
  TFCASS_RETURN_IF_ERROR(session->CheckProcess());
  ScanState begin;
  if (!state.empty()) {
    TFCASS_RETURN_IF_ERROR(ScanState::Parse(state, spec.Fingerprint(), &begin));
  } else if (!spec.by_partition) {
    begin.waiting = {{}};
  } else if (!spec.partitions.empty()) {
    begin.waiting = {{0, static_cast<int64_t>(spec.partitions.size())}};
  }
  scanner->reset(new Scanner(std::move(session), spec, options, std::move(begin), clock));
  return OkStatus();
}

Scanner::Scanner(std::shared_ptr<Session> session, ScanSpec spec, const FetchOptions& options, ScanState state,
                 Clock* clock)
    : session_(std::move(session)),
      spec_(std::move(spec)),
      cql_(spec_.Cql()),
      options_(options),
      consistency_(ConsistencyOf(options)),
      clock_(clock),
      mailbox_(std::make_shared<Mailbox>(clock)),
      metrics_(MetricsOf(options.metrics_id)),
      queue_(std::make_unique<RangeQueue>(spec_.by_partition ? std::vector<ScanRange>() : state.waiting, kReaders)),
      partitions_(spec_.by_partition ? state.waiting : std::vector<ScanRange>()),
      sizer_(Varies(spec_), MostRows(options, kReaders)),
      retry_(options, static_cast<uint64_t>(clock->Now().time_since_epoch().count())),
      random_(static_cast<uint64_t>(clock->Now().time_since_epoch().count())) {
  for (const ScanPart& begun : state.begun) {
    Part part;
    part.range = begun.range;
    part.delivered = part.next = begun.position;
    parts_.emplace(begun.range.after, std::move(part));
  }
}

Scanner::~Scanner() {
  // In a forked child the mailbox's lock may be held forever; nothing will be posted there.
  if (!session_->CheckProcess().ok()) return;
  mailbox_->Close();
  for (auto& [first, part] : parts_) Release(&part);
}

std::string Scanner::Save() const {
  ScanState state;
  state.fingerprint = spec_.Fingerprint();
  state.waiting = Waiting();
  for (const auto& [first, part] : parts_) {
    if (part.delivered.total > 0 || !part.delivered.paging_state.empty()) {
      state.begun.push_back({part.range, part.delivered});
    } else {
      state.waiting.push_back(part.range);
    }
  }
  std::sort(state.waiting.begin(), state.waiting.end(),
            [](const ScanRange& a, const ScanRange& b) { return a.after < b.after; });
  return state.Serialize();
}

Status Scanner::Next(size_t most_rows, Clock::TimePoint until, ScanSlice* slice) {
  *slice = {};
  TFCASS_RETURN_IF_ERROR(session_->CheckProcess());
  metrics_.OnNextBegin(clock_->Now());
  const Status status = Advance(most_rows, until, slice);
  metrics_.SetWindow(static_cast<size_t>(rows_ahead_), bytes_ahead_);
  metrics_.OnNextEnd(clock_->Now(), slice->rows > 0 || !status.ok());
  return status;
}

Status Scanner::Advance(size_t most_rows, Clock::TimePoint until, ScanSlice* slice) {
  if (!begun_) Begin();
  std::vector<Reply> replies;
  while (true) {
    if (!mailbox_->TakeAll(&replies)) return Cancelled(StrCat("the scan of ", spec_.table, " was cancelled"));
    for (Reply& reply : replies) OnReply(std::move(reply));
    OnTimers();
    Ask();  // Before rows are handed out: the next ones travel while the caller copies these.
    while (Part* part = Ready()) {
      if (part->pages.empty()) {
        const Status error = std::exchange(part->error, OkStatus());  // And so it is asked for again.
        if (!options_.deterministic) ready_.pop_front();
        changed_ = true;
        return error;
      }
      Hand(part, most_rows, slice);
      if (slice->rows > 0) return OkStatus();
    }
    if (parts_.empty() && Waiting().empty()) {
      slice->end = true;
      return OkStatus();
    }
    if (changed_) continue;  // Pages without rows made room.

    const Clock::TimePoint before = clock_->Now();
    if (before >= until) return OkStatus();
    if (timers_.empty()) return Internal(StrCat("rows of ", spec_.table, " are missing, and nobody was asked for them"));
    mailbox_->WaitUntil(std::min(until, timers_.begin()->first));
    metrics_.OnWaited(clock_->Now() - before);
  }
}

// The part whose page, or error, is the next to be handed out; null when that is not there.
Scanner::Part* Scanner::Ready() {
  if (!options_.deterministic) return ready_.empty() ? nullptr : &parts_.at(ready_.front());
  if (parts_.empty() || !IsFront(parts_.begin()->first)) return nullptr;
  Part& part = parts_.begin()->second;
  return part.pages.empty() && part.error.ok() ? nullptr : &part;
}

// Whether no part and no range lies before it.
bool Scanner::IsFront(int64_t part) const {
  return (parts_.empty() || part <= parts_.begin()->first) && (Waiting().empty() || part <= Waiting().front().after);
}

void Scanner::Hand(Part* part, size_t most_rows, ScanSlice* slice) {
  Page& page = part->pages.front();
  const size_t rows = std::min(most_rows, page.columns->rows - page.taken);
  if (rows > 0) *slice = {page.columns, page.taken, rows, false, part->range.after, page.number};
  page.taken += rows;
  if (page.taken == page.columns->rows) return EndPage(part);
  const int64_t place = page.columns->SourceOf(page.taken - 1) + 1;
  part->delivered = {page.begin.paging_state, place, page.begin.total - page.begin.skip + place};
}

void Scanner::EndPage(Part* part) {
  const Page& page = part->pages.front();
  rows_ahead_ -= page.columns->source_rows;
  bytes_ahead_ -= page.columns->bytes;
  part->delivered = page.end;
  part->pages.pop_front();
  if (!options_.deterministic) ready_.pop_front();
  if (!part->more && part->pages.empty()) parts_.erase(part->range.after);
  changed_ = true;
}

// Finds out who owns what: a round trip the first time in a session.
void Scanner::Begin() {
  begun_ = true;
  if (spec_.by_partition || session_->api().cass_statement_set_host_n == nullptr) return;
  ring_ = session_->ring(spec_.Keyspace(), nullptr, clock_);
  if (ring_ == nullptr) return;
  readers_ = std::max(kReaders, kReadersOfHost * ring_->hosts().size());
  std::vector<int64_t> tokens;
  for (const TokenRange& range : ring_->Ranges()) tokens.push_back(range.end);
  queue_ = std::make_unique<RangeQueue>(CutAt(queue_->ranges(), std::move(tokens)), static_cast<int64_t>(readers_));
}

void Scanner::Ask() {
  if (!changed_) return;
  changed_ = false;
  if (ring_ != nullptr) {
    auto latest = session_->ring(spec_.Keyspace(), nullptr, clock_);
    if (latest != nullptr) ring_ = std::move(latest);
  }
  while (on_the_way_ < (sizer_.probing() ? 1 : readers_)) {
    Part* part = NextToAsk();
    if (part == nullptr) part = BeginPart();
    if (part == nullptr) return;
    part->asked = true;
    part->tries = {};
    part->asked_last = nullptr;
    part->rows = sizer_.Rows();
    Send(part);
  }
}

Scanner::Part* Scanner::NextToAsk() {
  for (auto& [first, part] : parts_) {
    if (part.more && !part.asked && part.error.ok() && Fits(&part, first) && HasFreeOwner(part.range.upto)) {
      return &part;
    }
  }
  return nullptr;
}

Scanner::Part* Scanner::BeginPart() {
  if (Waiting().empty() || !Fits(nullptr, Waiting().front().after)) return nullptr;
  const auto reading = static_cast<size_t>(
      std::count_if(parts_.begin(), parts_.end(), [](const auto& entry) { return entry.second.more; }));
  if (reading >= readers_ || parts_.size() >= readers_ * kPartsAhead) return nullptr;
  Part part;
  if (spec_.by_partition) {
    ScanRange& first = partitions_.front();
    part.range = {first.after, first.after + 1};
    if (++first.after == first.upto) partitions_.erase(partitions_.begin());
  } else if (!queue_->Take([this](int64_t token) { return HasFreeOwner(token); }, &part.range)) {
    return nullptr;
  }
  return &parts_.emplace(part.range.after, std::move(part)).first->second;
}

// Whether one of its owners has not enough to do.
bool Scanner::HasFreeOwner(int64_t token) const {
  if (ring_ == nullptr) return true;
  const Owners owners = ring_->OwnersOf(token);
  const size_t most = std::max(kReadersOfHost, readers_ / std::max<size_t>(1, ring_->hosts().size()));
  return owners.empty() || std::any_of(owners.begin(), owners.end(), [&](const std::shared_ptr<Host>& owner) {
           const auto load = at_host_.find(owner.get());
           return load == at_host_.end() || load->second < most;
         });
}

// Whom to ask for the part's page; null: whomever the driver likes.
std::shared_ptr<Host> Scanner::OwnerFor(const Part& part) {
  if (ring_ == nullptr) return nullptr;
  const Owners owners = ring_->OwnersOf(part.range.upto);
  if (part.tries.attempts > 0 && part.tries.attempts >= static_cast<int64_t>(owners.size())) return nullptr;
  return Choose(owners, &random_, clock_->Now(), part.asked_last.get());
}

// Whether there is room for a page of `part`, or of the new part that begins at `first_token`.
bool Scanner::Fits(const Part* part, int64_t first_token) const {
  if (rows_ahead_ == 0 && bytes_ahead_ == 0) return true;
  // In order, what lies behind must not keep the rows from coming that everybody waits for.
  if (options_.deterministic && IsFront(first_token) && (part == nullptr || part->pages.empty())) return true;
  const int64_t rows = sizer_.Rows();
  if (options_.max_in_flight != kAutotune && rows_ahead_ + rows > options_.max_in_flight) return false;
  return bytes_ahead_ + sizer_.Bytes(rows) <= options_.MaxBufferedBytes();
}

void Scanner::Send(Part* part) {
  const Clock::Duration timeout = retry_.AttemptTimeout(part->tries);
  part->host = OwnerFor(*part);
  if (part->host != nullptr) {
    part->host->AddOutstanding(part->rows);
    ++at_host_[part->host.get()];
  }
  const StatementPtr statement = Bind(*part, timeout);
  metrics_.OnSent(RequestKind::kGrouped, part->tries.attempts++ > 0);
  part->sent = true;
  part->sent_at = clock_->Now();
  part->bytes = sizer_.Bytes(part->rows);
  rows_ahead_ += part->rows;
  bytes_ahead_ += part->bytes;
  ++on_the_way_;
  SetTimer(part, part->sent_at + timeout + kDriverGrace);
  // Last: the reply may arrive within this call.
  Mailbox::Expect(mailbox_, session_->api(), session_->Execute(statement.get()), part->ticket);
}

// Not prepared: a page is work enough that parsing its statement does not count, values need no type of theirs to be
// known, and a reply tells its own column types.
StatementPtr Scanner::Bind(const Part& part, Clock::Duration timeout) const {
  const DriverApi& api = session_->api();
  std::vector<std::string> values;
  if (spec_.by_partition) {
    values = spec_.partitions[static_cast<size_t>(part.range.after)];
  } else {
    values = {BigEndian(part.range.after), BigEndian(part.range.upto)};
  }
  values.insert(values.end(), spec_.values.begin(), spec_.values.end());
  StatementPtr statement = Own(api, api.cass_statement_new_n(cql_.data(), cql_.size(), values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    api.cass_statement_bind_bytes(statement.get(), i, reinterpret_cast<const uint8_t*>(values[i].data()),
                                  values[i].size());
  }
  api.cass_statement_set_consistency(statement.get(), consistency_);
  api.cass_statement_set_is_idempotent(statement.get(), cass_true);
  const auto timeout_ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  api.cass_statement_set_request_timeout(statement.get(), std::max<int64_t>(1, timeout_ms));  // 0 would mean none.
  api.cass_statement_set_paging_size(statement.get(), static_cast<int>(part.rows));
  if (part.host != nullptr) {
    const std::string& address = part.host->address();
    api.cass_statement_set_host_n(statement.get(), address.data(), address.size(), part.host->port());
  }
  const std::string& state = part.next.paging_state;
  if (!state.empty()) api.cass_statement_set_paging_state_token(statement.get(), state.data(), state.size());
  return statement;
}

void Scanner::SetTimer(Part* part, Clock::TimePoint when) {
  part->ticket = next_ticket_++;
  part->timer = when;
  tickets_.emplace(part->ticket, part->range.after);
  timers_.emplace(when, part->ticket);
}

// The part that waits under this ticket, which is then used up; null when it is already.
Scanner::Part* Scanner::Answered(uint64_t ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return nullptr;  // Overdue, and given up.
  Part& part = parts_.at(found->second);
  tickets_.erase(found);
  timers_.erase({part.timer, ticket});
  if (part.sent) {
    rows_ahead_ -= part.rows;
    bytes_ahead_ -= part.bytes;
    --on_the_way_;
    changed_ = true;
    part.asked_last = part.host;
    Release(&part);
  }
  return &part;
}

void Scanner::Release(Part* part) {
  if (part->host == nullptr) return;
  part->host->RemoveOutstanding(part->rows);
  --at_host_[part->host.get()];
  part->host = nullptr;
}

void Scanner::OnReply(Reply reply) {
  Part* part = Answered(reply.ticket);
  if (part == nullptr) return;
  if (reply.future == nullptr) return OnError(part, CASS_ERROR_LIB_INTERNAL_ERROR, "the driver took no callback");

  const Clock::Duration taken = reply.arrived - part->sent_at;
  metrics_.OnReply(part->asked_last == nullptr ? std::string() : part->asked_last->name(), taken);
  part->tries.spent += taken;
  const DriverApi& api = session_->api();
  const CassError error = api.cass_future_error_code(reply.future.get());
  if (error != CASS_OK) return OnError(part, error, DriverMessage(api, reply.future.get()));
  if (part->asked_last != nullptr) part->asked_last->MarkAnswered();
  const ResultPtr result = Own(api, api.cass_future_get_result(reply.future.get()));
  OnPage(part, result.get());
}

void Scanner::OnTimers() {
  const Clock::TimePoint now = clock_->Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Part* part = Answered(timers_.begin()->second);
    if (part->sent) {
      part->tries.spent += now - part->sent_at;
      OnError(part, CASS_ERROR_LIB_REQUEST_TIMED_OUT, "the driver gave no reply in time");
    } else {
      Send(part);
    }
  }
}

void Scanner::OnPage(Part* part, const CassResult* result) {
  const DriverApi& api = session_->api();
  auto columns = std::make_shared<ColumnPage>();
  const Status read = ReadPage(api, spec_, result, part->next.skip, columns.get());
  if (!read.ok()) return GiveUp(part, read.code(), read.message());

  Page page;
  page.number = part->number++;
  page.begin = part->next;
  part->asked = false;
  part->more = api.cass_result_has_more_pages(result) == cass_true;
  ScanPosition& end = page.end;
  const int64_t here = page.begin.total - page.begin.skip + columns->source_rows;
  end.skip = std::max<int64_t>(0, page.begin.skip - columns->source_rows);  // After a restart: further pages to skip.
  end.total = here + end.skip;
  if (part->more) {
    const char* state = nullptr;
    size_t size = 0;
    if (api.cass_result_paging_state_token(result, &state, &size) != CASS_OK || size == 0) {
      return GiveUp(part, StatusCode::kInternal, "a reply says that there are more pages, and not how to ask for them");
    }
    end.paging_state.assign(state, size);
  }
  part->next = end;

  sizer_.OnPage(columns->source_rows, columns->bytes);
  queue_->OnBytes(columns->bytes);
  if (!part->more) queue_->OnEnd(here == 0);
  rows_ahead_ += columns->source_rows;
  bytes_ahead_ += columns->bytes;
  metrics_.OnRows(columns->rows, columns->bytes, 0);
  page.columns = std::move(columns);
  part->pages.push_back(std::move(page));
  if (!options_.deterministic) ready_.push_back(part->range.after);
}

void Scanner::OnError(Part* part, CassError error, const std::string& message) {
  if (part->asked_last != nullptr && IsRetriable(error) && RemedyFor(error) == Remedy::kElsewhere) {
    part->asked_last->MarkFailed(clock_->Now());
    session_->RefreshRing();
  }
  if (IsOutage(error)) ++part->tries.outages;
  Clock::Duration delay;
  if (IsRetriable(error) && retry_.NextDelay(part->tries, retry_.Jitter(), &delay)) {
    if (MayBeTooLarge(error)) part->rows = std::max<int64_t>(1, part->rows / 4);
    part->sent = false;
    part->tries.spent += delay;
    return SetTimer(part, clock_->Now() + delay);
  }
  // A node of another version may not understand another's paging state. The part is then read anew from its beginning,
  // without the rows that were received; and again only if that brought new ones.
  const bool refused = error == CASS_ERROR_SERVER_PROTOCOL_ERROR || error == CASS_ERROR_SERVER_INVALID_QUERY;
  if (refused && !part->next.paging_state.empty() && part->next.total > part->restarted_at) {
    part->restarted_at = part->next.total;
    part->next = {"", part->next.total, part->next.total};
    part->asked = false;
    return;
  }
  GiveUp(part, CodeOf(error), message);
}

void Scanner::GiveUp(Part* part, StatusCode code, const std::string& why) {
  metrics_.OnErrors(1);
  if (code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded) session_->Doubt();
  const double seconds = std::round(std::chrono::duration<double, std::milli>(part->tries.spent).count()) / 1e3;
  part->error = {code, StrCat("cannot read a page of ", spec_.table, ": ", why, " (asked ", session_->description(),
                              ", ", part->tries.attempts, part->tries.attempts == 1 ? " attempt" : " attempts", " in ", seconds,
                              " s, consistency ", options_.consistency, ")", AdviceFor(code))};
  part->asked = false;
  if (!options_.deterministic) ready_.push_back(part->range.after);
}

}  // namespace tfcass
