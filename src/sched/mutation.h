// SPDX-License-Identifier: GPL-2.0-only
// Bugs on purpose: each switch puts a bug of the past, or one of the same kind, back into the core, to show that explore
// mode's detectors find it (docs/EXPLORE.md). None is on unless `uscx explore --mutation` or a test says so.
//
// Threading: set before a machine is made, read anywhere.
#ifndef USCX_SCHED_MUTATION_H_
#define USCX_SCHED_MUTATION_H_

#include <string_view>

#include "base/types.h"

namespace uscx::sched {

// X(name, what is wrong with it on)
#define USCX_MUTATIONS(X)                                                                                    \
  X(no_qseq, "a buffered dispatch claims a task that was dequeued and queued anew since")                    \
  X(no_idle_kick, "the CPU that a task is inserted for is not told to look, if it went idle meanwhile")      \
  X(stale_affinity, "a dispatch to another CPU checks the affinity before it has the task's rq lock only")   \
  X(wait_in_irq_work, "SCX_KICK_WAIT waits for its targets in the irq_work")                                 \
  X(ksyncs_no_grace, "the sequence arrays are freed without a grace period")                                 \
  X(no_holding_cpu, "a dispatcher does not look whether the task was dequeued while it had no lock")         \
  X(early_queued, "ops_state says QUEUED before the scheduler's enqueue is over")                            \
  X(lock_order, "a remote task's rq is locked with this one held, whatever their numbers")                   \
  X(lost_wakeup, "a wakeup of a task that is about to sleep is dropped")                                     \
  X(no_on_cpu_wait, "a task is woken elsewhere before its CPU has switched away from it")                    \
  X(rcu_idle_reader, "an idle CPU counts as quiescent though an interrupt handler runs there")

enum class Mutation : u8 {
  none,
#define X(name, what) name,
  USCX_MUTATIONS(X)
#undef X
      count
};

extern Mutation active_mutation;
inline bool mutated(Mutation mutation) { return __builtin_expect(active_mutation == mutation, 0); }

const char *mutation_name(Mutation mutation);
const char *mutation_text(Mutation mutation);
// Mutation::count if there is none of that name.
Mutation mutation_named(std::string_view name);

}  // namespace uscx::sched

#endif  // USCX_SCHED_MUTATION_H_
