// FetchIterator: pulls keys ahead of the consumer into a RowFetcher's window, across element borders, and hands out rows.
//
// Threads  GetNext, Save, Restore: any, one after the other under mu_. Cancellation: any, at any time; it ends every
//          wait in here at once, the one for a connection too.
// Owns     Its RowFetcher, or the thread that opens one. Destruction waits for neither replies nor a connection.
#ifndef TFCASS_OPS_KERNELS_FETCH_ITERATOR_H_
#define TFCASS_OPS_KERNELS_FETCH_ITERATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ops/fetch/mutex.h"
#include "ops/fetch/row_fetcher.h"
#include "ops/kernels/background_reader.h"
#include "ops/kernels/fetch_dataset.h"
#include "ops/kernels/key_window.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/model.h"
#include "tensorflow/core/framework/tensor.h"

namespace tfcass {

class FetchIterator : public tensorflow::data::DatasetIterator<FetchDataset> {
 public:
  explicit FetchIterator(const Params& params) : DatasetIterator<FetchDataset>(params) {}
  ~FetchIterator() override;

  bool SymbolicCheckpointCompatible() const override { return true; }
  absl::Status Initialize(tensorflow::data::IteratorContext* ctx) override;
  absl::Status GetNextInternal(tensorflow::data::IteratorContext* ctx, std::vector<tensorflow::Tensor>* out,
                               bool* end_of_sequence) override;

 protected:
  std::shared_ptr<tensorflow::data::model::Node> CreateNode(
      tensorflow::data::IteratorContext* ctx, tensorflow::data::model::Node::Args args) const override;
  absl::Status SaveInternal(tensorflow::data::SerializationContext* ctx,
                            tensorflow::data::IteratorStateWriter* writer) override;
  absl::Status RestoreInternal(tensorflow::data::IteratorContext* ctx,
                               tensorflow::data::IteratorStateReader* reader) override;
  tensorflow::data::TraceMeMetadata GetTraceMeMetadata() const override;

 private:
  // What the input gave after its last element so far: its end (an OK status), or an error, to be delivered after the
  // elements before it.
  struct Tail {
    absl::Status status;
    std::optional<tensorflow::data::MemoryCheckpoint> checkpoint;
  };

  void PullElement(tensorflow::data::IteratorContext* ctx) TFCASS_REQUIRES(mu_);
  absl::Status DeliverTail(tensorflow::data::IteratorContext* ctx, bool* end_of_sequence) TFCASS_REQUIRES(mu_);
  absl::Status OpenFetcher(tensorflow::data::IteratorContext* ctx) TFCASS_REQUIRES(mu_);
  absl::Status DeliverElement(tensorflow::data::IteratorContext* ctx, std::vector<tensorflow::Tensor>* out,
                              bool* delivered) TFCASS_REQUIRES(mu_);
  Status NextElement(tensorflow::data::IteratorContext* ctx, Element* element) TFCASS_REQUIRES(mu_);
  Status AwaitElement(tensorflow::data::IteratorContext* ctx, Element* element) TFCASS_REQUIRES(mu_);
  void ReportHeld(tensorflow::data::IteratorContext* ctx) TFCASS_REQUIRES(mu_);
  Status RefuseNulls(tensorflow::data::IteratorContext* ctx, Element* element) TFCASS_REQUIRES(mu_);

  std::function<void()> deregister_cancellation_;

  BackgroundReader<RowFetcher> reader_;  // What cancellation ends; needs no lock of ours.

  mutable Mutex mu_;  // Held by the one consumer at a time, while it waits too.
  std::unique_ptr<tensorflow::data::IteratorBase> input_ TFCASS_GUARDED_BY(mu_);
  KeyWindow window_ TFCASS_GUARDED_BY(mu_);
  std::optional<Tail> tail_ TFCASS_GUARDED_BY(mu_);
  std::shared_ptr<RowFetcher> fetcher_ TFCASS_GUARDED_BY(mu_);  // Null until the first element is wanted.
  // What is left of an output after its row with a null was given up. Its keys are owed until it is delivered.
  std::optional<Element> held_ TFCASS_GUARDED_BY(mu_);

  int64_t reported_bytes_ TFCASS_GUARDED_BY(mu_) = 0;  // To the model, as held.
  bool reported_ TFCASS_GUARDED_BY(mu_) = false;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_FETCH_ITERATOR_H_
