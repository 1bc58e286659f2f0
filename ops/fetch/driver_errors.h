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

// What to do about a retriable error of a request to one host.
enum class Remedy {
  kElsewhere,  // The host, or the way to it, is gone or hangs: another replica may answer at once.
  kLater,      // There is too much to do: the same request later.
  kOther,      // The host could not answer this request: perhaps it can answer smaller ones, or another replica.
};
Remedy RemedyFor(CassError error);

// Whether no node was there that could have answered: worth waiting for as long as there is time.
bool IsOutage(CassError error);

// The code for an error of a read or of opening a session.
StatusCode CodeOf(CassError error);

// The driver's own words: its message, and its name for the error when the message does not have it.
std::string DriverMessage(const DriverApi& api, CassFuture* future);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_DRIVER_ERRORS_H_
