#include "ops/fetch/canonical_text.h"

#include <charconv>
#include <cstdlib>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool PercentDecode(std::string_view text, std::string* value) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *value += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return false;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    *value += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return true;
}

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

}  // namespace

std::string PercentEncode(std::string_view value) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string text;
  for (const char c : value) {
    if (IsUnreserved(c)) {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += '%';
      text += kDigits[byte >> 4];
      text += kDigits[byte & 15];
    }
  }
  return text;
}

Status CanonicalText::Parse(std::string_view text, std::string what, CanonicalText* fields) {
  fields->what_ = std::move(what);
  fields->values_.clear();
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);

    const size_t equals = line.find('=');
    std::string value;
    // The line itself stays out of the messages: a caller's mistake may have put anything there.
    if (equals == std::string_view::npos || equals == 0) {
      return InvalidArgument(StrCat(fields->what_, ": a line is not name=value"));
    }
    const std::string name(line.substr(0, equals));
    if (!PercentDecode(line.substr(equals + 1), &value)) {
      return InvalidArgument(StrCat(fields->what_, ": the value of ", name, " is not percent-encoded"));
    }
    if (!fields->values_.emplace(name, std::move(value)).second) {
      return InvalidArgument(StrCat(fields->what_, ": ", name, " is given twice"));
    }
  }
  return OkStatus();
}

Status CanonicalText::Take(const std::string& name, std::string* value) {
  auto node = values_.extract(name);
  if (!node.empty()) *value = std::move(node.mapped());
  return OkStatus();
}

Status CanonicalText::Take(const std::string& name, int64_t* value) {
  auto node = values_.extract(name);
  if (node.empty()) return OkStatus();
  const std::string& text = node.mapped();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return InvalidArgument(StrCat(what_, ": ", name, "=", text, " is not a whole number"));
  }
  return OkStatus();
}

Status CanonicalText::Take(const std::string& name, double* value) {
  auto node = values_.extract(name);
  if (node.empty()) return OkStatus();
  const std::string& text = node.mapped();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return InvalidArgument(StrCat(what_, ": ", name, "=", text, " is not a number"));
  }
  return OkStatus();
}

Status CanonicalText::Take(const std::string& name, bool* value) {
  auto node = values_.extract(name);
  if (node.empty()) return OkStatus();
  const std::string& text = node.mapped();
  if (text != "0" && text != "1") return InvalidArgument(StrCat(what_, ": ", name, "=", text, " is not 0 or 1"));
  *value = text == "1";
  return OkStatus();
}

Status CanonicalText::CheckAllTaken() const {
  if (values_.empty()) return OkStatus();
  return InvalidArgument(
      StrCat(what_, ": ", values_.begin()->first,
             " is unknown to this op library; build it from the sources that tfcass was installed from"));
}

}  // namespace tfcass
