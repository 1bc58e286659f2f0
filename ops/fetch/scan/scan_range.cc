#include "ops/fetch/scan/scan_range.h"

#include <algorithm>
#include <cmath>

namespace tfcass {
namespace {

constexpr double kRingSpan = 18446744073709551616.0;  // 2^64.
constexpr double kFirstSpan = kRingSpan / 4096;
constexpr double kLeastSpan = kRingSpan / 256;  // While little is known: an empty table ends soon.
constexpr double kGrowth = 16;  // Of the span, with each slice that turns out to be empty.

}  // namespace

std::vector<ScanRange> CutAt(const std::vector<ScanRange>& ranges, std::vector<int64_t> ring) {
  std::sort(ring.begin(), ring.end());
  ring.erase(std::unique(ring.begin(), ring.end()), ring.end());
  std::vector<ScanRange> pieces;
  for (ScanRange rest : ranges) {
    for (auto cut = std::upper_bound(ring.begin(), ring.end(), rest.after); cut != ring.end() && *cut < rest.upto;
         ++cut) {
      pieces.push_back({rest.after, *cut});
      rest.after = *cut;
    }
    pieces.push_back(rest);
  }
  return pieces;
}

RangeQueue::RangeQueue(std::vector<ScanRange> ranges, int64_t readers)
    : ranges_(std::move(ranges)), readers_(static_cast<double>(readers)), probe_span_(kFirstSpan) {
  for (const ScanRange& range : ranges_) waiting_span_ += static_cast<double>(range.Span());
}

uint64_t RangeQueue::SliceSpan() const {
  const double fair = waiting_span_ / (2 * readers_);
  const double token_bytes = taken_span_ > 0 ? bytes_ / taken_span_ : 0;
  double span;
  if (bytes_ < kLeastBytes) {  // Little is known: all the rows may lie elsewhere.
    span = std::min(bytes_ > 0 ? kLeastBytes / token_bytes : probe_span_, std::max(fair, kLeastSpan));
  } else {
    span = std::max(kLeastBytes / token_bytes, std::min(fair, kSliceBytes / token_bytes));
  }
  return span >= kRingSpan / 2 ? uint64_t{1} << 63 : std::max<uint64_t>(1, static_cast<uint64_t>(span));
}

bool RangeQueue::Take(const std::function<bool(int64_t)>& may_read, ScanRange* slice) {
  const auto last = ranges_.begin() + static_cast<std::ptrdiff_t>(std::min(ranges_.size(), kLookAhead));
  const auto found =
      std::find_if(ranges_.begin(), last, [&](const ScanRange& range) { return may_read(range.upto); });
  if (found == last) return false;
  *slice = *found;
  const uint64_t span = SliceSpan();
  // What would be left of the range shall be worth a request.
  if (span < found->Span() && found->Span() - span > span / 2) {
    slice->upto = static_cast<int64_t>(static_cast<uint64_t>(found->after) + span);
    found->after = slice->upto;
  } else {
    ranges_.erase(found);
  }
  waiting_span_ = ranges_.empty() ? 0 : waiting_span_ - static_cast<double>(slice->Span());
  taken_span_ += static_cast<double>(slice->Span());
  return true;
}

void RangeQueue::OnEnd(bool empty) {
  if (empty && bytes_ == 0) probe_span_ = std::min(probe_span_ * kGrowth, kRingSpan);
}

}  // namespace tfcass
