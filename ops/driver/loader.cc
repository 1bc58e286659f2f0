#include "ops/driver/loader.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "ops/driver/log.h"

namespace tfcass {
namespace {

constexpr char kSystemLibrary[] = "libcassandra.so.2";
constexpr char kEnvironment[] = "TFCASS_DRIVER";

// Both locks guard a few map operations and, for the libraries, dlopen. Never destroyed: used until the process ends.
std::mutex& Lock() {
  static auto* mu = new std::mutex;
  return *mu;
}

std::map<std::string, std::shared_ptr<const DriverApi>>& Loaded() {
  static auto* loaded = new std::map<std::string, std::shared_ptr<const DriverApi>>;
  return *loaded;
}

std::string& Hint() {
  static auto* hint = new std::string;
  return *hint;
}

// DEEPBIND: the driver's OpenSSL must find its own symbols, not those of TensorFlow's BoringSSL, which share their
// names. The sanitizers refuse it, as it hides their malloc; they only meet the fake drivers.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kOpenFlags = RTLD_LAZY | RTLD_LOCAL;
#else
constexpr int kOpenFlags = RTLD_LAZY | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

// The table of the library at `path`, or null and why not.
std::shared_ptr<const DriverApi> Open(const std::string& path, std::string* problem) {
  auto found = Loaded().find(path);
  if (found != Loaded().end()) return found->second;

  void* library = dlopen(path.c_str(), kOpenFlags);
  if (library == nullptr) {
    *problem = dlerror();
    return nullptr;
  }
  auto api = std::make_shared<DriverApi>();
  std::string lacking;
#define TFCASS_LOOK_UP(result, name, parameters)                            \
  api->name = reinterpret_cast<decltype(api->name)>(dlsym(library, #name)); \
  if (api->name == nullptr && lacking.empty()) lacking = #name;
  TFCASS_DRIVER_FUNCTIONS(TFCASS_LOOK_UP)
#undef TFCASS_LOOK_UP
#define TFCASS_LOOK_UP_OPTIONAL(result, name, parameters) \
  api->name = reinterpret_cast<decltype(api->name)>(dlsym(library, #name));
  TFCASS_OPTIONAL_DRIVER_FUNCTIONS(TFCASS_LOOK_UP_OPTIONAL)
#undef TFCASS_LOOK_UP_OPTIONAL
  if (!lacking.empty()) {
    dlclose(library);
    *problem = path + ": has no function " + lacking + ", so it is not the DataStax C/C++ driver 2.x";
    return nullptr;
  }
  api->path = path;
  RouteDriverLog(*api);
  Loaded()[path] = api;
  return api;
}

struct Place {
  std::string name;
  std::string path;       // Empty: this place names no library.
  std::string if_absent;  // What to say then.
};

std::vector<Place> PlacesToTry(const std::string& explicit_path) {
  if (!explicit_path.empty()) return {{"the option driver_path", explicit_path, ""}};
  const char* environment = std::getenv(kEnvironment);
  if (environment != nullptr && *environment != '\0') return {{kEnvironment, environment, ""}};
  return {{kEnvironment, "", "not set"},
          {"the system's library", kSystemLibrary, ""},
          {"the acsylla wheel", Hint(), "not installed beside tfcass"}};
}

std::string NoDriver(const std::vector<std::pair<Place, std::string>>& failed) {
  std::string text = "no Cassandra driver could be loaded. Tried:";
  for (const auto& [place, problem] : failed) text += "\n  " + place.name + ": " + problem;
  text += std::string(
              "\nProvide one: pip install 'tfcass[driver]' (the acsylla wheel holds a driver), install the vendor's ") +
          "cassandra-cpp-driver package (" + kSystemLibrary + "), or set " + kEnvironment +
          " to the path of a driver's shared library.";
  return text;
}

}  // namespace

LoadedDriver LoadDriver(const std::string& explicit_path) {
  std::lock_guard<std::mutex> lock(Lock());
  std::vector<std::pair<Place, std::string>> failed;
  for (const Place& place : PlacesToTry(explicit_path)) {
    std::string problem = place.if_absent;
    if (!place.path.empty()) {
      if (auto api = Open(place.path, &problem)) return {std::move(api), ""};
    }
    failed.emplace_back(place, problem);
  }
  return {nullptr, NoDriver(failed)};
}

void SetDriverHint(const std::string& path) {
  std::lock_guard<std::mutex> lock(Lock());
  Hint() = path;
}

}  // namespace tfcass
