#include "ops/testing/fake_driver.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace tfcass {
namespace {

FakeDriver* g_driver = nullptr;  // The C functions that make objects have no other way to it.

}  // namespace
}  // namespace tfcass

// The driver's opaque types.
struct CassValue_ {
  tfcass::FakeCell cell;
};
struct CassRow_ {
  std::vector<CassValue_> values;
};
struct CassResult_ {
  tfcass::FakeDriver* driver;
  std::vector<CassValueType> types;
  std::vector<CassRow_> rows;
  std::string next_page;
};
struct CassIterator_ {
  const CassResult_* result;
  size_t next;
  std::vector<CassValue_> items = {};  // Of a collection; of a map, keys and values in turn.
  size_t step = 0;                     // Items at a time; 0: the result's rows.
};
struct CassNode_ {
  std::string address;
};
struct CassDataType_ {
  CassValueType type;
};
struct CassPrepared_ {
  CassDataType_ key_type;
};
struct CassStatement_ {
  tfcass::FakeRead read;
  tfcass::FakeQuery query = {};  // With CQL: a question, no read.
};
struct CassCollection_ {
  std::vector<tfcass::Key> keys;
};
struct CassRetryPolicy_ {};
struct CassSsl_ {
  std::string trusted, certificate, private_key;
  int flags = -1;
};
struct CassCluster_ {
  tfcass::FakeCluster settings;
};
struct CassSession_ {
  tfcass::FakeDriver* driver;
};
struct CassFuture_ {
  tfcass::FakeDriver* driver;
  std::atomic<int> references{1};
  bool closing = false;  // Ready as soon as the driver lets sessions close.
  tfcass::FakeRead read;
  tfcass::FakeQuery query;
  CassNode_ coordinator;

  std::mutex mu;
  bool ready = false;
  tfcass::FakeAnswer answer;
  CassFutureCallback callback = nullptr;
  void* data = nullptr;
};

namespace tfcass {

struct FakeFunctions {
  static CassFuture* NewFuture(FakeDriver* driver) {
    ++driver->live_futures;
    auto* future = new CassFuture_;
    future->driver = driver;
    return future;
  }
  static CassFuture* NewFuture(FakeDriver* driver, bool ready, FakeAnswer answer) {
    CassFuture* future = NewFuture(driver);
    future->ready = ready;
    future->answer = std::move(answer);
    return future;
  }

  // --- cluster and TLS
  static CassCluster* cass_cluster_new() { return new CassCluster_; }
  static void cass_cluster_free(CassCluster* cluster) { delete cluster; }
  static CassError cass_cluster_set_contact_points(CassCluster* cluster, const char* hosts) {
    cluster->settings.contact_points = hosts;
    return CASS_OK;
  }
  static CassError cass_cluster_set_port(CassCluster* cluster, int port) {
    cluster->settings.port = port;
    return CASS_OK;
  }
  static void cass_cluster_set_credentials(CassCluster* cluster, const char* username, const char* password) {
    cluster->settings.username = username;
    cluster->settings.password = password;
  }
  static void cass_cluster_set_connect_timeout(CassCluster* cluster, unsigned ms) {
    cluster->settings.connect_timeout_ms = ms;
  }
  static void cass_cluster_set_resolve_timeout(CassCluster*, unsigned) {}
  static CassError cass_cluster_set_num_threads_io(CassCluster* cluster, unsigned threads) {
    cluster->settings.io_threads = threads;
    return CASS_OK;
  }
  static CassError cass_cluster_set_load_balance_dc_aware(CassCluster* cluster, const char* dc, unsigned, cass_bool_t) {
    cluster->settings.local_dc = dc;
    return CASS_OK;
  }
  static void cass_cluster_set_token_aware_routing(CassCluster* cluster, cass_bool_t on) {
    cluster->settings.token_aware = on;
  }
  static CassError cass_cluster_set_exponential_reconnect(CassCluster* cluster, uint64_t base_ms, uint64_t max_ms) {
    cluster->settings.first_reconnect_ms = base_ms;
    cluster->settings.longest_reconnect_ms = max_ms;
    return CASS_OK;
  }
  static void cass_cluster_set_retry_policy(CassCluster* cluster, CassRetryPolicy*) {
    cluster->settings.driver_retries = false;
  }
  static CassRetryPolicy* cass_retry_policy_fallthrough_new() { return new CassRetryPolicy_; }
  static void cass_retry_policy_free(CassRetryPolicy* policy) { delete policy; }
  static CassError cass_cluster_set_use_hostname_resolution(CassCluster* cluster, cass_bool_t on) {
    cluster->settings.host_names = on;
    return CASS_OK;
  }
  static CassError cass_cluster_set_host_listener_callback(CassCluster*, CassHostListenerCallback listener,
                                                           void* data) {
    g_driver->listener_ = listener;
    g_driver->listener_data_ = data;
    return CASS_OK;
  }
  static void cass_cluster_set_ssl(CassCluster* cluster, CassSsl* ssl) {
    cluster->settings.tls = true;
    cluster->settings.trusted = ssl->trusted;
    cluster->settings.certificate = ssl->certificate;
    cluster->settings.private_key = ssl->private_key;
    cluster->settings.verify_flags = ssl->flags;
  }
  static CassSsl* cass_ssl_new() { return new CassSsl_; }
  static void cass_ssl_free(CassSsl* ssl) { delete ssl; }
  static CassError TakePem(const char* pem, size_t size, std::string* into, CassError otherwise) {
    if (g_driver->refuse_pem) return otherwise;
    into->assign(pem, size);
    return CASS_OK;
  }
  static CassError cass_ssl_add_trusted_cert_n(CassSsl* ssl, const char* pem, size_t size) {
    return TakePem(pem, size, &ssl->trusted, CASS_ERROR_SSL_INVALID_CERT);
  }
  static CassError cass_ssl_set_cert_n(CassSsl* ssl, const char* pem, size_t size) {
    return TakePem(pem, size, &ssl->certificate, CASS_ERROR_SSL_INVALID_CERT);
  }
  static CassError cass_ssl_set_private_key_n(CassSsl* ssl, const char* pem, size_t size, const char*, size_t) {
    return TakePem(pem, size, &ssl->private_key, CASS_ERROR_SSL_INVALID_PRIVATE_KEY);
  }
  static void cass_ssl_set_verify_flags(CassSsl* ssl, int flags) { ssl->flags = flags; }

