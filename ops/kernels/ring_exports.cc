// What Python sees of the token ring, through ctypes (tfcass/_ops.py): for checks against the server, not for reading.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ops/fetch/ring/murmur3.h"
#include "ops/fetch/session_pool.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

std::string DescribeRing(const char* cluster_text, const char* keyspace) {
  ClusterConfig config;
  Status status = ClusterConfig::Parse(cluster_text, &config);
  std::shared_ptr<Session> session;
  if (status.ok()) status = SessionPool::Global().Get(config, 1, &session);
  if (!status.ok()) return StrCat("error: ", status.message());
  std::string why;
  const std::shared_ptr<const Ring> ring = session->ring(keyspace, &why);
  if (ring == nullptr) return StrCat("none: ", why);
  std::string text = StrCat("ring: ", ring->local_dc());
  for (const TokenRange& range : ring->Ranges()) {
    text += StrCat("\n", range.start, " ", range.end);
    for (const std::shared_ptr<Host>& owner : range.owners) text += " " + owner->name();
  }
  return text;
}

}  // namespace
}  // namespace tfcass

#define TFCASS_EXPORT extern "C" __attribute__((visibility("default"), used))

// The token of a partition key of these bytes.
TFCASS_EXPORT int64_t tfcass_token(const uint8_t* bytes, size_t size) { return tfcass::Murmur3Token(bytes, size); }

// "ring: <local datacenter>" and a line "<start> <end> <owner> ..." for each of its ranges; "none: <why>" when the
// keyspace has no ring; "error: <message>" when the cluster cannot be reached. Valid until this thread's next call.
TFCASS_EXPORT const char* tfcass_describe_ring(const char* cluster_text, const char* keyspace) {
  thread_local std::string text;
  text = tfcass::DescribeRing(cluster_text, keyspace);
  return text.c_str();
}
