// SPDX-License-Identifier: GPL-2.0-only
// Ext: the sched_ext core. This header is its face to the rest: life cycle (attach, detach, exits), and the operations
// that kfuncs need. The scheduling class itself is in ext_class.cc; docs/reference/core.md is the specification.
#ifndef USCX_SCHED_EXT_EXT_H_
#define USCX_SCHED_EXT_EXT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/alloc_faults.h"
#include "sched/class.h"
#include "sched/ext/call_site.h"
#include "sched/ext/cids.h"
#include "sched/ext/dsq.h"
#include "sched/ext/ops.h"
#include "sched/kernel.h"
#include "sched/rq.h"
#include "sched/work.h"

namespace uscx::sched {

struct CgroupMove;  // sched/cgroup.h

using machine::AllocFaults;
using machine::AllocSite;

struct ExitRecord {          // scx_exit_info as text that we own; valid from the claim of the exit.
  u32 kind = SCX_EXIT_NONE;  // enum scx_exit_kind
  s64 exit_code = 0;
  s32 exit_cpu = -1;
  u64 flags = 0;
  std::string reason, msg, dump;
  std::vector<std::string> backtrace;
  std::string where;          // Of an error: the callback and the source line that it comes from, if they are known.
  bool has_dispatch = false;  // There is an ops.dispatch.
};
const char *exit_reason(u32 kind);     // "runnable task stall"
const char *exit_kind_name(u32 kind);  // "SCX_EXIT_ERROR_STALL"

// The kernel's struct scx_sched: one loaded scheduler.
struct ExtSched;

// An iterator over a user DSQ (bpf_iter_scx_dsq); opaque to callers.
struct DsqIter;

// What a callback may do depends on where it was called from.
struct CallContext {
  std::optional<Op> op;     // The callback that is running on this CPU, if any (innermost).
  Rq *locked_rq = nullptr;  // scx_locked_rq()
  Task *subject[2] = {nullptr, nullptr};
  CallContext *outer = nullptr;
};

// What is counted for each scheduler, in the kernel's order.
using EventCounter = s64 scx_event_stats::*;
struct EventName {
  const char *name;
  EventCounter counter;
};
extern const EventName kEventNames[13];

// What bpf(2) checks when the table is stored, one by one and all: 0, or -EINVAL (name, flags) or -E2BIG (batch,
// timeout).
int check_ops_name(std::string_view name);
int check_ops_flags(u64 flags);
int check_ops_batch(u32 dispatch_max_batch);
int check_ops_timeout(u32 timeout_ms, u32 hz);
int check_ops_config(const OpsConfig &config, u32 hz);

class Ext {
 public:
  explicit Ext(Kernel &kernel);
  ~Ext();

  // --- life cycle; from host context. They run the machine until the helper thread is done. ---
  // 0, or -errno as in docs/reference/ops.md "Attach results". ops must outlive the detach.
  int attach(ExtOps &ops);
  // The same for callers on a CPU, which look from time to time how far it is. `load` must stay until it is done.
  struct Load {
    explicit Load(ExtOps &the_ops) : ops(&the_ops) {}
    ExtOps *ops;
    int result = 0;
    machine::Shared<bool> done{false};  // `result` is there.
    Work work;
  };
  void begin_attach(Load &load);
  void begin_detach(ExtOps &ops);
  bool detached(const ExtOps &ops) const;  // Nothing is called any more; then release().
  void release(ExtOps &ops);
  // Unregister from user space and wait. No-op if it has already exited by itself; then it only releases ops.
  void detach(ExtOps &ops);
  bool enabled() const;  // scx_enabled()
  u32 state() const;     // enum scx_enable_state
  ExtSched *root();
  const ExitRecord *last_exit() const;  // Of the most recent scheduler, once it has exited.
  const ExitRecord *exit_of(const ExtOps &ops) const;
  // The schedulers that are loaded, parents first: where their kobjects are below /sys/kernel/sched_ext.
  struct Loaded {
    std::string path;  // "root", "root/sub/sub-33"
    std::string name;
    scx_event_stats events;
  };
  std::vector<Loaded> loaded();
  u64 nr_rejected() const;
  u64 enable_seq() const;
  u64 hotplug_seq() const;
  bool switched_all() const;
  AllocFaults &alloc_faults();                  // For tests.
  void set_call_sites(const CallSites *sites);  // Not owned; null: what errors come from is not known.
  u64 kick_syncs_bytes() const;                 // Payload of the arrays behind SCX_KICK_WAIT (kick_syncs.h).
  // What the schedulers that are not freed yet hold, and all kernel objects.
  u64 live_bytes() const;
  // Runs the machine until what the last scheduler has left for a grace period is freed. Host context.
  void settle();

