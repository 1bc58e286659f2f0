#include "ops/kernels/fetch_dataset.h"

#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/fetch/row_fetcher.h"
#include "ops/fetch/session_pool.h"
#include "ops/kernels/key_window.h"
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
using tensorflow::data::MemoryCheckpoint;
using tensorflow::data::SerializationContext;

namespace {

constexpr char kName[] = "TfcassFetch";
constexpr char kTailCode[] = "tail_code";  // Of the input's error that was not delivered; absent without one.
constexpr char kTailMessage[] = "tail_message";

}  // namespace

FetchDataset::FetchDataset(tensorflow::OpKernelContext* ctx, const DatasetBase* input, FetchPlan plan)
    : DatasetBase(tensorflow::data::DatasetContext(ctx)), input_(input), plan_(std::move(plan)) {
  input_->Ref();
}

FetchDataset::~FetchDataset() { input_->Unref(); }

Status FetchDataset::OpenSession(std::shared_ptr<Session>* session) const {
  // Asked each time, though the pool would give the same one: a forked child must get its own.
  TFCASS_RETURN_IF_ERROR(SessionPool::Global().Get(plan_.cluster, plan_.options.IoThreads(), session));
  std::shared_ptr<Session> previous = *session;  // Released after the lock.
  MutexLock lock(&mu_);
  session_.swap(previous);
  return OkStatus();
}

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

// Pulls keys ahead of the consumer into the fetcher's window, across element borders, and delivers elements.
class FetchDataset::Iterator : public DatasetIterator<FetchDataset> {
 public:
  explicit Iterator(const Params& params) : DatasetIterator<FetchDataset>(params) {}

  // First nobody can call Cancel() any more; then the members go, the fetcher with its open requests among them.
  ~Iterator() override {
    if (deregister_cancellation_) deregister_cancellation_();
  }

  bool SymbolicCheckpointCompatible() const override { return true; }

  absl::Status Initialize(IteratorContext* ctx) override {
    TF_RETURN_IF_ERROR(tensorflow::RegisterCancellationCallback(
        ctx->cancellation_manager(), [this] { Cancel(); }, &deregister_cancellation_));
    return dataset()->input()->MakeIterator(ctx, this, prefix(), &input_);
  }

