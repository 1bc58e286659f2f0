#include "ops/kernels/scan_dataset.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ops/fetch/scan/scanner.h"
#include "ops/kernels/op_inputs.h"
#include "ops/kernels/scan_columns.h"
#include "ops/kernels/tf_status.h"
#include "tensorflow/core/framework/cancellation.h"
#include "tensorflow/core/framework/model.h"
#include "tensorflow/core/platform/errors.h"

namespace tfcass {

using tensorflow::Tensor;
using tensorflow::data::CardinalityOptions;
using tensorflow::data::DatasetBase;
using tensorflow::data::DatasetIterator;
using tensorflow::data::IteratorBase;
using tensorflow::data::IteratorContext;
using tensorflow::data::IteratorStateReader;
using tensorflow::data::IteratorStateWriter;
using tensorflow::data::SerializationContext;

namespace {

constexpr char kName[] = "TfcassScan";
constexpr char kState[] = "state";  // Scanner::Save()'s; empty at the beginning.

}  // namespace

absl::Status ScanPlan::Resolve() {
  TF_RETURN_IF_ERROR(ToTfStatus(ClusterConfig::Parse(cluster_text, &cluster)));
  TF_RETURN_IF_ERROR(ToTfStatus(FetchOptions::Parse(options_text, &options)));
  TF_RETURN_IF_ERROR(ToTfStatus(ScanSpec::Parse(spec_text, &spec)));
  if (batch_size < 0) return absl::InvalidArgumentError(absl::StrCat("batch_size=", batch_size, " is negative"));
  components = ComponentsOf(spec, options.missing);
  TF_RETURN_IF_ERROR(CheckOutputs(components, output_types, output_shapes));
  for (size_t i = 0; i < components.size(); ++i) {
    const bool is_cell = components[i].source == Component::Source::kCell;
    const auto expected = is_cell ? DtypeOf(spec.columns[components[i].cell].layout) : tensorflow::DT_BOOL;
    if (output_types[i] == expected) continue;
    return absl::InvalidArgumentError(absl::StrCat(tensorflow::DataTypeString(output_types[i]), " in output_types[", i,
                                                   "] does not fit column ", components[i].name, ", which is read as ",
                                                   tensorflow::DataTypeString(expected)));
  }
  return absl::OkStatus();
}

ScanDataset::ScanDataset(tensorflow::OpKernelContext* ctx, ScanPlan plan)
    : DatasetBase(tensorflow::data::DatasetContext(ctx)), plan_(std::move(plan)) {}

std::string ScanDataset::DebugString() const {
  return absl::StrCat("TfcassScanDatasetOp(", plan_.spec.table, ")::Dataset");
}

int64_t ScanDataset::CardinalityInternal(CardinalityOptions) const { return tensorflow::data::kUnknownCardinality; }

absl::Status ScanDataset::InputDatasets(std::vector<const DatasetBase*>*) const { return absl::OkStatus(); }

// The rows are taken to be immutable: reading them is no state.
absl::Status ScanDataset::CheckExternalState() const { return absl::OkStatus(); }

absl::Status ScanDataset::AsGraphDefInternal(SerializationContext*, DatasetGraphDefBuilder* builder,
                                             tensorflow::Node** output) const {
  tensorflow::Node *cluster, *spec, *options, *batch_size;
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.cluster_text), &cluster));
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.spec_text), &spec));
  TF_RETURN_IF_ERROR(builder->AddScalar(tensorflow::tstring(plan_.options_text), &options));
  TF_RETURN_IF_ERROR(builder->AddScalar(plan_.batch_size, &batch_size));
  return builder->AddDataset(this, {cluster, spec, options, batch_size}, output);
}

// Gathers slices of pages into elements.
class ScanDataset::Iterator : public DatasetIterator<ScanDataset> {
 public:
  explicit Iterator(const Params& params) : DatasetIterator<ScanDataset>(params) {}

  // First nobody can cancel any more; then the members go, the scanner with its open requests among them.
  ~Iterator() override {
    if (deregister_cancellation_) deregister_cancellation_();
  }

  bool SymbolicCheckpointCompatible() const override { return true; }

  absl::Status Initialize(IteratorContext* ctx) override {
    return tensorflow::RegisterCancellationCallback(
        ctx->cancellation_manager(), [this] { reader_.Cancel(); }, &deregister_cancellation_);
  }

