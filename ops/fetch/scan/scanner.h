// Scanner reads every row of a table, or of some partitions of it, exactly once: many ranges of tokens at a time, each
// page by page, and no more pages ahead of the consumer than the bounds allow.
//
// Pages of a range go to one of its owners where those are known (Session::ring), each attempt to another one, and after
// all owners wherever the driver likes.
//
// Terms    Part: what is read one page after the other: a range of tokens, or a partition. Asked: its next page is on
//          the way, or waits for another attempt. Position: how far a part was handed out (scan_state.h).
// Threads  Next(), Save(): one consumer at a time. Cancel(): any thread, any number of times. Replies arrive on driver
//          threads, and touch the mailbox only.
// Owns     Its requests and its share of the mailbox, and holds the Session. Destruction returns at once whatever is on
//          the way: late replies find the mailbox closed.
//
//   do status = scanner->Next(rows wanted, until, &slice); while (status.ok() && !slice.end);
//
// Of the options, rows_per_request bounds a page; max_in_flight the rows, and max_buffered_bytes the bytes by the mean
// size seen, that are on the way or were not handed out. One page is always allowed. timeout_s and max_retries are of a
// page. `missing` is the caller's to treat: here a null is a null.
#ifndef TFCASS_OPS_FETCH_SCAN_SCANNER_H_
#define TFCASS_OPS_FETCH_SCAN_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/mailbox.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/options.h"
#include "ops/fetch/retry.h"
#include "ops/fetch/ring/choose.h"
#include "ops/fetch/ring/ring.h"
#include "ops/fetch/scan/column_page.h"
#include "ops/fetch/scan/page_sizer.h"
#include "ops/fetch/scan/scan_range.h"
#include "ops/fetch/scan/scan_spec.h"
#include "ops/fetch/scan/scan_state.h"
#include "ops/fetch/session.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Some rows that lie next to each other in a page.
struct ScanSlice {
  std::shared_ptr<const ColumnPage> page;  // Null: no rows.
  size_t first = 0;
  size_t rows = 0;
  bool end = false;  // All rows were handed out before.

  // Sorted by (part, number), pages are in the order of the tokens, or of ScanSpec::partitions.
  int64_t part = 0;
  int64_t number = 0;
};

class Scanner {
 public:
  // `state`: what Save() gave, to go on from there; empty: from the beginning. Sends nothing yet. InvalidArgument when
  // the state is not of this spec. `clock` must outlive the scanner.
  static Status Create(std::shared_ptr<Session> session, const ScanSpec& spec, const FetchOptions& options,
                       const std::string& state, std::unique_ptr<Scanner>* scanner, Clock* clock = Clock::Real());
  ~Scanner();

  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;

  // Waits for rows and hands out up to `most_rows` of them: in the order of the tokens if options.deterministic, else as
  // they come. Without rows and without `end` when `until` has come. An error concerns one page, which the next call
  // asks for again, so that nothing is lost whatever the caller makes of it. CANCELLED, at once, after Cancel().
  Status Next(size_t most_rows, Clock::TimePoint until, ScanSlice* slice);

  // How far the slices reach that were handed out.
  std::string Save() const;

  void Cancel() { mailbox_->Cancel(); }

 private:
  // The driver keeps the deadline of an attempt; we step in when it is this late.
  static constexpr auto kDriverGrace = std::chrono::milliseconds(500);
  static constexpr size_t kReaders = 8;        // Pages on the way, at least: it takes some to hide the latency.
  static constexpr size_t kReadersOfHost = 4;  // For each owner, where there are many.
  static constexpr size_t kPartsAhead = 16;    // For each reader: parts that wait for their turn, in order.

  struct Page {
    std::shared_ptr<const ColumnPage> columns;
    ScanPosition begin;
    ScanPosition end;
    size_t taken = 0;
    int64_t number = 0;
  };
  struct Part {
    ScanRange range;
    ScanPosition delivered;
    ScanPosition next;         // Of the next page to ask for.
    bool more = true;          // There is one.
    int64_t restarted_at = -1;  // Its rows when a server did not know a paging state for the last time.
    std::deque<Page> pages;    // Not handed out, or not wholly.
    int64_t number = 0;        // Of pages so far.
    Status error;              // Of the next page, to be told at its turn.

    // The request for the next page, while asked.
    bool asked = false;
    bool sent = false;  // Else it waits for its next attempt.
    std::shared_ptr<Host> host;        // That it is pinned to, while sent. Null: the driver's choice.
    std::shared_ptr<Host> asked_last;  // That the last attempt was pinned to.
    uint64_t ticket = 0;
    int64_t rows = 0;
    int64_t bytes = 0;  // Expected.
    Tries tries;
    Clock::TimePoint sent_at;
    Clock::TimePoint timer;
  };

  Scanner(std::shared_ptr<Session> session, ScanSpec spec, const FetchOptions& options, ScanState state, Clock* clock);

  Status Advance(size_t most_rows, Clock::TimePoint until, ScanSlice* slice);

  // Handing out.
  Part* Ready();
  void Hand(Part* part, size_t most_rows, ScanSlice* slice);
  void EndPage(Part* part);

  // Asking.
  void Begin();
  void Ask();
  bool HasFreeOwner(int64_t token) const;
  std::shared_ptr<Host> OwnerFor(const Part& part);
  Part* NextToAsk();
  Part* BeginPart();
  bool Fits(const Part* part, int64_t first_token) const;
  const std::vector<ScanRange>& Waiting() const { return spec_.by_partition ? partitions_ : queue_->ranges(); }
  bool IsFront(int64_t part) const;
  void Send(Part* part);
  StatementPtr Bind(const Part& part, Clock::Duration timeout) const;

  // Answers.
  void OnReply(Reply reply);
  void OnTimers();
  void OnPage(Part* part, const CassResult* result);
  void OnError(Part* part, CassError error, const std::string& message);
  void GiveUp(Part* part, StatusCode code, const std::string& why);
  void SetTimer(Part* part, Clock::TimePoint when);
  Part* Answered(uint64_t ticket);
  void Release(Part* part);

  const std::shared_ptr<Session> session_;
  const ScanSpec spec_;
  const std::string cql_;
  const FetchOptions options_;
  const CassConsistency consistency_;
  Clock* const clock_;
  const std::shared_ptr<Mailbox> mailbox_;  // Shared with the callbacks; all else is the consumer's.
  MetricsSink metrics_;

  bool begun_ = false;
  size_t readers_ = kReaders;
  std::shared_ptr<const Ring> ring_;   // The latest; null: not known, or of no use.
  std::unique_ptr<RangeQueue> queue_;  // Empty by partition.
  std::vector<ScanRange> partitions_;  // By partition: numbers of those that were not begun, as (after, upto].
  std::map<int64_t, Part> parts_;      // Begun and not handed out to the end, by range.after.
  std::deque<int64_t> ready_;          // Unless deterministic: a part for each page, or error, that came.
  PageSizer sizer_;
  RetryPolicy retry_;
  std::unordered_map<uint64_t, int64_t> tickets_;            // Of asked parts.
  std::set<std::pair<Clock::TimePoint, uint64_t>> timers_;  // Likewise.
  uint64_t next_ticket_ = 0;
  size_t on_the_way_ = 0;                            // Requests.
  std::unordered_map<const Host*, size_t> at_host_;  // Of those, the pinned ones.
  Random random_;
  int64_t rows_ahead_ = 0;     // Asked for, or received and not handed out.
  int64_t bytes_ahead_ = 0;    // Likewise.
  bool changed_ = true;        // There may be something to send.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_SCANNER_H_
