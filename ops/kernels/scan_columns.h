// Pages to tensors: what a scanned element looks like to TensorFlow.
#ifndef TFCASS_OPS_KERNELS_SCAN_COLUMNS_H_
#define TFCASS_OPS_KERNELS_SCAN_COLUMNS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/options.h"
#include "ops/fetch/scan/scanner.h"
#include "ops/kernels/columns.h"
#include "tensorflow/core/framework/allocator.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/types.h"

namespace tfcass {

// The components of an element: the asked columns and, under Missing::kEmpty, `found`; sorted by name.
std::vector<Component> ComponentsOf(const ScanSpec& spec, Missing missing);

// The dtype of a column's values.
tensorflow::DataType DtypeOf(Layout layout);

// kError: NotFound naming the first column that is null in one of the rows, and what is known of that row. kSkip: cuts
// such rows out of `slices`. kEmpty: they stay, `found` tells.
Status TreatNulls(const ScanSpec& spec, Missing missing, std::vector<ScanSlice>* slices);

// Copies the slices' rows into one new tensor a component. `batched` gives vectors, else there is exactly one row and
// they are scalars; uuids have one more dimension of 16. A null becomes "", 0, false or sixteen zero bytes.
void CopyRows(const std::vector<ScanSlice>& slices, bool batched, const std::vector<Component>& components,
              const tensorflow::DataTypeVector& dtypes, tensorflow::Allocator* allocator,
              std::vector<tensorflow::Tensor>* out);

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_SCAN_COLUMNS_H_
