// One owner per C handle of the driver: freed by its own function of the table that made it.
//
//   FuturePtr future = Own(api, api.cass_session_connect(session, cluster));
//
// The table must outlive the handles; a loaded driver is never unloaded.
#ifndef TFCASS_OPS_DRIVER_HANDLES_H_
#define TFCASS_OPS_DRIVER_HANDLES_H_

#include <memory>

#include "ops/driver/driver_api.h"

namespace tfcass {

template <auto Free>
class FreeHandle {
 public:
  FreeHandle() = default;
  explicit FreeHandle(const DriverApi& api) : api_(&api) {}

  template <typename Handle>
  void operator()(Handle* handle) const {
    (api_->*Free)(handle);
  }

 private:
  const DriverApi* api_ = nullptr;
};

#define TFCASS_HANDLE(type, name, free)                             \
  using name = std::unique_ptr<type, FreeHandle<&DriverApi::free>>; \
  inline name Own(const DriverApi& api, type* handle) { return name(handle, FreeHandle<&DriverApi::free>(api)); }

TFCASS_HANDLE(CassCluster, ClusterPtr, cass_cluster_free)
TFCASS_HANDLE(CassSsl, SslPtr, cass_ssl_free)
TFCASS_HANDLE(CassRetryPolicy, RetryPolicyPtr, cass_retry_policy_free)
TFCASS_HANDLE(CassFuture, FuturePtr, cass_future_free)
TFCASS_HANDLE(CassStatement, StatementPtr, cass_statement_free)
TFCASS_HANDLE(CassCollection, CollectionPtr, cass_collection_free)
TFCASS_HANDLE(CassIterator, IteratorPtr, cass_iterator_free)
TFCASS_HANDLE(const CassResult, ResultPtr, cass_result_free)
TFCASS_HANDLE(const CassPrepared, PreparedPtr, cass_prepared_free)

#undef TFCASS_HANDLE

}  // namespace tfcass

#endif  // TFCASS_OPS_DRIVER_HANDLES_H_
