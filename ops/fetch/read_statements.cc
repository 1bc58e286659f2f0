#include "ops/fetch/read_statements.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <initializer_list>
#include <utility>

#include "ops/driver/log.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

uint64_t BigEndian(const Key& key, std::initializer_list<size_t> places) {
  uint64_t value = 0;
  for (const size_t place : places) value = value << 8 | key[place];
  return value;
}

// The driver keeps a UUID as two numbers, the first with its fields in reverse.
CassUuid ToCassUuid(const Key& key) {
  return {BigEndian(key, {6, 7, 4, 5, 0, 1, 2, 3}), BigEndian(key, {8, 9, 10, 11, 12, 13, 14, 15})};
}

}  // namespace

ReadStatements::ReadStatements(const DriverApi& api, std::shared_ptr<const CassPrepared> single,
                               std::shared_ptr<const CassPrepared> grouped)
    : api_(api),
      single_(std::move(single)),
      grouped_(std::move(grouped)),
      max_group_(grouped_ == nullptr ? 1 : static_cast<size_t>(kMaxRowsPerRequest)) {}

StatementPtr ReadStatements::Bind(const std::vector<PendingKey*>& keys, const Host* host, CassConsistency consistency,
                                  Clock::Duration timeout) const {
  const bool group = keys.size() > 1;
  StatementPtr statement = Own(api_, api_.cass_prepared_bind(group ? grouped_.get() : single_.get()));
  CassError error = CASS_OK;
  if (group) {
    const CollectionPtr list = Own(api_, api_.cass_collection_new(CASS_COLLECTION_TYPE_LIST, keys.size()));
    for (const PendingKey* key : keys) api_.cass_collection_append_uuid(list.get(), ToCassUuid(key->key));
    error = api_.cass_statement_bind_collection(statement.get(), 0, list.get());
  } else {
    error = api_.cass_statement_bind_uuid(statement.get(), 0, ToCassUuid(keys.front()->key));
  }
  if (error == CASS_OK && host != nullptr) {
    const std::string& address = host->address();
    error = api_.cass_statement_set_host_n(statement.get(), address.data(), address.size(), host->port());
  }
  if (error != CASS_OK) return nullptr;
  api_.cass_statement_set_consistency(statement.get(), consistency);
  api_.cass_statement_set_is_idempotent(statement.get(), cass_true);
  const auto timeout_ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  api_.cass_statement_set_request_timeout(statement.get(), std::max<int64_t>(1, timeout_ms));  // 0 would mean none.
  return statement;
}

void ReadStatements::Refused(size_t keys, const std::string& table, const std::string& message) {
  const size_t allowed = AllowedByRefusal(message, keys);
  size_t limit = max_group_.load(std::memory_order_relaxed);
  while (allowed < limit && !max_group_.compare_exchange_weak(limit, allowed, std::memory_order_relaxed)) {
  }
  if (logged_.exchange(true)) return;
  LogWarning(StrCat("Cassandra refuses to read ", keys, " rows of ", table, " in one request: ", message, "; reading ",
                    allowed == 1 ? std::string("each row alone, which is slower") : StrCat("up to ", allowed),
                    ". Raise the server's guardrail partition_keys_in_select_fail_threshold to ", kMaxRowsPerRequest,
                    ", or pass FetchOptions(rows_per_request=", allowed, ")"));
}

size_t AllowedByRefusal(const std::string& message, size_t asked) {
  size_t allowed = 1;
  for (size_t at = 0; at < message.size();) {
    if (std::isdigit(static_cast<unsigned char>(message[at])) == 0) {
      ++at;
      continue;
    }
    const size_t begin = at;
    size_t number = 0;
    while (at < message.size() && std::isdigit(static_cast<unsigned char>(message[at])) != 0) {
      number = std::min<size_t>(number * 10 + static_cast<size_t>(message[at++] - '0'), asked);
    }
    const bool word = begin > 0 && message[begin - 1] == ' ' &&  // Not part of a table's name, or of 0x2200.
                      (at == message.size() || std::string(" .,;)]").find(message[at]) != std::string::npos);
    if (word && number >= 1 && number < asked) allowed = number;
  }
  return allowed;
}

}  // namespace tfcass
