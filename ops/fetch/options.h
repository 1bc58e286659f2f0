// FetchOptions: how rows are fetched, the C++ side of tfcass.FetchOptions.
#ifndef TFCASS_OPS_FETCH_OPTIONS_H_
#define TFCASS_OPS_FETCH_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "ops/fetch/status.h"

namespace tfcass {

// "Choose for me."
inline constexpr int64_t kAutotune = -1;

// A coordinator that gathers more rows than this for one reply does more harm than a further request.
inline constexpr int64_t kMaxRowsPerRequest = 64;

// What to do about a key that has no row.
enum class Missing {
  kError,  // Next() returns NOT_FOUND naming table and UUID.
  kSkip,   // The row is left out of its element.
  kEmpty,  // The row stays, with Row::found false and no cells.
};

// When a second replica is asked for what a first one has not answered: once that took longer than this part of the
// first one's own replies.
enum class HedgeAfter { kNever, kP95, kP99, kP999 };

struct FetchOptions {
  // Elements come in the order they were submitted, rows in the order of their keys. False: each output is filled with
  // whatever rows are there first, which hides slow rows (row.h).
  bool deterministic = true;
  Missing missing = Missing::kError;
  // Rows on the way or waiting to be taken, per iterator. More hides latency and holds more memory.
  int64_t max_in_flight = kAutotune;
  // Keys in one request, at most. 1: each key travels alone, to the replica that the driver chooses. More: keys of the
  // same owner travel together, as many as make a reply of some hundred kB, which costs both ends far less.
  int64_t rows_per_request = kAutotune;
  // Bytes of rows on the way (by the mean size seen), and of replies that hold a row not let go yet, per iterator.
  int64_t max_buffered_bytes = kAutotune;
  // Deadline of one row in seconds, retries included.
  double timeout_s = 10.0;
  // Attempts after the first, for errors that another attempt may cure. 0: none.
  int64_t max_retries = 5;
  // As in CQL. Fewer replicas answer sooner; rows are immutable, so LOCAL_ONE never reads a stale one.
  std::string consistency = "LOCAL_ONE";
  // Cuts the latency of a replica that is slow at times, for a few more requests: at most one in twenty.
  HedgeAfter hedge_after = HedgeAfter::kNever;
  // Threads of the driver that do the network's work, per session.
  int64_t io_threads = kAutotune;

  // Whose metrics the fetches count into besides the process's own (metrics.h). Empty: nobody's.
  std::string metrics_id;

  // InvalidArgument naming the field, its value and what is accepted.
  Status Validate() const;

  // From canonical text (canonical_text.h). A field that the text leaves out keeps its default; the result is valid.
  static Status Parse(std::string_view text, FetchOptions* options);

  // The numbers that kAutotune stands for today.
  int64_t MaxInFlight() const;       // 512 rows: hides 20 ms at 25,000 rows/s.
  int64_t MaxBufferedBytes() const;  // 256 MiB.
  int64_t RowsPerRequest() const;    // kMaxRowsPerRequest at most: the group's bytes decide below that.
  int64_t IoThreads() const;         // 1: a thread moves more rows than a training process takes.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_OPTIONS_H_
