// PerProcess: state that a forked child must not share with its parent.
#ifndef TFCASS_OPS_DRIVER_PER_PROCESS_H_
#define TFCASS_OPS_DRIVER_PER_PROCESS_H_

#include <unistd.h>

#include <atomic>

namespace tfcass {

// One T per process. A forked child starts with a fresh one and leaks the copy of its parent's: a lock in it may have
// been held at the fork, and the threads that work for it exist in the parent only. No lock of its own, for that
// reason.
template <typename T>
class PerProcess {
 public:
  PerProcess() = default;
  ~PerProcess() {
    Owned* current = current_.load(std::memory_order_acquire);
    if (current != nullptr && current->process == getpid()) delete current;
  }
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;

  T& Get() {
    const pid_t process = getpid();
    Owned* current = current_.load(std::memory_order_acquire);
    while (current == nullptr || current->process != process) {
      auto* fresh = new Owned{process, {}};
      if (current_.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) return fresh->value;
      delete fresh;  // Another thread of this process was first, and `current` is now its.
    }
    return current->value;
  }

 private:
  struct Owned {
    const pid_t process;
    T value;
  };
  std::atomic<Owned*> current_{nullptr};
};

}  // namespace tfcass

#endif  // TFCASS_OPS_DRIVER_PER_PROCESS_H_
