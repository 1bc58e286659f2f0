// FetchDataset: a tf.data dataset of rows from a dataset of keys. Thin: RowFetcher does the work.
#ifndef TFCASS_OPS_KERNELS_FETCH_DATASET_H_
#define TFCASS_OPS_KERNELS_FETCH_DATASET_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ops/fetch/session.h"
#include "ops/kernels/background_reader.h"
#include "ops/kernels/fetch_plan.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/partial_tensor_shape.h"
#include "tensorflow/core/framework/types.h"

namespace tfcass {

class FetchDataset : public tensorflow::data::DatasetBase {
 public:
  FetchDataset(tensorflow::OpKernelContext* ctx, const tensorflow::data::DatasetBase* input, FetchPlan plan);
  ~FetchDataset() override;

  const FetchPlan& plan() const { return plan_; }
  const tensorflow::data::DatasetBase* input() const { return input_; }

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
  const tensorflow::data::DatasetBase* const input_;
  const FetchPlan plan_;
  mutable KeptSession session_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_FETCH_DATASET_H_
