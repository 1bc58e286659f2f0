#include "ops/fetch/ring/choose.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tfcass {
namespace {

// Owners looked at for one choice: more than a keyspace has replicas in a datacenter, unless it is on every node.
constexpr size_t kMostConsidered = 16;

}  // namespace

uint64_t Random::Next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

std::shared_ptr<Host> Choose(const Owners& owners, Random* random, Clock::TimePoint now, const Host* besides) {
  if (owners.empty()) return nullptr;
  std::array<const std::shared_ptr<Host>*, kMostConsidered> fit;
  size_t left = 0;
  const size_t first = owners.size() > kMostConsidered ? random->Below(owners.size()) : 0;
  for (size_t i = 0; i < owners.size() && left < fit.size(); ++i) {
    const std::shared_ptr<Host>& owner = owners[(first + i) % owners.size()];
    if (owner.get() != besides && !owner->Shunned(now)) fit[left++] = &owner;
  }
  while (left > 0) {
    // The two drawn go to the front: one of them is the choice, and leaves if it may not be had.
    std::swap(fit[0], fit[random->Below(left)]);
    if (left > 1) {
      std::swap(fit[1], fit[1 + random->Below(left - 1)]);
      if ((*fit[1])->outstanding_rows() < (*fit[0])->outstanding_rows()) std::swap(fit[0], fit[1]);
    }
    if ((*fit[0])->Claim(now)) return *fit[0];
    std::swap(fit[0], fit[--left]);  // Its probe is under way, or it went down just now.
  }
  return nullptr;
}

}  // namespace tfcass
