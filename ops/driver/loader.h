// Finds the DataStax C/C++ driver (or a fork of it with the same C API) and loads it at run time.
#ifndef TFCASS_OPS_DRIVER_LOADER_H_
#define TFCASS_OPS_DRIVER_LOADER_H_

#include <memory>
#include <string>

#include "ops/driver/driver_api.h"

namespace tfcass {

// Exactly one of the two is set.
struct LoadedDriver {
  std::shared_ptr<const DriverApi> api;
  std::string error;  // Every place tried, why each failed, and the ways to provide a driver.
};

// Tries, in this order: `explicit_path` unless empty (then nothing else: a path that was asked for is not replaced
// silently), the environment variable TFCASS_DRIVER (likewise), the system's libcassandra.so.2, the hint.
// Loaded once per path and never unloaded, as its threads may outlive every user of it. Any thread.
LoadedDriver LoadDriver(const std::string& explicit_path);

// The last place to look: Python sets it to the acsylla wheel's module, found without importing it. Empty: none.
void SetDriverHint(const std::string& path);

}  // namespace tfcass

#endif  // TFCASS_OPS_DRIVER_LOADER_H_
