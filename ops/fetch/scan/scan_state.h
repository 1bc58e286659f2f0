// ScanState: how far a scan has come, to go on from there in another process. Positions, and never rows.
#ifndef TFCASS_OPS_FETCH_SCAN_SCAN_STATE_H_
#define TFCASS_OPS_FETCH_SCAN_SCAN_STATE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ops/fetch/scan/scan_range.h"
#include "ops/fetch/status.h"

namespace tfcass {

// A place between two rows of a part.
struct ScanPosition {
  std::string paging_state;  // Where the server shall go on: before the page that holds the place. Empty: the beginning.
  int64_t skip = 0;          // Rows of that page before the place.
  int64_t total = 0;         // Rows of the part before the place: for a server that does not know the paging state.
};

// Rows that are read one page after the other: a range, or by partition, the number `range.after` of
// ScanSpec::partitions.
struct ScanPart {
  ScanRange range;
  ScanPosition position;
};

struct ScanState {
  std::string fingerprint;         // ScanSpec's.
  std::vector<ScanPart> begun;     // Parts that were begun and not ended, in order.
  std::vector<ScanRange> waiting;  // Ranges that were not, in order; those that meet joined by Serialize().

  std::string Serialize() const;

  // InvalidArgument when `text` is damaged, or from a later version, or of a scan of something else.
  static Status Parse(std::string_view text, const std::string& fingerprint, ScanState* state);
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_SCAN_STATE_H_
