// PendingKey: a key whose row is wanted and not returned yet, whoever wants it and however it is asked for.
//
// Everything that can go wrong is kept by key: a request carries keys, the first reply settles a key, what comes later
// is dropped, and a key whose requests have all failed is asked for again. So that duplicates, groups, second replicas
// and retries are one mechanism.
//
// Terms    Slot: where a row is to go. Settled: its row, its absence or its error is known. Delivered: returned to the
//          consumer, slot by slot. Request: an attempt that carries the key and is not answered.
// Threads  One consumer at a time.
#ifndef TFCASS_OPS_FETCH_PENDING_KEY_H_
#define TFCASS_OPS_FETCH_PENDING_KEY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "ops/fetch/clock.h"
#include "ops/fetch/key.h"
#include "ops/fetch/retry.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"

namespace tfcass {

struct PendingKey {
  enum class Outcome { kOpen, kFound, kMissing, kFailed };

  Key key{};
  RowSlot first;              // Of the earliest element that wants it,
  std::vector<RowSlot> more;  // and of the others.

  Outcome outcome = Outcome::kOpen;
  Row row;       // When found, and when missing: with nothing but the key.
  Status error;  // When failed.

  Tries tries;
  Clock::TimePoint counted;  // tries.spent has the time up to here.
  bool fell_back = false;    // It was asked for by itself, though keys travel in groups.
  bool alone = false;        // To be asked for by itself, of whichever replica the driver chooses: a group failed.

  bool settled() const { return outcome != Outcome::kOpen; }
  int requests() const { return requests_; }

  // Time passed up to `when` while a request was open.
  void CountTime(Clock::TimePoint when) {
    if (when <= counted) return;
    tries.spent += when - counted;
    counted = when;
  }

 private:
  friend class KeyTable;
  size_t undelivered_ = 0;  // Slots.
  int requests_ = 0;
};

// The pending keys of a fetcher: each once. Owns them.
class KeyTable {
 public:
  KeyTable() = default;
  KeyTable(const KeyTable&) = delete;
  KeyTable& operator=(const KeyTable&) = delete;

  // The key, wanted in one more slot. `fresh`: nobody else wants it, so that it must be asked for.
  PendingKey* Want(const Key& key, const RowSlot& slot, bool* fresh);

  // The row for one of its slots: hands the last one the row itself. The key goes with its last slot.
  Row Deliver(PendingKey* key);

  // A request that carries it leaves; is over. A key that was delivered meanwhile goes with its last request.
  void Asked(PendingKey* key) { ++key->requests_; }
  void Answered(PendingKey* key);

 private:
  struct Hash {
    size_t operator()(const Key& key) const;
  };

  void Recycle(PendingKey* key);

  std::unordered_map<Key, PendingKey*, Hash> wanted_;
  std::deque<PendingKey> all_;  // In which they lie, so that none moves.
  std::vector<PendingKey*> unused_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_PENDING_KEY_H_
