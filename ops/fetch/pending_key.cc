#include "ops/fetch/pending_key.h"

#include <cstring>
#include <utility>

namespace tfcass {

size_t KeyTable::Hash::operator()(const Key& key) const {
  uint64_t halves[2];
  static_assert(sizeof(halves) == sizeof(Key));
  std::memcpy(halves, key.data(), sizeof(halves));
  // UUIDs that were counted up, or made within one moment, differ in few bits: a multiplication spreads them.
  uint64_t mixed = (halves[0] ^ (halves[1] << 32 | halves[1] >> 32)) * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(mixed ^ mixed >> 32);
}

PendingKey* KeyTable::Want(const Key& key, const RowSlot& slot, bool* fresh) {
  const auto [at, added] = wanted_.try_emplace(key, nullptr);
  *fresh = added;
  if (!added) {
    at->second->more.push_back(slot);
    ++at->second->undelivered_;
    return at->second;
  }
  if (unused_.empty()) {
    at->second = &all_.emplace_back();
  } else {
    at->second = unused_.back();
    unused_.pop_back();
  }
  at->second->key = key;
  at->second->first = slot;
  at->second->undelivered_ = 1;
  return at->second;
}

Row KeyTable::Deliver(PendingKey* key) {
  if (--key->undelivered_ > 0) return key->row;
  Row row = std::move(key->row);
  wanted_.erase(key->key);
  if (key->requests_ == 0) Recycle(key);
  return row;
}

void KeyTable::Answered(PendingKey* key) {
  if (--key->requests_ == 0 && key->undelivered_ == 0) Recycle(key);
}

void KeyTable::Recycle(PendingKey* key) {
  *key = PendingKey();
  unused_.push_back(key);
}

}  // namespace tfcass
