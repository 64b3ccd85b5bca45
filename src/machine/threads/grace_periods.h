// SPDX-License-Identifier: GPL-2.0-only
// Grace periods over the host's threads, by liburcu (the flavour with explicit quiescent states). A CPU of the threaded
// machine is a reader inside of its segments, and not while it idles, waits or runs user code. A callback returns to
// the CPU that asked for it, which runs it in a segment of its own.
//
// Threading: call() from any thread; online() and offline() by registered readers; run_ready() on the CPU concerned, or
// in host context. liburcu is not instrumented, so that ThreadSanitizer is told of the order that a grace period makes.
#ifndef USCX_MACHINE_THREADS_GRACE_PERIODS_H_
#define USCX_MACHINE_THREADS_GRACE_PERIODS_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/types.h"

namespace uscx::machine {

class GracePeriods {
 public:
  // `raise` is called on a thread of its own when a CPU has got callbacks to run.
  GracePeriods(u32 nr_cpus, std::function<void(u32 cpu)> raise);
  ~GracePeriods();  // No callback may be left.
  GracePeriods(const GracePeriods &) = delete;
  GracePeriods &operator=(const GracePeriods &) = delete;

  // This thread's life as a reader; it begins offline.
  void register_reader();
  void unregister_reader();
  void online();
  void offline();

  // fn runs on `cpu` (run_ready) after all segments that are open now have ended.
  void call(u32 cpu, std::function<void()> fn);
  u64 run_ready(u32 cpu);  // Runs what is ready, in the order of the calls; returns how many.
  size_t nr_left() const { return nr_left_.load(); }
  void wait_until_ready();  // Host context: until every callback so far is ready to run.

 private:
  struct Callback;
  struct Ready;
  void wait_for_grace_periods();
  void hand_back(std::unique_ptr<Callback> callback);
  std::function<void(u32)> raise_;
  std::vector<Ready> ready_;            // By CPU.
  std::atomic<size_t> nr_left_ = 0;     // Not run yet.
  std::atomic<size_t> nr_waiting_ = 0;  // Their grace period is not over.
  std::mutex mutex_;
  std::condition_variable called_;
  std::vector<std::unique_ptr<Callback>> waiting_;  // mutex_: since the last grace period began.
  bool ending_ = false;                             // mutex_
  // One thread waits for all. liburcu's own thread for callbacks rests 10 ms before each grace period, which makes
  // loading and unloading a scheduler some twenty times slower.
  std::thread thread_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_THREADS_GRACE_PERIODS_H_
