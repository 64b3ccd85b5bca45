// SPDX-License-Identifier: GPL-2.0-only
// Work queues and kthread workers. Work runs on kernel threads that are tasks like any other, under the scheduler that
// is loaded: per-CPU workers (kworker/N:0), unbound workers (kworker/u:N), and dedicated FIFO workers as sched_ext has
// them.
#ifndef USCX_SCHED_WORK_H_
#define USCX_SCHED_WORK_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "machine/cpumask.h"
#include "machine/event_queue.h"
#include "machine/sync.h"
#include "sched/behavior.h"

namespace uscx::sched {

class Kernel;

struct Work {
  std::function<void(KthreadApi &)> fn;
  machine::Shared<bool> pending{false};
  u64 cost_ns = 5000;  // CPU time the worker uses for it.
};

// What its timer needs is there from the start: it may fire while the work is queued again.
struct DelayedWork {
  explicit DelayedWork(Kernel &kernel);
  Work work;
  Kernel &kernel;
  machine::SimEvent timer;
  bool armed() const { return timer.queued(); }
};

// A kernel thread that runs works in order (kthread_worker).
class KthreadWorker {
 public:
  // Null if the loaded scheduler refuses the thread.
  static std::unique_ptr<KthreadWorker> create(Kernel &kernel, const std::string &comm, int policy, u32 rt_priority,
                                               const machine::CpuMask *cpus = nullptr, u64 extra_flags = 0);
  ~KthreadWorker();              // Asks the thread to exit once its queue is empty.
  void queue(Work &work);        // No-op if it is pending.
  void flush(KthreadApi &self);  // Waits until what is queued now has run.
  bool idle() const;
  size_t backlog() const;             // Works that are queued or running.
  bool runs(const Work &work) const;  // Is it running this work now?
  Task &task();

 private:
  struct State;
  explicit KthreadWorker(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

class WorkQueues {
 public:
  explicit WorkQueues(Kernel &kernel);
  ~WorkQueues();
  void boot();  // Makes the unbound workers, unless they are there.
  // A CPU's worker comes with its first work. If the loaded scheduler refuses it, an unbound one does the work.
  void queue_on(u32 cpu, Work &work);
  void queue_unbound(Work &work);
  void queue_delayed_unbound(DelayedWork &work, u64 delay_ns);  // mod_delayed_work: moves it if it is armed.
  void cancel_delayed(DelayedWork &work);
  // The worker of a CPU that goes down goes on elsewhere, until the CPU is back.
  void unbind(u32 cpu);
  void rebind(u32 cpu);

 private:
  void set_mask(u32 cpu, const machine::CpuMask *interned);
  Kernel &kernel_;
  std::unique_ptr<machine::Shared<KthreadWorker *>[]> per_cpu_;  // Created on first use.
  std::vector<std::unique_ptr<KthreadWorker>> unbound_;          // Created in host context or by the first work.
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_WORK_H_
