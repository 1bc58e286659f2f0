// What Python calls in the op library besides ops, through ctypes (tfcass/_ops.py).
#include <string>

#include "ops/driver/loader.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/secrets.h"

#define TFCASS_EXPORT extern "C" __attribute__((visibility("default"), used))

// Stores a secret where the reference "process:<id>" finds it.
TFCASS_EXPORT void tfcass_put_secret(const char* id, const char* value) { tfcass::PutSecret(id, value); }

// The last place to look for the driver's shared library.
TFCASS_EXPORT void tfcass_set_driver_hint(const char* path) { tfcass::SetDriverHint(path); }

// The counters of a dataset, by its metrics_id, as JSON; of the process for "". Valid until this thread's next call.
TFCASS_EXPORT const char* tfcass_metrics_json(const char* id) {
  thread_local std::string json;
  json = tfcass::MetricsJson(id);
  return json.c_str();
}