  // --- session
  static CassSession* cass_session_new() {
    ++g_driver->sessions;
    return new CassSession_{g_driver};
  }
  static void cass_session_free(CassSession* session) {
    --session->driver->sessions;
    delete session;
  }
  static CassFuture* cass_session_connect(CassSession* session, const CassCluster* cluster) {
    FakeDriver* driver = session->driver;
    ++driver->connect_calls;
    std::lock_guard<std::mutex> lock(driver->mu_);
    driver->last_cluster_ = cluster->settings;
    return NewFuture(driver, driver->connects, driver->connect_answer);
  }
  static CassFuture* cass_session_close(CassSession* session) {
    ++session->driver->close_calls;
    CassFuture* future = NewFuture(session->driver);
    future->closing = true;
    return future;
  }
  static CassFuture* cass_session_prepare_n(CassSession* session, const char* cql, size_t size) {
    FakeDriver* driver = session->driver;
    ++driver->prepare_calls;
    std::lock_guard<std::mutex> lock(driver->mu_);
    driver->last_cql.assign(cql, size);
    return NewFuture(driver, driver->prepares, driver->prepare_answer);
  }
  static CassFuture* cass_session_execute(CassSession* session, const CassStatement* statement) {
    FakeDriver* driver = session->driver;
    if (!statement->query.cql.empty()) return Ask(driver, statement->query);
    ++driver->execute_calls;
    if (driver->answer_at_once) {
      if (auto answer = driver->answer_at_once(statement->read)) return NewFuture(driver, true, std::move(*answer));
    }
    CassFuture* future = NewFuture(driver);
    future->read = statement->read;
    ++future->references;
    std::lock_guard<std::mutex> lock(driver->mu_);
    driver->open_.push_back(future);
    return future;
  }

  static CassFuture* Ask(FakeDriver* driver, const FakeQuery& query) {
    ++driver->query_calls;
    if (!driver->answer_query) {
      return NewFuture(driver, true, FakeAnswer::Error(CASS_ERROR_SERVER_INVALID_QUERY, "the fake has no such table"));
    }
    if (auto answer = driver->answer_query(query)) return NewFuture(driver, true, std::move(*answer));
    CassFuture* future = NewFuture(driver);
    future->query = query;
    ++future->references;
    std::lock_guard<std::mutex> lock(driver->mu_);
    driver->open_queries_.push_back(future);
    return future;
  }

