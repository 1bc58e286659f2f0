#include "ops/fetch/scan/scan_state.h"

#include <cstring>
#include <utility>

#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

constexpr std::string_view kMagic = "tfcass scan 1\n";

void Write(int64_t value, std::string* text) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  text->append(bytes, sizeof(value));
}

void Write(const std::string& value, std::string* text) {
  Write(static_cast<int64_t>(value.size()), text);
  *text += value;
}

// Each reads from the front of `text`; false when that is too short.
bool Read(std::string_view* text, int64_t* value) {
  if (text->size() < sizeof(*value)) return false;
  std::memcpy(value, text->data(), sizeof(*value));
  text->remove_prefix(sizeof(*value));
  return true;
}

bool Read(std::string_view* text, std::string* value) {
  int64_t size;
  if (!Read(text, &size) || size < 0 || static_cast<uint64_t>(size) > text->size()) return false;
  value->assign(text->substr(0, static_cast<size_t>(size)));
  text->remove_prefix(static_cast<size_t>(size));
  return true;
}

bool Read(std::string_view* text, ScanRange* range) { return Read(text, &range->after) && Read(text, &range->upto); }

bool Read(std::string_view* text, ScanPart* part) {
  return Read(text, &part->range) && Read(text, &part->position.paging_state) && Read(text, &part->position.skip) &&
         Read(text, &part->position.total) && part->position.skip >= 0 &&
         part->position.total >= part->position.skip;
}

template <typename Item>
bool Read(std::string_view* text, std::vector<Item>* items) {
  int64_t count;
  if (!Read(text, &count) || count < 0) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (!Read(text, &items->emplace_back())) return false;
  }
  return true;
}

}  // namespace

std::string ScanState::Serialize() const {
  std::vector<ScanRange> joined;
  for (const ScanRange& range : waiting) {
    if (!joined.empty() && joined.back().upto == range.after) {
      joined.back().upto = range.upto;
    } else {
      joined.push_back(range);
    }
  }
  std::string text(kMagic);
  Write(fingerprint, &text);
  Write(static_cast<int64_t>(begun.size()), &text);
  for (const ScanPart& part : begun) {
    Write(part.range.after, &text);
    Write(part.range.upto, &text);
    Write(part.position.paging_state, &text);
    Write(part.position.skip, &text);
    Write(part.position.total, &text);
  }
  Write(static_cast<int64_t>(joined.size()), &text);
  for (const ScanRange& range : joined) {
    Write(range.after, &text);
    Write(range.upto, &text);
  }
  return text;
}

Status ScanState::Parse(std::string_view text, const std::string& fingerprint, ScanState* state) {
  ScanState parsed;
  std::string_view rest = text;
  if (rest.substr(0, kMagic.size()) != kMagic) {
    return InvalidArgument("the checkpoint of a scan does not begin as one: it is damaged, or of another version");
  }
  rest.remove_prefix(kMagic.size());
  if (!Read(&rest, &parsed.fingerprint) || !Read(&rest, &parsed.begun) || !Read(&rest, &parsed.waiting) ||
      !rest.empty()) {
    return InvalidArgument("the checkpoint of a scan is damaged");
  }
  if (parsed.fingerprint != fingerprint) {
    const auto first_line = [](const std::string& of) { return of.substr(0, of.find('\n')); };
    return InvalidArgument(StrCat("the checkpoint is of another scan: ", first_line(parsed.fingerprint),
                                  " is not this one's ", first_line(fingerprint), ", or its values differ"));
  }
  *state = std::move(parsed);
  return OkStatus();
}

}  // namespace tfcass
