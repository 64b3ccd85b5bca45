// SPDX-License-Identifier: GPL-2.0-only
// Points of the kernel to which programs may be attached (tracepoints, and entries and exits of functions). While no
// program is attached (Kernel::set_trace_hooks()), each costs a test of a pointer.
//
// Threading: fire() is called on the CPU where the event happens, with the locks that are held there.
#ifndef USCX_SCHED_TRACE_HOOKS_H_
#define USCX_SCHED_TRACE_HOOKS_H_

#include <string_view>

#include "sched/kernel.h"
#include "sched/object_space.h"

namespace uscx::sched {

// Arguments are those of the kernel's own point: tasks as task_struct, run queues as rq.
enum class TracePoint : u8 {
  sched_switch,        // preempt, prev, next, prev_state; before current changes
  sched_waking,        // task
  sched_wakeup,        // task
  sched_wakeup_new,    // task
  sched_migrate_task,  // task, CPU
  sched_process_exit,  // task, whether its group is dead
  task_newtask,        // task, clone flags
  task_rename,         // task, its new name; before it has it
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

inline void trace_point(const Kernel &kernel, TracePoint point, u64 a0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
  if (TraceHooks *const hooks = kernel.trace_hooks()) [[unlikely]]
    hooks->fire(point, a0, a1, a2, a3);
}

// A text as programs see it: memory of the kernel's, for as long as this lives.
class KernelText {
 public:
  KernelText(ObjectSpace &objects, std::string_view text) : objects_(objects), bytes_(text.size() + 1) {
    memory_ = static_cast<char *>(objects_.alloc(ObjectType::kOther, bytes_));
    text.copy(memory_, text.size());  // It comes zeroed.
  }
  ~KernelText() { objects_.free(ObjectType::kOther, memory_, bytes_); }
  KernelText(const KernelText &) = delete;
  KernelText &operator=(const KernelText &) = delete;
  u64 arg() const { return reinterpret_cast<u64>(memory_); }

 private:
  ObjectSpace &objects_;
  const size_t bytes_;
  char *memory_;
};

// A task as programs see it.
template <typename TaskType>
u64 task_arg(TaskType &task) {
  return reinterpret_cast<u64>(&task.ts);
}

}  // namespace uscx::sched

#endif  // USCX_SCHED_TRACE_HOOKS_H_
