#include "ops/kernels/key_window.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/framework/types.h"
#include "tensorflow/core/platform/errors.h"

namespace tfcass {
namespace {

using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::data::IteratorContext;
using tensorflow::data::IteratorStateReader;
using tensorflow::data::IteratorStateWriter;
using tensorflow::data::MemoryCheckpoint;

constexpr int64_t kKeyBytes = std::tuple_size_v<Key>;
constexpr char kOwedKeys[] = "owed_keys";    // uint8 [all owed keys, 16]
constexpr char kOwedSizes[] = "owed_sizes";  // int64 [owed elements]: number of keys, or kScalar
constexpr int64_t kScalar = -1;

}  // namespace

absl::Status KeyElement::FromTensors(std::vector<Tensor> element, KeyElement* keys) {
  if (element.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("an element of keys has ", element.size(), " components: pass a ",
                                                   "dataset whose elements are one uint8 tensor, [16] or [B,16]"));
  }
  const Tensor& tensor = element[0];
  const int rank = tensor.dims();
  if (tensor.dtype() != tensorflow::DT_UINT8 || (rank != 1 && rank != 2) || tensor.dim_size(rank - 1) != kKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat("an element of keys is ",
                                                   tensorflow::DataTypeString(tensor.dtype()), " ",
                                                   tensor.shape().DebugString(),
                                                   ": keys must be uint8 [16] or [B,16], as tfcass.keys() makes them"));
  }
  keys->tensor_ = std::move(element[0]);
  return absl::OkStatus();
}

std::vector<Key> KeyElement::Keys() const {
  std::vector<Key> keys(tensor_.NumElements() / kKeyBytes);
  const uint8_t* from = tensor_.flat<uint8_t>().data();
  for (Key& key : keys) {
    std::copy_n(from, kKeyBytes, key.begin());
    from += kKeyBytes;
  }
  return keys;
}

void KeyWindow::Add(KeyElement keys, std::optional<MemoryCheckpoint> checkpoint) {
  entries_.push_back({std::move(keys), std::move(checkpoint)});
}

std::vector<const KeyElement*> KeyWindow::Undelivered() const {
  std::vector<const KeyElement*> undelivered;
  for (const Entry& entry : entries_) {
    if (!entry.delivered) undelivered.push_back(&entry.keys);
  }
  return undelivered;
}

void KeyWindow::Deliver(int64_t index, IteratorContext* ctx) {
  for (; merged_ <= index; ++merged_) {
    std::optional<MemoryCheckpoint>& checkpoint = entries_[merged_ - first_].checkpoint;
    if (checkpoint.has_value()) ctx->MergeCheckpoint(&*checkpoint);
    checkpoint.reset();
  }
  entries_[index - first_].delivered = true;
  while (!entries_.empty() && entries_.front().delivered) {
    entries_.pop_front();
    ++first_;
  }
}

absl::Status KeyWindow::Save(const std::string& prefix, bool symbolic, IteratorStateWriter* writer) const {
  std::vector<const Tensor*> owed;
  int64_t rows = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (symbolic && first_ + static_cast<int64_t>(i) >= merged_) break;  // Pulled again after a restore.
    if (entries_[i].delivered) continue;
    owed.push_back(&entries_[i].keys.tensor());
    rows += owed.back()->NumElements() / kKeyBytes;
  }
  Tensor keys(tensorflow::DT_UINT8, TensorShape({rows, kKeyBytes}));
  Tensor sizes(tensorflow::DT_INT64, TensorShape({static_cast<int64_t>(owed.size())}));
  uint8_t* to = keys.flat<uint8_t>().data();
  for (size_t i = 0; i < owed.size(); ++i) {
    const auto from = owed[i]->flat<uint8_t>();
    to = std::copy_n(from.data(), from.size(), to);
    sizes.vec<int64_t>()(i) = owed[i]->dims() == 1 ? kScalar : owed[i]->dim_size(0);
  }
  TF_RETURN_IF_ERROR(writer->WriteTensor(prefix, kOwedKeys, keys));
  return writer->WriteTensor(prefix, kOwedSizes, sizes);
}

absl::Status KeyWindow::Restore(const std::string& prefix, IteratorStateReader* reader) {
  Tensor keys, sizes;
  TF_RETURN_IF_ERROR(reader->ReadTensor(prefix, kOwedKeys, &keys));
  TF_RETURN_IF_ERROR(reader->ReadTensor(prefix, kOwedSizes, &sizes));
  int64_t row = 0;
  for (int64_t i = 0; i < sizes.NumElements(); ++i) {
    const int64_t size = sizes.vec<int64_t>()(i);
    const int64_t rows = size == kScalar ? 1 : size;
    if (rows < 0 || row + rows > keys.dim_size(0)) {
      return absl::DataLossError(
          absl::StrCat("the checkpoint of ", prefix, " is damaged: ", kOwedSizes, " does not fit ", kOwedKeys));
    }
    Tensor tensor(tensorflow::DT_UINT8, size == kScalar ? TensorShape({kKeyBytes}) : TensorShape({rows, kKeyBytes}));
    std::copy_n(keys.flat<uint8_t>().data() + row * kKeyBytes, rows * kKeyBytes, tensor.flat<uint8_t>().data());
    KeyElement element;
    TF_RETURN_IF_ERROR(KeyElement::FromTensors({std::move(tensor)}, &element));
    Add(std::move(element), std::nullopt);
    row += rows;
  }
  merged_ = static_cast<int64_t>(entries_.size());  // The restored input stands after them: they are owed either way.
  return absl::OkStatus();
}

}  // namespace tfcass
