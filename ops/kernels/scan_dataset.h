// ScanDataset: a tf.data dataset of all rows of a table. Thin: Scanner does the work.
#ifndef TFCASS_OPS_KERNELS_SCAN_DATASET_H_
#define TFCASS_OPS_KERNELS_SCAN_DATASET_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/options.h"
#include "ops/fetch/scan/scan_spec.h"
#include "ops/fetch/session.h"
#include "ops/kernels/background_reader.h"
#include "ops/kernels/columns.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/types.h"

namespace tfcass {

// The op's inputs, and what they mean.
struct ScanPlan {
  // As they came, also for serialization.
  std::string cluster_text;
  std::string spec_text;
  std::string options_text;
  int64_t batch_size = 0;  // 0: elements are scalars.
  tensorflow::DataTypeVector output_types;
  std::vector<tensorflow::PartialTensorShape> output_shapes;

  // Filled in by Resolve().
  ClusterConfig cluster;
  ScanSpec spec;
  FetchOptions options;
  std::vector<Component> components;

  // InvalidArgument when the fields contradict each other.
  absl::Status Resolve();
};

class ScanDataset : public tensorflow::data::DatasetBase {
 public:
  ScanDataset(tensorflow::OpKernelContext* ctx, ScanPlan plan);

  const ScanPlan& plan() const { return plan_; }

  // Holds the session that an iterator got.
  void KeepOpen(std::shared_ptr<Session> session) const { session_.Keep(std::move(session)); }

  const tensorflow::DataTypeVector& output_dtypes() const override { return plan_.output_types; }
  const std::vector<tensorflow::PartialTensorShape>& output_shapes() const override { return plan_.output_shapes; }
  std::string DebugString() const override;
  int64_t CardinalityInternal(tensorflow::data::CardinalityOptions options) const override;
  absl::Status InputDatasets(std::vector<const tensorflow::data::DatasetBase*>* inputs) const override;
  absl::Status CheckExternalState() const override;

 protected:
  std::unique_ptr<tensorflow::data::IteratorBase> MakeIteratorInternal(const std::string& prefix) const override;
  absl::Status AsGraphDefInternal(tensorflow::data::SerializationContext* ctx, DatasetGraphDefBuilder* builder,
                                  tensorflow::Node** output) const override;

 private:
  class Iterator;

  const ScanPlan plan_;
  mutable KeptSession session_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_SCAN_DATASET_H_
