// KeyWindow: the elements of keys that were pulled from the input, and what of them is still owed to the consumer. What
// a checkpoint saves.
//
// Terms    Element: keys pulled together. Output: what the consumer gets at once; output number i has the form and the
//          size of element number i, though unless deterministic it is filled with rows of other elements too (row.h).
//          Slot: the place of a key in an element. Owed: not yet delivered.
//
// As many keys are owed as outputs have rows to come, whatever was delivered in which order. So a checkpoint holds the
// owed keys and the sizes of the owed outputs, and the input's position; restoring cuts the keys into elements of those
// sizes. There are two positions: an explicit checkpoint saves the input as it is now, ahead of what was delivered, so
// everything in the window is owed. A symbolic one saves the position that travels with the newest element of which a
// row was delivered (TensorFlow merges it into the consumer's context), so only what was overtaken out of order is owed.
// Row bytes are never saved.
//
// Threads  None of its own: the iterator's lock guards it.
#ifndef TFCASS_OPS_KERNELS_KEY_WINDOW_H_
#define TFCASS_OPS_KERNELS_KEY_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "ops/fetch/key.h"
#include "ops/fetch/row.h"
#include "tensorflow/core/framework/dataset.h"
#include "tensorflow/core/framework/tensor.h"

namespace tfcass {

// One element of keys: uint8 [16], or [B,16].
class KeyElement {
 public:
  // InvalidArgument naming dtype and shape unless `element` is one such tensor.
  static absl::Status FromTensors(std::vector<tensorflow::Tensor> element, KeyElement* keys);

  bool batched() const { return tensor_.dims() == 2; }
  size_t size() const { return static_cast<size_t>(tensor_.NumElements()) / std::tuple_size_v<Key>; }
  const uint8_t* key(size_t place) const { return tensor_.flat<uint8_t>().data() + place * std::tuple_size_v<Key>; }
  std::vector<Key> Keys() const;

 private:
  tensorflow::Tensor tensor_;
};

class KeyWindow {
 public:
  // Takes the next element, and for symbolic checkpoints the input's own after it. Its index, and that of its output, is
  // the number of elements taken before.
  void Add(KeyElement keys, std::optional<tensorflow::data::MemoryCheckpoint> checkpoint);

  // Nothing is owed.
  bool empty() const { return outputs_.empty(); }

  // The elements in the order they were taken. Only while nothing of them was delivered.
  std::vector<const KeyElement*> Untouched() const;

  // Whether output `index`, which is owed, has a batch dimension.
  bool batched(int64_t index) const { return outputs_[index - first_output_] != kScalar; }

  // Output element.index is delivered, with the slots that element.taken names (empty: all those of that element), or
  // given up as a whole. Merges into `ctx` the input's checkpoint up to the newest of these elements.
  void Deliver(const Element& element, tensorflow::data::IteratorContext* ctx);

  // One row of output `index` is given up, at `slot`: the output comes with one row fewer, or no more if it had no other.
  void GiveUp(int64_t index, const RowSlot& slot, tensorflow::data::IteratorContext* ctx);

  absl::Status Save(const std::string& prefix, bool symbolic, tensorflow::data::IteratorStateWriter* writer) const;
  // Into an empty window. The restored elements get the indices from 0 on.
  absl::Status Restore(const std::string& prefix, tensorflow::data::IteratorStateReader* reader);

 private:
  // Instead of a size.
  static constexpr int64_t kScalar = -1;  // Without a batch dimension.
  static constexpr int64_t kEnded = -2;   // Nothing of it is owed any more.

  struct Entry {
    KeyElement keys;
    std::optional<tensorflow::data::MemoryCheckpoint> checkpoint;  // Set until it is merged.
    size_t owed;                                                   // Slots.
    std::vector<bool> taken;                                       // By place. Empty: none, or all if owed is 0.

    bool Owes(size_t place) const { return owed > 0 && (taken.empty() || !taken[place]); }
  };

  void TakeSlot(const RowSlot& slot);
  void MergeUpTo(int64_t element, tensorflow::data::IteratorContext* ctx);
  void EndOutput(int64_t index);
  void DropSettled();

  std::deque<Entry> elements_;   // The front has something to do yet; behind it may lie some that were overtaken.
  int64_t first_element_ = 0;    // Index of the front.
  int64_t merged_ = 0;           // Elements below this index have their checkpoint merged into the consumer's context.
  std::deque<int64_t> outputs_;  // Rows that each output is to have, kScalar or kEnded; the front is owed.
  int64_t first_output_ = 0;     // Index of the front.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_KEY_WINDOW_H_
