#include "ops/fetch/scan/page_sizer.h"

#include <algorithm>

namespace tfcass {

PageSizer::PageSizer(bool varying, int64_t most_rows)
    : varying_(varying), most_rows_(std::max<int64_t>(1, std::min(most_rows, kMostRows))) {}

void PageSizer::OnPage(int64_t rows, int64_t bytes) {
  ++pages_;
  if (rows == 0) return;
  const double mean = std::max(1.0, static_cast<double>(bytes) / static_cast<double>(rows));
  mean_bytes_ = rows_ == 0 ? mean : mean_bytes_ + (mean - mean_bytes_) * kMeanWeight;
  largest_mean_ = std::max(largest_mean_, mean);
  rows_ += rows;
}

int64_t PageSizer::Rows() const {
  double rows = kTargetBytes / mean_bytes_;
  if (varying_) {
    // A few rows say little of a million others: pages grow with what was seen.
    rows = std::min(rows, static_cast<double>(std::max(kFirstRows, rows_ * 4)));
    if (largest_mean_ > 0) rows = std::min(rows, kLargestBytes / largest_mean_);
  }
  return std::clamp(static_cast<int64_t>(rows), int64_t{1}, most_rows_);
}

}  // namespace tfcass
