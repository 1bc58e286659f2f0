#include "ops/driver/log.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "ops/driver/per_process.h"

namespace tfcass {
namespace {

struct Level {
  const char* name;
  CassLogLevel level;
};

constexpr Level kLevels[] = {
    {"off", CASS_LOG_DISABLED}, {"error", CASS_LOG_ERROR}, {"warn", CASS_LOG_WARN},
    {"info", CASS_LOG_INFO},    {"debug", CASS_LOG_DEBUG}, {"trace", CASS_LOG_TRACE},
};

struct Log {
  std::mutex mu;
  std::set<LogCapture*> captures;
  std::string last_printed;
};

Log& OfThisProcess() {
  static auto* log = new PerProcess<Log>;
  return log->Get();
}

CassLogLevel LevelFromEnvironment() {
  const char* asked = std::getenv("TFCASS_DRIVER_LOG");
  if (asked == nullptr) return CASS_LOG_WARN;
  for (const Level& known : kLevels) {
    if (std::strcmp(known.name, asked) == 0) return known.level;
  }
  std::fprintf(stderr, "tfcass: TFCASS_DRIVER_LOG=%s is not one of off, error, warn, info, debug, trace; using warn\n",
               asked);
  return CASS_LOG_WARN;
}

// With the log's lock held.
void Print(Log& log, CassLogLevel severity, const std::string& message) {
  if (message == log.last_printed) return;  // The driver repeats itself for as long as a node is away.
  log.last_printed = message;
  const char* name = "critical";
  for (const Level& known : kLevels) {
    if (known.level == severity) name = known.name;
  }
  std::fprintf(stderr, "tfcass: driver %s: %s\n", name, message.c_str());  // One call: lines of two threads do not mix.
}

// Runs on driver threads. Must not throw: C frames above.
void OnLogMessage(const CassLogMessage* message, void*) noexcept {
  try {
    HandleLogMessage(*message);
  } catch (...) {  // Out of memory: the line is lost, not the process.
  }
}

}  // namespace

void RouteDriverLog(const DriverApi& api) {
  api.cass_log_set_level(LevelFromEnvironment());
  api.cass_log_set_callback(OnLogMessage, nullptr);
}

void HandleLogMessage(const CassLogMessage& message) {
  // The ScyllaDB fork asks every node how it shards; Apache Cassandra does not shard, and that is no news.
  if (std::strstr(message.message, "sharding info") != nullptr) return;
  std::string text = message.message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();

  Log& log = OfThisProcess();
  std::lock_guard<std::mutex> lock(log.mu);
  if (message.severity <= CASS_LOG_ERROR && !log.captures.empty()) {
    for (LogCapture* capture : log.captures) capture->messages_.push_back(text);
    return;
  }
  Print(log, message.severity, text);
}

void LogWarning(const std::string& message) {
  if (LevelFromEnvironment() < CASS_LOG_WARN) return;
  std::fprintf(stderr, "tfcass: warning: %s\n", message.c_str());
}

LogCapture::LogCapture() {
  Log& log = OfThisProcess();
  std::lock_guard<std::mutex> lock(log.mu);
  log.captures.insert(this);
}

LogCapture::~LogCapture() {
  Log& log = OfThisProcess();
  std::lock_guard<std::mutex> lock(log.mu);
  log.captures.erase(this);
  for (const std::string& message : messages_) Print(log, CASS_LOG_ERROR, message);
}

std::vector<std::string> LogCapture::Take() {
  Log& log = OfThisProcess();
  std::lock_guard<std::mutex> lock(log.mu);
  return std::exchange(messages_, {});
}

}  // namespace tfcass
