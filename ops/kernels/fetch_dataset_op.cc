// TfcassFetchDataset: the op that tfcass.CassandraDataset and tfcass.fetch() are made of.
#include <utility>

#include "ops/kernels/fetch_dataset.h"
#include "ops/kernels/op_inputs.h"
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
using tensorflow::data::ParseVectorArgument;
using tensorflow::data::UnaryDatasetOpKernel;

constexpr char kOutputTypes[] = "output_types";
constexpr char kOutputShapes[] = "output_shapes";
constexpr char kCluster[] = "cluster";
constexpr char kTable[] = "table";
constexpr char kColumns[] = "columns";
constexpr char kOptions[] = "options";

class FetchDatasetOp : public UnaryDatasetOpKernel {
 public:
  explicit FetchDatasetOp(OpKernelConstruction* ctx) : UnaryDatasetOpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr(kOutputTypes, &output_types_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr(kOutputShapes, &output_shapes_));
  }

 protected:
  void MakeDataset(OpKernelContext* ctx, DatasetBase* input, DatasetBase** output) override {
    FetchPlan plan;
    plan.output_types = output_types_;
    plan.output_shapes = output_shapes_;
    OP_REQUIRES_OK(ctx, ParseText(ctx, kCluster, &plan.cluster_text));
    OP_REQUIRES_OK(ctx, ParseText(ctx, kTable, &plan.table));
    OP_REQUIRES_OK(ctx, ParseVectorArgument(ctx, kColumns, &plan.columns));
    OP_REQUIRES_OK(ctx, ParseText(ctx, kOptions, &plan.options_text));
    OP_REQUIRES_OK(ctx, plan.Resolve());
    *output = new FetchDataset(ctx, input, std::move(plan));
  }

 private:
  tensorflow::DataTypeVector output_types_;
  std::vector<tensorflow::PartialTensorShape> output_shapes_;
};

// Not stateful: the rows are immutable, and a stateful op would hide the dataset from tf.data's own transformations.
// Not to be optimized (constant folded): a variant that holds a dataset is no constant.
REGISTER_OP("TfcassFetchDataset")
    .Input("input_dataset: variant")
    .Input("cluster: string")
    .Input("table: string")
    .Input("columns: string")
    .Input("options: string")
    .Output("handle: variant")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetDoNotOptimize()
    .SetShapeFn(tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Rows of a Cassandra table, by key.

input_dataset: Elements are one uint8 tensor of keys, [16] or [B,16]; B may differ between elements and be 0.
cluster: How the cluster is reached: canonical text, one percent-encoded `name=value` line a field. Holds no secret.
table: "keyspace.table".
columns: The key column, then the asked columns.
options: How rows are fetched: canonical text.
handle: Elements are the key column, the asked columns and, for missing=empty, the bool column `found`, sorted by name.
  Keys of shape [16] give scalars, [B,16] vectors; uuids have one more dimension of 16.
output_types: Of the components, in that order. They must fit the columns' CQL types.
)doc");

REGISTER_KERNEL_BUILDER(Name("TfcassFetchDataset").Device(tensorflow::DEVICE_CPU), FetchDatasetOp);

}  // namespace
}  // namespace tfcass
