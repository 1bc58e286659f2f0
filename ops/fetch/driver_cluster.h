// Turns a ClusterConfig into the driver's own settings.
#ifndef TFCASS_OPS_FETCH_DRIVER_CLUSTER_H_
#define TFCASS_OPS_FETCH_DRIVER_CLUSTER_H_

#include <cstdint>

#include "ops/driver/driver_api.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Resolves secrets and reads certificate files, now and not earlier. FailedPrecondition when one of them is not there,
// InvalidArgument naming the file or setting that the driver refuses.
Status ConfigureCluster(const DriverApi& api, const ClusterConfig& config, int64_t io_threads, CassCluster* cluster);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_DRIVER_CLUSTER_H_
