#include "ops/fetch/element_window.h"

namespace tfcass {

void ElementWindow::Add(std::vector<PendingKey*> keys) {
  const int64_t index = next_in_++;
  rows_ += keys.size();
  if (deterministic_) {
    Open& open = open_.emplace_back();
    for (const PendingKey* key : keys) open.unsettled += key->settled() ? 0 : 1;
    open.keys = std::move(keys);
    return;
  }
  sizes_.push_back(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i]->settled()) SettledSlot({index, i}, keys[i]);
  }
}

void ElementWindow::Settled(PendingKey* key) {
  SettledSlot(key->first, key);
  for (const RowSlot& slot : key->more) SettledSlot(slot, key);
}

void ElementWindow::SettledSlot(const RowSlot& slot, PendingKey* key) {
  if (deterministic_) {
    --open_[static_cast<size_t>(slot.element - next_out_)].unsettled;
  } else {
    (key->outcome == PendingKey::Outcome::kFailed ? failed_ : arrived_).emplace_back(slot, key);
  }
}

bool ElementWindow::Ready() const {
  if (elements() == 0) return false;
  if (deterministic_) return open_.front().unsettled == 0;
  return !failed_.empty() || arrived_.size() >= sizes_.front();
}

bool ElementWindow::Needs(const PendingKey& key, size_t on_the_way) const {
  if (deterministic_) return key.first.element <= next_out_;
  return arrived_.size() + on_the_way < sizes_.front();
}

Status ElementWindow::Take(KeyTable* keys, Element* element) {
  *element = {};
  element->index = next_out_;
  return deterministic_ ? TakeInOrder(keys, element) : TakeArrived(keys, element);
}

Status ElementWindow::TakeInOrder(KeyTable* keys, Element* element) {
  const std::vector<PendingKey*> taken = std::move(open_.front().keys);
  open_.pop_front();
  ++next_out_;
  rows_ -= taken.size();
  Status error;
  for (const PendingKey* key : taken) {
    if (error.ok()) error = key->error;
  }
  element->rows.reserve(error.ok() ? taken.size() : 0);
  for (PendingKey* key : taken) {
    Row row = keys->Deliver(key);
    if (error.ok() && (row.found || !skip_missing_)) element->rows.push_back(std::move(row));
  }
  return error;
}

Status ElementWindow::TakeArrived(KeyTable* keys, Element* element) {
  size_t& left = sizes_.front();
  Status error;
  if (!failed_.empty() && left > 0) {
    const auto [slot, key] = failed_.front();
    failed_.pop_front();
    element->taken.push_back(slot);
    error = key->error;
    keys->Deliver(key);
    --left;
    --rows_;
    if (left > 0) return error;
  } else {
    element->rows.reserve(left);
    element->taken.reserve(left);
    rows_ -= left;
    for (; left > 0; --left) {
      const auto [slot, key] = arrived_.front();
      arrived_.pop_front();
      element->taken.push_back(slot);
      Row row = keys->Deliver(key);
      if (row.found || !skip_missing_) element->rows.push_back(std::move(row));
    }
  }
  sizes_.pop_front();
  ++next_out_;
  return error;
}

}  // namespace tfcass
