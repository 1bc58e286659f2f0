#include "ops/kernels/columns.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ops/fetch/strings.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/tstring.h"

namespace tfcass {
namespace {

using tensorflow::DataType;
using tensorflow::Tensor;
using tensorflow::TensorShape;

constexpr char kFoundColumn[] = "found";
constexpr size_t kKeyBytes = std::tuple_size_v<Key>;

bool IsNull(const Cell& cell) { return cell.is_null; }

bool HasNull(const Row& row) { return std::any_of(row.cells.begin(), row.cells.end(), IsNull); }

// Nothing for an absent cell.
const Cell* Present(const Row& row, size_t cell) {
  if (!row.found || row.cells[cell].is_null) return nullptr;
  return &row.cells[cell];
}

template <typename T>
void CopyNumbers(const std::vector<Row>& rows, size_t cell, Tensor* out) {
  T* to = out->flat<T>().data();
  for (const Row& row : rows) {
    const Cell* from = Present(row, cell);
    *to++ = from == nullptr ? T{} : from->As<T>();
  }
}

void CopyStrings(const std::vector<Row>& rows, size_t cell, Tensor* out) {
  tensorflow::tstring* to = out->flat<tensorflow::tstring>().data();  // Empty strings from the start.
  for (const Row& row : rows) {
    const Cell* from = Present(row, cell);
    if (from != nullptr) to->assign(from->bytes.data(), from->bytes.size());
    ++to;
  }
}

void CopyUuids(const std::vector<Row>& rows, size_t cell, Tensor* out) {
  uint8_t* to = out->flat<uint8_t>().data();
  for (const Row& row : rows) {
    const Cell* from = Present(row, cell);
    if (from != nullptr) {
      std::memcpy(to, from->bytes.data(), kKeyBytes);
    } else {
      std::memset(to, 0, kKeyBytes);
    }
    to += kKeyBytes;
  }
}

void CopyKeys(const std::vector<Row>& rows, Tensor* out) {
  uint8_t* to = out->flat<uint8_t>().data();
  for (const Row& row : rows) to = std::copy(row.key.begin(), row.key.end(), to);
}

void CopyFound(const std::vector<Row>& rows, Tensor* out) {
  bool* to = out->flat<bool>().data();
  for (const Row& row : rows) *to++ = row.found && !HasNull(row);
}

void CopyCells(const std::vector<Row>& rows, size_t cell, Tensor* out) {
  switch (out->dtype()) {
    case tensorflow::DT_STRING:
      return CopyStrings(rows, cell, out);
    case tensorflow::DT_UINT8:
      return CopyUuids(rows, cell, out);
    case tensorflow::DT_BOOL:
      return CopyNumbers<bool>(rows, cell, out);
    case tensorflow::DT_INT8:
      return CopyNumbers<int8_t>(rows, cell, out);
    case tensorflow::DT_INT16:
      return CopyNumbers<int16_t>(rows, cell, out);
    case tensorflow::DT_INT32:
      return CopyNumbers<int32_t>(rows, cell, out);
    case tensorflow::DT_INT64:
      return CopyNumbers<int64_t>(rows, cell, out);
    case tensorflow::DT_FLOAT:
      return CopyNumbers<float>(rows, cell, out);
    case tensorflow::DT_DOUBLE:
      return CopyNumbers<double>(rows, cell, out);
    default:  // CellTypeOf refused it when the dataset was built.
      return;
  }
}

}  // namespace

std::vector<Component> ComponentsOf(const QuerySpec& query, Missing missing) {
  std::vector<Component> components = {{query.key_column, Component::Source::kKey}};
  for (size_t i = 0; i < query.columns.size(); ++i) {
    components.push_back({query.columns[i].name, Component::Source::kCell, i});
  }
  if (missing == Missing::kEmpty) components.push_back({kFoundColumn, Component::Source::kFound});
  // Bytewise on UTF-8, which is the order of Python's strings.
  std::sort(components.begin(), components.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return components;
}

absl::Status CellTypeOf(DataType dtype, CellType* type) {
  switch (dtype) {
    case tensorflow::DT_STRING:
      *type = CellType::kBytes;
      break;
    case tensorflow::DT_UINT8:
      *type = CellType::kUuid;
      break;
    case tensorflow::DT_BOOL:
      *type = CellType::kBoolean;
      break;
    case tensorflow::DT_INT8:
      *type = CellType::kInt8;
      break;
    case tensorflow::DT_INT16:
      *type = CellType::kInt16;
      break;
    case tensorflow::DT_INT32:
      *type = CellType::kInt32;
      break;
    case tensorflow::DT_INT64:
      *type = CellType::kInt64;
      break;
    case tensorflow::DT_FLOAT:
      *type = CellType::kFloat;
      break;
    case tensorflow::DT_DOUBLE:
      *type = CellType::kDouble;
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(tensorflow::DataTypeString(dtype), " in output_types: no column is read as that"));
  }
  return absl::OkStatus();
}

size_t FirstNull(const std::vector<Row>& rows) { return std::find_if(rows.begin(), rows.end(), HasNull) - rows.begin(); }

Status NullRefused(const QuerySpec& query, const Row& row) {
  const Cell* null = std::find_if(row.cells.begin(), row.cells.end(), IsNull);
  const std::string& column = query.columns[null - row.cells.begin()].name;
  return NotFound(StrCat("column ", column, " of row ", ToUuidText(row.key), " in ", query.table, " is null; ingest ",
                         "the row again, leave the column out, or pass FetchOptions(missing=\"skip\")"));
}

void DropNulls(std::vector<Row>* rows) {
  rows->erase(std::remove_if(rows->begin(), rows->end(), HasNull), rows->end());
}

void CopyRows(const std::vector<Row>& rows, bool batched, const std::vector<Component>& components,
              const tensorflow::DataTypeVector& dtypes, tensorflow::Allocator* allocator, std::vector<Tensor>* out) {
  out->reserve(components.size());
  for (size_t i = 0; i < components.size(); ++i) {
    TensorShape shape;
    if (batched) shape.AddDim(static_cast<int64_t>(rows.size()));
    if (dtypes[i] == tensorflow::DT_UINT8) shape.AddDim(kKeyBytes);
    Tensor& tensor = out->emplace_back(allocator, dtypes[i], shape);
    switch (components[i].source) {
      case Component::Source::kKey:
        CopyKeys(rows, &tensor);
        break;
      case Component::Source::kCell:
        CopyCells(rows, components[i].cell, &tensor);
        break;
      case Component::Source::kFound:
        CopyFound(rows, &tensor);
        break;
    }
  }
}

}  // namespace tfcass
