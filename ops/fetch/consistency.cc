#include "ops/fetch/consistency.h"

#include <utility>

namespace tfcass {
namespace {

// Without those that only writes or lightweight transactions use.
constexpr std::pair<std::string_view, CassConsistency> kLevels[] = {
    {"LOCAL_ONE", CASS_CONSISTENCY_LOCAL_ONE},
    {"ONE", CASS_CONSISTENCY_ONE},
    {"TWO", CASS_CONSISTENCY_TWO},
    {"THREE", CASS_CONSISTENCY_THREE},
    {"LOCAL_QUORUM", CASS_CONSISTENCY_LOCAL_QUORUM},
    {"QUORUM", CASS_CONSISTENCY_QUORUM},
    {"ALL", CASS_CONSISTENCY_ALL},
};

}  // namespace

bool ParseConsistency(std::string_view name, CassConsistency* consistency) {
  for (const auto& [known, level] : kLevels) {
    if (known == name) {
      *consistency = level;
      return true;
    }
  }
  return false;
}

std::string ConsistencyNames() {
  std::string names;
  for (const auto& [name, level] : kLevels) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

}  // namespace tfcass
