// raw_loop: reads rows by key with the driver's functions alone, as fast as they go. The yardstick of the benchmarks.
//
// Modes   single: one key a request, routed to its owner by token, `window` requests in flight.
//         grouped: up to `group` keys of one owner a request (`IN ?`), pinned to it, `window` requests in flight.
// Keys    16 bytes each, read in the order of the file and from its start again. In grouped mode `owners` holds one
//         byte a key, an index into `hosts`: tokens and replicas are somebody else's arithmetic, not the engine's.
// Rows    Each cell is looked at, and the blob copied into a buffer that is used again: less than any reader can do that
//         hands rows out. Rows are not matched with the keys that were asked for; a reply short of a row is an error.
// Output  One line of JSON: rows, bytes, seconds, rows_per_s, cpu_us_per_row (all threads), p50_ms and p99_ms (of requests).
//
// The next request leaves in the callback of the one before, so that no other thread has to wake up.
#include <dlfcn.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ops/driver/handles.h"
#include "ops/driver/loader.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/driver_cluster.h"

namespace tfcass {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kKeyBytes = 16;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "raw_loop: %s\n", why.c_str());
  std::fflush(nullptr);
  std::_Exit(1);  // From driver threads too: nothing is worth closing.
}

// --name=value, each known and given at most once.
class Flags {
 public:
  Flags(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const size_t equals = argument.find('=');
      if (argument.rfind("--", 0) != 0 || equals == std::string::npos) Die(argument + " is not --name=value");
      values_[argument.substr(2, equals - 2)] = argument.substr(equals + 1);
    }
  }

  std::string Text(const std::string& name, const char* otherwise = nullptr) {
    const auto found = values_.find(name);
    if (found == values_.end() && otherwise == nullptr) Die("--" + name + "=... is missing");
    std::string value = found == values_.end() ? otherwise : found->second;
    if (found != values_.end()) values_.erase(found);
    return value;
  }

  double Number(const std::string& name, const char* otherwise = nullptr) {
    const std::string text = Text(name, otherwise);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(value >= 0)) Die("--" + name + "=" + text + " is not a number of at least 0");
    return value;
  }

  void RequireAllUsed() const {
    if (!values_.empty()) Die("--" + values_.begin()->first + " is not known");
  }

 private:
  std::map<std::string, std::string> values_;
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die(path + " cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

double CpuSeconds() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

CassUuid ToUuid(const uint8_t* bytes) {
  const auto big_endian = [bytes](size_t from, size_t count) {
    uint64_t value = 0;
    for (size_t i = from; i < from + count; ++i) value = value << 8 | bytes[i];
    return value;
  };
  return {big_endian(0, 4) | big_endian(4, 2) << 32 | big_endian(6, 2) << 48, big_endian(8, 8)};
}

// Latencies in buckets that grow by a twentieth. Any thread.
class Histogram {
 public:
  void Add(Clock::duration taken) {
    const double us = std::max(1.0, std::chrono::duration<double, std::micro>(taken).count());
    ++buckets_[std::min<size_t>(kBuckets - 1, static_cast<size_t>(std::log(us) / kGrowth))];
  }

  // In milliseconds: the upper bound of the bucket. 0 when empty.
  double Percentile(double share) const {
    uint64_t all = 0;
    for (const auto& bucket : buckets_) all += bucket;
    uint64_t seen = 0;
    for (size_t i = 0; all > 0 && i < kBuckets; ++i) {
      seen += buckets_[i];
      if (static_cast<double>(seen) >= share * static_cast<double>(all)) {
        return std::exp(kGrowth * static_cast<double>(i + 1)) / 1e3;
      }
    }
    return 0;
  }

 private:
  static constexpr size_t kBuckets = 400;
  static constexpr double kGrowth = 0.05;
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
};

// The functions that grouped reads need, looked up apart: what the engine's table holds of them is the engine's choice.
struct GroupApi {
  CassCollection* (*collection_new)(int type, size_t count);
  void (*collection_free)(CassCollection*);
  CassError (*collection_append_uuid)(CassCollection*, CassUuid);
  CassError (*bind_collection)(CassStatement*, size_t, const CassCollection*);
  CassError (*set_host)(CassStatement*, const char* address, int port);
};

struct Work {
  bool grouped = false;
  size_t window = 0;      // Requests in flight.
  size_t group = 1;       // Keys a request, at most.
  uint64_t rows = 0;      // Stop after these; 0: when told to.
  std::string keys;       // 16 bytes each.
  std::string owners;     // One byte each, in grouped mode.
  std::vector<std::string> hosts;
  int port = 0;
};

// Threads  Start() and Stop() from one thread. Replies arrive on the driver's, which send what comes next.
class Loop {
 public:
  Loop(const DriverApi& api, const GroupApi& group_api, CassSession* session, const CassPrepared* prepared, Work work)
      : api_(api), group_api_(group_api), session_(session), prepared_(prepared), work_(std::move(work)) {
    waiting_.resize(std::max<size_t>(1, work_.hosts.size()));
  }

  void Start() {
    {
      std::lock_guard<std::mutex> lock(mu_);
      for (size_t i = 0; i < work_.window; ++i) slots_.push_back(std::make_unique<Slot>(this));
      open_ = slots_.size();
    }
    for (auto& slot : slots_) SendNext(slot.get());
  }

  // Lets the requests in flight come in.
  void Stop() {
    stopping_ = true;
    WaitUntilDone();
  }

  void WaitUntilDone() {
    std::unique_lock<std::mutex> lock(mu_);
    if (!done_.wait_for(lock, std::chrono::seconds(120), [this] { return open_ == 0; })) Die("no reply in 120 s");
  }

  uint64_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }
  const Histogram& latencies() const { return latencies_; }
  void RecordLatencies() { recording_ = true; }

 private:
  // One request at a time; as many slots as requests may be in flight.
  struct Slot {
    explicit Slot(Loop* the_loop) : loop(the_loop) {}
    Loop* const loop;
    std::vector<size_t> keys;  // Positions.
    size_t owner = 0;
    Clock::time_point sent;
    std::vector<uint8_t> blob;
  };

  const uint8_t* KeyAt(size_t position) const {
    return reinterpret_cast<const uint8_t*>(work_.keys.data()) + position * kKeyBytes;
  }

  // The keys of the next request; none when all are asked for.
  bool Fill(Slot* slot) {
    std::lock_guard<std::mutex> lock(mu_);
    slot->keys.clear();
    const size_t count = work_.keys.size() / kKeyBytes;
    while (work_.rows == 0 || taken_ < work_.rows) {
      const size_t position = taken_++ % count;
      if (!work_.grouped) {
        slot->keys.push_back(position);
        return true;
      }
      const size_t owner = static_cast<uint8_t>(work_.owners[position]);
      waiting_[owner].push_back(position);
      if (waiting_[owner].size() == work_.group) {
        slot->keys.swap(waiting_[owner]);
        slot->owner = owner;
        return true;
      }
    }
    for (size_t owner = 0; owner < waiting_.size(); ++owner) {  // The rests.
      if (waiting_[owner].empty()) continue;
      slot->keys.swap(waiting_[owner]);
      slot->owner = owner;
      return true;
    }
    return false;
  }

  void SendNext(Slot* slot) {
    if (stopping_ || !Fill(slot)) {
      std::lock_guard<std::mutex> lock(mu_);
      if (--open_ == 0) done_.notify_all();
      return;
    }
    const StatementPtr statement = Own(api_, api_.cass_prepared_bind(prepared_));
    if (work_.grouped) {
      CassCollection* keys = group_api_.collection_new(CASS_VALUE_TYPE_LIST, slot->keys.size());
      for (size_t position : slot->keys) Check(group_api_.collection_append_uuid(keys, ToUuid(KeyAt(position))));
      Check(group_api_.bind_collection(statement.get(), 0, keys));
      group_api_.collection_free(keys);
      Check(group_api_.set_host(statement.get(), work_.hosts[slot->owner].c_str(), work_.port));
    } else {
      Check(api_.cass_statement_bind_uuid(statement.get(), 0, ToUuid(KeyAt(slot->keys[0]))));
    }
    Check(api_.cass_statement_set_consistency(statement.get(), CASS_CONSISTENCY_LOCAL_ONE));
    Check(api_.cass_statement_set_is_idempotent(statement.get(), cass_true));
    slot->sent = Clock::now();
    const FuturePtr future = Own(api_, api_.cass_session_execute(session_, statement.get()));
    Check(api_.cass_future_set_callback(future.get(), &Loop::OnReply, slot));
  }

  static void OnReply(CassFuture* future, void* data) noexcept {
    auto* slot = static_cast<Slot*>(data);
    slot->loop->Take(future, slot);
    slot->loop->SendNext(slot);
  }

  void Take(CassFuture* future, Slot* slot) {
    if (recording_) latencies_.Add(Clock::now() - slot->sent);
    if (const CassError error = api_.cass_future_error_code(future); error != CASS_OK) {
      const char* message = nullptr;
      size_t size = 0;
      api_.cass_future_error_message(future, &message, &size);
      Die(std::string(api_.cass_error_desc(error)) + ": " + std::string(message, size));
    }
    const ResultPtr result = Own(api_, api_.cass_future_get_result(future));
    const size_t columns = api_.cass_result_column_count(result.get());
    const IteratorPtr rows = Own(api_, api_.cass_iterator_from_result(result.get()));
    size_t found = 0;
    uint64_t bytes = 0;
    while (api_.cass_iterator_next(rows.get())) {
      const CassRow* row = api_.cass_iterator_get_row(rows.get());
      for (size_t i = 0; i < columns; ++i) {
        const uint8_t* cell = nullptr;
        size_t size = 0;
        Check(api_.cass_value_get_bytes(api_.cass_row_get_column(row, i), &cell, &size));
        if (slot->blob.size() < size) slot->blob.resize(size);
        std::memcpy(slot->blob.data(), cell, size);
        if (i + 1 == columns) bytes += size;  // The blob is the last column.
      }
      ++found;
    }
    if (found != slot->keys.size()) {
      Die(std::to_string(slot->keys.size()) + " keys asked for, " + std::to_string(found) +
          " rows came: the table is not the one that the keys were made for");
    }
    rows_ += found;
    bytes_ += bytes;
  }

  void Check(CassError error) const {
    if (error != CASS_OK) Die(api_.cass_error_desc(error));
  }

  const DriverApi& api_;
  const GroupApi& group_api_;
  CassSession* const session_;
  const CassPrepared* const prepared_;
  const Work work_;

  std::atomic<uint64_t> rows_{0};
  std::atomic<uint64_t> bytes_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> recording_{false};
  Histogram latencies_;

  std::mutex mu_;
  std::condition_variable done_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::vector<size_t>> waiting_;  // By owner: keys whose group is not full.
  uint64_t taken_ = 0;                        // Keys, from the start.
  size_t open_ = 0;                           // Slots that still send.
};