  // --- futures
  static void cass_future_free(CassFuture* future) {
    if (--future->references > 0) return;
    --future->driver->live_futures;
    delete future;
  }
  static CassError cass_future_set_callback(CassFuture* future, CassFutureCallback callback, void* data) {
    {
      std::lock_guard<std::mutex> lock(future->mu);
      if (!future->ready) {
        future->callback = callback;
        future->data = data;
        return CASS_OK;
      }
    }
    callback(future, data);
    return CASS_OK;
  }
  static cass_bool_t cass_future_ready(CassFuture* future) {
    if (future->closing) return future->driver->closes ? cass_true : cass_false;
    std::lock_guard<std::mutex> lock(future->mu);
    return future->ready ? cass_true : cass_false;
  }
  static cass_bool_t cass_future_wait_timed(CassFuture* future, uint64_t) {
    return cass_future_ready(future);
  }  // Time flies.
  static CassError cass_future_error_code(CassFuture* future) { return future->answer.error; }
  static void cass_future_error_message(CassFuture* future, const char** message, size_t* size) {
    *message = future->answer.message.data();
    *size = future->answer.message.size();
  }
  static const CassResult* cass_future_get_result(CassFuture* future) {
    ++future->driver->live_results;
    const std::vector<CassValueType>& types = future->answer.types;
    auto* result = new CassResult_{
        future->driver, types.empty() ? future->driver->column_types : types, {}, future->answer.next_page};
    for (const auto& cells : future->answer.rows) {
      CassRow_ row;
      for (const FakeCell& cell : cells) row.values.push_back({cell});
      result->rows.push_back(std::move(row));
    }
    return result;
  }
  static const CassNode* cass_future_coordinator(CassFuture* future) {
    future->coordinator.address = future->answer.coordinator;
    return future->coordinator.address.empty() ? nullptr : &future->coordinator;
  }
  static const CassPrepared* cass_future_get_prepared(CassFuture* future) {
    return new CassPrepared_{{future->driver->key_type}};
  }

  // --- statements
  static void cass_prepared_free(const CassPrepared* prepared) { delete prepared; }
  static CassStatement* cass_prepared_bind(const CassPrepared*) { return new CassStatement_; }
  static const CassDataType* cass_prepared_parameter_data_type(const CassPrepared* prepared, size_t) {
    return &prepared->key_type;
  }
  static CassValueType cass_data_type_type(const CassDataType* type) { return type->type; }
  static CassStatement* cass_statement_new_n(const char* cql, size_t size, size_t parameters) {
    auto* statement = new CassStatement_;
    statement->query.values.resize(parameters);
    statement->query.cql.assign(cql, size);
    return statement;
  }
  static CassError cass_statement_set_host_n(CassStatement* statement, const char* address, size_t size, int) {
    statement->query.host.assign(address, size);
    statement->read.host.assign(address, size);
    return CASS_OK;
  }
  static CassError cass_statement_set_node(CassStatement* statement, const CassNode* node) {
    statement->query.host = node->address;
    return CASS_OK;
  }
  static CassError cass_statement_bind_bytes(CassStatement* statement, size_t i, const uint8_t* bytes, size_t size) {
    statement->query.values[i].assign(reinterpret_cast<const char*>(bytes), size);
    return CASS_OK;
  }
  static CassError cass_statement_set_paging_size(CassStatement* statement, int rows) {
    statement->query.page_rows = rows;
    return CASS_OK;
  }
  static CassError cass_statement_set_paging_state_token(CassStatement* statement, const char* state, size_t size) {
    statement->query.paging_state.assign(state, size);
    return CASS_OK;
  }
  static void cass_statement_free(CassStatement* statement) { delete statement; }
  static Key ToKey(CassUuid uuid) {
    const uint64_t time = uuid.time_and_version;
    const uint32_t low = static_cast<uint32_t>(time);
    const auto mid = static_cast<uint16_t>(time >> 32);
    const auto high = static_cast<uint16_t>(time >> 48);
    Key key;
    uint8_t* out = key.data();
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<uint8_t>(low >> shift);
    for (int shift = 8; shift >= 0; shift -= 8) *out++ = static_cast<uint8_t>(mid >> shift);
    for (int shift = 8; shift >= 0; shift -= 8) *out++ = static_cast<uint8_t>(high >> shift);
    for (int shift = 56; shift >= 0; shift -= 8) *out++ = static_cast<uint8_t>(uuid.clock_seq_and_node >> shift);
    return key;
  }
  static CassError cass_statement_bind_uuid(CassStatement* statement, size_t, CassUuid uuid) {
    statement->read.key = ToKey(uuid);
    statement->read.keys = {statement->read.key};
    return CASS_OK;
  }
  static CassCollection* cass_collection_new(CassCollectionType, size_t) { return new CassCollection_; }
  static void cass_collection_free(CassCollection* collection) { delete collection; }
  static CassError cass_collection_append_uuid(CassCollection* collection, CassUuid uuid) {
    collection->keys.push_back(ToKey(uuid));
    return CASS_OK;
  }
  static CassError cass_statement_bind_collection(CassStatement* statement, size_t, const CassCollection* collection) {
    if (g_driver->refuse_collections) return CASS_ERROR_LIB_INVALID_VALUE_TYPE;
    statement->read.keys = collection->keys;
    statement->read.key = collection->keys.front();
    return CASS_OK;
  }
  static CassError cass_statement_set_consistency(CassStatement* statement, CassConsistency consistency) {
    statement->read.consistency = consistency;
    return CASS_OK;
  }
  static CassError cass_statement_set_request_timeout(CassStatement* statement, uint64_t ms) {
    statement->read.timeout_ms = ms;
    return CASS_OK;
  }
  static CassError cass_statement_set_is_idempotent(CassStatement* statement, cass_bool_t idempotent) {
    statement->read.idempotent = idempotent == cass_true;
    return CASS_OK;
  }

