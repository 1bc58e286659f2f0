#include "ops/fetch/element_window.h"

#include <algorithm>
#include <utility>

namespace tfcass {

int64_t ElementWindow::Add(const std::vector<Key>& keys) {
  const int64_t index = next_in_++;
  Open& open = open_[index];
  open.rows.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) open.rows[i].key = keys[i];
  open.unsettled = keys.size();
  rows_ += keys.size();
  if (keys.empty() && !deterministic_) ready_.push_back(index);
  return index;
}

void ElementWindow::Settle(int64_t element, size_t place, Row row) {
  Open& open = open_.at(element);
  open.rows[place] = std::move(row);
  SettledOne(element, open);
}

void ElementWindow::Fail(int64_t element, size_t place, Status error) {
  Open& open = open_.at(element);
  if (open.error.ok() || place < open.failed_row) {
    open.error = std::move(error);
    open.failed_row = place;
  }
  SettledOne(element, open);
}

void ElementWindow::SettledOne(int64_t element, Open& open) {
  if (--open.unsettled == 0 && !deterministic_) ready_.push_back(element);
}

bool ElementWindow::Ready() const {
  if (!deterministic_) return !ready_.empty();
  auto next = open_.find(next_out_);
  return next != open_.end() && next->second.unsettled == 0;
}

Status ElementWindow::Take(Element* element) {
  int64_t index = next_out_;
  if (deterministic_) {
    ++next_out_;
  } else {
    index = ready_.front();
    ready_.pop_front();
  }
  Open taken = std::move(open_.extract(index).mapped());
  rows_ -= taken.rows.size();
  element->index = index;
  element->rows.clear();
  if (!taken.error.ok()) return taken.error;
  if (skip_missing_) {
    auto kept = std::remove_if(taken.rows.begin(), taken.rows.end(), [](const Row& row) { return !row.found; });
    taken.rows.erase(kept, taken.rows.end());
  }
  element->rows = std::move(taken.rows);
  return OkStatus();
}

}  // namespace tfcass