  absl::Status GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) override {
    MutexLock lock(&mu_);
    *end_of_sequence = false;
    bool delivered = false;
    while (!delivered) {
      // Before the fetcher is opened, so that a dataset without keys needs no cluster.
      if (window_.empty()) PullElement(ctx);
      if (window_.empty()) return DeliverTail(ctx, end_of_sequence);
      if (fetcher_ == nullptr) TF_RETURN_IF_ERROR(OpenFetcher(ctx));
      // Before waiting: the keys of the next elements travel meanwhile.
      while (!tail_.has_value() && fetcher_->HasRoom()) PullElement(ctx);
      TF_RETURN_IF_ERROR(DeliverElement(ctx, out, &delivered));
    }
    return absl::OkStatus();
  }

 protected:
  // One element in, one out. Synchronous in the model's terms: the time spent here is the consumer's, and waiting for
  // replies is no work.
  std::shared_ptr<tensorflow::data::model::Node> CreateNode(IteratorContext* ctx,
                                                            tensorflow::data::model::Node::Args args) const override {
    return tensorflow::data::model::MakeKnownRatioNode(std::move(args), /*ratio=*/1);
  }

  absl::Status SaveInternal(SerializationContext* ctx, IteratorStateWriter* writer) override {
    MutexLock lock(&mu_);
    TF_RETURN_IF_ERROR(SaveInput(ctx, writer, input_));
    TF_RETURN_IF_ERROR(window_.Save(prefix(), ctx->symbolic_checkpoint(), writer));
    // A symbolic checkpoint meets the error, or the end, again in the input.
    if (!ctx->symbolic_checkpoint() && tail_.has_value() && !tail_->status.ok()) {
      TF_RETURN_IF_ERROR(writer->WriteScalar(prefix(), kTailCode, static_cast<int64_t>(tail_->status.code())));
      TF_RETURN_IF_ERROR(writer->WriteScalar(prefix(), kTailMessage, tensorflow::tstring(tail_->status.message())));
    }
    return absl::OkStatus();
  }

  // Only remembers: the requests go out at the next GetNext, so that restoring needs no cluster.
  absl::Status RestoreInternal(IteratorContext* ctx, IteratorStateReader* reader) override {
    MutexLock lock(&mu_);
    TF_RETURN_IF_ERROR(RestoreInput(ctx, reader, input_));
    TF_RETURN_IF_ERROR(window_.Restore(prefix(), reader));
    if (reader->Contains(prefix(), kTailCode)) {
      int64_t code;
      tensorflow::tstring message;
      TF_RETURN_IF_ERROR(reader->ReadScalar(prefix(), kTailCode, &code));
      TF_RETURN_IF_ERROR(reader->ReadScalar(prefix(), kTailMessage, &message));
      tail_.emplace(Tail{absl::Status(static_cast<absl::StatusCode>(code), message), std::nullopt});
    }
    return absl::OkStatus();
  }

  tensorflow::data::TraceMeMetadata GetTraceMeMetadata() const override {
    return {{"table", dataset()->plan().table}, {"columns", absl::StrJoin(dataset()->plan().columns, ",")}};
  }

 private:
  // What the input gave after its last element so far: its end (an OK status), or an error, to be delivered after the
  // elements before it.
  struct Tail {
    absl::Status status;
    std::optional<MemoryCheckpoint> checkpoint;
  };

  void Cancel() {
    std::shared_ptr<RowFetcher> fetcher;
    {
      MutexLock lock(&cancel_mu_);
      cancelled_ = true;
      fetcher = cancel_fetcher_;
    }
    if (fetcher != nullptr) fetcher->Cancel();
  }

  // Takes the next element of keys into the window, and submits it if there is a fetcher. Sets the tail otherwise.
  void PullElement(IteratorContext* ctx) TFCASS_REQUIRES(mu_) {
    if (tail_.has_value()) return;
    // The input reports its position to a context of its own: it counts once the element is delivered.
    IteratorContext input_ctx(ctx);
    std::vector<Tensor> element;
    bool end = false;
    KeyElement keys;
    absl::Status status = input_->GetNext(&input_ctx, &element, &end);
    if (status.ok() && !end) status = KeyElement::FromTensors(std::move(element), &keys);
    std::optional<MemoryCheckpoint> checkpoint;
    if (ctx->symbolic_checkpoint()) checkpoint.emplace(std::move(*input_ctx.checkpoint()));
    if (end || !status.ok()) {
      tail_.emplace(Tail{std::move(status), std::move(checkpoint)});
      return;
    }
    if (fetcher_ != nullptr) fetcher_->Submit(keys.Keys());
    window_.Add(std::move(keys), std::move(checkpoint));
  }

  absl::Status DeliverTail(IteratorContext* ctx, bool* end_of_sequence) TFCASS_REQUIRES(mu_) {
    if (tail_->checkpoint.has_value()) ctx->MergeCheckpoint(&*tail_->checkpoint);
    absl::Status status = std::move(tail_->status);
    *end_of_sequence = status.ok();
    tail_.reset();  // The input says again that it ended; after an error it may go on.
    return status;
  }

  // Connects, and asks for all that is in the window.
  absl::Status OpenFetcher(IteratorContext* ctx) TFCASS_REQUIRES(mu_) {
    const FetchPlan& plan = dataset()->plan();
    std::shared_ptr<Session> session;
    std::unique_ptr<RowFetcher> fetcher;
    RecordStop(ctx);
    Status status = dataset()->OpenSession(&session);
    if (status.ok()) status = RowFetcher::Create(std::move(session), plan.query, plan.options, &fetcher);
    RecordStart(ctx);
    TF_RETURN_IF_ERROR(ToTfStatus(status));
    for (const KeyElement* keys : window_.Undelivered()) fetcher->Submit(keys->Keys());
    fetcher_ = std::move(fetcher);
    MutexLock lock(&cancel_mu_);
    cancel_fetcher_ = fetcher_;
    if (cancelled_) fetcher_->Cancel();
    return absl::OkStatus();
  }

  // Waits for an element and turns it into tensors. Not `delivered` when nothing of it is left.
  absl::Status DeliverElement(IteratorContext* ctx, std::vector<Tensor>* out, bool* delivered) TFCASS_REQUIRES(mu_) {
    const FetchPlan& plan = dataset()->plan();
    Element element;
    RecordStop(ctx);
    Status status = fetcher_->Next(&element);
    RecordStart(ctx);
    if (element.index < 0) return ToTfStatus(status);  // Nothing was taken from the window.
    const bool batched = window_.at(element.index).batched();
    window_.Deliver(element.index, ctx);
    if (status.ok()) status = TreatNulls(plan.query, plan.options.missing, &element.rows);
    TF_RETURN_IF_ERROR(ToTfStatus(status));
    if (!batched && element.rows.empty()) return absl::OkStatus();
    CopyRows(element.rows, batched, plan.components, plan.output_types, ctx->allocator({}), out);
    *delivered = true;
    return absl::OkStatus();
  }

  std::function<void()> deregister_cancellation_;

  Mutex mu_;  // Held by the one consumer at a time, while it waits too. Cancel() does without.
  std::unique_ptr<IteratorBase> input_ TFCASS_GUARDED_BY(mu_);
  KeyWindow window_ TFCASS_GUARDED_BY(mu_);
  std::optional<Tail> tail_ TFCASS_GUARDED_BY(mu_);
  std::shared_ptr<RowFetcher> fetcher_ TFCASS_GUARDED_BY(mu_);  // Null until the first element is wanted.

  Mutex cancel_mu_;  // Taken after mu_, or alone.
  std::shared_ptr<RowFetcher> cancel_fetcher_ TFCASS_GUARDED_BY(cancel_mu_);  // The same one as fetcher_.
  bool cancelled_ TFCASS_GUARDED_BY(cancel_mu_) = false;                      // Never goes back to false.
};

std::unique_ptr<IteratorBase> FetchDataset::MakeIteratorInternal(const std::string& prefix) const {
  return std::make_unique<Iterator>(Iterator::Params{this, absl::StrCat(prefix, "::", kName)});
}

}  // namespace tfcass
