#include "ops/fetch/scan/column_page.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "ops/fetch/query.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

bool SameType(CassValueType a, CassValueType b) {
  const auto plain = [](CassValueType type) { return type == CASS_VALUE_TYPE_TEXT ? CASS_VALUE_TYPE_VARCHAR : type; };
  return plain(a) == plain(b);
}

// Numbers are big-endian on the wire; the hosts that this runs on are little-endian.
template <size_t kWidth>
void AppendReversed(std::string_view wire, std::string* values) {
  char reversed[kWidth];
  for (size_t i = 0; i < kWidth; ++i) reversed[i] = wire[kWidth - 1 - i];
  values->append(reversed, kWidth);
}

void AppendNumber(std::string_view wire, std::string* values) {
  switch (wire.size()) {
    case 1:
      return values->append(wire), void();
    case 2:
      return AppendReversed<2>(wire, values);
    case 4:
      return AppendReversed<4>(wire, values);
    case 8:
      return AppendReversed<8>(wire, values);
  }
}

// Days since 1970, of an unsigned number that has them in its middle.
void AppendDate(std::string_view wire, std::string* values) {
  AppendNumber(wire, values);
  values->back() = static_cast<char>(static_cast<unsigned char>(values->back()) ^ 0x80);
}

bool AppendAddress(std::string_view wire, std::string* values) {
  char text[INET6_ADDRSTRLEN];
  const int family = wire.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (wire.size() != sizeof(in_addr) && wire.size() != sizeof(in6_addr)) return false;
  if (inet_ntop(family, wire.data(), text, sizeof(text)) == nullptr) return false;
  values->append(text);
  return true;
}

Status CheckColumns(const DriverApi& api, const ScanSpec& spec, const CassResult* result) {
  const size_t count = api.cass_result_column_count(result);
  if (count != spec.columns.size()) {
    return Internal(StrCat("a reply about ", spec.table, " has ", count, " columns, not ", spec.columns.size()));
  }
  for (size_t i = 0; i < count; ++i) {
    const ScanColumn& column = spec.columns[i];
    const CassValueType found = api.cass_result_column_type(result, i);
    if (SameType(found, column.type)) continue;
    return FailedPrecondition(StrCat("column ", column.name, " of ", spec.table, " is ", CqlName(found),
                                     " in the cluster, but ", column.cql_type,
                                     " was expected; read it anew if the table has changed"));
  }
  return OkStatus();
}

// Null when the cell is.
const std::string_view* ReadCell(const DriverApi& api, const CassValue* value, size_t width, std::string_view* cell) {
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  if (api.cass_value_is_null(value) || api.cass_value_get_bytes(value, &bytes, &size) != CASS_OK) return nullptr;
  if (size == 0 && width > 0) return nullptr;
  *cell = {reinterpret_cast<const char*>(bytes), size};
  return cell;
}

bool Meets(const DriverApi& api, const ScanSpec& spec, const CassRow* row) {
  return std::all_of(spec.filters.begin(), spec.filters.end(), [&](const ScanFilter& filter) {
    std::string_view cell;
    const size_t width = WidthOf(spec.columns[filter.column].layout);
    return ReadCell(api, api.cass_row_get_column(row, filter.column), width, &cell) != nullptr &&
           std::binary_search(filter.values.begin(), filter.values.end(), cell, std::less<std::string_view>());
  });
}

}  // namespace

bool PageColumn::Append(CassValueType type, const std::string_view* wire) {
  if (rows_ % 8 == 0) validity_.push_back(0);
  const size_t width = WidthOf(layout_);
  if (wire == nullptr) {
    ++nulls_;
    values_.append(width, '\0');
  } else {
    validity_.back() |= static_cast<uint8_t>(1u << rows_ % 8);
    if (type == CASS_VALUE_TYPE_INET) {
      if (!AppendAddress(*wire, &values_)) return false;
    } else if (layout_ == Layout::kBytes) {
      values_.append(*wire);
    } else if (wire->size() != width) {
      return false;
    } else if (layout_ == Layout::kUuid) {
      values_.append(*wire);
    } else if (layout_ == Layout::kBoolean) {
      values_.push_back((*wire)[0] != 0 ? 1 : 0);
    } else if (type == CASS_VALUE_TYPE_DATE) {
      AppendDate(*wire, &values_);
    } else {
      AppendNumber(*wire, &values_);
    }
  }
  // A reply has at most 256 MB, so the offsets fit.
  if (layout_ == Layout::kBytes) offsets_.push_back(static_cast<int32_t>(values_.size()));
  ++rows_;
  return true;
}

void PageColumn::ShrinkToFit() {
  // What grew by doubling may hold twice its size, and pages may be kept for long. Small ones are not worth the copy.
  constexpr size_t kWorthIt = 16 << 10;
  if (values_.capacity() - values_.size() > kWorthIt) values_.shrink_to_fit();
  if ((offsets_.capacity() - offsets_.size()) * sizeof(offsets_[0]) > kWorthIt) offsets_.shrink_to_fit();
}

Status ReadPage(const DriverApi& api, const ScanSpec& spec, const CassResult* result, int64_t skip, ColumnPage* page) {
  *page = {};
  TFCASS_RETURN_IF_ERROR(CheckColumns(api, spec, result));
  for (size_t i = 0; i < spec.asked; ++i) page->columns.emplace_back(spec.columns[i].layout);
  page->skipped = skip;
  IteratorPtr iterator = Own(api, api.cass_iterator_from_result(result));
  while (api.cass_iterator_next(iterator.get())) {
    const int64_t place = page->source_rows++;
    if (place < skip) continue;
    const CassRow* row = api.cass_iterator_get_row(iterator.get());  // The next step overwrites it, but not its bytes.
    if (!spec.filters.empty()) {
      if (!Meets(api, spec, row)) continue;
      page->source.push_back(static_cast<int32_t>(place));
    }
    for (size_t i = 0; i < spec.asked; ++i) {
      const ScanColumn& column = spec.columns[i];
      std::string_view cell;
      const std::string_view* value =
          ReadCell(api, api.cass_row_get_column(row, i), WidthOf(column.layout), &cell);
      if (value != nullptr) page->bytes += static_cast<int64_t>(value->size());
      if (page->columns[i].Append(column.type, value)) continue;
      return Internal(StrCat("a value of column ", column.name, " of ", spec.table, " has ", cell.size(),
                             " bytes, which no ", column.cql_type, " has"));
    }
    ++page->rows;
  }
  for (PageColumn& column : page->columns) column.ShrinkToFit();
  return OkStatus();
}

}  // namespace tfcass
