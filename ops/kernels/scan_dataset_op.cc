// TfcassScanDataset: the op that tfcass.scan() is made of.
#include <utility>

#include "ops/kernels/op_inputs.h"
#include "ops/kernels/scan_dataset.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace tfcass {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::data::DatasetBase;
using tensorflow::data::DatasetOpKernel;
using tensorflow::data::ParseScalarArgument;

constexpr char kOutputTypes[] = "output_types";
constexpr char kOutputShapes[] = "output_shapes";
constexpr char kCluster[] = "cluster";
constexpr char kSpec[] = "spec";
constexpr char kOptions[] = "options";
constexpr char kBatchSize[] = "batch_size";

class ScanDatasetOp : public DatasetOpKernel {
 public:
  explicit ScanDatasetOp(OpKernelConstruction* ctx) : DatasetOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr(kOutputTypes, &output_types_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr(kOutputShapes, &output_shapes_));
  }

 protected:
  void MakeDataset(OpKernelContext* ctx, DatasetBase** output) override {
    ScanPlan plan;
    plan.output_types = output_types_;
    plan.output_shapes = output_shapes_;
    OP_REQUIRES_OK(ctx, ParseText(ctx, kCluster, &plan.cluster_text));
    OP_REQUIRES_OK(ctx, ParseText(ctx, kSpec, &plan.spec_text));
    OP_REQUIRES_OK(ctx, ParseText(ctx, kOptions, &plan.options_text));
    OP_REQUIRES_OK(ctx, ParseScalarArgument(ctx, kBatchSize, &plan.batch_size));
    OP_REQUIRES_OK(ctx, plan.Resolve());
    *output = new ScanDataset(ctx, std::move(plan));
  }

 private:
  tensorflow::DataTypeVector output_types_;
  std::vector<tensorflow::PartialTensorShape> output_shapes_;
};

// Neither stateful nor to be optimized, for the reasons that fetch_dataset_op.cc gives.
REGISTER_OP("TfcassScanDataset")
    .Input("cluster: string")
    .Input("spec: string")
    .Input("options: string")
    .Input("batch_size: int64")
    .Output("handle: variant")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetDoNotOptimize()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
All rows of a Cassandra table, or of some of its partitions, each once.

cluster: How the cluster is reached: canonical text, one percent-encoded `name=value` line a field. Holds no secret.
spec: Which columns of which rows of which table: canonical text.
options: How rows are fetched: canonical text. In the order of their tokens if deterministic, else as they come.
batch_size: Rows of an element; 0 makes elements of one row without a batch dimension.
handle: Elements are the asked columns and, for missing=empty, the bool column `found`, sorted by name; uuids have one
  more dimension of 16.
output_types: Of the components, in that order. They must fit the columns' CQL types.
)doc");

REGISTER_KERNEL_BUILDER(Name("TfcassScanDataset").Device(tensorflow::DEVICE_CPU), ScanDatasetOp);

}  // namespace
}  // namespace tfcass