  // --- for the core ---
  bool should_run_in_ext(const Task &p) const;              // Which class class_for() gives a normal task.
  int check_setscheduler(const Task &p, int policy) const;  // 0, or -EACCES for a task that the scheduler disallowed.
  int fork(Task &p);                                        // scx_fork: init_task; 0 or -errno.
  void post_fork(Task &p);
  void cancel_fork(Task &p);
  void task_dead(Task &p);
  void update_idle(Rq &rq, bool idle, bool notify);  // Called by the idle class (docs/reference/idle.md).
  void tick_check();                                 // "watchdog failed to check in", from each tick.
  void irq_work();                                   // Kicks, deferred work, disable: what is pending on this CPU.
  // This CPU is still inside schedule(), waiting for others (SCX_KICK_WAIT): its task has not started yet and no other
  // may be picked. Whoever ends the wait raises an irq_work there.
  bool cpu_held(const Rq &rq) const { return rq.ext.sync_spinning; }
  bool can_stop_tick(const Rq &rq) const;  // As far as ext goes.
  void rq_online(Rq &rq);                  // rq lock held, as for
  void rq_offline(Rq &rq);                 // this one.
  // The CPU comes (before its rq is online) or goes (after it is offline): ops.cpu_online, ops.cpu_offline, or an exit.
  // On that CPU, with CpusLock held for writing.
  void cpu_hotplug(u32 cpu, bool online);
  // Control groups, for CgroupTree (cgroup.h has the locks): 0 or -errno where the scheduler may refuse.
  int cgroup_online(TaskGroup &group);
  void cgroup_offline(TaskGroup &group);
  void cgroup_removed(u64 cgroup_id);  // No locks; also in host context.
  int cgroup_can_attach(const std::vector<CgroupMove> &moves);
  void cgroup_move(Rq &rq, Task &p);
  void cgroup_set_weight(TaskGroup &group, u32 weight);
  void cgroup_set_idle(TaskGroup &group, bool idle);
  void cgroup_set_bandwidth(TaskGroup &group, u64 period_us, u64 quota_us, u64 burst_us);
  void cpu_dead(u32 cpu);  // It is gone, and no longer counts as idle.
  void verify(Rq &rq);     // Invariants (CHECK); costly, call it under VERIFY.

  // --- exits ---
  void exit(ExtSched &sched, u32 kind, s64 code, const std::string &msg);  // First one wins.
  void error(ExtSched &sched, const std::string &msg) { exit(sched, SCX_EXIT_ERROR, 0, msg); }
  void sysrq_reset();        // SysRq-S
  std::string sysrq_dump();  // SysRq-D: dumps the state to the trace, no exit; also returns it.
  // A callback on this CPU does not end: takes the CPU's time to where the soft-lockup watchdog steps in, and returns
  // that watchdog's message.
  std::string soft_lockup();
  void hard_lockup(u32 cpu);  // Interrupts were off there for too long.
  void rcu_cpu_stall();       // A grace period does not end.

  // --- the callback now running on this CPU ---
  CallContext *context();  // nullptr outside of callbacks.

