// SPDX-License-Identifier: GPL-2.0-only
// Task: a thread of the simulated machine. What BPF programs may see of it is `ts`, the kernel's own struct; everything
// else is private to the core. A Task lives in memory that the ObjectSpace hands out, so that BPF pointers to `ts` are
// valid inside programs, and is freed after an RCU grace period once it is dead and unreferenced.
//
// Protected by: pi_lock (wakeup, affinity, policy, nice); the rq lock of its CPU (everything about queueing, `cpu`
// changes need both this and the new rq's lock in turn); ops_state and qseq are atomic (see ext/).
#ifndef USCX_SCHED_TASK_H_
#define USCX_SCHED_TASK_H_

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <memory>
#include <string>

#include "abi/kernel.h"
#include "abi/scx.h"
#include "machine/cpumask.h"
#include "machine/event_queue.h"
#include "machine/sync.h"
#include "sched/behavior.h"

namespace uscx::sched {

namespace bi = boost::intrusive;
using ListHook = bi::list_member_hook<bi::link_mode<bi::safe_link>>;
using SetHook = bi::set_member_hook<bi::link_mode<bi::safe_link>, bi::optimize_size<true>>;

class SchedClass;
class Kernel;
struct Rq;

// task_struct.on_rq
enum : int { kNotOnRq = 0, kOnRqQueued = 1, kOnRqMigrating = 2 };

enum class TaskKind : u8 { kWorkload = 0, kKthread = 1, kOther = 2 };

// Fair class state. Times are weighted as in the kernel: NICE_0_LOAD is 1024.
struct FairEntity {
  u64 vruntime_ns = 0;
  u64 deadline_ns = 0;
  u64 weight = 1024;
  u64 old_weight = 0;  // Before the last change of weight.
  s64 vlag_ns = 0;
  u64 protect_vruntime_ns = 0;  // Until it has come this far it is not preempted by equals (from the last pick on).
  s32 vlag_cpu = -1;            // The CPU it slept on: there, a debt is worked off by the others' progress.
  bool queued = false;
  SetHook node;
};

// A place in a DSQ's list: a task's, or the cursor of an iterator.
struct DsqNode {
  ListHook hook;
  bool is_cursor = false;
};

struct Task {
  task_struct ts;  // First: task_of() relies on it.

  Kernel *kernel = nullptr;
  TaskKind kind = TaskKind::kWorkload;
  SchedClass *sched_class = nullptr;
  u32 cpu = 0;  // task_cpu(); valid also while sleeping.
  u32 wake_cpu = 0;
  u64 serial = 0;  // Creation order; the tie-breaker everywhere.
  machine::SpinLock pi_lock{machine::SpinLock::Kind::kPrivate, "pi_lock"};
  bool dead = false;
  u32 refs = 1;
  u32 nr_children = 0;  // Live tasks whose ts.real_parent this is.

  // Affinity asked for (user) and in force: ts.cpus_ptr is cpus_user, or a single-CPU mask while migration is disabled.
  const machine::CpuMask *cpus = nullptr;  // Interned, owned by Kernel; ts.cpus_ptr points to its kernel form.
  bool migration_pending = false;          // A stopper is to move it.

  // What it does: steps from its behavior.
  std::unique_ptr<Behavior> behavior;
  // Work left of the present kRun step. This is not CPU time: interrupts that hit the task are part of its CPU time
  // (se.sum_exec_runtime, as in a kernel without IRQ_TIME_ACCOUNTING), but do no work for it.
  u64 run_left_ns = 0;
  u64 run_started_ns = 0;  // When it last went on to run user code.
  machine::SimEvent sleep_timer;
  bool wakeup_before_block = false;  // A wakeup came between deciding to block and blocking.

  FairEntity fair;
  ListHook rt_node;
  u32 rt_priority = 0;  // 1..99 for SCHED_FIFO.

  // sched_ext. ts.scx holds the kernel's fields; these are the links.
  DsqNode dsq_node;             // In a DSQ's list (FIFO and PRIQ alike).
  SetHook dsq_priq_node;        // In a DSQ's tree, ordered by vtime.
  ListHook runnable_node;       // Rq::ext.runnable_list.
  ListHook ddsp_deferred_node;  // Rq::ext.ddsp_deferred_locals.
  struct Dsq *dsq = nullptr;
  struct ExtSched *ext_sched = nullptr;  // p->scx.sched: whose task this is while a scheduler is loaded.

  ListHook tasks_node;  // Kernel's list of all tasks, in creation order.

  int pid() const { return ts.pid; }
  bool is_kthread() const;  // PF_KTHREAD
  bool is_exiting() const;  // PF_EXITING
  bool on_rq() const { return ts.on_rq != kNotOnRq; }
  int nice() const { return ts.static_prio - 120; }
  // May it run on `cpu` now (cpus_ptr, migration-disabled)?
  bool allowed_on(u32 c) const;
  std::string comm() const;
  // The kernel objects of its own that ts points to (mm, signal, pid); owned by the Kernel.
  void *process = nullptr;
};

inline Task *task_of(task_struct *ts) { return reinterpret_cast<Task *>(ts); }
inline const Task *task_of(const task_struct *ts) { return reinterpret_cast<const Task *>(ts); }

}  // namespace uscx::sched

#endif  // USCX_SCHED_TASK_H_