  // --- results
  static void cass_result_free(const CassResult* result) {
    --result->driver->live_results;
    delete result;
  }
  static size_t cass_result_row_count(const CassResult* result) { return result->rows.size(); }
  static size_t cass_result_column_count(const CassResult* result) { return result->types.size(); }
  static CassValueType cass_result_column_type(const CassResult* result, size_t column) {
    return result->types[column];
  }
  static cass_bool_t cass_result_has_more_pages(const CassResult* result) {
    return result->next_page.empty() ? cass_false : cass_true;
  }
  static CassError cass_result_paging_state_token(const CassResult* result, const char** state, size_t* size) {
    *state = result->next_page.data();
    *size = result->next_page.size();
    return CASS_OK;
  }
  static CassIterator* cass_iterator_from_result(const CassResult* result) { return new CassIterator_{result, 0}; }
  static void cass_iterator_free(CassIterator* iterator) { delete iterator; }
  // The count, then each item with its size, as on the wire.
  static CassIterator* Items(const CassValue* value, size_t step) {
    const std::string& bytes = *value->cell;
    size_t at = 4;
    auto* iterator = new CassIterator_{nullptr, 0, {}, step};
    while (at < bytes.size()) {
      size_t size = 0;
      for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(bytes[at++]);
      iterator->items.push_back({bytes.substr(at, size)});
      at += size;
    }
    return iterator;
  }
  static CassIterator* cass_iterator_from_collection(const CassValue* value) { return Items(value, 1); }
  static CassIterator* cass_iterator_from_map(const CassValue* value) { return Items(value, 2); }
  static const CassValue* cass_iterator_get_value(const CassIterator* iterator) {
    return &iterator->items[iterator->next - 1];
  }
  static const CassValue* cass_iterator_get_map_key(const CassIterator* iterator) {
    return &iterator->items[iterator->next - 2];
  }
  static const CassValue* cass_iterator_get_map_value(const CassIterator* iterator) {
    return &iterator->items[iterator->next - 1];
  }
  static cass_bool_t cass_iterator_next(CassIterator* iterator) {
    if (iterator->step > 0) {
      iterator->next += iterator->step;
      return iterator->next <= iterator->items.size() ? cass_true : cass_false;
    }
    return iterator->next++ < iterator->result->rows.size() ? cass_true : cass_false;
  }
  static const CassRow* cass_iterator_get_row(const CassIterator* iterator) {
    return &iterator->result->rows[iterator->next - 1];
  }
  static const CassValue* cass_row_get_column(const CassRow* row, size_t column) { return &row->values[column]; }
  static cass_bool_t cass_value_is_null(const CassValue* value) { return value->cell ? cass_false : cass_true; }
  static CassError cass_value_get_bytes(const CassValue* value, const uint8_t** bytes, size_t* size) {
    *bytes = reinterpret_cast<const uint8_t*>(value->cell->data());
    *size = value->cell->size();
    return CASS_OK;
  }

