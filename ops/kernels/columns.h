// Rows to tensors: what a fetched element looks like to TensorFlow.
//
// Terms    Component: one tensor of an element. Components come sorted by name, as tf.nest flattens a dict, so that
//          Python's element is a dict at no cost. Absent: a cell whose row does not exist, or that is null.
#ifndef TFCASS_OPS_KERNELS_COLUMNS_H_
#define TFCASS_OPS_KERNELS_COLUMNS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/options.h"
#include "ops/fetch/query.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"
#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.h"

namespace tfcass {

// Where a component's values come from.
struct Component {
  enum class Source { kKey, kCell, kFound };
  std::string name;
  Source source;
  size_t cell = 0;  // Index in QuerySpec::columns, for kCell.
};

// The components of an element: the key column, the query's columns and, under Missing::kEmpty, `found`.
std::vector<Component> ComponentsOf(const QuerySpec& query, Missing missing);

// The cell type that a component of this dtype is read from. Sets `type`; InvalidArgument for a dtype of no column.
absl::Status CellTypeOf(tensorflow::DataType dtype, CellType* type);

// A found row with a null cell is treated like a missing row, as a silent 0 for a label would be a lie. Missing::kError:
// it is refused. kSkip: it is dropped. kEmpty: it stays, and `found` tells.
//
// The place of the first row with a null; rows.size() if there is none.
size_t FirstNull(const std::vector<Row>& rows);
// NotFound naming column, UUID and table of a row with a null.
Status NullRefused(const QuerySpec& query, const Row& row);
void DropNulls(std::vector<Row>* rows);

// Copies the rows into one new tensor a component: the only copy between the driver's buffers and TensorFlow.
// `batched` gives vectors (uuids: [rows, 16]), else there is exactly one row and they are scalars (uuids: [16]).
// An absent cell becomes "", 0, false or sixteen zero bytes.
void CopyRows(const std::vector<Row>& rows, bool batched, const std::vector<Component>& components,
              const tensorflow::DataTypeVector& dtypes, tensorflow::Allocator* allocator,
              std::vector<tensorflow::Tensor>* out);

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_COLUMNS_H_
