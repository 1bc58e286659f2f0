#include "ops/fetch/base_latency.h"

#include <algorithm>

namespace tfcass {

double BaseLatency::Note(uint64_t path, size_t rows, double took, Clock::TimePoint now) {
  if (now - life_began_ >= kLife) {
    NextLife();
    life_began_ = now;
  }
  if (paths_.size() >= kMaxPaths && paths_.count(path) == 0) paths_.clear();
  Path& of_path = paths_[path];
  of_path.used = true;
  size_t size = 0;
  while (size + 1 < kSizes && (rows >> (size + 1)) > 0) ++size;
  Least& least = of_path.sizes[size];
  least.now = std::min(least.now, took);
  return std::min(least.now, least.before);
}

void BaseLatency::Scale(double factor) {
  for (auto& [path, of_path] : paths_) {
    for (Least& least : of_path.sizes) {
      if (least.now < kNone) least.now *= factor;
      if (least.before < kNone) least.before *= factor;
    }
  }
}

void BaseLatency::NextLife() {
  for (auto path = paths_.begin(); path != paths_.end();) {
    if (!path->second.used) {
      path = paths_.erase(path);
      continue;
    }
    path->second.used = false;
    for (Least& least : path->second.sizes) {
      least.before = least.now;
      least.now = kNone;
    }
    ++path;
  }
}

}  // namespace tfcass
