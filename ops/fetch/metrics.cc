#include "ops/fetch/metrics.h"

#include <algorithm>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr int kExact = 8;       // Buckets of one microsecond, and buckets of each power of two after them.
constexpr int kExactBits = 3;   // 2^kExactBits == kExact.
constexpr int kLastPower = 27;  // From 2^kLastPower on, one bucket.
constexpr std::array<const char*, kRequestKinds> kKindNames = {"single", "grouped", "fallback", "hedged"};

int64_t InMicroseconds(Clock::Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

int64_t InMicroseconds(Clock::TimePoint when) { return InMicroseconds(when.time_since_epoch()); }

void Add(Metrics::Counter* counter, int64_t amount) { counter->fetch_add(amount, kRelaxed); }

void Raise(Metrics::Counter* counter, int64_t to) {
  int64_t seen = counter->load(kRelaxed);
  while (seen < to && !counter->compare_exchange_weak(seen, to, kRelaxed)) {
  }
}

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // Addresses hold no such characters.
  }
  return quoted + "\"";
}

// Metrics by id. Never destroyed: fetchers may outlive static destruction.
class Registry {
 public:
  static Registry& Global() {
    static auto* registry = new Registry;
    return *registry;
  }

  std::shared_ptr<Metrics> Get(const std::string& id, bool make) {
    MutexLock lock(&mu_);
    auto found = kept_.find(id);
    if (found == kept_.end()) {
      if (!make) return nullptr;
      found = kept_.emplace(id, Kept{std::make_shared<Metrics>(), 0}).first;
    }
    found->second.asked = ++asked_;
    std::shared_ptr<Metrics> metrics = found->second.metrics;  // Not idle while the others are counted.
    if (make) DropIdle();
    return metrics;
  }

 private:
  struct Kept {
    std::shared_ptr<Metrics> metrics;
    int64_t asked;  // When, as a count of calls.
  };

  void DropIdle() TFCASS_REQUIRES(mu_) {
    if (kept_.size() <= kMaxIdleMetrics) return;
    size_t idle = 0;
    auto oldest = kept_.end();
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
      if (kept->second.metrics.use_count() > 1) continue;
      ++idle;
      if (oldest == kept_.end() || kept->second.asked < oldest->second.asked) oldest = kept;
    }
    if (idle > kMaxIdleMetrics) kept_.erase(oldest);
  }

  Mutex mu_;
  int64_t asked_ TFCASS_GUARDED_BY(mu_) = 0;
  std::map<std::string, Kept> kept_ TFCASS_GUARDED_BY(mu_);
};

}  // namespace

int LatencyHistogram::BucketOf(int64_t us) {
  if (us < kExact) return static_cast<int>(std::max<int64_t>(us, 0));
  const int power = 63 - __builtin_clzll(static_cast<unsigned long long>(us));
  if (power >= kLastPower) return kBuckets - 1;
  const int place = static_cast<int>(us >> (power - kExactBits)) - kExact;
  return kExact * (power - kExactBits + 1) + place;
}

int64_t LatencyHistogram::UpperBoundUs(int bucket) {
  if (bucket < kExact) return bucket + 1;
  if (bucket == kBuckets - 1) return int64_t{2} << kLastPower;
  return static_cast<int64_t>(kExact + bucket % kExact + 1) << (bucket / kExact - 1);
}

void LatencyHistogram::Record(std::chrono::microseconds taken) { Add(&counts_[BucketOf(taken.count())], 1); }

std::string LatencyHistogram::ToJson() const {
  std::array<int64_t, kBuckets> counts;
  int64_t total = 0;
  std::string buckets;
  for (int i = 0; i < kBuckets; ++i) {
    counts[i] = counts_[i].load(kRelaxed);
    total += counts[i];
    if (counts[i] == 0) continue;
    buckets += StrCat(buckets.empty() ? "" : ", ", "[", UpperBoundUs(i), ", ", counts[i], "]");
  }
  const auto percentile = [&](int64_t percent) -> int64_t {
    int64_t seen = 0;
    for (int i = 0; i < kBuckets && total > 0; ++i) {
      seen += counts[i];
      if (seen * 100 >= percent * total) return UpperBoundUs(i);
    }
    return 0;
  };
  return StrCat("{\"count\": ", total, ", \"p50\": ", percentile(50), ", \"p90\": ", percentile(90),
                ", \"p95\": ", percentile(95), ", \"p99\": ", percentile(99),
                ", \"buckets\": [", buckets, "]}");
}

LatencyHistogram* Metrics::OfHost(const std::string& host) {
  MutexLock lock(&mu_);
  const auto found = hosts_.find(host);
  if (found != hosts_.end()) return found->second.get();
  if (hosts_.size() >= kMaxHosts) return nullptr;
  return hosts_.emplace(host, std::make_unique<LatencyHistogram>()).first->second.get();
}

std::string Metrics::ToJson() const {
  std::string kinds;
  for (int i = 0; i < kRequestKinds; ++i) {
    kinds += StrCat(i == 0 ? "" : ", ", "\"", kKindNames[i], "\": ", requests_by_kind[i]);
  }
  std::string hosts;
  {
    MutexLock lock(&mu_);
    for (const auto& [host, histogram] : hosts_) {
      hosts += StrCat(hosts.empty() ? "" : ", ", Quoted(host), ": ", histogram->ToJson());
    }
  }
  return StrCat("{\"rows\": ", rows, ", \"bytes\": ", bytes, ", \"requests\": ", requests, ", \"requests_by_kind\": {",
                kinds, "}, \"retries\": ", retries, ", \"fallbacks\": ", fallbacks, ", \"hedges_won\": ", hedges_won,
                ", \"duplicates\": ", duplicates, ", \"missing\": ", missing, ", \"errors\": ", errors,
                ", \"elements\": ", elements, ", \"consumer_wait_us\": ", consumer_wait_us,
                ", \"consumer_next_us\": ", consumer_next_us, ", \"consumer_busy_us\": ", consumer_busy_us,
                ", \"active_us\": ", last_us - first_us, ", \"fetchers\": ", fetchers, ", \"window_rows\": ", window_rows,
                ", \"buffered_bytes\": ", buffered_bytes, ", \"buffered_bytes_peak\": ", buffered_bytes_peak,
                ", \"latency_us\": ", latency.ToJson(), ", \"latency_us_by_host\": {", hosts, "}}");
}

