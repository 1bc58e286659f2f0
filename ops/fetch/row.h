// Rows as the fetcher hands them out: views into the driver's reply, so that the one copy is the caller's own.
#ifndef TFCASS_OPS_FETCH_ROW_H_
#define TFCASS_OPS_FETCH_ROW_H_

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

struct Row {
  Key key{};
  bool found = false;
  std::vector<Cell> cells;  // In the order of QuerySpec::columns; empty unless found.

  // Keeps alive what the cells point into. May be released on any thread.
  std::shared_ptr<const void> storage;
};

// What one Submit() asked for.
struct Element {
  int64_t index = -1;     // Ordinal of its Submit(), from 0. -1: none.
  std::vector<Row> rows;  // In the order of its keys; fewer than keys under Missing::kSkip.
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
