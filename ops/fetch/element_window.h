// ElementWindow: the elements that were submitted and not returned, and which of their rows are there.
#ifndef TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_
#define TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "ops/fetch/pending_key.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Not thread safe.
class ElementWindow {
 public:
  // `deterministic`: rows leave in the order of their keys, else in the order in which they came (Element, row.h).
  // `skip_missing`: without the rows that were not found.
  ElementWindow(bool deterministic, bool skip_missing) : deterministic_(deterministic), skip_missing_(skip_missing) {}

  // Of the next Add().
  int64_t next_index() const { return next_in_; }

  // Takes the next element: a key for each of its slots, settled or not.
  void Add(std::vector<PendingKey*> keys);

  // A key that is wanted here was settled. Once for each key.
  void Settled(PendingKey* key);

  // Whether Take() has an element.
  bool Ready() const;

  // Removes the next element, and gives its index, and its rows or its error. A deterministic element that has several
  // failed rows gives the error of the first, so that the same failures read the same in whatever order they come.
  Status Take(KeyTable* keys, Element* element);

  size_t elements() const { return static_cast<size_t>(next_in_ - next_out_); }
  size_t rows() const { return rows_; }  // Of the elements in the window, settled or not.

  // Whether the next output waits for this key; if not deterministic, whether it needs more than the `on_the_way` rows.
  bool Needs(const PendingKey& key, size_t on_the_way) const;

  // The next output, when deterministic; before all elements otherwise: no key is wanted more than others then.
  int64_t awaited() const { return deterministic_ ? next_out_ : -1; }

 private:
  struct Open {
    std::vector<PendingKey*> keys;
    size_t unsettled = 0;
  };
  using Arrived = std::pair<RowSlot, PendingKey*>;

  void SettledSlot(const RowSlot& slot, PendingKey* key);
  Status TakeInOrder(KeyTable* keys, Element* element);
  Status TakeArrived(KeyTable* keys, Element* element);

  const bool deterministic_;
  const bool skip_missing_;
  int64_t next_in_ = 0;
  int64_t next_out_ = 0;
  size_t rows_ = 0;
  std::deque<Open> open_;  // Deterministic: from element next_out_ on.
  // Otherwise:
  std::deque<size_t> sizes_;     // Slots that outputs from next_out_ on still take.
  std::deque<Arrived> arrived_;  // In the order they were settled.
  std::deque<Arrived> failed_;   // Told before anything else.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_ELEMENT_WINDOW_H_
