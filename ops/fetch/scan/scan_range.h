// Token ranges: the parts that a table is read in.
//
// Terms    Token: what Cassandra's Murmur3Partitioner makes of a partition key, in [-2^63 + 1, 2^63 - 1]: the lowest
//          number stands for "before all rows" and is no row's. Range: (after, upto], so that ranges that meet share no
//          row. Span: how many tokens a range holds.
#ifndef TFCASS_OPS_FETCH_SCAN_SCAN_RANGE_H_
#define TFCASS_OPS_FETCH_SCAN_SCAN_RANGE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace tfcass {

inline constexpr int64_t kMinToken = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kMaxToken = std::numeric_limits<int64_t>::max();

struct ScanRange {
  int64_t after = kMinToken;
  int64_t upto = kMaxToken;  // Above `after`: what wraps around the ring's end is two ranges here.

  uint64_t Span() const { return static_cast<uint64_t>(upto) - static_cast<uint64_t>(after); }
  bool operator==(const ScanRange& other) const { return after == other.after && upto == other.upto; }
};

// `ranges`, cut at the tokens of the ring, so that all rows of a range have the same owners: those of its `upto`. The
// first and the last piece of a whole ring belong to one owner: what wraps around needs no other care. `ring` in any
// order, with repetitions or without.
std::vector<ScanRange> CutAt(const std::vector<ScanRange>& ranges, std::vector<int64_t> ring);

// The ranges that nobody reads yet, in the order of their tokens, and how much of them to read next.
//
// A slice is a part of one range. How many rows a range holds is not known beforehand, and neither is where they are:
// the first slices are tiny; then each holds about kSliceBytes as far as the bytes seen tell, and less towards the end,
// so that those who read in parallel end together.
//
// Not thread safe.
class RangeQueue {
 public:
  // `ranges`: disjoint, by token. `readers`: how many slices are read at a time, at least 1.
  RangeQueue(std::vector<ScanRange> ranges, int64_t readers);

  bool empty() const { return ranges_.empty(); }
  int64_t first_token() const { return ranges_.front().after; }  // Unless empty.
  const std::vector<ScanRange>& ranges() const { return ranges_; }

  // Cuts a slice from the beginning of the first range, of the first few, whose rows `may_read` (asked with the range's
  // `upto`). False when there is none.
  bool Take(const std::function<bool(int64_t)>& may_read, ScanRange* slice);

  // What was seen of a slice that was taken: bytes as they come, and its end.
  void OnBytes(int64_t bytes) { bytes_ += static_cast<double>(bytes); }
  void OnEnd(bool empty);

 private:
  static constexpr double kSliceBytes = 8 << 20;    // Some pages: the cost of beginning one is shared.
  static constexpr double kLeastBytes = 512 << 10;  // A page.
  static constexpr size_t kLookAhead = 64;          // Ranges, for one whose owner is free.

  uint64_t SliceSpan() const;

  std::vector<ScanRange> ranges_;
  const double readers_;
  double waiting_span_ = 0;
  double taken_span_ = 0;
  double bytes_ = 0;  // Of slices taken.
  double probe_span_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_SCAN_RANGE_H_
