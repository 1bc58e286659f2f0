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
constexpr char kOwedSizes[] = "owed_sizes";  // int64 [owed outputs]: number of keys, or -1 without a batch dimension

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
  std::vector<Key> keys(size());
  const uint8_t* from = tensor_.flat<uint8_t>().data();
  for (Key& key : keys) {
    std::copy_n(from, kKeyBytes, key.begin());
    from += kKeyBytes;
  }
  return keys;
}

void KeyWindow::Add(KeyElement keys, std::optional<MemoryCheckpoint> checkpoint) {
  const size_t size = keys.size();
  outputs_.push_back(keys.batched() ? static_cast<int64_t>(size) : kScalar);
  elements_.push_back({std::move(keys), std::move(checkpoint), size, {}});
}

std::vector<const KeyElement*> KeyWindow::Untouched() const {
  std::vector<const KeyElement*> untouched;
  for (const Entry& entry : elements_) untouched.push_back(&entry.keys);
  return untouched;
}

void KeyWindow::Deliver(const Element& element, IteratorContext* ctx) {
  int64_t newest = element.index;
  if (element.taken.empty() && element.index >= first_element_) {
    elements_[element.index - first_element_].owed = 0;
  } else {
    for (const RowSlot& slot : element.taken) {
      TakeSlot(slot);
      newest = std::max(newest, slot.element);
    }
  }
  MergeUpTo(newest, ctx);
  EndOutput(element.index);
  DropSettled();
}

void KeyWindow::GiveUp(int64_t index, const RowSlot& slot, IteratorContext* ctx) {
  TakeSlot(slot);
  MergeUpTo(std::max(index, slot.element), ctx);
  int64_t& size = outputs_[index - first_output_];
  if (size == kScalar || --size == 0) EndOutput(index);
  DropSettled();
}

void KeyWindow::TakeSlot(const RowSlot& slot) {
  Entry& entry = elements_[slot.element - first_element_];
  if (entry.taken.empty()) entry.taken.resize(entry.keys.size());
  entry.taken[slot.place] = true;
  --entry.owed;
}

void KeyWindow::MergeUpTo(int64_t element, IteratorContext* ctx) {
  for (; merged_ <= element; ++merged_) {
    std::optional<MemoryCheckpoint>& checkpoint = elements_[merged_ - first_element_].checkpoint;
    if (checkpoint.has_value()) ctx->MergeCheckpoint(&*checkpoint);
    checkpoint.reset();
  }
}

void KeyWindow::EndOutput(int64_t index) {
  outputs_[index - first_output_] = kEnded;
  while (!outputs_.empty() && outputs_.front() == kEnded) {
    outputs_.pop_front();
    ++first_output_;
  }
}

void KeyWindow::DropSettled() {
  // Those not merged yet stay, even without keys: the input's position has not come to them.
  while (!elements_.empty() && elements_.front().owed == 0 && first_element_ < merged_) {
    elements_.pop_front();
    ++first_element_;
  }
}

absl::Status KeyWindow::Save(const std::string& prefix, bool symbolic, IteratorStateWriter* writer) const {
  // A symbolic checkpoint leaves out what is pulled again after a restore. As many outputs are left out as elements, and
  // none of those elements has a row delivered, so the sizes still fit the keys.
  const size_t elements = symbolic ? static_cast<size_t>(merged_ - first_element_) : elements_.size();
  size_t rows = 0;
  for (size_t i = 0; i < elements; ++i) rows += elements_[i].owed;
  Tensor keys(tensorflow::DT_UINT8, TensorShape({static_cast<int64_t>(rows), kKeyBytes}));
  uint8_t* to = keys.flat<uint8_t>().data();
  for (size_t i = 0; i < elements; ++i) {
    const Entry& entry = elements_[i];
    for (size_t place = 0; place < entry.keys.size(); ++place) {
      if (entry.Owes(place)) to = std::copy_n(entry.keys.key(place), kKeyBytes, to);
    }
  }
  std::vector<int64_t> owed_sizes;
  for (size_t i = 0; i < outputs_.size() && !(symbolic && first_output_ + static_cast<int64_t>(i) >= merged_); ++i) {
    if (outputs_[i] != kEnded) owed_sizes.push_back(outputs_[i]);
  }
  Tensor sizes(tensorflow::DT_INT64, TensorShape({static_cast<int64_t>(owed_sizes.size())}));
  std::copy(owed_sizes.begin(), owed_sizes.end(), sizes.flat<int64_t>().data());
  TF_RETURN_IF_ERROR(writer->WriteTensor(prefix, kOwedKeys, keys));
  return writer->WriteTensor(prefix, kOwedSizes, sizes);
}

absl::Status KeyWindow::Restore(const std::string& prefix, IteratorStateReader* reader) {
  Tensor keys, sizes;
  TF_RETURN_IF_ERROR(reader->ReadTensor(prefix, kOwedKeys, &keys));
  TF_RETURN_IF_ERROR(reader->ReadTensor(prefix, kOwedSizes, &sizes));
  const auto damaged = [&prefix] {
    return absl::DataLossError(absl::StrCat("the checkpoint of ", prefix, " is damaged: ", kOwedSizes, " does not fit ",
                                            kOwedKeys, "; restore another one"));
  };
  if (keys.dtype() != tensorflow::DT_UINT8 || keys.dims() != 2 || keys.dim_size(1) != kKeyBytes ||
      sizes.dtype() != tensorflow::DT_INT64 || sizes.dims() != 1) {
    return damaged();
  }
  int64_t row = 0;
  for (int64_t i = 0; i < sizes.NumElements(); ++i) {
    const int64_t size = sizes.vec<int64_t>()(i);
    const int64_t rows = size == kScalar ? 1 : size;
    if (rows < 0 || rows > keys.dim_size(0) - row) return damaged();
    Tensor tensor(tensorflow::DT_UINT8, size == kScalar ? TensorShape({kKeyBytes}) : TensorShape({rows, kKeyBytes}));
    std::copy_n(keys.flat<uint8_t>().data() + row * kKeyBytes, rows * kKeyBytes, tensor.flat<uint8_t>().data());
    KeyElement element;
    TF_RETURN_IF_ERROR(KeyElement::FromTensors({std::move(tensor)}, &element));
    Add(std::move(element), std::nullopt);
    row += rows;
  }
  if (row != keys.dim_size(0)) return damaged();
  merged_ = static_cast<int64_t>(elements_.size());  // The restored input stands after them: they are owed either way.
  return absl::OkStatus();
}

}  // namespace tfcass
