// SPDX-License-Identifier: GPL-2.0-only
// RCU over the virtual CPUs: a grace period ends when every CPU has passed a quiescent state (a context switch, the idle
// loop, or a tick outside of core code) since it began. The rcu_preempt kernel thread drives it; callbacks then run in
// interrupt context on the CPU that queued them. Segments are read-side critical sections by themselves; code on a fiber
// that waits inside one holds it with read_lock().
#ifndef USCX_SCHED_RCU_H_
#define USCX_SCHED_RCU_H_

#include <functional>
#include <vector>

#include "machine/machine.h"

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
  u64 grace_periods() const { return completed_; }
  size_t nr_callbacks() const;

 private:
  struct Impl;
  Kernel &kernel_;
  u64 completed_ = 0;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_RCU_H_