  // --- what kfuncs call (docs/reference/kfuncs.md); argument pointers are checked. `sched` is the caller's. ---
  static ExtSched *sched_of(const ExtOps &ops);  // nullptr unless loaded.
  bool dsq_insert(ExtSched &s, Task &p, u64 dsq_id, u64 slice, u64 enq_flags);
  bool dsq_insert_vtime(ExtSched &s, Task &p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags);
  u32 dispatch_nr_slots(ExtSched &s);
  void dispatch_cancel(ExtSched &s);
  bool sub_dispatch(ExtSched &s, u64 cgroup_id);
  bool has_subs() const;  // More than one scheduler is loaded.
  bool dsq_move_to_local(ExtSched &s, u64 dsq_id, u64 enq_flags);
  s32 create_dsq(ExtSched &s, u64 dsq_id, s32 node);
  void destroy_dsq(ExtSched &s, u64 dsq_id);
  s32 dsq_nr_queued(ExtSched &s, u64 dsq_id);
  Task *dsq_peek(ExtSched &s, u64 dsq_id);
  bool task_set_slice(ExtSched &s, Task &p, u64 slice);
  bool task_set_dsq_vtime(ExtSched &s, Task &p, u64 vtime);
  void kick_cpu(ExtSched &s, s32 cpu, u64 flags);
  bool cpu_valid(ExtSched &s, s32 cpu);  // False raises "invalid CPU %d".
  // Cids, for schedulers of both forms. The wrong ones raise an error and give -EINVAL.
  const Cids &cids() const;
  bool cid_valid(ExtSched &s, s32 cid);
  s32 cid_to_cpu(ExtSched &s, s32 cid);
  s32 cpu_to_cid(ExtSched &s, s32 cpu);
  void cid_override(ExtSched &s, const s32 *cpu_to_cid, u32 bytes);
  u64 scx_now();
  u32 reenqueue_local();
  void dsq_reenq(ExtSched &s, u64 dsq_id, u64 flags);
  // bpf_iter_scx_dsq_*: `storage` is the program's 48 bytes.
  s32 iter_new(ExtSched *s, void *storage, u64 dsq_id, u64 flags);
  Task *iter_next(void *storage);
  void iter_destroy(void *storage);
  void move_set_slice(void *iter, u64 slice);
  void move_set_vtime(void *iter, u64 vtime);
  bool dsq_move(ExtSched &s, void *iter, Task &p, u64 dsq_id, u64 enq_flags, bool vtime_order);
  // idle (ext/idle.h has the masks)
  s32 select_cpu_dfl(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, bool *is_idle);
  s32 select_cpu_and(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags);
  bool test_and_clear_cpu_idle(ExtSched &s, s32 cpu);
  s32 pick_idle_cpu(ExtSched &s, const cpumask *mask, u64 flags);
  s32 pick_any_cpu(ExtSched &s, const cpumask *mask, u64 flags);
  s32 pick_idle_cpu_node(ExtSched &s, const cpumask *mask, s32 node, u64 flags);
  s32 pick_any_cpu_node(ExtSched &s, const cpumask *mask, s32 node, u64 flags);
  // Kernel-form masks for BPF, of a node or the global ones (the kfuncs without a node argument). Errors return the
  // empty mask.
  static constexpr s32 kGlobalMask = INT32_MIN;
  const cpumask *idle_cpumask(ExtSched &s, bool smt, s32 node);
  void cpuperf_set(ExtSched &s, s32 cpu, u32 perf);
  u32 cpuperf_cap(ExtSched &s, s32 cpu);
  u32 cpuperf_cur(ExtSched &s, s32 cpu);
  cgroup *task_cgroup(ExtSched &s, Task &p);  // With a reference.
  void events(scx_event_stats *out);          // Of the root scheduler, summed over CPUs.
  void set_slice_bypass_us(u32 us);           // Module parameters of sched_ext, for what comes next.
  void set_bypass_lb_intv_us(u32 us);
  void dump_text(ExtSched &s, const std::string &text);  // scx_bpf_dump()
  Task *tid_to_task(u64 tid);

  struct Impl;  // impl.h, for this folder.

 private:
  friend struct ExtInternal;
  std::unique_ptr<Impl> impl_;
};

std::unique_ptr<SchedClass> make_ext_class(Kernel &kernel);

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_EXT_H_