std::shared_ptr<const DriverApi> LoadTheDriver(const ClusterConfig& config, Flags* flags) {
  // The driver inside the acsylla wheel is a Python module and wants Python's symbols.
  const std::string python = flags->Text("libpython", "");
  if (!python.empty() && dlopen(python.c_str(), RTLD_LAZY | RTLD_GLOBAL) == nullptr) Die(dlerror());
  SetDriverHint(flags->Text("driver_hint", ""));
  LoadedDriver loaded = LoadDriver(config.driver_path);
  if (loaded.api == nullptr) Die(loaded.error);
  return loaded.api;
}

template <typename Function>
void LookUp(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function == nullptr) Die(std::string("the driver has no function ") + name);
}

GroupApi LoadGroupApi(const DriverApi& api) {
  void* library = dlopen(api.path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) Die(dlerror());
  GroupApi group_api;
  LookUp(library, "cass_collection_new", &group_api.collection_new);
  LookUp(library, "cass_collection_free", &group_api.collection_free);
  LookUp(library, "cass_collection_append_uuid", &group_api.collection_append_uuid);
  LookUp(library, "cass_statement_bind_collection", &group_api.bind_collection);
  LookUp(library, "cass_statement_set_host", &group_api.set_host);
  return group_api;
}

void Await(const DriverApi& api, CassFuture* future, const char* what) {
  if (!api.cass_future_wait_timed(future, 30'000'000)) Die(std::string(what) + ": no answer in 30 s");
  if (api.cass_future_error_code(future) == CASS_OK) return;
  const char* message = nullptr;
  size_t size = 0;
  api.cass_future_error_message(future, &message, &size);
  Die(std::string(what) + ": " + std::string(message, size));
}

