// RowFetcher turns keys into rows, keeping a bounded window of them on the way.
//
// Terms    Element: the keys of one Submit(), returned together by one Next(). Window: rows submitted and not returned.
//          In flight: rows asked for and not yet settled, those waiting for another attempt included.
// Threads  Submit(), HasRoom(), Pending(), Next(): one consumer at a time. Cancel(): any thread, any number of times.
//          Replies arrive on driver threads, and touch the mailbox only.
// Owns     Its requests and its share of the mailbox, and holds the Session. Destruction returns at once whatever is in
//          flight: late replies find the mailbox closed.
//
//   while (input left && fetcher->HasRoom()) fetcher->Submit(keys of the next element);
//   if (fetcher->Pending() == 0) the end; else status = fetcher->Next(&element);
//
// The window holds max_in_flight rows, or fewer where rows of the mean size seen would exceed max_buffered_bytes. No
// more than that many rows are in flight even if one element has more keys; such an element is buffered whole, as it
// has to be.
#ifndef TFCASS_OPS_FETCH_ROW_FETCHER_H_
#define TFCASS_OPS_FETCH_ROW_FETCHER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/element_window.h"
#include "ops/fetch/key.h"
#include "ops/fetch/mailbox.h"
#include "ops/fetch/options.h"
#include "ops/fetch/query.h"
#include "ops/fetch/request_plan.h"
#include "ops/fetch/retry.h"
#include "ops/fetch/row.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"

namespace tfcass {

class RowFetcher {
 public:
  // Prepares the statement: a round trip the first time in a session, bounded by the cluster's connect timeout.
  // FailedPrecondition when the table, a column or the key column's type is not what `query` says. `clock` must outlive
  // the fetcher.
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

  // Waits for the next element: in the order of Submit() if deterministic, else the first that is complete. An element
  // of no keys is complete at once. Under Missing::kSkip, an element may come with fewer rows than keys, or none. An
  // error concerns one element, which counts as returned and whose index is set: the next call goes on with the next
  // element. CANCELLED, at once, after Cancel(). FailedPrecondition if nothing is pending, or in a forked child.
  Status Next(Element* element);

  void Cancel() { mailbox_->Cancel(); }

 private:
  // Rows in flight until the first one tells how large rows are.
  static constexpr size_t kProbeRows = 32;
  // The driver keeps the deadline of an attempt; we step in when it is this late.
  static constexpr auto kDriverGrace = std::chrono::milliseconds(500);

  struct Request {
    PlannedRequest plan;
    int64_t attempts = 0;
    bool sent = false;                                // Else it waits for its next attempt.
    Clock::TimePoint sent_at;                         // Of the last attempt.
    Clock::Duration spent = Clock::Duration::zero();  // By attempts and delays, and not while nobody called Next().
    Clock::TimePoint timer;                           // When the reply is overdue, or the next attempt due.
  };
  using Requests = std::unordered_map<uint64_t, Request>;  // By ticket, which each attempt has its own of.

  RowFetcher(std::shared_ptr<Session> session, QuerySpec query, const FetchOptions& options,
             std::unique_ptr<RequestPlanner> planner, Clock* clock);

  size_t WindowRows() const;
  void SendWaiting();
  void Send(Request request);
  void OnReply(Reply reply);
  void OnTimers();
  void OnRows(const Request& request, std::vector<Row> rows);
  void OnError(Request request, CassError error, const std::string& message);
  void SetTimer(uint64_t ticket, Request* request, Clock::TimePoint when);
  Request Extract(Requests::iterator request);
  void SettleMissing(const KeySlot& slot, const Request& request);
  void FailAll(const Request& request, StatusCode code, const std::string& why, const std::string& advice);
  std::string Circumstances(const Request& request) const;

  const std::shared_ptr<Session> session_;
  const QuerySpec query_;
  const FetchOptions options_;
  Clock* const clock_;
  const std::shared_ptr<Mailbox> mailbox_;  // Shared with the callbacks; all else is the consumer's.

  const std::unique_ptr<RequestPlanner> planner_;
  ElementWindow window_;
  RetryPolicy retry_;
  Requests requests_;
  std::set<std::pair<Clock::TimePoint, uint64_t>> timers_;  // One for each of requests_.
  uint64_t next_ticket_ = 0;
  size_t in_flight_rows_ = 0;
  double mean_row_bytes_ = 0;  // 0: none seen.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_ROW_FETCHER_H_
