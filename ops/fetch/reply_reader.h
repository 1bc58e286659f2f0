// Reads the driver's result into rows, and checks that it is what the caller expects.
#ifndef TFCASS_OPS_FETCH_REPLY_READER_H_
#define TFCASS_OPS_FETCH_REPLY_READER_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/options.h"
#include "ops/fetch/pending_key.h"
#include "ops/fetch/query.h"
#include "ops/fetch/row.h"
#include "ops/fetch/status.h"

namespace tfcass {

// Bytes of the replies that somebody holds a row of. Shared with the rows, which may outlive who counts.
using HeldBytes = std::atomic<int64_t>;

// The rows of `result`, in its order, each with the key it carries and cells that point into the result, which the rows
// keep alive together, and as long as they do they count in `held`. An empty value of a fixed-width column, which
// Cassandra allows, counts as null.
// FailedPrecondition naming the column and both types when one is not of its spec's type: the schema changed.
Status ReadRows(const DriverApi& api, const QuerySpec& query, ResultPtr result,
                const std::shared_ptr<HeldBytes>& held, std::vector<Row>* rows);

// Bytes in the row's cells.
int64_t CellBytes(const Row& row);

// Finds rows among the keys that were asked for: O(rows + keys), without an allocation.
class KeyMatcher {
 public:
  static constexpr size_t kNone = SIZE_MAX;

  // At most kMaxRowsPerRequest keys, each once. They must outlive the matcher.
  explicit KeyMatcher(const std::vector<PendingKey*>& keys);

  // Its place among the keys, or kNone.
  size_t Find(const Key& key) const;

 private:
  static constexpr size_t kSlots = 4 * kMaxRowsPerRequest;  // A power of two; a quarter full at most.

  static size_t SlotOf(const Key& key);

  const std::vector<PendingKey*>& keys_;
  std::array<uint8_t, kSlots> places_{};  // Place + 1; 0: free.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_REPLY_READER_H_