Work WorkOf(const ClusterConfig& config, Flags* flags) {
  Work work;
  const std::string mode = flags->Text("mode");
  if (mode != "single" && mode != "grouped") Die("--mode=" + mode + " is not single or grouped");
  work.grouped = mode == "grouped";
  work.window = static_cast<size_t>(flags->Number("window"));
  work.rows = static_cast<uint64_t>(flags->Number("rows", "0"));
  work.keys = ReadFile(flags->Text("keys"));
  work.port = config.port;
  const size_t count = work.keys.size() / kKeyBytes;
  if (work.window < 1) Die("--window must be at least 1");
  if (count < 1 || work.keys.size() % kKeyBytes != 0) Die("--keys must hold 16 bytes a key, and a key at least");
  if (!work.grouped) return work;

  work.group = static_cast<size_t>(flags->Number("group"));
  if (work.group < 1) Die("--group must be at least 1");
  work.owners = ReadFile(flags->Text("owners"));
  std::string hosts = flags->Text("hosts") + ",";
  for (size_t comma; (comma = hosts.find(',')) != std::string::npos; hosts.erase(0, comma + 1)) {
    work.hosts.push_back(hosts.substr(0, comma));
  }
  if (work.owners.size() != count) Die("--owners must hold a byte for each key");
  for (const char owner : work.owners) {
    if (static_cast<uint8_t>(owner) >= work.hosts.size()) Die("--owners names a host that is not in --hosts");
  }
  return work;
}

