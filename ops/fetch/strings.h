// StrCat: the one string helper that messages need.
#ifndef TFCASS_OPS_FETCH_STRINGS_H_
#define TFCASS_OPS_FETCH_STRINGS_H_

#include <sstream>
#include <string>

namespace tfcass {

// Concatenates what operator<< prints of each argument. For messages, not for hot paths.
template <typename... Args>
std::string StrCat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_STRINGS_H_
