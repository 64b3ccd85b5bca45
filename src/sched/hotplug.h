// SPDX-License-Identifier: GPL-2.0-only
// CPU hotplug: takes CPUs away from the scheduler and gives them back. Kernel threads carry out a request, as they
// carry out a write to /sys/devices/system/cpu/cpuN/online: "cpuhp" goes through the steps, and cpuhp/N does the work
// that must be done on the CPU itself.
//
// Down: the CPU is no longer active (no task chooses it); a grace period passes; its rq goes offline and sched_ext is
// told; each task that still gets picked there is pushed away, until none is left; then migration/N takes the CPU out
// of the online mask, the CPU idles for the last time, and its timers and RCU callbacks go to another CPU. Up: the
// reverse.
// FIDELITY: hotplug-states, stop-machine.
//
// Threading: requests come from any CPU or from host context, without locks. CpusLock is above all other locks: its
// waiters sleep, and it is held over several waits.
#ifndef USCX_SCHED_HOTPLUG_H_
#define USCX_SCHED_HOTPLUG_H_

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "machine/sync.h"
#include "sched/work.h"

namespace uscx::sched {

struct Rq;

// cpus_read_lock() and cpus_write_lock(). A writer that waits keeps new readers out.
class CpusLock {
 public:
  explicit CpusLock(Kernel &kernel) : kernel_(kernel) {}
  void read_lock(KthreadApi &self);
  void read_unlock();
  void write_lock(KthreadApi &self);
  void write_unlock();

 private:
  void wake_all();
  Kernel &kernel_;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "cpus"};  // Protects the rest.
  u32 readers_ = 0;
  u32 waiting_writers_ = 0;
  bool writer_ = false;
  std::deque<Task *> waiters_;
};

class CpuHotplug {
 public:
  explicit CpuHotplug(Kernel &kernel);
  ~CpuHotplug();
  CpusLock &lock() { return lock_; }

  // Requests are carried out in order. done(0 or -errno) runs on a kernel thread.
  void request(u32 cpu, bool online, std::function<void(int)> done = {});
  bool idle() const { return requests_.empty(); }  // Nothing is asked for or under way.

  // From kernel threads: 0, also if there is nothing to do; -EINVAL for a CPU that is not there; -EPERM for CPU 0,
  // which x86 machines cannot do without.
  int cpu_down(KthreadApi &self, u32 cpu);
  int cpu_up(KthreadApi &self, u32 cpu);

 private:
  struct Request {
    u32 cpu = 0;
    bool online = false;
    std::function<void(int)> done;
    Work work;
  };
  void run_on_cpu(KthreadApi &self, u32 cpu, void (CpuHotplug::*fn)(KthreadApi &, u32));
  void deactivate(KthreadApi &hp, u32 cpu);
  void activate(KthreadApi &hp, u32 cpu);
  void wait_empty(KthreadApi &self, u32 cpu);
  void take_down(KthreadApi &self, u32 cpu);
  bool has_pinned_tasks(u32 cpu) const;
  u32 heir_of(u32 cpu) const;

  Kernel &kernel_;
  CpusLock lock_;
  std::unique_ptr<KthreadWorker> controller_;           // cpuhp, from the first request on.
  std::vector<std::unique_ptr<KthreadWorker>> on_cpu_;  // cpuhp/N, from the first time that CPU N goes down on.
  std::deque<std::unique_ptr<Request>> requests_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_HOTPLUG_H_