int Main(int argc, char** argv) {
  Flags flags(argc, argv);
  ClusterConfig config;
  const Status parsed = ClusterConfig::Parse(ReadFile(flags.Text("cluster")), &config);
  if (!parsed.ok()) Die(parsed.message());
  const auto io_threads = static_cast<int64_t>(flags.Number("io_threads", "1"));
  const std::string table = flags.Text("table");
  const double warm_s = flags.Number("warm_s", "1"), measure_s = flags.Number("measure_s", "3");
  Work work = WorkOf(config, &flags);
  const std::shared_ptr<const DriverApi> loaded = LoadTheDriver(config, &flags);
  flags.RequireAllUsed();

  const DriverApi& api = *loaded;
  const GroupApi group_api = LoadGroupApi(api);
  const ClusterPtr cluster = Own(api, api.cass_cluster_new());
  const Status configured = ConfigureCluster(api, config, io_threads, cluster.get());
  if (!configured.ok()) Die(configured.message());
  CassSession* session = api.cass_session_new();
  Await(api, Own(api, api.cass_session_connect(session, cluster.get())).get(), "connecting");
  const std::string cql = "SELECT patch_id, label, data FROM " + table + " WHERE patch_id " +
                          (work.grouped ? std::string("IN ?") : std::string("= ?"));
  const FuturePtr preparing = Own(api, api.cass_session_prepare_n(session, cql.data(), cql.size()));
  Await(api, preparing.get(), "preparing");
  const PreparedPtr prepared = Own(api, api.cass_future_get_prepared(preparing.get()));

  const bool until_told = work.rows == 0;
  Loop loop(api, group_api, session, prepared.get(), std::move(work));
  if (!until_told) loop.RecordLatencies();
  uint64_t rows = 0, bytes = 0;
  double cpu_s = CpuSeconds();
  Clock::time_point start = Clock::now();
  loop.Start();
  if (until_told) {
    std::this_thread::sleep_for(std::chrono::duration<double>(warm_s));
    loop.RecordLatencies();
    rows = loop.rows(), bytes = loop.bytes(), cpu_s = CpuSeconds(), start = Clock::now();
    std::this_thread::sleep_for(std::chrono::duration<double>(measure_s));
  } else {
    loop.WaitUntilDone();
  }
  rows = loop.rows() - rows, bytes = loop.bytes() - bytes, cpu_s = CpuSeconds() - cpu_s;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (until_told) loop.Stop();
  if (rows == 0) Die("no row came in the time given");

  std::printf("{\"rows\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"rows_per_s\": %.3f, \"cpu_us_per_row\": %.4f, "
              "\"p50_ms\": %.4f, \"p99_ms\": %.4f}\n",
              static_cast<unsigned long long>(rows), static_cast<unsigned long long>(bytes), seconds,
              static_cast<double>(rows) / seconds, cpu_s * 1e6 / static_cast<double>(rows),
              loop.latencies().Percentile(0.5), loop.latencies().Percentile(0.99));
  Await(api, Own(api, api.cass_session_close(session)).get(), "closing");
  api.cass_session_free(session);
  return 0;
}

}  // namespace
}  // namespace tfcass

int main(int argc, char** argv) { return tfcass::Main(argc, argv); }
