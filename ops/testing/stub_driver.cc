// A shared library with the driver's every function, for the loader's tests. Each returns nothing useful.
#include "ops/driver/driver_api.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

#define TFCASS_STUB(result, name, parameters) \
  extern "C" result name parameters {         \
    using Result = result;                    \
    return Result();                          \
  }

TFCASS_DRIVER_FUNCTIONS(TFCASS_STUB)
TFCASS_OPTIONAL_DRIVER_FUNCTIONS(TFCASS_STUB)
