#include "ops/kernels/fetch_iterator.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ops/kernels/columns.h"
#include "ops/kernels/tf_status.h"
#include "tensorflow/core/framework/cancellation.h"
#include "tensorflow/core/platform/errors.h"
#include "tensorflow/core/platform/mutex.h"
#include "tsl/profiler/lib/traceme.h"
#include "tsl/profiler/lib/traceme_encode.h"

namespace tfcass {

using tensorflow::Tensor;
using tensorflow::data::IteratorContext;
using tensorflow::data::IteratorStateReader;
using tensorflow::data::IteratorStateWriter;
using tensorflow::data::SerializationContext;
using tsl::profiler::TraceMe;
using tsl::profiler::TraceMeEncode;
using tsl::profiler::TraceMeLevel;

namespace {

constexpr char kTailCode[] = "tail_code";  // Of the input's error that was not delivered; absent without one.
constexpr char kTailMessage[] = "tail_message";

// Of their cells, as they came.
size_t BytesOf(const std::vector<Row>& rows) {
  size_t bytes = 0;
  for (const Row& row : rows) {
    for (const Cell& cell : row.cells) bytes += cell.bytes.size();
  }
  return bytes;
}

}  // namespace

// First nobody can cancel any more; then the members go, the fetcher with its open requests among them.
FetchIterator::~FetchIterator() {
  if (deregister_cancellation_) deregister_cancellation_();
}

absl::Status FetchIterator::Initialize(IteratorContext* ctx) {
  TF_RETURN_IF_ERROR(tensorflow::RegisterCancellationCallback(
      ctx->cancellation_manager(), [this] { reader_.Cancel(); }, &deregister_cancellation_));
  return dataset()->input()->MakeIterator(ctx, this, prefix(), &input_);
}

absl::Status FetchIterator::GetNextInternal(IteratorContext* ctx, std::vector<Tensor>* out, bool* end_of_sequence) {
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

// One element in, one out, through a buffer that fills while the consumer is elsewhere: asynchronous in the model's
// terms. The whole window is told as one buffered element of as many bytes as are held (ReportHeld), so that AUTOTUNE's
// RAM budget counts what is there. Nothing is tunable from outside: the window tunes itself.
std::shared_ptr<tensorflow::data::model::Node> FetchIterator::CreateNode(
    IteratorContext* ctx, tensorflow::data::model::Node::Args args) const {
  namespace model = tensorflow::data::model;
  const auto one = std::make_shared<model::SharedState>(1, std::make_shared<tensorflow::mutex>(),
                                                        std::make_shared<tensorflow::condition_variable>());
  return model::MakeAsyncKnownRatioNode(
      std::move(args), /*ratio=*/1,
      std::vector<std::shared_ptr<model::Parameter>>{model::MakeParameter(model::kBufferSize, one, /*min=*/1, /*max=*/1)});
}

absl::Status FetchIterator::SaveInternal(SerializationContext* ctx, IteratorStateWriter* writer) {
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
absl::Status FetchIterator::RestoreInternal(IteratorContext* ctx, IteratorStateReader* reader) {
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

tensorflow::data::TraceMeMetadata FetchIterator::GetTraceMeMetadata() const {
  return {{"table", dataset()->plan().table}, {"columns", absl::StrJoin(dataset()->plan().columns, ",")}};
}

// Takes the next element of keys into the window, and submits it if there is a fetcher. Sets the tail otherwise.
void FetchIterator::PullElement(IteratorContext* ctx) {
  if (tail_.has_value()) return;
  // The input reports its position to a context of its own: it counts once the element is delivered.
  IteratorContext input_ctx(ctx);
  std::vector<Tensor> element;
  bool end = false;
  KeyElement keys;
  absl::Status status = input_->GetNext(&input_ctx, &element, &end);
  if (status.ok() && !end) status = KeyElement::FromTensors(std::move(element), &keys);
  std::optional<tensorflow::data::MemoryCheckpoint> checkpoint;
  if (ctx->symbolic_checkpoint()) checkpoint.emplace(std::move(*input_ctx.checkpoint()));
  if (end || !status.ok()) {
    tail_.emplace(Tail{std::move(status), std::move(checkpoint)});
    return;
  }
  if (fetcher_ != nullptr) fetcher_->Submit(keys.Keys());
  window_.Add(std::move(keys), std::move(checkpoint));
}

absl::Status FetchIterator::DeliverTail(IteratorContext* ctx, bool* end_of_sequence) {
  if (tail_->checkpoint.has_value()) ctx->MergeCheckpoint(&*tail_->checkpoint);
  absl::Status status = std::move(tail_->status);
  *end_of_sequence = status.ok();
  tail_.reset();  // The input says again that it ended; after an error it may go on.
  return status;
}

// Connects, and asks for all that is in the window.
absl::Status FetchIterator::OpenFetcher(IteratorContext* ctx) {
  const FetchPlan& plan = dataset()->plan();
  std::shared_ptr<Session> session;
  RecordStop(ctx);
  const Status status = reader_.Open(
      absl::StrCat("the reading of ", plan.table), plan.cluster, plan.options,
      [query = plan.query, options = plan.options](std::shared_ptr<Session> session,
                                                   std::unique_ptr<RowFetcher>* fetcher) {
        return RowFetcher::Create(std::move(session), query, options, fetcher);
      },
      &session, &fetcher_);
  RecordStart(ctx);
  TF_RETURN_IF_ERROR(ToTfStatus(status));
  dataset()->KeepOpen(std::move(session));
  for (const KeyElement* keys : window_.Untouched()) fetcher_->Submit(keys->Keys());
  return absl::OkStatus();
}

// Waits for an element and turns it into tensors. Not `delivered` when nothing of it is left.
absl::Status FetchIterator::DeliverElement(IteratorContext* ctx, std::vector<Tensor>* out, bool* delivered) {
  const FetchPlan& plan = dataset()->plan();
  Element element;
  TF_RETURN_IF_ERROR(ToTfStatus(NextElement(ctx, &element)));
  const bool batched = window_.batched(element.index);
  window_.Deliver(element, ctx);
  if (plan.options.missing == Missing::kSkip) DropNulls(&element.rows);
  if (!batched && element.rows.empty()) return absl::OkStatus();
  TraceMe trace(
      [this, &element] {
        return TraceMeEncode("TfcassFetch::Rows", {{"table", dataset()->plan().table},
                                                   {"rows", element.rows.size()},
                                                   {"bytes", BytesOf(element.rows)}});
      },
      TraceMeLevel::kInfo);
  CopyRows(element.rows, batched, plan.components, plan.output_types, ctx->allocator({}), out);
  *delivered = true;
  return absl::OkStatus();
}

// The next output, which the window still owes; what an error gives up it owes no more.
Status FetchIterator::NextElement(IteratorContext* ctx, Element* element) {
  if (held_.has_value()) {
    *element = *std::exchange(held_, std::nullopt);
  } else {
    const Status status = AwaitElement(ctx, element);
    if (!status.ok()) {
      if (element->index < 0) return status;  // Nothing was taken from the window.
      if (element->taken.empty()) {
        window_.Deliver(*element, ctx);
      } else {
        window_.GiveUp(element->index, element->taken[0], ctx);
      }
      return status;
    }
  }
  return dataset()->plan().options.missing == Missing::kError ? RefuseNulls(ctx, element) : OkStatus();
}

// Waiting for replies is no work in the model's terms.
Status FetchIterator::AwaitElement(IteratorContext* ctx, Element* element) {
  TraceMe trace([] { return TraceMeEncode("TfcassFetch::Wait", {}); }, TraceMeLevel::kInfo);
  RecordStop(ctx);
  Status status = fetcher_->Next(element);
  RecordStart(ctx);
  ReportHeld(ctx);
  trace.AppendMetadata([this] {
    const RowFetcher::Received& received = fetcher_->received();
    return TraceMeEncode({{"replies", received.replies},
                          {"rows", received.rows},
                          {"bytes", received.bytes},
                          {"hosts", absl::StrJoin(received.hosts, " ", [](std::string* out, const Host* host) {
                             out->append(host->name());
                           })},
                          {"window_rows", fetcher_->window_rows()},
                          {"held_bytes", fetcher_->held_bytes()}});
  });
  return status;
}

void FetchIterator::ReportHeld(IteratorContext* ctx) {
  if (ctx->model() == nullptr || model_node() == nullptr) return;
  const int64_t held = fetcher_->held_bytes();
  model_node()->record_buffer_event(held - reported_bytes_, /*elements_delta=*/reported_ ? 0 : 1);
  reported_bytes_ = held;
  reported_ = true;
}

// A row with a null fails as a missing one does: with its element, or alone where elements are filled out of order.
Status FetchIterator::RefuseNulls(IteratorContext* ctx, Element* element) {
  const FetchPlan& plan = dataset()->plan();
  const size_t refused = FirstNull(element->rows);
  if (refused == element->rows.size()) return OkStatus();
  const Status status = NullRefused(plan.query, element->rows[refused]);
  if (element->taken.empty()) {
    window_.Deliver(*element, ctx);
    return status;
  }
  window_.GiveUp(element->index, element->taken[refused], ctx);
  element->rows.erase(element->rows.begin() + refused);
  element->taken.erase(element->taken.begin() + refused);
  if (!element->rows.empty()) held_ = std::move(*element);
  return status;
}

}  // namespace tfcass
