#include "ops/kernels/op_inputs.h"

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/tstring.h"

namespace tfcass {

absl::Status ParseText(tensorflow::OpKernelContext* ctx, const char* name, std::string* text) {
  tensorflow::tstring value;
  TF_RETURN_IF_ERROR(tensorflow::data::ParseScalarArgument(ctx, name, &value));
  text->assign(value.data(), value.size());
  return absl::OkStatus();
}

absl::Status CheckOutputs(const std::vector<Component>& components, const tensorflow::DataTypeVector& output_types,
                          const std::vector<tensorflow::PartialTensorShape>& output_shapes) {
  if (components.size() == output_types.size() && components.size() == output_shapes.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the columns make ", components.size(), " components, but output_types has ", output_types.size(),
                   " and output_shapes ", output_shapes.size()));
}

}  // namespace tfcass
