// DriverApi: one table of the driver's functions, filled by the loader, or by a test with a fake.
#ifndef TFCASS_OPS_DRIVER_DRIVER_API_H_
#define TFCASS_OPS_DRIVER_DRIVER_API_H_

#include <cstddef>
#include <string>

#include "ops/driver/driver_types.h"

namespace tfcass {

// F(result, name, parameters): each function that tfcass needs, in one place for the table, the loader and the fake.
#define TFCASS_DRIVER_FUNCTIONS(F)                                                                            \
  F(CassCluster*, cass_cluster_new, (void))                                                                   \
  F(void, cass_cluster_free, (CassCluster*))                                                                  \
  F(CassError, cass_cluster_set_contact_points, (CassCluster*, const char* comma_joined))                     \
  F(CassError, cass_cluster_set_port, (CassCluster*, int))                                                    \
  F(void, cass_cluster_set_credentials, (CassCluster*, const char* username, const char* password))           \
  F(void, cass_cluster_set_connect_timeout, (CassCluster*, unsigned timeout_ms))                              \
  F(void, cass_cluster_set_resolve_timeout, (CassCluster*, unsigned timeout_ms))                              \
  F(CassError, cass_cluster_set_num_threads_io, (CassCluster*, unsigned))                                     \
  F(CassError, cass_cluster_set_load_balance_dc_aware,                                                        \
    (CassCluster*, const char* local_dc, unsigned used_hosts_per_remote_dc, cass_bool_t remote_for_local_cl)) \
  F(void, cass_cluster_set_token_aware_routing, (CassCluster*, cass_bool_t))                                  \
  F(CassError, cass_cluster_set_exponential_reconnect, (CassCluster*, uint64_t base_ms, uint64_t max_ms))     \
  F(void, cass_cluster_set_retry_policy, (CassCluster*, CassRetryPolicy*))                                    \
  F(CassRetryPolicy*, cass_retry_policy_fallthrough_new, (void))                                              \
  F(void, cass_retry_policy_free, (CassRetryPolicy*))                                                         \
  F(CassError, cass_cluster_set_use_hostname_resolution, (CassCluster*, cass_bool_t))                         \
  F(void, cass_cluster_set_ssl, (CassCluster*, CassSsl*))                                                     \
                                                                                                              \
  F(CassSsl*, cass_ssl_new, (void))                                                                           \
  F(void, cass_ssl_free, (CassSsl*))                                                                          \
  F(CassError, cass_ssl_add_trusted_cert_n, (CassSsl*, const char* pem, size_t))                              \
  F(CassError, cass_ssl_set_cert_n, (CassSsl*, const char* pem, size_t))                                      \
  F(CassError, cass_ssl_set_private_key_n,                                                                    \
    (CassSsl*, const char* pem, size_t, const char* password, size_t password_length))                        \
  F(void, cass_ssl_set_verify_flags, (CassSsl*, int flags))                                                   \
                                                                                                              \
  F(CassSession*, cass_session_new, (void))                                                                   \
  F(void, cass_session_free, (CassSession*))                                                                  \
  F(CassFuture*, cass_session_connect, (CassSession*, const CassCluster*))                                    \
  F(CassFuture*, cass_session_close, (CassSession*))                                                          \
  F(CassFuture*, cass_session_prepare_n, (CassSession*, const char* cql, size_t))                             \
  F(CassFuture*, cass_session_execute, (CassSession*, const CassStatement*))                                  \
                                                                                                              \
  F(void, cass_future_free, (CassFuture*))                                                                    \
  F(CassError, cass_future_set_callback, (CassFuture*, CassFutureCallback, void* data))                       \
  F(cass_bool_t, cass_future_ready, (CassFuture*))                                                            \
  F(cass_bool_t, cass_future_wait_timed, (CassFuture*, uint64_t timeout_us))                                  \
  F(CassError, cass_future_error_code, (CassFuture*))                                                         \
  F(void, cass_future_error_message, (CassFuture*, const char** message, size_t*))                            \
  F(const CassResult*, cass_future_get_result, (CassFuture*))                                                 \
  F(const CassPrepared*, cass_future_get_prepared, (CassFuture*))                                             \
                                                                                                              \
  F(void, cass_prepared_free, (const CassPrepared*))                                                          \
  F(CassStatement*, cass_prepared_bind, (const CassPrepared*))                                                \
  F(const CassDataType*, cass_prepared_parameter_data_type, (const CassPrepared*, size_t))                    \
  F(CassValueType, cass_data_type_type, (const CassDataType*))                                                \
                                                                                                              \
  F(CassStatement*, cass_statement_new_n, (const char* cql, size_t, size_t parameters))                       \
  F(void, cass_statement_free, (CassStatement*))                                                              \
  F(CassError, cass_statement_bind_bytes, (CassStatement*, size_t, const uint8_t* bytes, size_t))             \
  F(CassError, cass_statement_bind_uuid, (CassStatement*, size_t, CassUuid))                                  \
  F(CassError, cass_statement_set_consistency, (CassStatement*, CassConsistency))                             \
  F(CassError, cass_statement_set_request_timeout, (CassStatement*, uint64_t timeout_ms))                     \
  F(CassError, cass_statement_set_is_idempotent, (CassStatement*, cass_bool_t))                               \
  F(CassError, cass_statement_set_paging_size, (CassStatement*, int rows))                                    \
  F(CassError, cass_statement_set_paging_state_token, (CassStatement*, const char* state, size_t))            \
                                                                                                              \
  F(void, cass_result_free, (const CassResult*))                                                              \
  F(size_t, cass_result_row_count, (const CassResult*))                                                       \
  F(size_t, cass_result_column_count, (const CassResult*))                                                    \
  F(CassValueType, cass_result_column_type, (const CassResult*, size_t))                                      \
  F(cass_bool_t, cass_result_has_more_pages, (const CassResult*))                                             \
  F(CassError, cass_result_paging_state_token, (const CassResult*, const char** state, size_t*))              \
  F(CassIterator*, cass_iterator_from_result, (const CassResult*))                                            \
  F(CassIterator*, cass_iterator_from_collection, (const CassValue*))                                         \
  F(CassIterator*, cass_iterator_from_map, (const CassValue*))                                                \
  F(void, cass_iterator_free, (CassIterator*))                                                                \
  F(cass_bool_t, cass_iterator_next, (CassIterator*))                                                         \
  F(const CassRow*, cass_iterator_get_row, (const CassIterator*))                                             \
  F(const CassValue*, cass_iterator_get_value, (const CassIterator*))                                         \
  F(const CassValue*, cass_iterator_get_map_key, (const CassIterator*))                                       \
  F(const CassValue*, cass_iterator_get_map_value, (const CassIterator*))                                     \
  F(const CassValue*, cass_row_get_column, (const CassRow*, size_t))                                          \
  F(cass_bool_t, cass_value_is_null, (const CassValue*))                                                      \
  F(CassError, cass_value_get_bytes, (const CassValue*, const uint8_t** bytes, size_t*))                      \
                                                                                                              \
  F(const char*, cass_error_desc, (CassError))                                                                \
  F(void, cass_log_set_level, (CassLogLevel))                                                                 \
  F(void, cass_log_set_callback, (CassLogCallback, void* data))

// Functions that came late to driver 2.x, or that another implementation of the API may lack: null then. Who calls one
// can do without.
#define TFCASS_OPTIONAL_DRIVER_FUNCTIONS(F)                                                                   \
  F(CassError, cass_cluster_set_host_listener_callback, (CassCluster*, CassHostListenerCallback, void* data)) \
  F(CassError, cass_statement_set_host_n, (CassStatement*, const char* address, size_t, int port))            \
  F(const CassNode*, cass_future_coordinator, (CassFuture*))                                                  \
  F(CassError, cass_statement_set_node, (CassStatement*, const CassNode*))                                    \
  F(CassCollection*, cass_collection_new, (CassCollectionType, size_t item_count))                            \
  F(void, cass_collection_free, (CassCollection*))                                                            \
  F(CassError, cass_collection_append_uuid, (CassCollection*, CassUuid))                                      \
  F(CassError, cass_statement_bind_collection, (CassStatement*, size_t, const CassCollection*))

// Each member is named like the function it points to: api->cass_session_new().
struct DriverApi {
#define TFCASS_MEMBER(result, name, parameters) result(*name) parameters = nullptr;
  TFCASS_DRIVER_FUNCTIONS(TFCASS_MEMBER)
  TFCASS_OPTIONAL_DRIVER_FUNCTIONS(TFCASS_MEMBER)
#undef TFCASS_MEMBER

  std::string path;  // Where it was loaded from.
};

}  // namespace tfcass

#endif  // TFCASS_OPS_DRIVER_DRIVER_API_H_
