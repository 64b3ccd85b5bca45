// SPDX-License-Identifier: GPL-2.0-only
// ExtSched: one loaded scheduler (the kernel's struct scx_sched), from its enabling to the end of its disabling.
// Per-CPU parts are written by their CPU only, but for the bypass DSQ (own lock) and the bypassing flag (rq lock).
#ifndef USCX_SCHED_EXT_EXT_SCHED_H_
#define USCX_SCHED_EXT_EXT_SCHED_H_

#include <memory>
#include <string>
#include <vector>

#include "base/alloc_faults.h"
#include "sched/ext/call_site.h"
#include "sched/ext/dsq.h"
#include "sched/ext/exit_info.h"
#include "sched/ext/ops.h"
#include "sched/work.h"

namespace uscx::sched {

// What ops.dispatch asked for, until the buffer is flushed. `qseq` is the queueing part of ops_state at that time: if
// the task has been dequeued or queued anew since, the entry is stale.
struct DispatchEntry {
  Task *task;
  u64 qseq;
  u64 dsq_id;
  u64 enq_flags;
  CallSite site;
};

struct SchedCpu {
  machine::Racy<bool> bypassing;
  Dsq bypass_dsq{SCX_DSQ_BYPASS};
  scx_event_stats events{};
  DispatchEntry *buffer = nullptr;  // max_batch entries.
  u32 buffered = 0;
  u32 nr_dispatched = 0;  // Inserted and moved in this round of the dispatch loop.
  u32 host_visits = 0;    // Dispatches with tasks of children in bypass waiting.
};

struct ExtSched {
  // Null: no memory. parent is null for a root scheduler; cgroup has the tasks that are to be its.
  static std::unique_ptr<ExtSched> create(Kernel &kernel, ExtOps &ops, ExtSched *parent, Cgroup &cgroup,
                                          machine::AllocFaults &faults);
  ~ExtSched();

  // Operations that may be called now. Only the enabling and disabling threads arm and disarm.
  bool has(Op op) const { return armed_ops >> static_cast<u32>(op) & 1; }
  void arm(Op op) { armed_ops.set_bits(u64{1} << static_cast<u32>(op)); }
  void arm_all() {
    for (u32 op = 0; op < static_cast<u32>(Op::count); op++)
      if (ops.has(static_cast<Op>(op))) arm(static_cast<Op>(op));
  }
  void disarm_all() { armed_ops = 0; }
  bool cid_form() const { return ops.config().cid_form; }
  bool flag(u64 ops_flag) const { return ops_flags & ops_flag; }
  bool bypassing(u32 cpu) const { return cpus[cpu].bypassing; }
  Dsq &global_dsq(u32 node) { return global_dsqs[node]; }
  u64 live_bytes() const;                       // Its memory, but for what is in the kernel's object space.
  bool is_below(const ExtSched &other) const {  // Or the same.
    const ExtSched *s = this;
    while (s->level > other.level) s = s->parent;
    return s == &other;
  }
  bool exiting() const { return exit_kind.load() != SCX_EXIT_NONE; }

  Kernel &kernel;
  ExtOps &ops;
  const std::string name;
  const u64 ops_flags;
  const u32 max_batch;
  const u64 timeout_jiffies;
  ExtSched *const parent;  // Null: the root scheduler.
  Cgroup *const cgroup;    // Referenced, but for the root's.
  const u64 cgroup_id;
  const u32 level;          // 0: the root scheduler.
  const std::string label;  // "root", "sub1-33"
  machine::Racy<u64> armed_ops;
  static_assert(static_cast<u32>(Op::count) <= 64);

  machine::Racy<u64> slice_dfl = SCX_SLICE_DFL;
  std::unique_ptr<SchedCpu[]> cpus;
  std::unique_ptr<DispatchEntry[]> buffers;
  std::unique_ptr<Dsq[]> global_dsqs;  // By node.
  DsqTable dsqs;
  scx_sched *handle = nullptr;  // What p->scx.sched shows to programs: an address without meaning.

  // The tree of schedulers (sub.cc). Impl::scheds_lock guards children, linked and drain_waiter.
  machine::Plain<std::vector<ExtSched *>> children{"a scheduler's children"};
  bool linked = false;
  Task *drain_waiter = nullptr;  // A kernel thread that waits until there are none.
  machine::Racy<bool> open;      // It has its group's tasks. Changes with the fork lock held.
  bool sub_attached = false;     // Its parent knows of it. enable_mutex.

  machine::Racy<u32> bypass_depth;
  u64 bypass_since_ns = 0;
  machine::Racy<bool> warned_zero_slice;

  // exit_kind is claimed once; the rest of the record is the claimer's until the disable work.
  machine::Shared<u32> exit_kind{SCX_EXIT_NONE};
  machine::Racy<bool> aborting;
  machine::Racy<bool> dump_disabled;
  std::unique_ptr<ExitInfo> exit_info;
  std::shared_ptr<ExitRecord> record;
  bool exit_irq_pending = false;

  std::unique_ptr<KthreadWorker> helper;  // sched_ext_helper
  Work disable_work;
  machine::Completion disabled;  // The disable work has ended; nothing calls ops any more.
  machine::SpinLock waiter_lock{machine::SpinLock::Kind::kPrivate, "waiter"};
  Task *waiter = nullptr;  // A kernel thread that waits for that.

 private:
  ExtSched(Kernel &kernel, ExtOps &ops, ExtSched *parent, Cgroup &cgroup);
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_EXT_SCHED_H_
