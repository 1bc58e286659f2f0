#include "ops/kernels/fetch_dataset.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/kernels/fetch_iterator.h"
#include "tensorflow/core/platform/errors.h"

namespace tfcass {

using tensorflow::data::CardinalityOptions;
using tensorflow::data::DatasetBase;
using tensorflow::data::IteratorBase;
using tensorflow::data::SerializationContext;

namespace {

constexpr char kName[] = "TfcassFetch";

}  // namespace

FetchDataset::FetchDataset(tensorflow::OpKernelContext* ctx, const DatasetBase* input, FetchPlan plan)
    : DatasetBase(tensorflow::data::DatasetContext(ctx)), input_(input), plan_(std::move(plan)) {
  input_->Ref();
}

FetchDataset::~FetchDataset() { input_->Unref(); }

std::string FetchDataset::DebugString() const {
  return absl::StrCat("TfcassFetchDatasetOp(", plan_.table, ")::Dataset");
}

int64_t FetchDataset::CardinalityInternal(CardinalityOptions options) const {
  const int64_t of_input = input_->Cardinality(options);
  if (plan_.options.missing != Missing::kSkip || of_input <= 0) return of_input;
  for (size_t i = 0; i < plan_.components.size(); ++i) {  // Batches get shorter, scalar elements fewer.
    const bool is_key = plan_.components[i].source == Component::Source::kKey;
    if (is_key && plan_.output_shapes[i].dims() == 2) return of_input;
  }
  return tensorflow::data::kUnknownCardinality;
}

absl::Status FetchDataset::InputDatasets(std::vector<const DatasetBase*>* inputs) const {
  inputs->push_back(input_);
  return absl::OkStatus();
}

// The rows are immutable: reading them is no state.
absl::Status FetchDataset::CheckExternalState() const { return input_->CheckExternalState(); }

absl::Status FetchDataset::AsGraphDefInternal(SerializationContext* ctx, DatasetGraphDefBuilder* builder,
                                              tensorflow::Node** output) const {
  tensorflow::Node *input, *cluster, *table, *columns, *options;
  TF_RETURN_IF_ERROR(builder->AddInputDataset(ctx, input_, &input));
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.cluster_text), &cluster));
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.table), &table));
  TF_RETURN_IF_ERROR(builder->AddVector(plan_.columns, &columns));
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.options_text), &options));
  return builder->AddDataset(this, {input, cluster, table, columns, options}, output);
}

std::unique_ptr<IteratorBase> FetchDataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<FetchIterator>(FetchIterator::Params{this, absl::StrCat(prefix, "::", kName)});
}

}  // namespace tfcass
