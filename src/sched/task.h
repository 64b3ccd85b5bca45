// SPDX-License-Identifier: GPL-2.0-only
// Task: a thread of the simulated machine. BPF programs may see `ts`, the kernel's own struct; everything else is
// private to the core. A Task lives in memory that the ObjectSpace hands out, so that BPF pointers to `ts` are valid
// inside programs. It is freed after an RCU grace period once it is dead and unreferenced.
//
// Protected by: pi_lock (wakeup, affinity, policy, nice); the rq lock of its CPU (everything about queueing; a change
// of `cpu` needs the old and the new rq's lock in turn); ops_state and qseq are atomic (see ext/).
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
#include "machine/owner.h"
#include "machine/racy.h"
#include "machine/sync.h"
#include "sched/behavior.h"

namespace uscx::sched {

namespace bi = boost::intrusive;
using ListHook = bi::list_member_hook<bi::link_mode<bi::safe_link>>;
using SetHook = bi::set_member_hook<bi::link_mode<bi::safe_link>, bi::optimize_size<true>>;

class SchedClass;
class Kernel;
struct Rq;
struct Cgroup;     // sched/cgroup.h
struct TaskGroup;  // sched/cgroup.h

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

struct CpuUsage {
  u64 total_ns = 0, user_ns = 0, system_ns = 0;
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
  machine::Published<SchedClass *> sched_class;
  machine::Racy<u32> cpu;  // task_cpu(); valid also while sleeping.
  machine::Racy<u32> wake_cpu;
  u64 serial = 0;  // Creation order; the tie-breaker everywhere.
  machine::SpinLock pi_lock{machine::SpinLock::Kind::kPrivate, "pi_lock"};
  machine::Racy<bool> dead;
  std::atomic<u32> refs = 1;
  u32 nr_children = 0;  // Live tasks whose ts.real_parent this is. Kernel::fork_lock().

  // Affinity: what was asked for, and what is in force: the same, or a single CPU's while migration is disabled. Both
  // interned, owned by Kernel. For programs the same is in cpus_mask() and where ts.cpus_ptr points to.
  const machine::CpuMask *cpus = nullptr;
  machine::Racy<const cpumask *> allowed;  // In force, the kernel's form.

  // What it does: steps from its behavior.
  std::unique_ptr<Behavior> behavior;
  // Work left of the present kRun step. This is not CPU time: interrupts that hit the task are part of its CPU time
  // (se.sum_exec_runtime, as in a kernel without IRQ_TIME_ACCOUNTING), but do no work for it.
  u64 run_left_ns = 0;
  u64 run_started_ns = 0;  // When it last went on to run user code.
  machine::SimEvent sleep_timer;
  // pi_lock: a wakeup came between deciding to block and blocking; sleep_timer is what wakes it.
  bool wakeup_before_block = false;
  bool timed_sleep = false;
  bool migration_pending = false;  // A stopper is to move it. The rq lock.

  FairEntity fair;
  ListHook rt_node;
  machine::Racy<u32> rt_priority;  // 1..99 for SCHED_FIFO and SCHED_RR.
  u32 rr_ticks_left = 0;           // Of its turn among equals, for SCHED_RR. The rq lock.

  // sched_ext. ts.scx holds the kernel's fields; these are the links.
  DsqNode dsq_node;             // In a DSQ's list (FIFO and PRIQ alike).
  SetHook dsq_priq_node;        // In a DSQ's tree, ordered by vtime.
  ListHook runnable_node;       // Rq::ext.runnable_list.
  ListHook ddsp_deferred_node;  // Rq::ext.ddsp_deferred_locals.
  machine::Published<struct Dsq *> dsq;
  machine::Published<struct ExtSched *> ext_sched;  // p->scx.sched: whose task this is while a scheduler is loaded.
  machine::Racy<bool> no_scheduler;                 // One is loaded, but none wants this task.

