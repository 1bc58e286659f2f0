#include "ops/fetch/driver_cluster.h"

#include <arpa/inet.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "ops/driver/handles.h"
#include "ops/fetch/secrets.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

// The driver's own, 2 s to a minute, suit a service that runs for months. Here rows with a deadline of seconds wait for
// the node to come back, and its one connection may have been lost to a single bad packet.
constexpr uint64_t kFirstReconnectMs = 100;
constexpr uint64_t kLongestReconnectMs = 5000;

Status Check(const DriverApi& api, CassError error, const std::string& setting) {
  if (error == CASS_OK) return OkStatus();
  return InvalidArgument(StrCat("cluster: the driver refuses ", setting, ": ", api.cass_error_desc(error)));
}

unsigned Milliseconds(double seconds) { return std::max(1u, static_cast<unsigned>(seconds * 1e3)); }

bool IsAddress(const std::string& host) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), buffer) == 1 || inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

Status ReadPem(const char* setting, const std::string& path, std::string* pem) {
  std::ifstream file(path, std::ios::binary);
  if (file) pem->assign(std::istreambuf_iterator<char>(file), {});
  if (!file || pem->empty()) {
    return FailedPrecondition(
        StrCat("cluster: ", setting, "=", path, " cannot be read; give a PEM file that this process may read"));
  }
  return OkStatus();
}

Status NotPem(const char* setting, const std::string& path, const char* what) {
  return InvalidArgument(StrCat("cluster: ", setting, "=", path, " is not ", what, " in PEM form"));
}

// The driver checks one identity: either the address that it connected to, against the certificate's IP names, or the
// host name that a reverse lookup gives for that address, against its DNS names. The contact points tell which of the
// two the user goes by. Addresses are the stricter choice: a reverse lookup is only as good as the name service, and
// its name need not be the one that was asked for.
Status ConfigureVerification(const DriverApi& api, const ClusterConfig& config, CassCluster* cluster, CassSsl* ssl) {
  int flags = CASS_SSL_VERIFY_PEER_CERT;
  if (config.tls_verify_hostname) {
    const bool by_address = std::all_of(config.contact_points.begin(), config.contact_points.end(), IsAddress);
    flags |= by_address ? CASS_SSL_VERIFY_PEER_IDENTITY : CASS_SSL_VERIFY_PEER_IDENTITY_DNS;
    if (!by_address) {
      TFCASS_RETURN_IF_ERROR(
          Check(api, api.cass_cluster_set_use_hostname_resolution(cluster, cass_true), "host name resolution"));
    }
  }
  api.cass_ssl_set_verify_flags(ssl, flags);
  return OkStatus();
}

Status ConfigureTls(const DriverApi& api, const ClusterConfig& config, CassCluster* cluster) {
  SslPtr ssl = Own(api, api.cass_ssl_new());
  std::string pem;
  if (!config.tls_ca.empty()) {
    TFCASS_RETURN_IF_ERROR(ReadPem("tls_ca", config.tls_ca, &pem));
    if (api.cass_ssl_add_trusted_cert_n(ssl.get(), pem.data(), pem.size()) != CASS_OK) {
      return NotPem("tls_ca", config.tls_ca, "a certificate");
    }
  }
  if (!config.tls_cert.empty()) {
    TFCASS_RETURN_IF_ERROR(ReadPem("tls_cert", config.tls_cert, &pem));
    if (api.cass_ssl_set_cert_n(ssl.get(), pem.data(), pem.size()) != CASS_OK) {
      return NotPem("tls_cert", config.tls_cert, "a certificate");
    }
    TFCASS_RETURN_IF_ERROR(ReadPem("tls_key", config.tls_key, &pem));
    if (api.cass_ssl_set_private_key_n(ssl.get(), pem.data(), pem.size(), "", 0) != CASS_OK) {
      return NotPem("tls_key", config.tls_key, "an unencrypted private key");
    }
  }
  TFCASS_RETURN_IF_ERROR(ConfigureVerification(api, config, cluster, ssl.get()));
  api.cass_cluster_set_ssl(cluster, ssl.get());
  return OkStatus();
}

}  // namespace

Status ConfigureCluster(const DriverApi& api, const ClusterConfig& config, int64_t io_threads, CassCluster* cluster) {
  std::string hosts;
  for (const std::string& point : config.contact_points) hosts += (hosts.empty() ? "" : ",") + point;
  TFCASS_RETURN_IF_ERROR(
      Check(api, api.cass_cluster_set_contact_points(cluster, hosts.c_str()), "contact_points=" + hosts));
  TFCASS_RETURN_IF_ERROR(Check(api, api.cass_cluster_set_port(cluster, config.port), StrCat("port=", config.port)));
  TFCASS_RETURN_IF_ERROR(Check(api, api.cass_cluster_set_num_threads_io(cluster, static_cast<unsigned>(io_threads)),
                               StrCat("io_threads=", io_threads)));
  api.cass_cluster_set_connect_timeout(cluster, Milliseconds(config.connect_timeout_s));
  api.cass_cluster_set_resolve_timeout(cluster, Milliseconds(config.connect_timeout_s));

  // No host of another datacenter: a slow read from afar is worse than an error that names the datacenter.
  if (!config.local_dc.empty()) {
    TFCASS_RETURN_IF_ERROR(
        Check(api, api.cass_cluster_set_load_balance_dc_aware(cluster, config.local_dc.c_str(), 0, cass_false),
              "local_dc=" + config.local_dc));
  }
  api.cass_cluster_set_token_aware_routing(cluster, cass_true);
  TFCASS_RETURN_IF_ERROR(
      Check(api, api.cass_cluster_set_exponential_reconnect(cluster, kFirstReconnectMs, kLongestReconnectMs),
            "the pauses between attempts to reconnect"));
  // Retries are RetryPolicy's alone. The driver's own default asks the next host at once, however full all of them are,
  // and tells "no hosts available" in the end instead of what the servers said.
  api.cass_cluster_set_retry_policy(cluster, Own(api, api.cass_retry_policy_fallthrough_new()).get());

  if (!config.username.empty()) {
    std::string password;
    TFCASS_RETURN_IF_ERROR(ResolveSecret(config.password_ref, &password));
    api.cass_cluster_set_credentials(cluster, config.username.c_str(), password.c_str());
  }
  return config.tls ? ConfigureTls(api, config, cluster) : OkStatus();
}

}  // namespace tfcass
