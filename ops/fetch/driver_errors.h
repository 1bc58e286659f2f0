// What the driver's errors mean to a reader of rows.
#ifndef TFCASS_OPS_FETCH_DRIVER_ERRORS_H_
#define TFCASS_OPS_FETCH_DRIVER_ERRORS_H_

#include <string>

#include "ops/driver/driver_api.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Whether another attempt at the same read may succeed. Every error that a read can meet is named in it, so that a new
// one is a decision and not a default.
bool IsRetriable(CassError error);

// The code for an error of a read or of opening a session.
StatusCode CodeOf(CassError error);

// The driver's own words: its message, and its name for the error when the message does not have it.
std::string DriverMessage(const DriverApi& api, CassFuture* future);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_DRIVER_ERRORS_H_
