// SPDX-License-Identifier: GPL-2.0-only
// Every trace event, defined once. The enum, the names, the argument names, the report and the Perfetto sink derive
// from this table. An event is 48 bytes: virtual time, CPU, type and four 64-bit arguments; its canonical bytes are
// what trace_hash hashes, so a change here changes every hash.
//
// Adding an event is one line: X(name, arg0, arg1, arg2, arg3), "_" for an unused argument (0).
#ifndef USCX_TRACE_EVENT_H_
#define USCX_TRACE_EVENT_H_

#include "base/types.h"

namespace uscx::trace {

// Arguments named *_text are ids of strings registered with Tracer::text(); the hash takes the text's bytes, not the
// id. Arguments that carry a task's comm are texts too. Tasks are born in the root cgroup
// (id 1) unless cgroup_attach follows. `who` in task_new: 0 workload, 1 kernel thread, 2 other.
// clang-format off
#define USCX_TRACE_EVENTS(X)                                                         \
  X(task_new, pid, comm_text, nice, who)                                             \
  X(task_exit, pid, _, _, _)                                                         \
  X(task_rename, pid, comm_text, _, _)                                               \
  X(task_nice, pid, nice, _, _)                                                      \
  X(sched_switch, prev_pid, prev_state, next_pid, prev_runnable)                     \
  X(sched_waking, pid, target_cpu, wake_flags, waker_pid)                            \
  X(sched_wakeup, pid, target_cpu, _, _)                                             \
  X(sched_migrate_task, pid, from_cpu, to_cpu, _)                                    \
  X(cpu_online, online, _, _, _)                                                     \
  X(scx_enqueue, pid, enq_flags, _, _)                                               \
  X(dsq_insert, pid, dsq_id, enq_flags, depth)                                       \
  X(dsq_remove, pid, dsq_id, depth, _)                                               \
  X(scx_direct_dispatch, pid, dsq_id, enq_flags, _)                                  \
  X(scx_dispatch, nr_dispatched, round, _, _)                                        \
  X(scx_kick, target_cpu, kick_flags, _, _)                                          \
  X(scx_bypass, depth, _, _, _)                                                      \
  X(scx_state, state, _, _, _)                                                       \
  X(scx_exit, kind, exit_code, reason_text, message_text)                            \
  X(scx_exit_cpu, cpu_plus_one, _, _, _)                                             \
  X(scx_event, name_text, delta, _, _)                                               \
  X(scx_kick_syncs, bytes, _, _, _)                                                  \
  X(wild_load, location_text, count, _, _)                                           \
  X(lock_wait, lock_text, wait_ns, _, _)                                             \
  X(log, line_text, _, _, _)                                                         \
  X(dump, line_text, _, _, _)                                                        \
  X(bpf_print, line_text, _, _, _)                                                   \
  X(mark, name_text, value, _, _)                                                    \
  X(cgroup_mkdir, cgroup_id, path_text, _, _)                                        \
  X(cgroup_rmdir, cgroup_id, _, _, _)                                                \
  X(cgroup_attach, pid, cgroup_id, _, _)                                             \
  X(scx_sub_exit, cgroup_id, kind, reason_text, message_text)                        \
  X(arena_skip, location_text, address, count, _)
// clang-format on

enum class EventType : u16 {
#define X(name, a0, a1, a2, a3) name,
  USCX_TRACE_EVENTS(X)
#undef X
      count
};

struct Event {
  u64 time_ns;
  u32 cpu;
  EventType type;
  u16 reserved;
  u64 args[4];
};
static_assert(sizeof(Event) == 48);

}  // namespace uscx::trace

#endif  // USCX_TRACE_EVENT_H_