  // Control groups; ts.cgroups and ts.sched_task_group are the same. They change with the fork lock held, the second
  // with the task's locks too.
  machine::Published<Cgroup *> cgroup;
  machine::Published<TaskGroup *> group;
  CpuUsage usage_before;  // What it had used when it came into its cgroup.

  ListHook tasks_node;  // Kernel's list of all tasks, in creation order.

  int pid() const { return ts.pid; }
  // Fields of ts that other CPUs read without the lock under which they change.
  u32 state() const { return machine::racy_load(ts.__state); }  // Changes with pi_lock held, or by itself at its birth.
  void set_state(u32 state) { machine::racy_store(ts.__state, state); }
  u32 on_rq_state() const { return machine::racy_load(ts.on_rq); }  // Changes with the rq lock held.
  void set_on_rq(u32 value) { machine::racy_store(ts.on_rq, static_cast<u8>(value)); }
  bool on_rq() const { return on_rq_state() != kNotOnRq; }
  // Pairs: the release of the CPU that leaves it, the acquire of the waker that waits for that.
  bool on_cpu() const {
    machine::atomic_read(&ts.on_cpu);
    return __atomic_load_n(&ts.on_cpu, __ATOMIC_ACQUIRE);
  }
  void set_on_cpu(bool on) {
    machine::atomic_write(&ts.on_cpu);
    __atomic_store_n(&ts.on_cpu, static_cast<u8>(on), __ATOMIC_RELEASE);
  }
  u32 flags() const { return machine::racy_load(ts.flags); }
  void add_flags(u32 flags) {
    machine::change_bits(ts.flags, "a task's flags", machine::Owner::because("a task changes its own"), 0, flags);
  }
  u32 migration_disabled() const { return machine::racy_load(ts.migration_disabled); }
  const cpumask *cpus_ptr() const { return machine::racy_load(ts.cpus_ptr); }
  // ts.cpus_mask, with as many words as the machine's CPUs need. Only programs read it.
  const cpumask *cpus_mask() const { return const_cast<Task *>(this)->cpus_mask(); }
  cpumask *cpus_mask() { return reinterpret_cast<cpumask *>(reinterpret_cast<char *>(&ts) + kCpusMaskOffset); }
  int nr_cpus_allowed() const { return machine::racy_load(ts.nr_cpus_allowed); }
  // scx.flags has one owner at a time: the holder of the rq lock or, while ops_state is DISPATCHING, the dispatcher.
  u32 scx_flags() const { return machine::racy_load(ts.scx.flags); }
  void set_scx_flags(machine::Owner owner, u32 bits) { change_scx_flags(owner, 0, bits); }
  void clear_scx_flags(machine::Owner owner, u32 bits) { change_scx_flags(owner, bits, 0); }
  void change_scx_flags(machine::Owner owner, u32 cleared, u32 set) {
    machine::change_bits(ts.scx.flags, "a task's scx.flags", owner, cleared, set);
  }
  u64 slice() const { return machine::racy_load(ts.scx.slice); }
  void set_slice(u64 ns) { machine::racy_store(ts.scx.slice, ns); }
  s32 holding_cpu() const { return machine::racy_load(ts.scx.holding_cpu); }
  void set_holding_cpu(s32 cpu) { machine::racy_store(ts.scx.holding_cpu, cpu); }

  bool is_kthread() const { return flags() & PF_KTHREAD; }
  bool is_exiting() const { return flags() & PF_EXITING; }
  int nice() const { return ts.static_prio - 120; }
  // May it run on `cpu` now?
  bool allowed_on(u32 c) const;
  std::string comm() const;
  // The kernel objects of its own that ts points to (mm, signal, pid); owned by the Kernel.
  void *process = nullptr;
};
static_assert(sizeof(Task) <= kCpusMaskOffset, "TASK_CORE_BYTES is what Task has beyond task_struct");

inline Task *task_of(task_struct *ts) { return reinterpret_cast<Task *>(ts); }
inline const Task *task_of(const task_struct *ts) { return reinterpret_cast<const Task *>(ts); }

}  // namespace uscx::sched

#endif  // USCX_SCHED_TASK_H_
