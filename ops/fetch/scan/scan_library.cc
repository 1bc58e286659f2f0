// What Python calls in _tfcass_scan.so through ctypes (tfcass/_scan_library.py): a scan whose pages become Arrow arrays.
//
// A library of its own, as it needs no TensorFlow: whoever makes splits of a table reads it without loading that. Pages
// go over in Arrow's C data interface, without a copy.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ops/driver/loader.h"
#include "ops/fetch/metrics.h"
#include "ops/fetch/scan/scanner.h"
#include "ops/fetch/secrets.h"
#include "ops/fetch/session_pool.h"

#define TFCASS_EXPORT extern "C" __attribute__((visibility("default"), used))

extern "C" {

// As Arrow's specification of the C data interface lays it out.
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

}  // extern "C"

namespace tfcass {
namespace {

// What an exported array holds on to.
struct Exported {
  std::shared_ptr<const ColumnPage> page;
  const void* buffers[3] = {};
  std::string packed;  // Booleans, a bit each.
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> child_pointers;
};

void Release(ArrowArray* array) {
  for (int64_t i = 0; i < array->n_children; ++i) {
    if (array->children[i]->release != nullptr) array->children[i]->release(array->children[i]);
  }
  delete static_cast<Exported*>(array->private_data);
  array->release = nullptr;
}

std::string Packed(const std::string& bytes) {
  std::string bits((bytes.size() + 7) / 8, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != 0) bits[i / 8] = static_cast<char>(bits[i / 8] | 1 << (i % 8));
  }
  return bits;
}

void ExportColumn(const std::shared_ptr<const ColumnPage>& page, const PageColumn& column, ArrowArray* array) {
  auto exported = std::make_unique<Exported>();
  exported->page = page;
  exported->buffers[0] = column.nulls() > 0 ? column.validity().data() : nullptr;
  if (column.layout() == Layout::kBytes) {
    exported->buffers[1] = column.offsets().data();
    exported->buffers[2] = column.values().data();
  } else if (column.layout() == Layout::kBoolean) {
    exported->packed = Packed(column.values());
    exported->buffers[1] = exported->packed.data();
  } else {
    exported->buffers[1] = column.values().data();
  }
  *array = {static_cast<int64_t>(page->rows),
            column.nulls(),
            0,
            column.layout() == Layout::kBytes ? 3 : 2,
            0,
            exported->buffers,
            nullptr,
            nullptr,
            Release,
            nullptr};
  array->private_data = exported.release();
}

void ExportPage(const std::shared_ptr<const ColumnPage>& page, ArrowArray* array) {
  auto exported = std::make_unique<Exported>();
  exported->children.resize(page->columns.size());
  for (size_t i = 0; i < page->columns.size(); ++i) {
    ExportColumn(page, page->columns[i], &exported->children[i]);
    exported->child_pointers.push_back(&exported->children[i]);
  }
  *array = {static_cast<int64_t>(page->rows),
            0,
            0,
            1,
            static_cast<int64_t>(page->columns.size()),
            exported->buffers,
            exported->child_pointers.data(),
            nullptr,
            Release,
            nullptr};
  array->private_data = exported.release();
}

const char* NameOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "OK";
    case StatusCode::kCancelled:
      return "CANCELLED";
    case StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case StatusCode::kNotFound:
      return "NOT_FOUND";
    case StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case StatusCode::kUnavailable:
      return "UNAVAILABLE";
    case StatusCode::kInternal:
      return "INTERNAL";
  }
  return "INTERNAL";
}

// "CODE: message", or null. Valid until this thread's next call.
const char* Told(const char* code, const std::string& message) {
  thread_local std::string text;
  text = std::string(code) + ": " + message;
  return text.c_str();
}

const char* Told(const Status& status) { return status.ok() ? nullptr : Told(NameOf(status.code()), status.message()); }

Status Open(const char* cluster_text, const char* spec_text, const char* options_text,
            std::unique_ptr<Scanner>* scanner) {
  ClusterConfig cluster;
  ScanSpec spec;
  FetchOptions options;
  std::shared_ptr<Session> session;
  TFCASS_RETURN_IF_ERROR(ClusterConfig::Parse(cluster_text, &cluster));
  TFCASS_RETURN_IF_ERROR(ScanSpec::Parse(spec_text, &spec));
  TFCASS_RETURN_IF_ERROR(FetchOptions::Parse(options_text, &options));
  TFCASS_RETURN_IF_ERROR(SessionPool::Global().Get(cluster, options.IoThreads(), &session));
  return Scanner::Create(std::move(session), spec, options, "", scanner);
}

}  // namespace
}  // namespace tfcass

TFCASS_EXPORT void tfcass_put_secret(const char* id, const char* value) { tfcass::PutSecret(id, value); }

TFCASS_EXPORT void tfcass_set_driver_hint(const char* path) { tfcass::SetDriverHint(path); }

// Null, or "CODE: message". NO_DRIVER: the driver's library cannot be loaded. `scan` is to be closed.
TFCASS_EXPORT const char* tfcass_scan_open(const char* cluster, const char* spec, const char* options, void** scan) {
  *scan = nullptr;
  const tfcass::LoadedDriver driver = tfcass::LoadDriver("");
  if (driver.api == nullptr) return tfcass::Told("NO_DRIVER", driver.error);
  std::unique_ptr<tfcass::Scanner> scanner;
  const tfcass::Status status = tfcass::Open(cluster, spec, options, &scanner);
  *scan = scanner.release();
  return tfcass::Told(status);
}

// The next page, its place in (part, number) order, and `more` = 1. Or `more` = 0 at the end. Or a page without rows,
// whose release is null, after about `wait_s`, so that Python can look for signals. Null, or "CODE: message".
TFCASS_EXPORT const char* tfcass_scan_next(void* scan, double wait_s, ArrowArray* page, int64_t* part, int64_t* number,
                                           int* more) {
  std::memset(page, 0, sizeof(*page));
  *more = 1;
  tfcass::ScanSlice slice;
  const auto until = tfcass::Clock::Real()->Now() + tfcass::Clock::Seconds(wait_s);
  // Never less than a page, which would be exported in two.
  const tfcass::Status status = static_cast<tfcass::Scanner*>(scan)->Next(SIZE_MAX, until, &slice);
  if (!status.ok()) return tfcass::Told(status);
  *more = slice.end ? 0 : 1;
  *part = slice.part;
  *number = slice.number;
  if (slice.page != nullptr) tfcass::ExportPage(slice.page, page);
  return nullptr;
}

TFCASS_EXPORT void tfcass_scan_close(void* scan) { delete static_cast<tfcass::Scanner*>(scan); }
