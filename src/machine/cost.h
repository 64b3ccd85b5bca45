// SPDX-License-Identifier: GPL-2.0-only
// The costs of actions in virtual nanoseconds on the simulated machine: one table, each number with its source. The
// threaded machine charges nothing (time passes by itself).
//
// FIDELITY: fixed-cost. A callback costs the same whatever it executes.
#ifndef USCX_MACHINE_COST_H_
#define USCX_MACHINE_COST_H_

#include "base/types.h"

namespace uscx::machine {

// X(name, nanoseconds, source)
// clang-format off
#define USCX_COSTS(X)                                                                                              \
  X(context_switch, 900, "perf bench sched pipe, pinned: 0.9-1.0 us a switch in all")                              \
  X(schedule, 150, "a pass through __schedule that keeps the same task; sched_yield takes 0.53 us with entry")     \
  X(wakeup, 250, "try_to_wake_up without IPI: half of a pipe wakeup")                                              \
  X(ipi_delivery, 1000, "reschedule interrupt, sender to handler on the same socket; about 1 us")                  \
  X(irq_entry, 150, "interrupt entry and exit on x86-64")                                                          \
  X(tick, 600, "scheduler tick handler with accounting")                                                           \
  X(timer_irq, 300, "hrtimer interrupt beyond entry and exit")                                                     \
  X(idle_exit, 2000, "leaving a shallow idle state (C1)")                                                          \
  X(bpf_callback, 60, "struct_ops trampoline and a short program; 0.1 us for 5 helper calls under the JIT")         \
  X(kfunc_call, 10, "a kfunc of the dispatch path without lock contention")                                        \
  X(spin_lock, 20, "uncontended lock and unlock with the line in cache")                                           \
  X(lock_transfer, 100, "moving a contended lock's cache line between cores")                                      \
  X(migrate_task, 500, "deactivate, set CPU, activate")                                                            \
  X(dispatch_round, 100, "one round of the dispatch loop apart from its callback")                                 \
  X(rcu_callback, 100, "one RCU callback")                                                                         \
  X(task_exit, 5000, "do_exit of a thread up to its last switch: a third of the 15 us of pthread_create and join")
// clang-format on

enum class Cost : u32 {
#define X(name, ns, source) name,
  USCX_COSTS(X)
#undef X
      count
};

inline constexpr u64 kCostNs[] = {
#define X(name, ns, source) ns,
    USCX_COSTS(X)
#undef X
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_COST_H_
