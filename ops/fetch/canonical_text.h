// Canonical text: settings as Python hands them over, one "name=value\n" a line, values percent-encoded.
#ifndef TFCASS_OPS_FETCH_CANONICAL_TEXT_H_
#define TFCASS_OPS_FETCH_CANONICAL_TEXT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "ops/fetch/status.h"

namespace tfcass {

// Parses once; then each setting is taken by its name, and what nobody took is an error.
class CanonicalText {
 public:
  // `what` names the settings in messages: "options", "cluster".
  static Status Parse(std::string_view text, std::string what, CanonicalText* fields);

  // Each moves the setting's value out, or leaves `value` as it is when the text has no such setting.
  // InvalidArgument naming setting and value when it is not of that type. bool: 0 or 1.
  Status Take(const std::string& name, std::string* value);
  Status Take(const std::string& name, int64_t* value);
  Status Take(const std::string& name, double* value);
  Status Take(const std::string& name, bool* value);

  // InvalidArgument naming a setting that was not taken: Python and the op library are of different versions.
  Status CheckAllTaken() const;

 private:
  std::string what_;
  std::map<std::string, std::string> values_;
};

// The value as it stands in canonical text: as Python's urllib.parse.quote(value, safe="").
std::string PercentEncode(std::string_view value);

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_CANONICAL_TEXT_H_
