// Mutex and the annotations that say what it guards. Clang checks them (-Wthread-safety); gcc reads past them.
#ifndef TFCASS_OPS_FETCH_MUTEX_H_
#define TFCASS_OPS_FETCH_MUTEX_H_

#include <mutex>

#if defined(__clang__)
#define TFCASS_ANNOTATION(x) __attribute__((x))
#else
#define TFCASS_ANNOTATION(x)
#endif

#define TFCASS_CAPABILITY(name) TFCASS_ANNOTATION(capability(name))
#define TFCASS_SCOPED_CAPABILITY TFCASS_ANNOTATION(scoped_lockable)
#define TFCASS_GUARDED_BY(mu) TFCASS_ANNOTATION(guarded_by(mu))
#define TFCASS_REQUIRES(mu) TFCASS_ANNOTATION(requires_capability(mu))
#define TFCASS_ACQUIRE(...) TFCASS_ANNOTATION(acquire_capability(__VA_ARGS__))
#define TFCASS_RELEASE(...) TFCASS_ANNOTATION(release_capability(__VA_ARGS__))

namespace tfcass {

// std::mutex with annotations, which libstdc++'s own lacks.
class TFCASS_CAPABILITY("mutex") Mutex {
 private:
  friend class MutexLock;
  std::mutex mu_;
};

class TFCASS_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mu) TFCASS_ACQUIRE(mu) : lock_(mu->mu_) {}
  ~MutexLock() TFCASS_RELEASE() {}

  // For condition variables, which leave it held as they found it.
  std::unique_lock<std::mutex>& ForWait() { return lock_; }

 private:
  std::unique_lock<std::mutex> lock_;
};

}  // namespace tfcass

#endif  // TFCASS_OPS_FETCH_MUTEX_H_
