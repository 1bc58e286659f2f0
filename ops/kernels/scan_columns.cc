#include "ops/kernels/scan_columns.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ops/fetch/key.h"
#include "ops/fetch/strings.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/tstring.h"

namespace tfcass {
namespace {

using tensorflow::Tensor;
using tensorflow::TensorShape;

constexpr char kFoundColumn[] = "found";
constexpr int64_t kUuidBytes = std::tuple_size_v<Key>;

size_t RowsOf(const std::vector<ScanSlice>& slices) {
  size_t rows = 0;
  for (const ScanSlice& slice : slices) rows += slice.rows;
  return rows;
}

// The first column that is null in this row; the number of columns when none is.
size_t FirstNull(const ColumnPage& page, size_t row) {
  const auto null = std::find_if(page.columns.begin(), page.columns.end(),
                                 [row](const PageColumn& column) { return column.IsNull(row); });
  return static_cast<size_t>(null - page.columns.begin());
}

bool HasNulls(const ColumnPage& page) {
  return std::any_of(page.columns.begin(), page.columns.end(), [](const auto& column) { return column.nulls() > 0; });
}

// `x=3, patch_id=...`: the columns of the row that are short to tell, so that it can be found.
std::string Describe(const ScanSpec& spec, const ColumnPage& page, size_t row) {
  std::string text;
  for (size_t i = 0; i < page.columns.size(); ++i) {
    const PageColumn& column = page.columns[i];
    if (column.IsNull(row)) continue;
    std::string value;
    const char* at = column.values().data() + row * WidthOf(column.layout());
    switch (column.layout()) {
      case Layout::kInt32: {
        int32_t number;
        std::memcpy(&number, at, sizeof(number));
        value = StrCat(number);
        break;
      }
      case Layout::kInt64: {
        int64_t number;
        std::memcpy(&number, at, sizeof(number));
        value = StrCat(number);
        break;
      }
      case Layout::kUuid: {
        Key key;
        std::memcpy(key.data(), at, key.size());
        value = ToUuidText(key);
        break;
      }
      case Layout::kBytes:
        if (spec.columns[i].cql_type != "blob" && column.Bytes(row).size() <= 64) value = column.Bytes(row);
        break;
      default:
        break;
    }
    if (!value.empty()) text += StrCat(text.empty() ? "" : ", ", spec.columns[i].name, "=", value);
  }
  return text;
}

void CopyStrings(const std::vector<ScanSlice>& slices, size_t column, Tensor* out) {
  tensorflow::tstring* to = out->flat<tensorflow::tstring>().data();
  for (const ScanSlice& slice : slices) {
    const PageColumn& from = slice.page->columns[column];
    for (size_t row = slice.first; row < slice.first + slice.rows; ++row) {
      const std::string_view bytes = from.Bytes(row);
      (to++)->assign(bytes.data(), bytes.size());
    }
  }
}

void CopyFixed(const std::vector<ScanSlice>& slices, size_t column, Tensor* out) {
  char* to = static_cast<char*>(out->data());
  for (const ScanSlice& slice : slices) {
    const PageColumn& from = slice.page->columns[column];
    const size_t width = WidthOf(from.layout());
    std::memcpy(to, from.values().data() + slice.first * width, slice.rows * width);
    to += slice.rows * width;
  }
}

void CopyFound(const std::vector<ScanSlice>& slices, Tensor* out) {
  bool* to = out->flat<bool>().data();
  for (const ScanSlice& slice : slices) {
    for (size_t row = slice.first; row < slice.first + slice.rows; ++row) {
      *to++ = FirstNull(*slice.page, row) == slice.page->columns.size();
    }
  }
}

}  // namespace

std::vector<Component> ComponentsOf(const ScanSpec& spec, Missing missing) {
  std::vector<Component> components;
  for (size_t i = 0; i < spec.asked; ++i) {
    components.push_back({spec.columns[i].name, Component::Source::kCell, i});
  }
  if (missing == Missing::kEmpty) components.push_back({kFoundColumn, Component::Source::kFound});
  // Bytewise on UTF-8, which is the order of Python's strings.
  std::sort(components.begin(), components.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return components;
}

tensorflow::DataType DtypeOf(Layout layout) {
  switch (layout) {
    case Layout::kBytes:
      return tensorflow::DT_STRING;
    case Layout::kInt8:
      return tensorflow::DT_INT8;
    case Layout::kInt16:
      return tensorflow::DT_INT16;
    case Layout::kInt32:
      return tensorflow::DT_INT32;
    case Layout::kInt64:
      return tensorflow::DT_INT64;
    case Layout::kFloat:
      return tensorflow::DT_FLOAT;
    case Layout::kDouble:
      return tensorflow::DT_DOUBLE;
    case Layout::kBoolean:
      return tensorflow::DT_BOOL;
    case Layout::kUuid:
      return tensorflow::DT_UINT8;
  }
  return tensorflow::DT_INVALID;
}

Status TreatNulls(const ScanSpec& spec, Missing missing, std::vector<ScanSlice>* slices) {
  if (missing == Missing::kEmpty) return OkStatus();
  std::vector<ScanSlice> whole;
  for (const ScanSlice& slice : *slices) {
    if (!HasNulls(*slice.page)) {
      whole.push_back(slice);
      continue;
    }
    size_t first = slice.first;
    const size_t end = slice.first + slice.rows;
    for (size_t row = first; row <= end; ++row) {
      const size_t null = row < end ? FirstNull(*slice.page, row) : 0;
      if (row < end && null == slice.page->columns.size()) continue;
      if (row < end && missing == Missing::kError) {
        return NotFound(StrCat("column ", spec.columns[null].name, " of a row in ", spec.table, " is null (",
                               Describe(spec, *slice.page, row),
                               "); leave the column out, or pass FetchOptions(missing=\"skip\" or \"empty\")"));
      }
      if (row > first) whole.push_back({slice.page, first, row - first, false, slice.part, slice.number});
      first = row + 1;
    }
  }
  *slices = std::move(whole);
  return OkStatus();
}

void CopyRows(const std::vector<ScanSlice>& slices, bool batched, const std::vector<Component>& components,
              const tensorflow::DataTypeVector& dtypes, tensorflow::Allocator* allocator, std::vector<Tensor>* out) {
  out->reserve(components.size());
  for (size_t i = 0; i < components.size(); ++i) {
    TensorShape shape;
    if (batched) shape.AddDim(static_cast<int64_t>(RowsOf(slices)));
    if (dtypes[i] == tensorflow::DT_UINT8) shape.AddDim(kUuidBytes);
    Tensor& tensor = out->emplace_back(allocator, dtypes[i], shape);
    if (components[i].source == Component::Source::kFound) {
      CopyFound(slices, &tensor);
    } else if (dtypes[i] == tensorflow::DT_STRING) {
      CopyStrings(slices, components[i].cell, &tensor);
    } else {
      CopyFixed(slices, components[i].cell, &tensor);
    }
  }
}

}  // namespace tfcass
