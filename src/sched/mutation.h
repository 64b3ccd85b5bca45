// SPDX-License-Identifier: GPL-2.0-only
// Bugs on purpose: each switch puts a bug of the past, or one of the same kind, back into the core, to show that
// explore mode's detectors find it (docs/EXPLORE.md). None is on unless `uscx explore --mutation` or a test says so.
//
// Threading: set before a machine is made, read anywhere.
#ifndef USCX_SCHED_MUTATION_H_
#define USCX_SCHED_MUTATION_H_

#include <string_view>

#include "base/types.h"

namespace uscx::sched {

// X(name, what is wrong with it on)
#define USCX_MUTATIONS(X)                                                                                     \
  X(ksyncs_fixed_area, "history a: a sequence array has to fit into 32 KiB")                                  \
  X(ksyncs_before_check, "history b: the sequence arrays are allocated before the state is checked")          \
  X(ksyncs_no_grace, "history c: the sequence arrays are freed without a grace period")                       \
  X(ksyncs_no_check, "history d: the irq_work does not check that there is an array")                         \
  X(endless_dispatch, "history e: there is no limit on the dispatch loop")                                    \
  X(wait_in_irq_work, "history f: SCX_KICK_WAIT waits for its targets in the irq_work")                       \
  X(no_qseq, "history g: a buffered dispatch claims a task that was dequeued and queued anew since")          \
  X(idle_told_first, "history h: an idle CPU shows itself only after it looked for work, which nobody kicks") \
  X(stale_affinity, "history i: a task is moved on the strength of what was seen before locks were dropped")  \
  X(no_holding_cpu, "a dispatcher does not look whether the task was dequeued while it had no lock")          \
  X(early_queued, "ops_state says QUEUED before the scheduler's enqueue is over")                             \
  X(lock_order, "a remote task's rq stays locked while this one's is taken, whatever their numbers")          \
  X(lost_wakeup, "a wakeup of a task that is about to sleep is dropped")                                      \
  X(no_on_cpu_wait, "a task is woken elsewhere before its CPU has switched away from it")                     \
  X(no_dsq_lock, "a task is taken off a DSQ without its lock")                                                \
  X(no_requeue_check, "a task's rq is locked without a second look at where the task is")                     \
  X(no_deferred_irq, "what an rq owes is noted, but no interrupt sees to it")                                 \
  X(watchdog_once, "the watchdog's work does not queue itself again")                                         \
  X(sticky_stays, "a task that was moved keeps the mark of the move")                                         \
  X(no_kick_resched, "a kick does not make its target reschedule")                                            \
  X(no_dispatch_wait, "a task is dequeued under the hands of a dispatcher that has claimed it")               \
  X(fork_unlocked, "tasks are forked while a scheduler goes through the list of all tasks")                   \
  X(exit_not_claimed, "two errors at once both end the scheduler")                                            \
  X(no_stopper_lock, "work is given to a stopper without its CPU's lock")                                     \
  X(move_asks_early, "whose a task is that is to be moved is asked before the locks that keep it are held")   \
  X(sub_init_unlocked, "a flag of a task is set without its rq's lock while a sub-scheduler is loaded")

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
