// TfcassDecodeTiff: the op that tfcass.images.decode_tiff is made of. A library of its own, so that only those who
// decode TIFF need libtiff.
#include <memory>
#include <vector>

#include "ops/decode/tiff.h"
#include "ops/kernels/tf_status.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace tfcass {
namespace {

using tensorflow::DataType;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::TensorShapeUtils;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

class DecodeTiffOp : public OpKernel {
 public:
  explicit DecodeTiffOp(OpKernelConstruction* ctx) : OpKernel(ctx) {
    DataType dtype;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("dtype", &dtype));
    options_.bits = dtype == tensorflow::DT_UINT16 ? 16 : 8;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("channels", &options_.channels));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("page", &options_.page));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("max_bytes", &options_.max_bytes));
    OP_REQUIRES_OK(ctx, ToTfStatus(options_.Validate()));
  }

  void Compute(OpKernelContext* ctx) override {
    const Tensor& contents = ctx->input(0);
    OP_REQUIRES(ctx, TensorShapeUtils::IsScalar(contents.shape()),
                absl::InvalidArgumentError(absl::StrCat("contents has the shape ", contents.shape().DebugString(),
                                                        ": expected a scalar; map over a batch")));
    const tensorflow::tstring& bytes = contents.scalar<tensorflow::tstring>()();
    std::unique_ptr<TiffPage> page;
    OP_REQUIRES_OK(ctx, ToTfStatus(TiffPage::Open(bytes.data(), bytes.size(), options_, &page)));
    Tensor* image = nullptr;
    const TensorShape shape({page->height(), page->width(), page->channels()});
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, shape, &image));
    OP_REQUIRES_OK(ctx, ToTfStatus(page->Read(image->data())));
  }

 private:
  TiffOptions options_;
};

absl::Status ImageShape(InferenceContext* ctx) {
  ShapeHandle scalar;
  TF_RETURN_IF_ERROR(ctx->WithRank(ctx->input(0), 0, &scalar));
  int64_t channels;
  TF_RETURN_IF_ERROR(ctx->GetAttr("channels", &channels));
  const DimensionHandle depth = channels == 0 ? ctx->UnknownDim() : ctx->MakeDim(channels);
  ctx->set_output(0, ctx->MakeShape({ctx->UnknownDim(), ctx->UnknownDim(), depth}));
  return absl::OkStatus();
}

REGISTER_OP("TfcassDecodeTiff")
    .Input("contents: string")
    .Output("image: dtype")
    .Attr("dtype: {uint8, uint16} = DT_UINT8")
    .Attr("channels: int = 0")
    .Attr("page: int = 0")
    .Attr("max_bytes: int")
    .SetShapeFn(ImageShape)
    .Doc(R"doc(
Pixels of one page of a TIFF file.

contents: The file, a scalar.
image: [height, width, channels].
channels: 0: as stored, a palette as RGB. 1: grey, 3: RGB, 4: RGBA.
page: Counted from 0.
max_bytes: A page that needs more memory than this is refused.
)doc");

REGISTER_KERNEL_BUILDER(Name("TfcassDecodeTiff").Device(tensorflow::DEVICE_CPU), DecodeTiffOp);

}  // namespace
}  // namespace tfcass
