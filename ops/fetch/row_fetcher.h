// RowFetcher turns keys into rows, keeping a bounded window of them on the way.
//
// Terms    Element: the keys of one Submit(), returned together by one Next(). Window: rows submitted and not returned.
//          In flight: rows planned or asked for and not yet settled, those waiting for another attempt included.
// Threads  Submit(), HasRoom(), Pending(), Next(): one consumer at a time. Cancel(): any thread, any number of times.
//          Replies arrive on driver threads, and touch the mailbox only.
// Owns     Its requests and its share of the mailbox, and holds the Session. Destruction returns at once whatever is in
//          flight: late replies find the mailbox closed.
//
//   while (input left && fetcher->HasRoom()) fetcher->Submit(keys of the next element);
//   if (fetcher->Pending() == 0) the end; else status = fetcher->Next(&element);
//
// Submit what there is before Next(): it takes for granted that nothing more comes before it returns, and sends what is
// still waiting for company.
//
// The window holds as many rows as WindowControl says, or max_in_flight, and fewer where rows of the mean size seen
// would exceed max_buffered_bytes, in which replies count as long as somebody holds a row of theirs. No more than that
// many rows are in flight even if one element has more keys; such an element is buffered whole, as it has to be.
//
// The parts: pending_key.h (what is known of a key), element_window.h (where rows go), request_plan.h (which keys
// travel together, and where to), requests_in_flight.h (what is under way), hedging.h (what is slow), retry.h (what is
// tried again). This is what they have to do with each other.
#ifndef TFCASS_OPS_FETCH_ROW_FETCHER_H_
#define TFCASS_OPS_FETCH_ROW_FETCHER_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/driver_errors.h"
#include "ops/fetch/element_window.h"
#include "ops/fetch/hedging.h"
#include "ops/fetch/key.h"
#include "ops/fetch/mailbox.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/options.h"
#include "ops/fetch/pending_key.h"
#include "ops/fetch/query.h"
#include "ops/fetch/read_statements.h"
#include "ops/fetch/reply_reader.h"
#include "ops/fetch/request_plan.h"
#include "ops/fetch/requests_in_flight.h"
#include "ops/fetch/retry.h"
#include "ops/fetch/row.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"
#include "ops/fetch/window_control.h"

namespace tfcass {

class RowFetcher {
 public:
  // Prepares the statement: a round trip the first time in a session, bounded by the cluster's connect timeout.
  // Likewise, for the first of a keyspace, for the token ring. FailedPrecondition when the table, a column or the key
  // column's type is not what `query` says. `clock` must outlive the fetcher.
  static Status Create(std::shared_ptr<Session> session, const QuerySpec& query, const FetchOptions& options,
                       std::unique_ptr<RowFetcher>* fetcher, Clock* clock = Clock::Real());
  ~RowFetcher();

  RowFetcher(const RowFetcher&) = delete;
  RowFetcher& operator=(const RowFetcher&) = delete;

  // Whether the window takes another element now. Always true when it is empty.
  bool HasRoom() const;

  // Takes the next element: one key, many, or none. Never blocks, and takes it even without room.
  void Submit(const std::vector<Key>& keys);

  // Elements submitted and not yet returned.
  size_t Pending() const { return window_.elements(); }

  // Waits for the next element: in the order of Submit() if deterministic, else filled with the rows that came first
  // (row.h). An element of no keys is complete at once, in its turn. Under Missing::kSkip, an element may come with
  // fewer rows than keys, or none. An error sets index, and taken unless deterministic: the next call goes on behind.
  // CANCELLED, at once, after Cancel(). FailedPrecondition if nothing is pending, or in a forked child.
  Status Next(Element* element);

  void Cancel() { mailbox_->Cancel(); }

  // What came in during the last Next(), and what is held since, for who watches.
  struct Received {
    size_t replies = 0;
    size_t rows = 0;                 // Found.
    int64_t bytes = 0;               // Of their cells.
    std::vector<const Host*> hosts;  // That answered, each once; those of requests that were pinned to one.
  };
  const Received& received() const { return received_; }
  size_t window_rows() const { return window_.rows(); }
  int64_t held_bytes() const { return *held_bytes_; }

 private:
  // The driver keeps the deadline of an attempt; we step in when it is this late.
  static constexpr auto kDriverGrace = std::chrono::milliseconds(500);

  // The ticket of the reply that tells what the server thinks of our statement.
  static constexpr uint64_t kStatementTicket = std::numeric_limits<uint64_t>::max();

  // Why a request is sent.
  enum class Attempt {
    kPlanned,  // As its keys are due.
    kHedge,    // As another one is slow, which may still answer first.
  };
  // Why a request brought no rows.
  struct Failure {
    CassError error;
    std::string message;
    Clock::TimePoint when;
  };

  RowFetcher(std::shared_ptr<Session> session, QuerySpec query, const FetchOptions& options,
             std::shared_ptr<ReadStatements> statements, Clock* clock);

  bool MaySend(const PendingKey& key) const;
  void SendWaiting(bool consumer_waits);
  void Send(PlannedRequest plan, Attempt attempt);
  Request Timed(PlannedRequest plan, Attempt attempt, Clock::Duration timeout) const;

  void OnReply(Reply reply);
  void OnRows(const Request& request, std::vector<Row> rows, Clock::TimePoint arrived);
  void OnFailure(const Request& request, const Failure& failure);
  void TryAgain(PendingKey* key, const Request& request, const Failure& failure, double jitter);

  void CheckStatement();
  void OnStatementChecked(const Reply& reply);

  void OnTimers();
  void OnSlow(Request* request, uint64_t ticket);
  void OnHanging(Request* request, uint64_t ticket);
  void OnOverdue(uint64_t ticket);
  bool OthersAreSlow(const Request& request, Clock::TimePoint now) const;

  void SettleFound(PendingKey* key, Row row);
  void SettleMissing(PendingKey* key, const Request& request);
  void SettleFailed(PendingKey* key, Status error);
  void GiveUp(PendingKey* key, const Request& request, StatusCode code, const std::string& why);
  void Settled(PendingKey* key);
  std::string Circumstances(const PendingKey& key, const Request& request) const;

  const std::shared_ptr<Session> session_;
  const QuerySpec query_;
  const FetchOptions options_;
  const CassConsistency consistency_;
  const std::shared_ptr<ReadStatements> statements_;
  Clock* const clock_;
  const std::shared_ptr<Mailbox> mailbox_;  // Shared with the callbacks; all else is the consumer's.
  const std::shared_ptr<HeldBytes> held_bytes_ = std::make_shared<HeldBytes>(0);  // Shared with the rows.

  MetricsSink metrics_;
  WindowControl control_;
  RetryPolicy retry_;
  SlowPolicy slow_;
  KeyTable keys_;
  ElementWindow window_;
  RequestPlanner planner_;
  RequestsInFlight in_flight_;
  size_t in_flight_rows_ = 0;
  Received received_;
  bool checking_statement_ = false;
  std::optional<Failure> refusal_;  // The server's words about our statement, if it will not have it any more.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_ROW_FETCHER_H_
