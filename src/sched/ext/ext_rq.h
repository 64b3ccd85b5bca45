// SPDX-License-Identifier: GPL-2.0-only
// The sched_ext part of a run queue (the kernel's struct scx_rq). Protected by the rq lock. What BPF sees of it is in
// Rq::shared->scx; the core keeps flags, kick_sync, cpu_released, cpuperf_target and nr_running there.
#ifndef USCX_SCHED_EXT_EXT_RQ_H_
#define USCX_SCHED_EXT_EXT_RQ_H_

#include <memory>
#include <vector>

#include "machine/owner.h"
#include "sched/ext/call_site.h"
#include "sched/ext/dsq.h"
#include "sched/task.h"

namespace uscx::sched {

// A user DSQ whose tasks are to be enqueued again, as asked for on this CPU.
struct UserReenq {
  ExtSched *sched = nullptr;
  u64 dsq_id = 0;
};

// Where the verdict on a task of ddsp_deferred_locals was given.
struct ParkedSite {
  const Task *task;
  CallSite site;
};

struct ExtRq {
  Dsq local_dsq{SCX_DSQ_LOCAL, machine::SpinLock::Kind::kPrivate};
  machine::Plain<bi::list<Task, bi::member_hook<Task, ListHook, &Task::runnable_node>>> runnable_list{"runnable_list"};
  machine::Plain<bi::list<Task, bi::member_hook<Task, ListHook, &Task::ddsp_deferred_node>>> ddsp_deferred_locals{
      "ddsp_deferred_locals"};
  std::vector<ParkedSite> parked_sites;
  u64 extra_enq_flags = 0;
  u32 nr_immed = 0;  // Tasks on the local DSQ that have SCX_TASK_IMMED.
  // What other CPUs ask for without the rq lock; a leaf lock. deferred_pending and an irq_work follow.
  machine::SpinLock reenq_lock{machine::SpinLock::Kind::kPrivate, "reenq"};
  // The pending local re-enqueue takes all tasks of these and their children, and IMMED ones that cannot run at once.
  machine::Plain<std::vector<ExtSched *>> reenq_local_scheds{"the schedulers to re-enqueue"};
  bool reenq_local_pending = false;
  bool in_reenq_local = false;
  machine::Plain<std::vector<UserReenq>> reenq_users{"the DSQs to re-enqueue"};
  machine::Racy<bool> deferred_pending;  // run_deferred is owed: by a wakeup, a balance callback or an irq_work.
  bool kick_irq_pending = false;
  bool kick_sync_pending = false;           // The next pick is to queue the balance callback that waits.
  std::atomic<bool> sync_spinning = false;  // In that callback's wait: schedule() has not ended on this CPU.
  // Requests made on this CPU for others; sized at the first kick.
  machine::Published<bool> kick_masks_sized;
  machine::OwnedMask to_kick, idle_to_kick, to_preempt, to_wait, to_sync;  // Changed by this CPU.
  bool any_kick = false;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_EXT_RQ_H_
