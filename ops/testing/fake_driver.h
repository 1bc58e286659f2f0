// FakeDriver: the driver's functions in memory, with replies that a test gives when and how it likes.
//
//   FakeDriver driver;                                   // One at a time.
//   ... a Session on driver.api(), a RowFetcher that submits keys ...
//   driver.Answer(key, FakeAnswer::Row(key, 1, "data"));  // In any order, on any thread.
//
// Reads stay open until they are answered; connecting, preparing and closing succeed at once unless told otherwise.
// Like the real one, it runs a callback on the thread that answers, or inside cass_future_set_callback when the answer
// is already there, and keeps a result's bytes until the result is freed. Destroying it answers what is still open.
#ifndef TFCASS_OPS_TESTING_FAKE_DRIVER_H_
#define TFCASS_OPS_TESTING_FAKE_DRIVER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ops/driver/driver_api.h"
#include "ops/fetch/key.h"

namespace tfcass {

using FakeCell = std::optional<std::string>;  // As on the wire; empty: null.

// What a future resolves to.
struct FakeAnswer {
  CassError error = CASS_OK;
  std::string message;
  std::vector<std::vector<FakeCell>> rows;
  std::string coordinator;  // The address of the node that answers.
  std::string next_page = "";             // The paging state of the next page; empty: there is none.
  std::vector<CassValueType> types = {};  // Of the columns; empty: FakeDriver::column_types.

  // Of the table (patch_id uuid, label int, data blob).
  static FakeAnswer Row(const Key& key, int32_t label, std::string data);
  // All of their rows.
  static FakeAnswer Rows(const std::vector<FakeAnswer>& answers);
  static FakeAnswer Missing() { return {}; }
  static FakeAnswer Error(CassError error, std::string message) { return {error, std::move(message), {}, {}}; }
};

std::string BigEndianInt(int32_t value);

// The settings that a cluster object was given.
struct FakeCluster {
  std::string contact_points, username, password, local_dc;
  int port = 0;
  unsigned io_threads = 0, connect_timeout_ms = 0;
  bool token_aware = false, host_names = false, tls = false, driver_retries = true;
  uint64_t first_reconnect_ms = 0, longest_reconnect_ms = 0;
  std::string trusted, certificate, private_key;
  int verify_flags = -1;
};

// A read as the driver was asked to do it.
struct FakeRead {
  std::vector<Key> keys;
  Key key{};         // The first of them.
  std::string host;  // That it is pinned to; empty: routed by the driver.
  CassConsistency consistency = CASS_CONSISTENCY_ONE;
  uint64_t timeout_ms = 0;
  bool idempotent = false;
};

// A question in plain CQL, of the system tables (fake_topology.h answers those).
struct FakeQuery {
  std::string cql;
  std::string host;  // That it is pinned to; empty: any.
  std::vector<std::string> values = {};  // Of its question marks, as on the wire.
  int page_rows = 0;                     // 0: no paging.
  std::string paging_state = "";
};

class FakeDriver {
 public:
  FakeDriver();
  ~FakeDriver();
  FakeDriver(const FakeDriver&) = delete;

  std::shared_ptr<const DriverApi> api() const { return api_; }

  // What to say, set before the code under test runs.
  std::vector<CassValueType> column_types = {CASS_VALUE_TYPE_UUID, CASS_VALUE_TYPE_INT, CASS_VALUE_TYPE_BLOB};
  CassValueType key_type = CASS_VALUE_TYPE_UUID;
  FakeAnswer connect_answer;
  FakeAnswer prepare_answer;
  bool connects = true;            // False: connecting never ends.
  bool prepares = true;            // Likewise.
  bool refuse_pem = false;         // Certificates and keys are not PEM.
  bool refuse_collections = false; // A list of keys cannot be bound.
  std::atomic<bool> closes{true};  // False: closing does not end before this is true.
  // Answers a read before cass_session_execute returns; nullopt leaves it open.
  std::function<std::optional<FakeAnswer>(const FakeRead&)> answer_at_once;

  // Answers a question in plain CQL before cass_session_execute returns; nullopt leaves it open. Without it: refused.
  std::function<std::optional<FakeAnswer>(const FakeQuery&)> answer_query;
  // Answers the oldest open question but for `skip` of them. False when there is none. Any thread.
  bool AnswerQuery(const std::function<FakeAnswer(const FakeQuery&)>& answer, size_t skip = 0);
  std::vector<FakeQuery> OpenQueries() const;  // Oldest first.

  // What the driver tells its host listener, on the calling thread.
  void TellListener(CassHostListenerEvent event, const std::string& address);

  // The table without what older drivers lack: the host listener, and pinning too if `pinning` is false.
  std::shared_ptr<const DriverApi> OldApi(bool pinning) const;

  // Answers the oldest open read that asks for `key`, alone or with others. False when there is none. Any thread.
  bool Answer(const Key& key, FakeAnswer answer);
  // Answers the oldest open read by `answer`. False when there is none. Any thread.
  bool AnswerOldest(const std::function<FakeAnswer(const FakeRead&)>& answer);
  // Answers the oldest open read that `which` picks. False when there is none. Any thread.
  bool AnswerWhere(const std::function<bool(const FakeRead&)>& which,
                   const std::function<FakeAnswer(const FakeRead&)>& answer);
  std::vector<FakeRead> OpenReads() const;  // Oldest first.

  // What happened so far.
  FakeCluster last_cluster() const;
  std::atomic<int> sessions{0};  // Made and not freed.
  std::atomic<int> connect_calls{0}, close_calls{0}, prepare_calls{0}, execute_calls{0}, query_calls{0};
  std::atomic<int> live_results{0}, live_futures{0};
  std::string last_cql;

 private:
  friend struct FakeFunctions;

  void Resolve(CassFuture_* future, FakeAnswer answer);

  const std::shared_ptr<DriverApi> api_;
  mutable std::mutex mu_;
  std::list<CassFuture_*> open_;          // Each with a reference of the driver's own.
  std::list<CassFuture_*> open_queries_;  // Likewise.
  CassHostListenerCallback listener_ = nullptr;
  void* listener_data_ = nullptr;
  FakeCluster last_cluster_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_TESTING_FAKE_DRIVER_H_