  static const char* cass_error_desc(CassError error) { return error == CASS_OK ? "no error" : "an error"; }
  static void cass_log_set_level(CassLogLevel) {}
  static void cass_log_set_callback(CassLogCallback, void*) {}
};

std::string BigEndianInt(int32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(static_cast<uint32_t>(value) >> shift);
  return bytes;
}

FakeAnswer FakeAnswer::Row(const Key& key, int32_t label, std::string data) {
  FakeAnswer answer;
  answer.rows = {{std::string(key.begin(), key.end()), BigEndianInt(label), std::move(data)}};
  return answer;
}

FakeAnswer FakeAnswer::Rows(const std::vector<FakeAnswer>& answers) {
  FakeAnswer all;
  for (const FakeAnswer& answer : answers) all.rows.insert(all.rows.end(), answer.rows.begin(), answer.rows.end());
  return all;
}

FakeDriver::FakeDriver() : api_(std::make_shared<DriverApi>()) {
  if (g_driver != nullptr) std::abort();
  g_driver = this;
#define TFCASS_FILL(result, name, parameters) api_->name = &FakeFunctions::name;
  TFCASS_DRIVER_FUNCTIONS(TFCASS_FILL)
  TFCASS_OPTIONAL_DRIVER_FUNCTIONS(TFCASS_FILL)
#undef TFCASS_FILL
  api_->path = "fake";
}

FakeDriver::~FakeDriver() {
  while (AnswerOldest(
      [](const FakeRead&) { return FakeAnswer::Error(CASS_ERROR_LIB_REQUEST_TIMED_OUT, "the fake is gone"); })) {
  }
  while (AnswerQuery(
      [](const FakeQuery&) { return FakeAnswer::Error(CASS_ERROR_LIB_REQUEST_TIMED_OUT, "the fake is gone"); })) {
  }
  g_driver = nullptr;
}

void FakeDriver::Resolve(CassFuture_* future, FakeAnswer answer) {
  CassFutureCallback callback;
  {
    std::lock_guard<std::mutex> lock(future->mu);
    future->answer = std::move(answer);
    future->ready = true;
    callback = future->callback;
  }
  if (callback != nullptr) callback(future, future->data);
  FakeFunctions::cass_future_free(future);  // The driver's own reference.
}

bool FakeDriver::Answer(const Key& key, FakeAnswer answer) {
  return AnswerWhere(
      [&](const FakeRead& read) { return std::find(read.keys.begin(), read.keys.end(), key) != read.keys.end(); },
      [&](const FakeRead&) { return std::move(answer); });
}

bool FakeDriver::AnswerOldest(const std::function<FakeAnswer(const FakeRead&)>& answer) {
  return AnswerWhere([](const FakeRead&) { return true; }, answer);
}

bool FakeDriver::AnswerWhere(const std::function<bool(const FakeRead&)>& which,
                             const std::function<FakeAnswer(const FakeRead&)>& answer) {
  CassFuture_* found = nullptr;
  {
    std::lock_guard<std::mutex> lock(mu_);
    const auto at =
        std::find_if(open_.begin(), open_.end(), [&](const CassFuture_* future) { return which(future->read); });
    if (at == open_.end()) return false;
    found = *at;
    open_.erase(at);
  }
  Resolve(found, answer(found->read));
  return true;
}

std::vector<FakeRead> FakeDriver::OpenReads() const {
  std::lock_guard<std::mutex> lock(mu_);
  std::vector<FakeRead> reads;
  for (const CassFuture_* future : open_) reads.push_back(future->read);
  return reads;
}

bool FakeDriver::AnswerQuery(const std::function<FakeAnswer(const FakeQuery&)>& answer, size_t skip) {
  CassFuture_* found = nullptr;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (open_queries_.size() <= skip) return false;
    const auto at = std::next(open_queries_.begin(), static_cast<std::ptrdiff_t>(skip));
    found = *at;
    open_queries_.erase(at);
  }
  Resolve(found, answer(found->query));
  return true;
}

std::vector<FakeQuery> FakeDriver::OpenQueries() const {
  std::lock_guard<std::mutex> lock(mu_);
  std::vector<FakeQuery> queries;
  for (const CassFuture_* future : open_queries_) queries.push_back(future->query);
  return queries;
}

void FakeDriver::TellListener(CassHostListenerEvent event, const std::string& address) {
  CassInet inet{};
  const bool v4 = inet_pton(AF_INET, address.c_str(), inet.address) == 1;
  if (!v4 && inet_pton(AF_INET6, address.c_str(), inet.address) != 1) std::abort();
  inet.address_length = v4 ? 4 : 16;
  if (listener_ != nullptr) listener_(event, inet, listener_data_);
}

std::shared_ptr<const DriverApi> FakeDriver::OldApi(bool pinning) const {
  auto old = std::make_shared<DriverApi>(*api_);
  old->cass_cluster_set_host_listener_callback = nullptr;
  old->cass_future_coordinator = nullptr;
  old->cass_statement_set_node = nullptr;
  if (!pinning) old->cass_statement_set_host_n = nullptr;
  return old;
}

FakeCluster FakeDriver::last_cluster() const {
  std::lock_guard<std::mutex> lock(mu_);
  return last_cluster_;
}

}  // namespace tfcass