Metrics& Metrics::Global() {
  static auto* metrics = new Metrics;  // Never destroyed: fetchers may outlive static destruction.
  return *metrics;
}

std::shared_ptr<Metrics> MetricsOf(const std::string& id) {
  return id.empty() ? nullptr : Registry::Global().Get(id, /*make=*/true);
}

std::string MetricsJson(const std::string& id) {
  if (id.empty()) return Metrics::Global().ToJson();
  const std::shared_ptr<Metrics> metrics = Registry::Global().Get(id, /*make=*/false);
  return metrics == nullptr ? Metrics().ToJson() : metrics->ToJson();
}

template <typename Do>
void MetricsSink::Both(const Do& apply) {
  if (dataset_ != nullptr) apply(*dataset_);
  apply(Metrics::Global());
}

MetricsSink::MetricsSink(std::shared_ptr<Metrics> dataset) : dataset_(std::move(dataset)) {
  Both([](Metrics& metrics) { Add(&metrics.fetchers, 1); });
}

MetricsSink::~MetricsSink() {
  SetWindow(0, 0);
  Both([](Metrics& metrics) { Add(&metrics.fetchers, -1); });
}

void MetricsSink::OnSent(RequestKind kind, bool retry) {
  Both([&](Metrics& metrics) {
    Add(&metrics.requests, 1);
    Add(&metrics.requests_by_kind[static_cast<size_t>(kind)], 1);
    if (retry) Add(&metrics.retries, 1);
  });
}

void MetricsSink::OnReply(const std::string& host, Clock::Duration latency) {
  const auto taken = std::chrono::duration_cast<std::chrono::microseconds>(latency);
  Both([&](Metrics& metrics) { metrics.latency.Record(taken); });
  if (host.empty()) return;
  auto found = hosts_.find(host);
  if (found == hosts_.end()) {
    HostLatency of_host{dataset_ == nullptr ? nullptr : dataset_->OfHost(host), Metrics::Global().OfHost(host)};
    found = hosts_.emplace(host, of_host).first;
  }
  if (found->second.dataset != nullptr) found->second.dataset->Record(taken);
  if (found->second.process != nullptr) found->second.process->Record(taken);
}

void MetricsSink::OnRows(size_t rows, int64_t bytes, size_t missing) {
  Both([&](Metrics& metrics) {
    Add(&metrics.rows, static_cast<int64_t>(rows));
    Add(&metrics.bytes, bytes);
    if (missing > 0) Add(&metrics.missing, static_cast<int64_t>(missing));
  });
}

void MetricsSink::OnFallbacks(size_t keys) {
  Both([&](Metrics& metrics) { Add(&metrics.fallbacks, static_cast<int64_t>(keys)); });
}

void MetricsSink::OnDuplicates(size_t keys) {
  Both([&](Metrics& metrics) { Add(&metrics.duplicates, static_cast<int64_t>(keys)); });
}

void MetricsSink::OnErrors(size_t keys) {
  Both([&](Metrics& metrics) { Add(&metrics.errors, static_cast<int64_t>(keys)); });
}

void MetricsSink::OnHedgeWon() {
  Both([](Metrics& metrics) { Add(&metrics.hedges_won, 1); });
}

void MetricsSink::OnNextBegin(Clock::TimePoint now) {
  next_began_ = now;
  const bool first_call = next_ended_ == Clock::TimePoint();
  const int64_t busy_us = first_call ? 0 : InMicroseconds(now - next_ended_);
  Both([&](Metrics& metrics) {
    if (busy_us > 0) Add(&metrics.consumer_busy_us, busy_us);
    if (!first_call) return;
    int64_t unset = 0;
    metrics.first_us.compare_exchange_strong(unset, InMicroseconds(now), kRelaxed);
    Raise(&metrics.last_us, InMicroseconds(now));  // So that last is never before first.
  });
}

void MetricsSink::OnNextEnd(Clock::TimePoint now, bool element) {
  next_ended_ = now;
  const int64_t taken_us = InMicroseconds(now - next_began_);
  Both([&](Metrics& metrics) {
    Add(&metrics.consumer_next_us, taken_us);
    if (element) Add(&metrics.elements, 1);
    Raise(&metrics.last_us, InMicroseconds(now));
  });
}

void MetricsSink::OnWaited(Clock::Duration waited) {
  Both([&](Metrics& metrics) { Add(&metrics.consumer_wait_us, InMicroseconds(waited)); });
}

void MetricsSink::SetWindow(size_t bound_rows, int64_t buffered_bytes) {
  const int64_t more_rows = static_cast<int64_t>(bound_rows) - window_rows_;
  const int64_t more_bytes = buffered_bytes - buffered_bytes_;
  window_rows_ += more_rows;
  buffered_bytes_ += more_bytes;
  Both([&](Metrics& metrics) {
    if (more_rows != 0) Add(&metrics.window_rows, more_rows);
    if (more_bytes == 0) return;
    Raise(&metrics.buffered_bytes_peak, metrics.buffered_bytes.fetch_add(more_bytes, kRelaxed) + more_bytes);
  });
}

}  // namespace tfcass
