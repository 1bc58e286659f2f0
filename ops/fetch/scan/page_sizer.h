// PageSizer: how many rows to ask for at a time, so that a page is large enough to be worth a round trip, and small
// enough for the server, which builds it in memory.
#ifndef TFCASS_OPS_FETCH_SCAN_PAGE_SIZER_H_
#define TFCASS_OPS_FETCH_SCAN_PAGE_SIZER_H_

#include <cstdint>

namespace tfcass {

// Not thread safe.
class PageSizer {
 public:
  // `varying`: rows may be of any size, as those with texts and blobs. `most_rows`: the answer is never above.
  PageSizer(bool varying, int64_t most_rows);

  // What a page held.
  void OnPage(int64_t rows, int64_t bytes);

  // For the next page: at least 1.
  int64_t Rows() const;

  // What such a page likely holds.
  int64_t Bytes(int64_t rows) const { return static_cast<int64_t>(static_cast<double>(rows) * mean_bytes_); }

  // Whether nothing is known yet of the size of rows: better to ask for one page alone.
  bool probing() const { return varying_ && pages_ < kProbes && rows_ == 0; }

 private:
  static constexpr double kTargetBytes = 512 << 10;   // Of a page. More gains little and delays the first row.
  static constexpr double kLargestBytes = 64 << 20;   // Of a page of rows as large as the largest page had them.
  static constexpr int64_t kFirstRows = 4;            // 64 MB, if they are of 16 MB.
  static constexpr int64_t kMostRows = 10'000;        // Rows of nulls have no bytes.
  static constexpr int64_t kProbes = 2;
  static constexpr double kGuessedBytes = 64;         // Of a row that has not been seen.
  static constexpr double kMeanWeight = 0.25;         // Of a page in the mean: follows a change within some pages.

  const bool varying_;
  const int64_t most_rows_;
  int64_t pages_ = 0;
  int64_t rows_ = 0;
  double mean_bytes_ = kGuessedBytes;
  double largest_mean_ = 0;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_PAGE_SIZER_H_
