#include "ops/fetch/cluster_config.h"

#include "ops/fetch/canonical_text.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  while (true) {
    const size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::string JoinWithCommas(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += ',';
    text += part;
  }
  return text;
}

Status CheckPort(int64_t port) {
  if (port >= 1 && port <= 65535) return OkStatus();
  return InvalidArgument(StrCat("cluster: port=", port, " is not in 1 to 65535"));
}

}  // namespace

Status ClusterConfig::Validate() const {
  if (contact_points.empty()) return InvalidArgument("cluster: contact_points is empty; name at least one node");
  for (const std::string& point : contact_points) {
    if (point.empty() || point.find_first_of(" \t\n,") != std::string::npos) {
      return InvalidArgument(StrCat("cluster: contact point '", point, "' is not a host name or address"));
    }
  }
  TFCASS_RETURN_IF_ERROR(CheckPort(port));
  if (username.empty() != password_ref.empty()) {
    return InvalidArgument("cluster: username and password_ref belong together; give both, or neither");
  }
  if (tls_cert.empty() != tls_key.empty()) {
    return InvalidArgument("cluster: tls_cert and tls_key belong together; give both, or neither");
  }
  if (!(connect_timeout_s > 0 && connect_timeout_s <= 3600)) {  // Refuses NaN too.
    return InvalidArgument(
        StrCat("cluster: connect_timeout_s=", connect_timeout_s, " is not a number of seconds above 0 and up to 3600"));
  }
  return OkStatus();
}

Status ClusterConfig::Parse(std::string_view text, ClusterConfig* config) {
  CanonicalText fields;
  ClusterConfig parsed;
  std::string contact_points;
  int64_t port = parsed.port;
  TFCASS_RETURN_IF_ERROR(CanonicalText::Parse(text, "cluster", &fields));
  TFCASS_RETURN_IF_ERROR(fields.Take("contact_points", &contact_points));
  TFCASS_RETURN_IF_ERROR(fields.Take("port", &port));
  TFCASS_RETURN_IF_ERROR(fields.Take("local_dc", &parsed.local_dc));
  TFCASS_RETURN_IF_ERROR(fields.Take("username", &parsed.username));
  TFCASS_RETURN_IF_ERROR(fields.Take("password_ref", &parsed.password_ref));
  TFCASS_RETURN_IF_ERROR(fields.Take("tls", &parsed.tls));
  TFCASS_RETURN_IF_ERROR(fields.Take("tls_ca", &parsed.tls_ca));
  TFCASS_RETURN_IF_ERROR(fields.Take("tls_cert", &parsed.tls_cert));
  TFCASS_RETURN_IF_ERROR(fields.Take("tls_key", &parsed.tls_key));
  TFCASS_RETURN_IF_ERROR(fields.Take("tls_verify_hostname", &parsed.tls_verify_hostname));
  TFCASS_RETURN_IF_ERROR(fields.Take("connect_timeout_s", &parsed.connect_timeout_s));
  TFCASS_RETURN_IF_ERROR(fields.Take("driver_path", &parsed.driver_path));
  TFCASS_RETURN_IF_ERROR(fields.CheckAllTaken());
  parsed.contact_points = SplitAtCommas(contact_points);
  TFCASS_RETURN_IF_ERROR(CheckPort(port));  // Before it is narrowed.
  parsed.port = static_cast<int>(port);
  TFCASS_RETURN_IF_ERROR(parsed.Validate());
  *config = parsed;
  return OkStatus();
}

std::string ClusterConfig::Fingerprint() const {
  std::string text;
  for (const std::string& value :
       {JoinWithCommas(contact_points), StrCat(port), local_dc, username, password_ref, StrCat(tls), tls_ca, tls_cert,
        tls_key, StrCat(tls_verify_hostname), StrCat(connect_timeout_s), driver_path}) {
    text += PercentEncode(value);
    text += '\n';
  }
  return text;
}

std::string ClusterConfig::Describe() const { return StrCat(JoinWithCommas(contact_points), " port ", port); }

}  // namespace tfcass
