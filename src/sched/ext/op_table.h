// SPDX-License-Identifier: GPL-2.0-only
// The callbacks of a scheduler, one line each, in the order of struct sched_ext_ops: from this table come enum Op, the
// names in messages and in BPF objects, and what the check at load holds a callback to (bridge/scx_contexts.h). A new
// callback is a line here and a virtual function of ExtOps.
#ifndef USCX_SCHED_EXT_OP_TABLE_H_
#define USCX_SCHED_EXT_OP_TABLE_H_

// X(name, name in the cid form, may its program sleep, kfunc groups beside those that all callbacks have, name of its
//   second argument if that may be NULL)
// The groups are KfuncGroup's (bpf/object/kfunc.h), for bridge to expand. FIDELITY: no-core-sched. Nobody calls
// core_sched_before: the machine has no core scheduling.
#define USCX_SCX_OPS(X)                                                                  \
  X(select_cpu, select_cid, false, kSelectCpu | kEnqueue, nullptr)                       \
  X(enqueue, enqueue, false, kSelectCpu | kEnqueue, nullptr)                             \
  X(dequeue, dequeue, false, 0, nullptr)                                                 \
  X(dispatch, dispatch, false, kEnqueue | kDispatch, "prev")                             \
  X(tick, tick, false, 0, nullptr)                                                       \
  X(runnable, runnable, false, 0, nullptr)                                               \
  X(running, running, false, 0, nullptr)                                                 \
  X(stopping, stopping, false, 0, nullptr)                                               \
  X(quiescent, quiescent, false, 0, nullptr)                                             \
  X(yield, yield, false, 0, "to")                                                        \
  X(core_sched_before, core_sched_before, false, 0, nullptr)                             \
  X(set_weight, set_weight, false, 0, nullptr)                                           \
  X(set_cpumask, set_cmask, false, 0, nullptr)                                           \
  X(update_idle, update_idle, false, 0, nullptr)                                         \
  X(init_task, init_task, true, kUnlocked, nullptr)                                      \
  X(exit_task, exit_task, false, 0, nullptr)                                             \
  X(enable, enable, false, 0, nullptr)                                                   \
  X(disable, disable, false, 0, nullptr)                                                 \
  X(dump, dump, false, kUnlocked, nullptr)                                               \
  X(dump_cpu, dump_cid, false, 0, nullptr)                                               \
  X(dump_task, dump_task, false, 0, nullptr)                                             \
  X(cgroup_init, cgroup_init, true, kUnlocked, nullptr)                                  \
  X(cgroup_exit, cgroup_exit, true, kUnlocked, nullptr)                                  \
  X(cgroup_prep_move, cgroup_prep_move, true, kUnlocked, nullptr)                        \
  X(cgroup_move, cgroup_move, false, 0, nullptr)                                         \
  X(cgroup_cancel_move, cgroup_cancel_move, false, kUnlocked, nullptr)                   \
  X(cgroup_set_weight, cgroup_set_weight, false, kUnlocked, nullptr)                     \
  X(cgroup_set_bandwidth, cgroup_set_bandwidth, false, kUnlocked, nullptr)               \
  X(cgroup_set_idle, cgroup_set_idle, false, kUnlocked, nullptr)                         \
  X(sub_attach, sub_attach, true, kUnlocked, nullptr)                                    \
  X(sub_detach, sub_detach, true, kUnlocked, nullptr)                                    \
  X(cpu_online, cid_online, true, kUnlocked, nullptr)                                    \
  X(cpu_offline, cid_offline, true, kUnlocked, nullptr)                                  \
  X(init, init, true, kUnlocked | kInit, nullptr)                                        \
  X(exit, exit, true, kUnlocked, nullptr)                                                \
  X(cpu_acquire, cpu_acquire, false, 0, nullptr)                                         \
  X(cpu_release, cpu_release, false, kCpuRelease, nullptr)

#endif  // USCX_SCHED_EXT_OP_TABLE_H_