  absl::Status GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) override {
    MutexLock lock(&mu_);
    *end_of_sequence = false;
    if (scanner_ == nullptr) TF_RETURN_IF_ERROR(OpenScanner(ctx));
    const ScanPlan& plan = dataset()->plan();
    std::vector<ScanSlice> slices;
    while (slices.empty() && !*end_of_sequence) {  // Again when nothing but rows with nulls came, and those are skipped.
      RecordStop(ctx);
      Status status = Gather(&slices, end_of_sequence);
      RecordStart(ctx);
      if (status.ok()) status = TreatNulls(plan.spec, plan.options.missing, &slices);
      TF_RETURN_IF_ERROR(ToTfStatus(status));
    }
    if (*end_of_sequence) return absl::OkStatus();
    CopyRows(slices, plan.batch_size > 0, plan.components, plan.output_types, ctx->allocator({}), out);
    return absl::OkStatus();
  }

 protected:
  std::shared_ptr<tensorflow::data::model::Node> CreateNode(IteratorContext* ctx,
                                                            tensorflow::data::model::Node::Args args) const override {
    return tensorflow::data::model::MakeSourceNode(std::move(args));
  }

  absl::Status SaveInternal(SerializationContext* ctx, IteratorStateWriter* writer) override {
    MutexLock lock(&mu_);
    return writer->WriteScalar(prefix(), kState,
                               tensorflow::tstring(scanner_ == nullptr ? restored_ : scanner_->Save()));
  }

  // Only remembers: the requests go out at the next GetNext, so that restoring needs no cluster.
  absl::Status RestoreInternal(IteratorContext* ctx, IteratorStateReader* reader) override {
    MutexLock lock(&mu_);
    tensorflow::tstring state;
    TF_RETURN_IF_ERROR(reader->ReadScalar(prefix(), kState, &state));
    restored_.assign(state.data(), state.size());
    return absl::OkStatus();
  }

  tensorflow::data::TraceMeMetadata GetTraceMeMetadata() const override {
    return {{"table", dataset()->plan().spec.table}};
  }

 private:
  absl::Status OpenScanner(IteratorContext* ctx) TFCASS_REQUIRES(mu_) {
    const ScanPlan& plan = dataset()->plan();
    std::shared_ptr<Session> session;
    RecordStop(ctx);
    const Status status = reader_.Open(
        absl::StrCat("the scan of ", plan.spec.table), plan.cluster, plan.options,
        [spec = plan.spec, options = plan.options, state = restored_](std::shared_ptr<Session> session,
                                                                      std::unique_ptr<Scanner>* scanner) {
          return Scanner::Create(std::move(session), spec, options, state, scanner);
        },
        &session, &scanner_);
    RecordStart(ctx);
    TF_RETURN_IF_ERROR(ToTfStatus(status));
    dataset()->KeepOpen(std::move(session));
    return absl::OkStatus();
  }

  // The rows of one element: as many as a batch has, fewer only before the end, or before an error, which is then told
  // instead of the next element.
  Status Gather(std::vector<ScanSlice>* slices, bool* end) TFCASS_REQUIRES(mu_) {
    if (!late_error_.ok()) return std::exchange(late_error_, OkStatus());
    size_t wanted = dataset()->plan().batch_size > 0 ? static_cast<size_t>(dataset()->plan().batch_size) : 1;
    while (wanted > 0) {
      ScanSlice slice;
      Status status = scanner_->Next(wanted, Clock::TimePoint::max(), &slice);
      if (!status.ok() && slices->empty()) return status;
      if (!status.ok()) {
        late_error_ = std::move(status);
        return OkStatus();
      }
      if (slice.end) break;
      wanted -= slice.rows;
      slices->push_back(std::move(slice));
    }
    *end = slices->empty();
    return OkStatus();
  }

  std::function<void()> deregister_cancellation_;

  BackgroundReader<Scanner> reader_;  // What cancellation ends; needs no lock of ours.

  Mutex mu_;  // Held by the one consumer at a time, while it waits too.
  std::string restored_ TFCASS_GUARDED_BY(mu_);
  Status late_error_ TFCASS_GUARDED_BY(mu_);                    // Not saved: the page is asked for again anyway.
  std::shared_ptr<Scanner> scanner_ TFCASS_GUARDED_BY(mu_);  // Null until the first element is wanted.
};

std::unique_ptr<IteratorBase> ScanDataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<Iterator>(Iterator::Params{this, absl::StrCat(prefix, "::", kName)});
}

}  // namespace tfcass
