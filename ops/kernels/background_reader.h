// BackgroundReader: what an iterator reads rows with (a RowFetcher, a Scanner), opened in the background, as an iterator
// that is cancelled while it connects must not be held by that.
//
// Threads  Open(): one at a time. Cancel(): any thread, any number of times; it ends Open(), and every wait of the reader
//          that came of it, at once.
// Owns     A share of the reader, to cancel it.
#ifndef TFCASS_OPS_KERNELS_BACKGROUND_READER_H_
#define TFCASS_OPS_KERNELS_BACKGROUND_READER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "ops/fetch/background_call.h"
#include "ops/fetch/cluster_config.h"
#include "ops/fetch/mutex.h"
#include "ops/fetch/options.h"
#include "ops/fetch/session.h"
#include "ops/fetch/session_pool.h"
#include "ops/fetch/status.h"

namespace tfcass {

template <typename Reader>
class BackgroundReader {
 public:
  // Reader::Create with its arguments bound. Copies of these only: it may outlive the iterator and the dataset.
  using Create = std::function<Status(std::shared_ptr<Session>, std::unique_ptr<Reader>*)>;

  // Connects and creates the reader. CANCELLED names `what` was cancelled.
  Status Open(const std::string& what, const ClusterConfig& cluster, const FetchOptions& options,
              Create create, std::shared_ptr<Session>* session, std::shared_ptr<Reader>* reader) {
    std::shared_ptr<Opening> opening;
    {
      MutexLock lock(&mu_);
      if (cancelled_) return WasCancelled(what);
      opening_ = opening = Opening::Start([cluster, io_threads = options.IoThreads(), create](Opened* to) {
        // Asked each time, though the pool would give the same one: a forked child must get its own.
        TFCASS_RETURN_IF_ERROR(SessionPool::Global().Get(cluster, io_threads, &to->session));
        std::unique_ptr<Reader> created;
        TFCASS_RETURN_IF_ERROR(create(to->session, &created));
        to->reader = std::move(created);
        return OkStatus();
      });
    }
    Opened opened;
    const Status status = opening->Wait(&opened);
    MutexLock lock(&mu_);
    opening_.reset();
    if (!status.ok()) return status.code() == StatusCode::kCancelled ? WasCancelled(what) : status;
    *session = std::move(opened.session);
    *reader = reader_ = std::move(opened.reader);
    if (cancelled_) reader_->Cancel();
    return OkStatus();
  }

  void Cancel() {
    std::shared_ptr<Opening> opening;
    std::shared_ptr<Reader> reader;
    {
      MutexLock lock(&mu_);
      cancelled_ = true;
      opening = opening_;
      reader = reader_;
    }
    if (opening != nullptr) opening->Cancel();
    if (reader != nullptr) reader->Cancel();
  }

 private:
  struct Opened {
    std::shared_ptr<Session> session;
    std::shared_ptr<Reader> reader;
  };
  using Opening = BackgroundCall<Opened>;

  static Status WasCancelled(const std::string& what) { return Cancelled(what + " was cancelled"); }

  Mutex mu_;  // Not held while waiting.
  std::shared_ptr<Opening> opening_ TFCASS_GUARDED_BY(mu_);  // Set while it is waited for.
  std::shared_ptr<Reader> reader_ TFCASS_GUARDED_BY(mu_);
  bool cancelled_ TFCASS_GUARDED_BY(mu_) = false;  // Never goes back to false.
};

// The session that an iterator of a dataset got, held by the dataset too, so that its next epoch finds it open.
class KeptSession {
 public:
  void Keep(std::shared_ptr<Session> session) {
    MutexLock lock(&mu_);
    session_.swap(session);  // The one before is let go after the lock.
  }

 private:
  Mutex mu_;
  std::shared_ptr<Session> session_ TFCASS_GUARDED_BY(mu_);
};

}  // namespace tfcass

#endif  // TFCASS_OPS_KERNELS_BACKGROUND_READER_H_
