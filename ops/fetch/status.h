// Status: how a call in ops/fetch ended. TensorFlow's codes under their own names, without TensorFlow.
#ifndef TFCASS_OPS_FETCH_STATUS_H_
#define TFCASS_OPS_FETCH_STATUS_H_

#include <string>
#include <utility>

namespace tfcass {

enum class StatusCode {
  kOk,
  kCancelled,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kUnauthenticated,
  kFailedPrecondition,
  kUnavailable,
  kInternal,
};

// The code tells the caller what it may do; the message tells what happened, where, and the next move.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status OkStatus() { return Status(); }
inline Status Cancelled(std::string message) { return {StatusCode::kCancelled, std::move(message)}; }
inline Status InvalidArgument(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }
inline Status DeadlineExceeded(std::string message) { return {StatusCode::kDeadlineExceeded, std::move(message)}; }
inline Status NotFound(std::string message) { return {StatusCode::kNotFound, std::move(message)}; }
inline Status Unauthenticated(std::string message) { return {StatusCode::kUnauthenticated, std::move(message)}; }
inline Status FailedPrecondition(std::string message) { return {StatusCode::kFailedPrecondition, std::move(message)}; }
inline Status Unavailable(std::string message) { return {StatusCode::kUnavailable, std::move(message)}; }
inline Status Internal(std::string message) { return {StatusCode::kInternal, std::move(message)}; }

#define TFCASS_RETURN_IF_ERROR(expression)           \
  do {                                               \
    ::tfcass::Status tfcass_status_ = (expression);  \
    if (!tfcass_status_.ok()) return tfcass_status_; \
  } while (false)

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_STATUS_H_
