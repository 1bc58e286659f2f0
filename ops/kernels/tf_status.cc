#include "ops/kernels/tf_status.h"

namespace tfcass {
namespace {

absl::StatusCode ToTfCode(StatusCode code) {
  switch (code) {  // Without a default: the compiler names a code that is forgotten here.
    case StatusCode::kOk:
      return absl::StatusCode::kOk;
    case StatusCode::kCancelled:
      return absl::StatusCode::kCancelled;
    case StatusCode::kInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
    case StatusCode::kDeadlineExceeded:
      return absl::StatusCode::kDeadlineExceeded;
    case StatusCode::kNotFound:
      return absl::StatusCode::kNotFound;
    case StatusCode::kUnauthenticated:
      return absl::StatusCode::kUnauthenticated;
    case StatusCode::kFailedPrecondition:
      return absl::StatusCode::kFailedPrecondition;
    case StatusCode::kUnavailable:
      return absl::StatusCode::kUnavailable;
    case StatusCode::kInternal:
      return absl::StatusCode::kInternal;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace

absl::Status ToTfStatus(const Status& status) { return absl::Status(ToTfCode(status.code()), status.message()); }

}  // namespace tfcass
