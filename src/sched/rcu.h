// SPDX-License-Identifier: GPL-2.0-only
// RCU over the virtual CPUs: a grace period ends when every CPU has passed a quiescent state (a context switch, the
// idle loop, or a tick outside of core code) since it began. The rcu_preempt kernel thread drives it; callbacks then
// run in interrupt context on the CPU that queued them. Segments are read-side critical sections by themselves: code on
// a fiber must not keep an RCU-protected pointer across a wait, unless it holds a reference.
//
// call() and quiescent() take neither an rq lock nor a pi_lock, so both may be called with those held; the wakeups that
// result from them happen in irq_work. Without rcu_preempt (boot_kthreads off) every irq_work ends a grace period.
//
// On the threaded machine a grace period is liburcu's (machine/threads/grace_periods.h): readers are segments,
// quiescent() and rcu_preempt have nothing to do, and no stall is detected. FIDELITY: threads-no-stall.
//
// In explore mode a grace period is as short as readers allow, so that memory which is freed too early is found:
// interrupts begin it without the thread, and it ends when each CPU that was in a segment has come to the end of that
// segment.
#ifndef USCX_SCHED_RCU_H_
#define USCX_SCHED_RCU_H_

#include <functional>
#include <memory>
#include <vector>

#include "machine/machine.h"
#include "machine/racy.h"

namespace uscx::sched {

class Kernel;
struct Task;
class KthreadApi;

class Rcu {
 public:
  explicit Rcu(Kernel &kernel);
  ~Rcu();
  void boot();  // Creates rcu_preempt.
  void call(std::function<void()> callback);
  void synchronize(KthreadApi &self);  // Waits for a full grace period, from a kernel thread.
  void quiescent(u32 cpu);             // This CPU has passed a quiescent state.
  void tick(u32 cpu);                  // From the tick, no locks held.
  void irq_work(u32 cpu);              // Runs this CPU's callbacks whose grace period is over; wakes rcu_preempt.
  // `cpu` has gone offline; its callbacks are heir's.
  void cpu_dead(u32 cpu, u32 heir);
  void drain();  // Host context, at the end of the Kernel: runs all callbacks now.
  u64 grace_periods() const { return completed_; }
  size_t nr_callbacks() const;

 private:
  struct Impl;
  void grace_period_thread(KthreadApi &self);
  void begin_grace_period();
  void begin_quick_grace_period();
  void end_grace_period();
  bool grace_period_over();
  bool reader_in_interrupt(u32 cpu) const;
  Kernel &kernel_;
  machine::Racy<u64> completed_;
  u64 stall_at_ns_ = 0;  // When the present grace period has lasted too long.
  std::unique_ptr<Impl> impl_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_RCU_H_
