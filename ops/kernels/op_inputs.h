// What the dataset ops' inputs and attributes have in common.
#ifndef TFCASS_OPS_KERNELS_OP_INPUTS_H_
#define TFCASS_OPS_KERNELS_OP_INPUTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/kernels/columns.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/types.h"

namespace tfcass {

// The scalar string input `name`.
absl::Status ParseText(tensorflow::OpKernelContext* ctx, const char* name, std::string* text);

// InvalidArgument unless there is a type and a shape for each component.
absl::Status CheckOutputs(const std::vector<Component>& components, const tensorflow::DataTypeVector& output_types,
                          const std::vector<tensorflow::PartialTensorShape>& output_shapes);

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_OP_INPUTS_H_
