// The one place where our codes become TensorFlow's.
#ifndef TFCASS_OPS_KERNELS_TF_STATUS_H_
#define TFCASS_OPS_KERNELS_TF_STATUS_H_

#include "absl/status/status.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Same code, same message.
absl::Status ToTfStatus(const Status& status);

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_TF_STATUS_H_
