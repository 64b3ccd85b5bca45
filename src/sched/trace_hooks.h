// SPDX-License-Identifier: GPL-2.0-only
// Points of the kernel that programs may be attached to (tracepoints, and entries and exits of functions). While nobody
// listens to any machine of the process, each costs a test of a number that is 0.
//
// Threading: fire() is called on the CPU where it happens, under whatever locks are held there. A listener is set while
// its machine stands still or by the only thread that runs it.
#ifndef USCX_SCHED_TRACE_HOOKS_H_
#define USCX_SCHED_TRACE_HOOKS_H_

#include <atomic>

#include "base/types.h"

namespace uscx::sched {

class Kernel;

// Arguments are those of the kernel's own point: tasks as task_struct, run queues as rq.
enum class TracePoint : u8 {
  sched_switch,        // preempt, prev, next, prev_state; before current changes
  sched_waking,        // task
  sched_wakeup,        // task
  sched_wakeup_new,    // task
  sched_migrate_task,  // task, CPU
  sched_process_exit,  // task, whether its group is dead
  task_newtask,        // task, clone flags
  cgroup_mkdir,        // cgroup, path
  cgroup_rmdir,        // cgroup, path
  cgroup_attach_task,  // cgroup, path, task, whether its whole process moves
  scx_tick,            // rq: the function is entered
  scx_tick_exit,       // rq: it returns
  count,
};

class TraceHooks {
 public:
  virtual ~TraceHooks() = default;
  virtual void fire(TracePoint point, u64 a0, u64 a1, u64 a2, u64 a3) = 0;
};

// Who hears of a machine's points; null: nobody.
void set_trace_hooks(const Kernel &kernel, TraceHooks *hooks);

namespace trace_hooks_detail {
// How many machines have a listener. Relaxed: whoever sets one does so while the machine stands still.
extern std::atomic<u32> nr_listeners;
void fire(const Kernel &kernel, TracePoint point, u64 a0, u64 a1, u64 a2, u64 a3);
}  // namespace trace_hooks_detail

// Whether it may be worth making a point's arguments.
inline bool trace_points_heard() {
  return trace_hooks_detail::nr_listeners.load(std::memory_order_relaxed) != 0;
}

inline void trace_point(const Kernel &kernel, TracePoint point, u64 a0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
  if (trace_points_heard()) [[unlikely]]
    trace_hooks_detail::fire(kernel, point, a0, a1, a2, a3);
}

// A task as programs see it.
template <typename TaskType>
u64 task_arg(TaskType &task) {
  return reinterpret_cast<u64>(&task.ts);
}

}  // namespace uscx::sched

#endif  // USCX_SCHED_TRACE_HOOKS_H_
