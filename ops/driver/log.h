// The driver's log: warnings and errors, to stderr, one line each.
#ifndef TFCASS_OPS_DRIVER_LOG_H_
#define TFCASS_OPS_DRIVER_LOG_H_

#include <string>
#include <vector>

#include "ops/driver/driver_api.h"

namespace tfcass {

// TFCASS_DRIVER_LOG sets the level: off, error, warn (the default), info, debug, trace. To be called before the
// driver's first session: it reads its level without a lock.
void RouteDriverLog(const DriverApi& api);

// What the driver logs of errors while this lives is kept here instead of being printed, so that a failure can be told
// as one message. What nobody took is printed in the end. Driver threads of other sessions end up here too.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  // The messages so far, without time and level.
  std::vector<std::string> Take();

 private:
  friend void HandleLogMessage(const CassLogMessage& message);
  std::vector<std::string> messages_;  // Guarded by the log's lock.
};

// Prints a warning of our own, unless TFCASS_DRIVER_LOG is "off" or "error".
void LogWarning(const std::string& message);

// What the driver's callback does: prints the message, hands it to the captures, or drops it as no news, which a
// repetition of the line before is too.
void HandleLogMessage(const CassLogMessage& message);

}  // namespace tfcass

#endif  // TFCASS_OPS_DRIVER_LOG_H_
