// ColumnPage: the rows of one reply by column, laid out as Apache Arrow lays them out, so that they become Arrow arrays
// without a copy, and tensors by one.
#ifndef TFCASS_OPS_FETCH_SCAN_COLUMN_PAGE_H_
#define TFCASS_OPS_FETCH_SCAN_COLUMN_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/scan/scan_spec.h"
#include "ops/fetch/status.h"

namespace tfcass {

// One column of some rows. A null has a place among the values: zeros, or an empty string.
class PageColumn {
 public:
  explicit PageColumn(Layout layout) : layout_(layout) {
    if (layout == Layout::kBytes) offsets_.push_back(0);
  }

  Layout layout() const { return layout_; }
  const std::string& values() const { return values_; }            // In the byte order of this machine.
  const std::vector<int32_t>& offsets() const { return offsets_; }  // Of Layout::kBytes: n + 1 of them.
  const std::vector<uint8_t>& validity() const { return validity_; }  // A bit each, the lowest first; 0: null.
  int64_t nulls() const { return nulls_; }

  bool IsNull(size_t row) const { return nulls_ > 0 && (validity_[row / 8] >> (row % 8) & 1) == 0; }
  std::string_view Bytes(size_t row) const {
    return {values_.data() + offsets_[row], static_cast<size_t>(offsets_[row + 1] - offsets_[row])};
  }

  // Adds a value as on the wire; null: adds a null. False when it is not of the type's size.
  bool Append(CassValueType type, const std::string_view* wire);

  // Gives memory back that nothing will be appended to.
  void ShrinkToFit();

 private:
  const Layout layout_;
  std::string values_;
  std::vector<int32_t> offsets_;
  std::vector<uint8_t> validity_;
  int64_t nulls_ = 0;
  size_t rows_ = 0;
};

struct ColumnPage {
  std::vector<PageColumn> columns;  // The asked ones.
  size_t rows = 0;

  // Of the reply, before filters. source[i] is the place that row i had there; empty: its own.
  int64_t source_rows = 0;
  std::vector<int32_t> source;
  int64_t skipped = 0;  // Rows left out at the beginning of the reply.
  int64_t bytes = 0;    // Of the rows here.

  int64_t SourceOf(size_t row) const { return source.empty() ? static_cast<int64_t>(row) + skipped : source[row]; }
};

// The rows of `result`, but for the first `skip`, that meet the filters. An empty value of a fixed-width column, which
// Cassandra allows, counts as null. FailedPrecondition naming the column and both types when one is not of its spec's
// type: the schema changed.
Status ReadPage(const DriverApi& api, const ScanSpec& spec, const CassResult* result, int64_t skip, ColumnPage* page);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_SCAN_COLUMN_PAGE_H_
