#include "ops/fetch/secrets.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "ops/fetch/mutex.h"
#include "ops/fetch/strings.h"

namespace tfcass {
namespace {

struct Registry {
  Mutex mu;
  std::map<std::string, std::string, std::less<>> values TFCASS_GUARDED_BY(mu);
};

Registry& TheRegistry() {
  static auto* registry = new Registry;  // Never destroyed: sessions open until the process ends.
  return *registry;
}

Status FromEnvironment(const std::string& name, std::string* value) {
  const char* found = std::getenv(name.c_str());
  if (found == nullptr) {
    return FailedPrecondition(
        StrCat("the password's environment variable ", name, " is not set; export it, or change password_env"));
  }
  *value = found;
  return OkStatus();
}

Status FromFile(const std::string& path, std::string* value) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return FailedPrecondition(StrCat("the password file ", path, " cannot be read; check its path and permissions"));
  value->assign(std::istreambuf_iterator<char>(file), {});
  if (!value->empty() && value->back() == '\n') value->pop_back();
  if (!value->empty() && value->back() == '\r') value->pop_back();
  return OkStatus();
}

Status FromRegistry(const std::string& id, std::string* value) {
  Registry& registry = TheRegistry();
  MutexLock lock(&registry.mu);
  auto found = registry.values.find(id);
  if (found == registry.values.end()) {
    return FailedPrecondition(StrCat("the password ", id,
                                     " was given in another process; give it by password_env or password_file, "
                                     "which every process can read"));
  }
  *value = found->second;
  return OkStatus();
}

}  // namespace

void PutSecret(std::string_view id, std::string_view value) {
  Registry& registry = TheRegistry();
  MutexLock lock(&registry.mu);
  registry.values[std::string(id)] = value;
}

Status ResolveSecret(std::string_view reference, std::string* value) {
  const size_t colon = reference.find(':');
  const std::string_view kind = reference.substr(0, colon);
  const std::string name(colon == std::string_view::npos ? "" : reference.substr(colon + 1));
  if (!name.empty() && kind == "env") return FromEnvironment(name, value);
  if (!name.empty() && kind == "file") return FromFile(name, value);
  if (!name.empty() && kind == "process") return FromRegistry(name, value);
  // Without the reference: a caller who mistook the field may have put the password itself there.
  return InvalidArgument("a password reference is env:NAME, file:PATH or process:ID, and this one is none of them");
}

}  // namespace tfcass
