// BaseLatency: what a request takes when nothing queues, as the least that one like it took lately.
#ifndef TFCASS_OPS_FETCH_BASE_LATENCY_H_
#define TFCASS_OPS_FETCH_BASE_LATENCY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "ops/fetch/clock.h"

namespace tfcass {

// Requests are alike when they ask the same host (path) for about as many rows: to within a power of two, as 64 rows
// take longer than one even where nothing queues. What is older than two lives is forgotten.
//
// Not thread safe.
class BaseLatency {
 public:
  static constexpr auto kLife = std::chrono::seconds(5);

  // Notes what a request took, in seconds, and returns the base latency of those like it, this one included.
  double Note(uint64_t path, size_t rows, double took, Clock::TimePoint now);

  // All links became longer by this factor, by what the caller found.
  void Scale(double factor);

  // Hosts that answered lately.
  size_t paths() const { return paths_.size(); }

 private:
  static constexpr size_t kSizes = 8;      // 1, 2-3, 4-7, ... 128 and more rows.
  static constexpr size_t kMaxPaths = 1024;

  struct Least {
    double now = kNone;     // In this life, in seconds.
    double before = kNone;  // In the last one.
  };
  struct Path {
    std::array<Least, kSizes> sizes;
    bool used = true;  // In this life.
  };
  static constexpr double kNone = 1e9;

  void NextLife();

  std::unordered_map<uint64_t, Path> paths_;
  Clock::TimePoint life_began_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_BASE_LATENCY_H_
