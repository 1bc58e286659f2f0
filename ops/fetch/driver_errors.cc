#include "ops/fetch/driver_errors.h"

namespace tfcass {

bool IsRetriable(CassError error) {
  switch (error) {
    // The cluster cannot answer now: a node is down, starting, slow or full, or the connection broke.
    case CASS_ERROR_LIB_NO_HOSTS_AVAILABLE:
    case CASS_ERROR_LIB_REQUEST_TIMED_OUT:
    case CASS_ERROR_LIB_WRITE_ERROR:
    case CASS_ERROR_LIB_UNABLE_TO_CONNECT:
    case CASS_ERROR_SSL_CLOSED:
    case CASS_ERROR_SERVER_UNAVAILABLE:
    case CASS_ERROR_SERVER_OVERLOADED:
    case CASS_ERROR_SERVER_IS_BOOTSTRAPPING:
    case CASS_ERROR_SERVER_READ_TIMEOUT:
    case CASS_ERROR_SERVER_READ_FAILURE:
    case CASS_ERROR_SERVER_SERVER_ERROR:
    // The driver cannot send now.
    case CASS_ERROR_LIB_NO_STREAMS:
    case CASS_ERROR_LIB_REQUEST_QUEUE_FULL:
    case CASS_ERROR_LIB_NO_AVAILABLE_IO_THREAD:
    // The driver prepares anew by itself, but a node that restarts just then may forget the statement once more.
    case CASS_ERROR_SERVER_UNPREPARED:
      return true;

    // The statement, the schema or the permissions are wrong, and stay so.
    case CASS_ERROR_SERVER_SYNTAX_ERROR:
    case CASS_ERROR_SERVER_INVALID_QUERY:
    case CASS_ERROR_SERVER_CONFIG_ERROR:
    case CASS_ERROR_SERVER_UNAUTHORIZED:
    case CASS_ERROR_SERVER_BAD_CREDENTIALS:
    case CASS_ERROR_SERVER_PROTOCOL_ERROR:
    case CASS_ERROR_SERVER_FUNCTION_FAILURE:
    // A certificate stays wrong too.
    case CASS_ERROR_SSL_INVALID_CERT:
    case CASS_ERROR_SSL_INVALID_PRIVATE_KEY:
    case CASS_ERROR_SSL_NO_PEER_CERT:
    case CASS_ERROR_SSL_INVALID_PEER_CERT:
    case CASS_ERROR_SSL_IDENTITY_MISMATCH:
    case CASS_ERROR_SSL_PROTOCOL_ERROR:
    // Not of a read.
    case CASS_ERROR_SERVER_TRUNCATE_ERROR:
    case CASS_ERROR_SERVER_WRITE_TIMEOUT:
    case CASS_ERROR_SERVER_WRITE_FAILURE:
    case CASS_ERROR_SERVER_ALREADY_EXISTS:
    // We, or the driver, misused the API.
    case CASS_ERROR_LIB_BAD_PARAMS:
    case CASS_ERROR_LIB_UNABLE_TO_INIT:
    case CASS_ERROR_LIB_MESSAGE_ENCODE:
    case CASS_ERROR_LIB_HOST_RESOLUTION:
    case CASS_ERROR_LIB_UNEXPECTED_RESPONSE:
    case CASS_ERROR_LIB_INDEX_OUT_OF_BOUNDS:
    case CASS_ERROR_LIB_INVALID_ITEM_COUNT:
    case CASS_ERROR_LIB_INVALID_VALUE_TYPE:
    case CASS_ERROR_LIB_UNABLE_TO_SET_KEYSPACE:
    case CASS_ERROR_LIB_CALLBACK_ALREADY_SET:
    case CASS_ERROR_LIB_INVALID_STATEMENT_TYPE:
    case CASS_ERROR_LIB_NAME_DOES_NOT_EXIST:
    case CASS_ERROR_LIB_UNABLE_TO_DETERMINE_PROTOCOL:
    case CASS_ERROR_LIB_NULL_VALUE:
    case CASS_ERROR_LIB_NOT_IMPLEMENTED:
    case CASS_ERROR_LIB_UNABLE_TO_CLOSE:
    case CASS_ERROR_LIB_INTERNAL_ERROR:
    case CASS_ERROR_LIB_INVALID_DATA:
    case CASS_ERROR_LIB_NOT_ENOUGH_DATA:
    case CASS_ERROR_LIB_INVALID_STATE:
    case CASS_OK:
      return false;
  }
  return false;  // An error that this driver has and we do not know.
}

Remedy RemedyFor(CassError error) {
  switch (error) {
    case CASS_ERROR_LIB_NO_HOSTS_AVAILABLE:
    case CASS_ERROR_LIB_REQUEST_TIMED_OUT:
    case CASS_ERROR_LIB_WRITE_ERROR:
    case CASS_ERROR_LIB_UNABLE_TO_CONNECT:
    case CASS_ERROR_SSL_CLOSED:
    case CASS_ERROR_SERVER_IS_BOOTSTRAPPING:
    case CASS_ERROR_SERVER_READ_TIMEOUT:
      return Remedy::kElsewhere;
    case CASS_ERROR_SERVER_OVERLOADED:
    case CASS_ERROR_LIB_NO_STREAMS:
    case CASS_ERROR_LIB_REQUEST_QUEUE_FULL:
    case CASS_ERROR_LIB_NO_AVAILABLE_IO_THREAD:
      return Remedy::kLater;
    default:
      return Remedy::kOther;
  }
}

bool IsOutage(CassError error) {
  return error == CASS_ERROR_LIB_NO_HOSTS_AVAILABLE || error == CASS_ERROR_LIB_UNABLE_TO_CONNECT ||
         error == CASS_ERROR_SERVER_UNAVAILABLE || error == CASS_ERROR_SERVER_IS_BOOTSTRAPPING;
}

StatusCode CodeOf(CassError error) {
  switch (error) {
    case CASS_OK:
      return StatusCode::kOk;
    case CASS_ERROR_LIB_REQUEST_TIMED_OUT:
    case CASS_ERROR_SERVER_READ_TIMEOUT:
      return StatusCode::kDeadlineExceeded;
    case CASS_ERROR_SERVER_BAD_CREDENTIALS:
    case CASS_ERROR_SSL_NO_PEER_CERT:
    case CASS_ERROR_SSL_INVALID_PEER_CERT:
    case CASS_ERROR_SSL_IDENTITY_MISMATCH:
      return StatusCode::kUnauthenticated;
    case CASS_ERROR_SERVER_SYNTAX_ERROR:
    case CASS_ERROR_SERVER_INVALID_QUERY:
    case CASS_ERROR_SERVER_CONFIG_ERROR:
    case CASS_ERROR_SERVER_UNAUTHORIZED:
    case CASS_ERROR_SERVER_UNPREPARED:
      return StatusCode::kFailedPrecondition;
    case CASS_ERROR_SSL_INVALID_CERT:
    case CASS_ERROR_SSL_INVALID_PRIVATE_KEY:
      return StatusCode::kInvalidArgument;
    case CASS_ERROR_LIB_HOST_RESOLUTION:
    case CASS_ERROR_LIB_UNABLE_TO_DETERMINE_PROTOCOL:
    case CASS_ERROR_SSL_PROTOCOL_ERROR:
      return StatusCode::kUnavailable;
    default:
      return IsRetriable(error) ? StatusCode::kUnavailable : StatusCode::kInternal;
  }
}

std::string DriverMessage(const DriverApi& api, CassFuture* future) {
  const char* text = nullptr;
  size_t length = 0;
  api.cass_future_error_message(future, &text, &length);
  std::string message(text, length);
  const char* name = api.cass_error_desc(api.cass_future_error_code(future));
  if (message.empty()) return name;
  return message.find(name) == std::string::npos ? message + " [" + name + "]" : message;
}

}  // namespace tfcass
