// ClusterConfig: how a cluster is reached, the C++ side of tfcass.Cluster.
#ifndef TFCASS_OPS_FETCH_CLUSTER_CONFIG_H_
#define TFCASS_OPS_FETCH_CLUSTER_CONFIG_H_

#include <string>
#include <string_view>
#include <vector>

#include "ops/fetch/status.h"

namespace tfcass {

struct ClusterConfig {
  std::vector<std::string> contact_points;  // Host names or addresses, at least one.
  int port = 9042;                          // Of every node.
  std::string local_dc;                     // Empty: the datacenter of the contact point that answers first.

  std::string username;      // Empty: no authentication.
  std::string password_ref;  // Where the password is, never what it is: secrets.h.

  bool tls = false;
  std::string tls_ca;    // PEM file of the authorities to trust.
  std::string tls_cert;  // PEM file of the client's own certificate chain; empty: none.
  std::string tls_key;   // PEM file of its private key; set exactly when tls_cert is.
  bool tls_verify_hostname = true;

  double connect_timeout_s = 10.0;  // Until the session is usable.
  std::string driver_path;          // Shared library of the driver; empty: search (driver/loader.h).

  // InvalidArgument naming the field, its value and what is accepted.
  Status Validate() const;

  // From canonical text (canonical_text.h); contact_points are joined by commas. The result is valid.
  static Status Parse(std::string_view text, ClusterConfig* config);

  // Equal for configs that may share a session. Holds no secret.
  std::string Fingerprint() const;

  // "10.0.0.1,10.0.0.2 port 9042", for messages.
  std::string Describe() const;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_CLUSTER_CONFIG_H_
