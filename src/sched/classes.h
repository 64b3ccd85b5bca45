// SPDX-License-Identifier: GPL-2.0-only
// The functions by which the Kernel makes its scheduling classes, except ext (ext/ext.h).
#ifndef USCX_SCHED_CLASSES_H_
#define USCX_SCHED_CLASSES_H_

#include <algorithm>
#include <memory>

#include "sched/behavior.h"
#include "sched/class.h"

namespace uscx::sched {

std::unique_ptr<SchedClass> make_stop_class(Kernel &kernel);
std::unique_ptr<SchedClass> make_dl_class(Kernel &kernel);
std::unique_ptr<SchedClass> make_rt_class(Kernel &kernel);
std::unique_ptr<SchedClass> make_fair_class(Kernel &kernel);
std::unique_ptr<SchedClass> make_idle_class(Kernel &kernel);

// The behavior of migration/N: the works of its CPU, each as a step of its own.
std::unique_ptr<Behavior> make_stop_behavior(u32 cpu);

inline bool is_rt_policy(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }
// RR_TIMESLICE: 100 ms.
inline u32 rr_turn_ticks(u32 hz) { return std::max(1u, hz / 10); }

// The fair class's weight of a nice level (1024 for nice 0); 3 for SCHED_IDLE.
u64 weight_of_nice(int nice);
inline constexpr u64 kIdlePolicyWeight = 3;
// Such a weight as cpu.weight and schedulers have it: 1 to 10000, 100 for nice 0.
inline u32 cgroup_weight_of(u64 weight) {
  return static_cast<u32>(std::clamp<u64>((weight * 100 + 512) / 1024, 1, 10000));
}

}  // namespace uscx::sched

#endif  // USCX_SCHED_CLASSES_H_
