// WindowControl decides how many rows may be in a fetcher's window now: the bound that tunes itself.
//
// Terms    Window: rows submitted and not returned. In flight: those of them sent and not settled. Base latency: what a
//          request takes when nothing queues; measured by path (host) and by size of the request. BDP: bandwidth-delay
//          product, the rate of replies x base latency: the rows that are on the way when nothing queues.
// Threads  One consumer at a time. Pure: no thread, no clock of its own, no lock.
//
// With FetchOptions::max_in_flight the bound is that number. With AUTOTUNE it is, once the first row told its size,
//
//   boost x (kGain x BDP + rows held back by rows before them + two requests for each host)
//   + rows of the largest element taken lately
//
// While more rows in the window bring more rows a second, the BDP grows with the window, and the window with it: doubling
// at first, then by half and a few requests a round trip. Once the server only queues, or the consumer is what limits,
// the rate stays, and so does the window: a slow consumer gets the rows that cover what it takes in a round trip, and no
// more. Base latencies are the smallest of the last seconds. Now and then few rows are let in flight for a round trip, so
// that a queue of our own making does not pass for the link's latency, and a link that became longer is told from a
// queue. Where the consumer waits all the same, `boost` is tried higher and lower for a while, and stays if the rate
// answers.
// max_buffered_bytes bounds the result always, by the mean size of the rows seen.
//
//   WindowControl window(options);
//   Submit:  while (rows, and elements, in the window < window.rows()) ...   // The element that crosses it is taken,
//            window.OnSubmitted(...)                                          // and told.
//   Send:    while (rows in flight < window.in_flight_rows()) ...             // Requests of at most what is left.
//   Reply:   window.OnReply(...)  for each attempt that brought rows, or found them missing.
//   Next():  window.OnTaken(...)  for each element returned; window.OnWaited(...) for each wait for replies.
#ifndef TFCASS_OPS_FETCH_WINDOW_CONTROL_H_
#define TFCASS_OPS_FETCH_WINDOW_CONTROL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

#include "ops/fetch/base_latency.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/options.h"

namespace tfcass {

class WindowControl {
 public:
  static constexpr size_t kProbeRows = 32;    // Until the first row tells how large rows are.
  static constexpr size_t kMinRows = 64;      // Of AUTOTUNE, below which nothing is worth saving,
  static constexpr size_t kMaxRows = 65536;   // and above which something else is wrong.

  explicit WindowControl(const FetchOptions& options);

  // An element of this many keys was submitted. The bound lets another one of its size in beside it.
  void OnSubmitted(size_t rows);

  // An attempt was answered: `rows` keys settled (missing ones too), of which `found` distinct rows came, with `bytes` in
  // all their cells. `sent`: when this attempt was. `arrived`: when the reply reached the process, whenever it is read.
  // `path`: who answered; any number that is the same for the same host.
  void OnReply(size_t rows, size_t found, int64_t bytes, Clock::TimePoint sent, Clock::TimePoint arrived,
               uint64_t path = 0);

  // A server said that it has too much to do (OVERLOADED): the window is halved, and grows back.
  void OnOverloaded(Clock::TimePoint now);

  // The consumer took an element of this many keys.
  void OnTaken(size_t rows, Clock::TimePoint now);

  // The consumer waited this long for replies.
  void OnWaited(Clock::Duration waited);

  // Rows that the window may hold: while it holds fewer, another element is welcome. At least 1.
  size_t rows() const { return rows_; }
  // Rows that may be in flight. At least 1, at most rows().
  size_t in_flight_rows() const { return in_flight_rows_; }
  // Mean bytes of a row; 0 before the first.
  double mean_row_bytes() const { return mean_row_bytes_; }

 private:
  // What happened since the last measurement of the rate, which takes a base latency at least.
  struct Round {
    Clock::TimePoint began;
    size_t taken = 0;                                  // Rows.
    size_t replied = 0;                                // Rows.
    double ideal = 0;                                  // Seconds x rows, had nothing queued.
    double actual = 0;                                 // Seconds x rows.
    Clock::Duration waited = Clock::Duration::zero();  // By the consumer.
    double behind = 0;                                 // Rows behind those it waited for x seconds.
  };
  // Few rows in flight for a while, to see what requests take then.
  struct Drain {
    bool on = false;
    Clock::TimePoint began;
    double inflation_before = 1;
    double base_before = 0;
    size_t replied = 0;    // Rows asked for since it began.
    double inflation = 0;  // Of these, summed over rows.
    double base = 0;       // The same.
    double least_inflation = 0;
  };
  // The rate with the usual window and with another one, in turns.
  struct Trial {
    static constexpr int kLegs = 4;  // Usual, other, usual, other.
    bool on = false;
    double factor = 1;      // Of the other window.
    double plain_rows = 0;  // The window while it lasts, without boost.
    double inflation = 1;   // When it began.
    int leg = 0;
    bool settled = false;  // The window has its new size: measuring.
    Clock::TimePoint began;
    size_t taken = 0;
    size_t elements = 0;
    double rate[kLegs] = {};
  };

  void OnRound(Clock::TimePoint now);
  void NoteRate(double rate, Clock::TimePoint now);
  void NoteBehind(const Round& round, double took);
  void MaybeDrain(Clock::TimePoint now);
  void EndDrain(Clock::TimePoint now);
  void StartUp();
  void MaybeTry(Clock::TimePoint now);
  void OnTrialTaken(size_t rows, Clock::TimePoint now);
  void EndTrial(Clock::TimePoint now);
  double Turnover() const;
  double PlainRows(double gain) const;
  double LargestElement() const;
  void Update();

  const int64_t fixed_rows_;  // kAutotune: none.
  const int64_t max_bytes_;
  size_t rows_ = 1;
  size_t in_flight_rows_ = 1;
  double mean_row_bytes_ = 0;

  // Measured.
  BaseLatency base_;
  Round round_;
  std::deque<std::pair<Clock::TimePoint, double>> rates_;  // Of the last rounds, in rows a second.
  double rate_ = 0;                                        // The largest of them. 0: none yet.
  size_t buffered_rows_ = 0;                               // Answered, and not taken.
  Clock::Duration waited_ = Clock::Duration::zero();       // For the next element so far.
  double base_s_ = 0;                                      // Of the last round, mean over rows.
  double latency_s_ = 0;
  double inflation_ = 1;     // Latency over base latency, of the last rounds.
  double request_rows_ = 1;  // Mean over requests.
  double wait_share_ = 0;    // Of the last rounds.
  double behind_rows_ = 0;   // Received, and held back by rows before them that the consumer waits for.
  size_t element_rows_[2] = {0, 0};  // The largest lately: of this life and of the one before.
  Clock::TimePoint element_life_began_;

  // Decided.
  bool starting_ = true;  // Growing twice as fast, until the rate has not risen for some rounds.
  double start_rate_ = 0;
  int flat_rounds_ = 0;
  double boost_ = 1;
  double overload_cut_ = 1;
  Clock::TimePoint overload_at_;
  Drain drain_;
  Clock::TimePoint next_drain_;
  Clock::Duration drain_period_;
  Trial trial_;
  Clock::TimePoint next_trial_;
  Clock::Duration trial_period_;
  bool last_trial_down_ = true;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_WINDOW_CONTROL_H_
