// KeyWindow: the elements of keys that were pulled from the input and not yet delivered. What a checkpoint saves.
//
// A checkpoint holds the input's position and the keys that were pulled before that position and are still owed. There
// are two positions: an explicit checkpoint saves the input as it is now, ahead of what was delivered, so every key in
// the window is owed. A symbolic one saves the position that travels with the newest delivered element (TensorFlow
// merges it into the consumer's context), so only what was overtaken out of order is owed. Row bytes are never saved.
//
// Threads  None of its own: the iterator's lock guards it.
#ifndef TFCASS_OPS_KERNELS_KEY_WINDOW_H_
#define TFCASS_OPS_KERNELS_KEY_WINDOW_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/key.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/tensor.h"

namespace tfcass {

// One element of keys: uint8 [16], or [B,16].
class KeyElement {
 public:
  // InvalidArgument naming dtype and shape unless `element` is one such tensor.
  static absl::Status FromTensors(std::vector<tensorflow::Tensor> element, KeyElement* keys);

  bool batched() const { return tensor_.dims() == 2; }
  std::vector<Key> Keys() const;
  const tensorflow::Tensor& tensor() const { return tensor_; }

 private:
  tensorflow::Tensor tensor_;
};

class KeyWindow {
 public:
  // Takes the next element, and for symbolic checkpoints the input's own after it. Its index is the number of elements
  // taken before.
  void Add(KeyElement keys, std::optional<tensorflow::data::MemoryCheckpoint> checkpoint);

  // Undelivered elements in the order they were taken.
  std::vector<const KeyElement*> Undelivered() const;

  bool empty() const { return entries_.empty(); }
  const KeyElement& at(int64_t index) const { return entries_[index - first_].keys; }

  // Element `index` is delivered: merges into `ctx` the input's checkpoint up to it.
  void Deliver(int64_t index, tensorflow::data::IteratorContext* ctx);

  absl::Status Save(const std::string& prefix, bool symbolic, tensorflow::data::IteratorStateWriter* writer) const;
  // Into an empty window. The restored elements get the indices from 0 on.
  absl::Status Restore(const std::string& prefix, tensorflow::data::IteratorStateReader* reader);

 private:
  struct Entry {
    KeyElement keys;
    std::optional<tensorflow::data::MemoryCheckpoint> checkpoint;  // Set until it is merged.
    bool delivered = false;
  };

  std::deque<Entry> entries_;  // The front is undelivered; behind it may lie some that were delivered out of order.
  int64_t first_ = 0;          // Index of the front.
  int64_t merged_ = 0;         // Elements below this index have their checkpoint merged into the consumer's context.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_KEY_WINDOW_H_
