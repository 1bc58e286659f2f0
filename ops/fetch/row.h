// Rows as the fetcher hands them out: views into the driver's reply, so that the one copy is the caller's own.
#ifndef TFCASS_OPS_FETCH_ROW_H_
#define TFCASS_OPS_FETCH_ROW_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ops/fetch/key.h"

namespace tfcass {

// One column of one row, as Cassandra sent it: numbers are big-endian.
struct Cell {
  bool is_null = true;
  std::string_view bytes;  // Empty when null. Lives as long as the Row it came from.

  // The value of a fixed-width column (tinyint ... double, boolean). Its width was checked against the column's type
  // when the row arrived; the caller asks for T of that width and not for a null cell.
  template <typename T>
  T As() const;
};

// A row's cells: a view, so that a row costs no allocation of its own.
class Cells {
 public:
  Cells() = default;
  Cells(const Cell* first, size_t size) : first_(first), size_(size) {}

  const Cell& operator[](size_t i) const { return first_[i]; }
  const Cell* begin() const { return first_; }
  const Cell* end() const { return first_ + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  const Cell* first_ = nullptr;
  size_t size_ = 0;
};

struct Row {
  Key key{};
  bool found = false;
  Cells cells;  // In the order of QuerySpec::columns; empty unless found.

  // Keeps alive the cells and what they point into: the whole reply that brought the row, and whatever other rows came
  // with it. Let go of it soon: max_buffered_bytes counts it until then. May be released on any thread.
  std::shared_ptr<const void> storage;
};

// Where a key was submitted.
struct RowSlot {
  int64_t element = -1;  // Ordinal of its Submit(), from 0.
  size_t place = 0;      // Its place among the keys of that Submit().
};

// What one Next() returns.
//
// Deterministic: output `index` is what Submit() number `index` asked for, rows in the order of its keys. `taken` stays
// empty, and stands for all slots of element `index`. An error concerns the whole element.
//
// Otherwise: output `index` takes as many slots as Submit() number `index` had keys, of whatever elements are in the
// window, in the order that their rows became known. `taken` names them, in the order of `rows`; those of rows that
// Missing::kSkip left out are among them, in their places, so that it may be longer than `rows`. An error takes one
// slot only, the failed row's: `taken` holds that slot, and `index` is the output that gets one row fewer for it. That
// output comes with a later Next(), unless the error was all that it had left: then the error counts as its return.
struct Element {
  int64_t index = -1;          // Ordinal of the output, from 0 and ascending. -1: none.
  std::vector<Row> rows;       // Fewer than keys under Missing::kSkip.
  std::vector<RowSlot> taken;  // Set unless deterministic.
};

template <typename T>
T Cell::As() const {
  static_assert(std::is_arithmetic_v<T>);
  if constexpr (std::is_same_v<T, bool>) {
    return bytes[0] != 0;
  } else {
    unsigned char reversed[sizeof(T)];
    for (size_t i = 0; i < sizeof(T); ++i) reversed[i] = static_cast<unsigned char>(bytes[sizeof(T) - 1 - i]);
    T value;
    std::memcpy(&value, reversed, sizeof(T));  // The hosts TensorFlow runs on are little-endian.
    return value;
  }
}

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_ROW_H_
