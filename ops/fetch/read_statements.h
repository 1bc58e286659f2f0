// ReadStatements: a query's rows, asked for one at a time or several at once.
//
// Threads  Every member may be called from any thread. Shared by the fetchers of a session.
#ifndef TFCASS_OPS_FETCH_READ_STATEMENTS_H_
#define TFCASS_OPS_FETCH_READ_STATEMENTS_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/fetch/clock.h"
#include "ops/fetch/options.h"
#include "ops/fetch/pending_key.h"
#include "ops/fetch/ring/host.h"
#include "ops/fetch/status.h"

namespace tfcass {

class ReadStatements {
 public:
  // `grouped` is null where a list of keys cannot be asked for.
  ReadStatements(const DriverApi& api, std::shared_ptr<const CassPrepared> single,
                 std::shared_ptr<const CassPrepared> grouped);

  // The statement that asks for these keys, to be answered within `timeout`; of `host` alone, or of whichever replica
  // the driver chooses when that is null. Several keys only up to max_group(). Null when the driver refuses to bind it.
  StatementPtr Bind(const std::vector<PendingKey*>& keys, const Host* host, CassConsistency consistency,
                    Clock::Duration timeout) const;

  // Whether the driver can pin requests to a host.
  bool can_pin() const { return api_.cass_statement_set_host_n != nullptr; }

  // Keys that one statement may ask for, as far as is known.
  size_t max_group() const { return max_group_.load(std::memory_order_relaxed); }

  // The server refused a statement of `keys` keys: fewer from now on, as many as `message` says are allowed, or one.
  // The first refusal is logged.
  void Refused(size_t keys, const std::string& table, const std::string& message);

 private:
  const DriverApi& api_;
  const std::shared_ptr<const CassPrepared> single_;
  const std::shared_ptr<const CassPrepared> grouped_;
  std::atomic<size_t> max_group_;
  std::atomic<bool> logged_{false};
};

// The number of keys that a refusal of `asked` keys allows: the last number in its text that is below `asked`, as in
// "... number of partition keys 32 exceeds fail threshold of 20."; 1 when there is none.
size_t AllowedByRefusal(const std::string& message, size_t asked);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_READ_STATEMENTS_H_
