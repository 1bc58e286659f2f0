#include "ops/fetch/options.h"

#include "ops/fetch/canonical_text.h"
#include "ops/fetch/consistency.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr int64_t kMaxIoThreads = 64;
constexpr double kMaxTimeoutS = 24 * 3600;

template <typename Value>
Status BadField(const char* name, const Value& value, const std::string& accepted) {
  return InvalidArgument(StrCat("FetchOptions.", name, "=", value, " is not ", accepted));
}

Status CheckAtLeastOne(const char* name, int64_t value) {
  if (value >= 1 || value == kAutotune) return OkStatus();
  return BadField(name, value, "at least 1, or AUTOTUNE (-1)");
}

Status ParseMissing(const std::string& text, Missing* missing) {
  if (text == "error") {
    *missing = Missing::kError;
  } else if (text == "skip") {
    *missing = Missing::kSkip;
  } else if (text == "empty") {
    *missing = Missing::kEmpty;
  } else {
    return BadField("missing", text, "one of error, skip, empty");
  }
  return OkStatus();
}

Status ParseHedgeAfter(const std::string& text, HedgeAfter* hedge_after) {
  if (text == "None") {
    *hedge_after = HedgeAfter::kNever;
  } else if (text == "p95") {
    *hedge_after = HedgeAfter::kP95;
  } else if (text == "p99") {
    *hedge_after = HedgeAfter::kP99;
  } else if (text == "p99.9") {
    *hedge_after = HedgeAfter::kP999;
  } else {
    return BadField("hedge_after", text, "one of None, p95, p99, p99.9");
  }
  return OkStatus();
}

}  // namespace

Status FetchOptions::Validate() const {
  TFCASS_RETURN_IF_ERROR(CheckAtLeastOne("max_in_flight", max_in_flight));
  if (rows_per_request != kAutotune && (rows_per_request < 1 || rows_per_request > kMaxRowsPerRequest)) {
    return BadField("rows_per_request", rows_per_request, StrCat("1 to ", kMaxRowsPerRequest, ", or AUTOTUNE (-1)"));
  }
  TFCASS_RETURN_IF_ERROR(CheckAtLeastOne("max_buffered_bytes", max_buffered_bytes));
  // Written so that NaN is refused too.
  if (!(timeout_s > 0 && timeout_s <= kMaxTimeoutS)) {
    return BadField("timeout_s", timeout_s, "a number of seconds above 0 and up to 86400");
  }
  if (max_retries < 0) return BadField("max_retries", max_retries, "at least 0");
  if (io_threads != kAutotune && (io_threads < 1 || io_threads > kMaxIoThreads)) {
    return BadField("io_threads", io_threads, StrCat("1 to ", kMaxIoThreads, ", or AUTOTUNE (-1)"));
  }
  CassConsistency unused;
  if (!ParseConsistency(consistency, &unused))
    return BadField("consistency", consistency, StrCat("one of ", ConsistencyNames()));
  return OkStatus();
}

Status FetchOptions::Parse(std::string_view text, FetchOptions* options) {
  CanonicalText fields;
  FetchOptions parsed;
  std::string missing = "error", hedge_after = "None";
  TFCASS_RETURN_IF_ERROR(CanonicalText::Parse(text, "options", &fields));
  TFCASS_RETURN_IF_ERROR(fields.Take("deterministic", &parsed.deterministic));
  TFCASS_RETURN_IF_ERROR(fields.Take("missing", &missing));
  TFCASS_RETURN_IF_ERROR(fields.Take("max_in_flight", &parsed.max_in_flight));
  TFCASS_RETURN_IF_ERROR(fields.Take("rows_per_request", &parsed.rows_per_request));
  TFCASS_RETURN_IF_ERROR(fields.Take("max_buffered_bytes", &parsed.max_buffered_bytes));
  TFCASS_RETURN_IF_ERROR(fields.Take("timeout_s", &parsed.timeout_s));
  TFCASS_RETURN_IF_ERROR(fields.Take("max_retries", &parsed.max_retries));
  TFCASS_RETURN_IF_ERROR(fields.Take("consistency", &parsed.consistency));
  TFCASS_RETURN_IF_ERROR(fields.Take("hedge_after", &hedge_after));
  TFCASS_RETURN_IF_ERROR(fields.Take("io_threads", &parsed.io_threads));
  TFCASS_RETURN_IF_ERROR(fields.Take("metrics_id", &parsed.metrics_id));
  TFCASS_RETURN_IF_ERROR(fields.CheckAllTaken());
  TFCASS_RETURN_IF_ERROR(ParseMissing(missing, &parsed.missing));
  TFCASS_RETURN_IF_ERROR(ParseHedgeAfter(hedge_after, &parsed.hedge_after));
  TFCASS_RETURN_IF_ERROR(parsed.Validate());
  *options = parsed;
  return OkStatus();
}

int64_t FetchOptions::MaxInFlight() const { return max_in_flight == kAutotune ? 512 : max_in_flight; }

int64_t FetchOptions::MaxBufferedBytes() const {
  return max_buffered_bytes == kAutotune ? int64_t{256} << 20 : max_buffered_bytes;
}

int64_t FetchOptions::RowsPerRequest() const {
  return rows_per_request == kAutotune ? kMaxRowsPerRequest : rows_per_request;
}

int64_t FetchOptions::IoThreads() const { return io_threads == kAutotune ? 1 : io_threads; }

}  // namespace tfcass
