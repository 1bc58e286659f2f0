// ElementWindow keeps elements in order while their rows arrive in any.
#ifndef TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_
#define TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "ops/fetch/key.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Not thread safe.
class ElementWindow {
 public:
  // `deterministic`: elements leave in the order they came. `skip_missing`: without the rows that were not found.
  ElementWindow(bool deterministic, bool skip_missing) : deterministic_(deterministic), skip_missing_(skip_missing) {}

  // Opens the next element, and returns its ordinal.
  int64_t Add(const std::vector<Key>& keys);

  // Settles one row, found or not. Each row is settled once, by one of these.
  void Settle(int64_t element, size_t place, Row row);
  // Its element then fails as a whole, once all its rows are settled: with the error of the first row that has one, so
  // that the same failures give the same error in whatever order they arrive.
  void Fail(int64_t element, size_t place, Status error);

  // Whether Take() has an element.
  bool Ready() const;

  // Removes the next element, and gives its index, and its rows or its error.
  Status Take(Element* element);

  size_t elements() const { return open_.size(); }
  size_t rows() const { return rows_; }  // Of the elements in the window, settled or not.

 private:
  struct Open {
    std::vector<Row> rows;
    size_t unsettled = 0;
    size_t failed_row = 0;
    Status error;
  };

  void SettledOne(int64_t element, Open& open);

  const bool deterministic_;
  const bool skip_missing_;
  int64_t next_in_ = 0;
  int64_t next_out_ = 0;       // When deterministic.
  std::deque<int64_t> ready_;  // Otherwise: complete elements, in the order they became so.
  std::unordered_map<int64_t, Open> open_;
  size_t rows_ = 0;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_
