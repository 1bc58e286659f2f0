// FetchPlan: the op's inputs, and what they mean.
#ifndef TFCASS_OPS_KERNELS_FETCH_PLAN_H_
#define TFCASS_OPS_KERNELS_FETCH_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/options.h"
#include "ops/fetch/query.h"
#include "ops/kernels/columns.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/platform/tstring.h"

namespace tfcass {

struct FetchPlan {
  // As they came, also for serialization.
  std::string cluster_text;
  std::string table;
  std::vector<tensorflow::tstring> columns;
  std::string options_text;
  tensorflow::DataTypeVector output_types;
  std::vector<tensorflow::PartialTensorShape> output_shapes;

  // Filled in by Resolve().
  ClusterConfig cluster;
  QuerySpec query;
  FetchOptions options;
  std::vector<Component> components;

  // The output types tell how each column is read. InvalidArgument when the fields contradict each other.
  absl::Status Resolve();
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_FETCH_PLAN_H_
