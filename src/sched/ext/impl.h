// SPDX-License-Identifier: GPL-2.0-only
// The inside of the sched_ext core, split over the .cc files of this folder by subject; each group below names its
// file.
//
// Threading: methods run on a CPU with the locks that docs/reference/core.md gives; those named *_locked or with an Rq&
// first need that rq's lock. No method suspends, apart from the work functions of enable.cc and disable.cc, which run
// on kernel threads.
#ifndef USCX_SCHED_EXT_IMPL_H_
#define USCX_SCHED_EXT_IMPL_H_

#include <deque>
#include <unordered_map>
#include <utility>

#include "base/alloc_faults.h"
#include "sched/ext/cids.h"
#include "sched/ext/ext.h"
#include "sched/ext/ext_sched.h"
#include "sched/ext/idle.h"
#include "sched/ext/kick_syncs.h"
#include "sched/mutation.h"

namespace uscx::sched {

using machine::Cost;
using machine::now_ns;
using machine::Owner;
using machine::this_cpu;
using trace::EventType;

u32 weight_of(const Task &p);           // What schedulers see: 1..10000, 100 at nice 0.
std::string task_label(const Task &p);  // "comm[pid]"

// ops_state, the word that owners of a task hand to each other. The kernel's layout: state in the low two bits.
namespace opss {
inline u64 load(const Task &p) {
  machine::atomic_read(&p.ts.scx.ops_state);
  return __atomic_load_n(&p.ts.scx.ops_state.counter, __ATOMIC_ACQUIRE);
}
// What it is for a check that is no part of the protocol.
inline u64 peek(const Task &p) { return static_cast<u64>(machine::racy_load(p.ts.scx.ops_state.counter)); }
inline void store_release(Task &p, u64 value) {
  machine::atomic_write(&p.ts.scx.ops_state);
  __atomic_store_n(&p.ts.scx.ops_state.counter, static_cast<s64>(value), __ATOMIC_RELEASE);
}
inline bool compare_exchange(Task &p, u64 from, u64 to) {
  machine::atomic_write(&p.ts.scx.ops_state);
  s64 expected = static_cast<s64>(from);
  if (!machine::concurrent()) {
    const bool same = p.ts.scx.ops_state.counter == expected;
    if (same) p.ts.scx.ops_state.counter = static_cast<s64>(to);
    return same;
  }
  return __atomic_compare_exchange_n(&p.ts.scx.ops_state.counter, &expected, static_cast<s64>(to), false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
inline u64 state(u64 word) { return word & ((1u << SCX_OPSS_QSEQ_SHIFT) - 1); }
inline u64 qseq(u64 word) { return word & ~((u64{1} << SCX_OPSS_QSEQ_SHIFT) - 1); }
}  // namespace opss

// A lock that kernel threads sleep on.
class SleepMutex {
 public:
  void lock(KthreadApi &self);
  void unlock(Kernel &kernel);

 private:
  bool take_or_wait(Task &task);
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "sleep_mutex"};
  Task *owner_ = nullptr;
  std::deque<Task *> waiters_;
};

// Structures whose addresses programs are given as arguments.
struct ArgScratch {
  scx_init_task_args init_task;
  scx_exit_task_args exit_task;
  scx_dump_ctx dump;
  scx_cpu_release_args cpu_release;
  scx_cgroup_init_args cgroup_init;
  char dump_reason[128];
};

struct Ext::Impl {
  Impl(Ext &ext, Kernel &kernel);
  ~Impl();

  // While it lives, this CPU carries out what the scheduler asked for at `site`: errors that come up are that call's,
  // unless another callback is at fault.
  class VerdictScope {
   public:
    VerdictScope(Impl &impl, const CallSite &site);
    ~VerdictScope();
    VerdictScope(const VerdictScope &) = delete;
    VerdictScope &operator=(const VerdictScope &) = delete;
    const CallSite site;
    const CallContext *const context;

   private:
    const VerdictScope *&slot_;
    const VerdictScope *const outer_;
  };

  struct PerCpu {
    CallContext *context = nullptr;
    Task *ddsp_task = nullptr;  // Set while select_cpu or enqueue of that task runs: inserts are recorded on it.
    CallSite ddsp_site;         // Where the last of those inserts was.
    const VerdictScope *verdict = nullptr;  // What is being carried out now.
    std::vector<std::unique_ptr<Dsq>> dead_dsqs;
    std::vector<ExtSched *> exit_irqs;  // Exits claimed on this CPU, whose second half is owed.
    u64 next_tid = 0, tid_end = 0;
    ArgScratch *args = nullptr;  // Made at first use.
  };
  struct DumpState;

  // Where an error that comes up now, on this CPU, comes from: "ops.dispatch: qmap_dispatch, x.bpf.c:3: TEXT", or "".
  std::string error_site(const ExtSched &s);
  CallSite unpark(Rq &rq, Task &p);
  CallSite site_here();  // Of the scheduler's code that calls now.

  // --- calling operations (inline below) ---
  template <typename Fn>
  auto call(Op op, Rq *locked_rq, Task *subject, Fn fn) {
    return call2(op, locked_rq, subject, nullptr, fn);
  }
  template <typename Fn>
  auto call2(Op op, Rq *locked_rq, Task *subject, Task *subject2, Fn fn);

  // --- small things: ext.cc ---
  ExtSched *sched_of_task(const Task &p) const { return p.ext_sched; }
  void lock(Rq &rq) { rq_lock(rq); }
  void unlock(Rq &rq) { rq_unlock(rq); }
  void lock_dsq(Dsq &dsq);
  void unlock_dsq(Dsq &dsq);
  bool rq_online(const Rq &rq) const { return (rq.scx_flags() & SCX_RQ_ONLINE) && kernel.cpu_active(rq.cpu); }
  bool in_ext(const Task *p) const { return p && p->sched_class == &kernel.ext_class(); }
  // Who may change p's scx.flags: the holder of its rq's lock or, while ops_state is DISPATCHING, the dispatcher.
  Owner flags_owner(const Task &p) const {
    const Rq &rq = kernel.task_rq(p);
    return rq.lock.held_here() ? Owner(rq.lock) : dispatching_owner(p);
  }
  static Owner dispatching_owner(const Task &p) {
    if (machine::concurrent()) CHECK(opss::state(opss::peek(p)) == SCX_OPSS_DISPATCHING, "{}", task_label(p));
    return Owner::because("ops_state is DISPATCHING");
  }
  bool queued(const Task &p) const { return p.scx_flags() & SCX_TASK_QUEUED; }
  void count(ExtSched &s, EventCounter counter, s64 delta = 1) {
    machine::change(s.cpus[this_cpu()].events.*counter, "an event's count", Owner::of_cpu(this_cpu()),
                    [=](s64 value) { return value + delta; });
  }
  ArgScratch &args();  // This CPU's.
  void sum_events(const ExtSched &s, scx_event_stats *out) const;
  void trace(EventType type, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) { machine.trace(type, a0, a1, a2, a3); }
  u64 trace_text(const std::string &text) { return machine.tracer().text(text); }
  void init_rqs();
  void set_state(u32 next);
  bool cpu_ok(ExtSched &s, s32 cpu, const char *where = nullptr);
  bool cid_ok(ExtSched &s, s32 cid);
  // The CPU that SCX_DSQ_LOCAL_ON names, in the scheduler's own numbers; negative, with an error, if there is none.
  s32 local_on_cpu(ExtSched &s, u64 dsq_id, const char *where = nullptr);
  void error(ExtSched &s, const std::string &msg) {
    claim_exit(s, SCX_EXIT_ERROR, 0, msg, static_cast<s32>(this_cpu()));
  }

  void hotplug(u32 cpu, bool online);

  // --- task states: state.cc ---
  void set_task_state(Owner owner, Task &p, u32 state);
  u32 task_state(const Task &p) const { return p.scx_flags() & SCX_TASK_STATE_MASK; }
  void init_entity(Task &p);
  void set_tid(Task &p, bool known);  // scx_bpf_tid_to_task() finds it.
  void reject_task(Task &p);
  void heed_disallow(ExtSched &s, Task &p, bool fork);
  int call_init_task(ExtSched &s, Task &p, bool fork);
  int init_task(ExtSched &s, Task &p, bool fork);
  void adopt(Owner owner, ExtSched &s, Task &p);
  void enable_task(Rq &rq, Task &p);
  void disable_task(Rq &rq, Task &p);
  void exit_task(Rq &rq, Task &p);
  void tell_exit(ExtSched &s, Rq &rq, Task &p, bool cancelled);
  int sanitize_errno(ExtSched &s, const char *op, s32 ret);
  void update_weight(Rq &rq, Task &p);

  // --- enqueueing: enqueue.cc ---
  void enqueue_task(Rq &rq, Task &p, u64 flags);
  void dequeue_task(Rq &rq, Task &p, u64 flags);
  void do_enqueue(Rq &rq, Task &p, u64 enq_flags, s32 sticky_cpu);
  void call_enqueue(ExtSched &s, Rq &rq, Task &p, u64 enq_flags);
  void enqueue_fallback(ExtSched &s, Rq &rq, Dsq &dsq, Task &p, u64 enq_flags);
  void refill_slice(ExtSched &s, Task &p);
  void clear_direct_dispatch(Task &p);
  void direct_dispatch(ExtSched &s, Rq &rq, Task &p, u64 enq_flags);
  Dsq &find_dsq_for_insert(ExtSched &s, Rq &rq, u64 dsq_id, Task &p, u64 *enq_flags);
  Dsq &global_dsq_of(ExtSched &s, const Task &p);
  void insert(ExtSched &s, Dsq &dsq, Task &p, u64 enq_flags);
  void check_insert_order(ExtSched &s, const Dsq &dsq, u64 *enq_flags);
  void after_local_insert(ExtSched &s, Rq &rq, Task &p, u64 enq_flags);
  // The scheduler hands p on, if it has it.
  void leave_custody(ExtSched &s, Rq *locked_rq, Task &p, u64 deq_flags) {
    if (p.scx_flags() & SCX_TASK_IN_CUSTODY) end_custody(s, locked_rq, p, deq_flags);
  }
  void end_custody(ExtSched &s, Rq *locked_rq, Task &p, u64 deq_flags);
  void ops_dequeue(Rq &rq, Task &p, u64 deq_flags);
  void dsq_dequeue(Rq &rq, Task &p);
  void unlink_from_dsq(Dsq &dsq, Task &p);
  void set_runnable(Rq &rq, Task &p);
  static void clear_runnable(Rq &rq, Task &p) {
    if (!p.runnable_node.is_linked()) return;
    auto &list = rq.ext.runnable_list.write();
    list.erase(list.iterator_to(p));
  }

  // --- dispatching: dispatch.cc ---
  u32 dispatch_pick(Rq &rq, Task *prev);
  u32 dispatch_sched(ExtSched &s, Rq &rq, Task *prev);
  u32 dispatch_rounds(ExtSched &s, Rq &rq, Task *prev);
  void flush_dispatch_buffer(ExtSched &s, Rq &rq);
  void finish_dispatch(ExtSched &s, Rq &rq, const DispatchEntry &entry);
  void dispatch_to_local(ExtSched &s, Rq &rq, Dsq &dst, Task &p, u64 enq_flags);
  bool consume(ExtSched &s, Rq &rq, Dsq &dsq, u64 enq_flags = 0) {
    return dsq.nr.load() && consume_some(s, rq, dsq, enq_flags);  // Most queues that are looked at are empty.
  }
  bool consume_some(ExtSched &s, Rq &rq, Dsq &dsq, u64 enq_flags);
  bool can_run_on(ExtSched &s, Task &p, Rq &rq, bool enforce);
  void move_local(ExtSched &s, Rq &rq, Dsq &src, Task &p, u64 enq_flags);
  void move_remote(Rq &src, Rq &dst, Task &p, u64 enq_flags);

  // --- for kfuncs: dsq_kfuncs.cc, kfuncs.cc ---
  bool vet_enq_flags(ExtSched &s, u64 dsq_id, u64 *enq_flags);
  bool insert_preamble(ExtSched &s, Task &p, u64 dsq_id, u64 *enq_flags);
  void insert_commit(ExtSched &s, Task &p, u64 dsq_id, u64 enq_flags);
  s32 select_cpu_kfunc(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags);
  s32 check_node(ExtSched &s, s32 node);
  DsqIter *iter_of(const void *storage);
  bool owns_moved(ExtSched &s, const Task &p);
  Rq *move_between_dsqs(ExtSched &s, Rq &src, Dsq &from, Dsq &target, Task &p, u64 enq_flags);

  // --- the class: ext_class.cc ---
  Task *pick_task(Rq &rq, Task *prev, bool *retry);
  void put_prev(Rq &rq, Task &p, Task *next);
  void set_next(Rq &rq, Task &p);
  void switch_class(Rq &rq, Task *next);
  void update_curr(Rq &rq);
  void tick(Rq &rq, Task &p);
  u32 select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags);
  void bump_kick_sync(Rq &rq);

  // --- deferred work of an rq: deferred.cc ---
  void schedule_deferred(Rq &rq);
  void run_deferred(Rq &rq);
  void schedule_reenq_local(Rq &rq);
  void ask_reenq_local(Rq &rq, ExtSched *of);
  bool take_reenq_local(Rq &rq, std::vector<ExtSched *> *of);
  bool take_reenq_user(Rq &rq, UserReenq *request);
  u32 reenq_local(Rq &rq, const std::vector<ExtSched *> &all_of);
  void reenq_user(Rq &rq, const UserReenq &request);
  bool rq_open(const Rq &rq, u64 enq_flags) const;
  static void balance_callback(Kernel &kernel, Rq &rq);
  void queue_balance_callback(Rq &rq);

  // --- kicks: kick.cc ---
  void kick(ExtSched *s, u32 cpu, u64 flags);
  void run_kicks(Rq &this_rq);
  bool kick_one(Rq &this_rq, u32 cpu, u64 *syncs);
  void kick_one_if_idle(u32 cpu);
  void start_sync_wait(Rq &rq);
  void continue_sync_wait(Rq &rq);
  void set_spinning(Rq &rq, bool on);
  bool drop_synced(Rq &rq);

  // --- bypass: bypass.cc ---
  void bypass(ExtSched &s, bool on);
  void change_bypass(ExtSched &s, bool on);
  bool any_bypass();
  void cycle_runnable(Rq &rq, const ExtSched *only);
  void bypass_lb_work();
  void balance_bypass_node(ExtSched &s, u32 node);
  u32 move_bypassed(ExtSched &s, Rq &donor, Rq &receiver, u32 nr_donor, u32 *nr_receiver, u32 target, u32 limit);

  // --- control groups: cgroup.cc ---
  int cgroup_init(ExtSched &s, TaskGroup &group);
  bool init_cgroups(ExtSched &s);
  void exit_cgroups(ExtSched &s);
  void cancel_moves(ExtSched &s, const std::vector<CgroupMove> &moves);

  // --- life cycle: enable.cc, disable.cc ---
  int attach(ExtOps &ops);
  int prepare_load(const ExtOps &ops);  // 0, or why it cannot even begin.
  void queue_load(Load &load);
  int enable_work(KthreadApi &self, ExtOps &ops);
  ExtSched *alloc_for_load(ExtOps &ops);
  ExtSched *make_sched(ExtOps &ops, ExtSched *parent, Cgroup &cgroup);
  bool init_ops(ExtSched &s);
  bool enable_prepare(ExtSched &s);
  void attach_dl_servers(bool fair, bool ext_too);
  bool enable_tasks(ExtSched &s);
  void enable_switch(ExtSched &s);
  void switch_tasks(ExtSched &s);
  bool enable_finish(ExtSched &s);
  bool validate(ExtSched &s);
  const char *problem_of(const ExtSched &s) const;
  void wait_disabled(KthreadApi &self, ExtSched &s);
  bool is_disabled(ExtSched &s, Task *waiter);
  void disable_begin(ExtSched &s);
  void disable_end(ExtSched &s);
  void disable_work(KthreadApi &self, ExtSched &s);
  void disable_tasks();
  void call_exit(ExtSched &s);
  void forget_requests(Rq &rq, const ExtSched &s);
  void mark_disabled(ExtSched &s);
  void log_disabled(ExtSched &s);
  void remember_exit(ExtSched &s);
  void release(ExtOps &ops);
  void reap();
  void detach(ExtOps &ops);
  void run_until_done(const std::function<bool()> &done);

  // --- sub-schedulers: sub.cc, sub_life.cc ---
  std::vector<ExtSched *> subtree(ExtSched &s);
  ExtSched *find_sub(u64 cgroup_id);
  ExtSched &sched_for(const Cgroup &cgroup, bool open_only);
  void link_sub(ExtSched &s);
  void unlink_sub(ExtSched &s);
  bool is_drained(ExtSched &s, Task *waiter);
  void lock_drained(KthreadApi &self, ExtSched &s);
  void exit_children(ExtSched &s);
  void exit_offline(ExtSched &s);
  ExtSched &bypass_host(ExtSched &s, u32 cpu);
  bool dispatch_for_children(ExtSched &s, Rq &rq);
  int init_for_sub(ExtSched &s, Task &p);
  void change_owner(Rq &rq, Task &p, ExtSched &to);
  void hand_over(Task &p, ExtSched &to);
  void orphan(Task &p);
  bool take_tasks(ExtSched &s);
  void give_back_tasks(ExtSched &s);
  int place_sub(u64 cgroup_id, ExtSched **parent, Cgroup **cgroup);
  ExtSched *begin_sub(ExtOps &ops, int *result);
  int enable_sub(KthreadApi &self, ExtOps &ops);
  bool prepare_sub(ExtSched &s);
  bool start_sub(ExtSched &s);
  void disable_sub(KthreadApi &self, ExtSched &s);
  void disable_sub_begin(ExtSched &s);
  void disable_sub_end(ExtSched &s);

  // --- exits and dumps: exit.cc, dump.cc ---
  bool claim_exit(ExtSched &s, u32 kind, s64 code, const std::string &msg, s32 cpu);
  void finish_exit(ExtSched &s);
  void dump(ExtSched &s, const ExitRecord &record, size_t capacity, std::string *out);
  void dump_cpu(DumpState &d, ExtSched &s, Rq &rq);
  void dump_cpu_fields(DumpState &d, Rq &rq);
  void dump_task(DumpState &d, ExtSched &s, Rq &rq, Task &p, char marker);

  // --- watchdog.cc ---
  void start_watchdog(ExtSched &s);
  void watchdog_checked_in(ExtSched &s);
  void watchdog_work();
  bool check_runnable(Rq &rq);
  u64 watchdog_interval_ns();
  void refresh_watchdog();
  void tick_check();

  Ext &ext;
  Kernel &kernel;
  machine::Machine &machine;
  std::vector<PerCpu> cpus;
  IdleTracker idle;
  Cids cids;

  // Life cycle. Written on kernel threads, with enable_mutex where it says so.
  SleepMutex enable_mutex;
  machine::Shared<u32> state{SCX_DISABLED};
  machine::Published<ExtSched *> root;  // Readers are RCU readers.
  machine::Racy<bool> enabled;
  machine::Racy<bool> switching_all;
  machine::Racy<bool> switched_all;
  machine::Racy<bool> task_init_enabled;  // Changes with the fork lock held, as tid_lookup does.
  machine::Racy<bool> tid_lookup;
  bool cgroups_on = false;  // The root scheduler hears of control groups. Both of CgroupTree's locks.
  machine::Racy<u64> nr_rejected;
  machine::Racy<u64> enable_seq;
  machine::Racy<u64> hotplug_seq = 1;
  bool rqs_ready = false;
  std::unique_ptr<KthreadWorker> enable_helper;
  machine::SpinLock tid_lock{machine::SpinLock::Kind::kPrivate, "tid"};  // A leaf.
  std::unordered_map<u64, Task *> by_tid;                                // Looked up only, never walked.
  u64 next_tid_chunk = 1;

  AllocFaults alloc_faults;
  const CallSites *call_sites = nullptr;
  KickSyncs kick_syncs;
  machine::Racy<bool> warned_null_syncs;
  // CPUs with sync_spinning, as bits, so that who bumps a counter looks at those only.
  std::atomic<u32> nr_spinning = 0;
  std::unique_ptr<std::atomic<u64>[]> spinning;

  // Held for a whole change of the bypass mode; rq locks are taken under it.
  machine::SpinLock bypass_lock{machine::SpinLock::Kind::kPrivate, "bypass"};
  u64 slice_bypass_ns = SCX_SLICE_BYPASS;
  u64 bypass_lb_intv_ns = u64{SCX_BYPASS_LB_DFL_INTV_US} * 1000;
  DelayedWork bypass_lb{kernel};

  DelayedWork watchdog{kernel};
  machine::SimEvent check_in_timer;
  machine::Racy<u64> watchdog_at_jiffies;

  // A leaf: who is in the tree, all, graveyard and last_*.
  machine::SpinLock scheds_lock{machine::SpinLock::Kind::kPrivate, "scheds"};
  machine::Racy<u32> nr_subs;                                             // Sub-schedulers in the tree.
  machine::Plain<std::vector<ExtSched *>> all{"the list of schedulers"};  // Those not freed yet, oldest first.
  std::vector<ExtSched *> graveyard;  // Released, grace period over; reap_work frees them.
  Work reap_work;
  const ExtOps *last_ops = nullptr;
  std::shared_ptr<ExitRecord> last_exit;

  // One dump at a time; rq locks are taken under it. Whoever dumps may look at `dumping`.
  machine::SpinLock dump_lock{machine::SpinLock::Kind::kPrivate, "dump"};
  DumpState *dumping = nullptr;
  machine::Racy<u32> dumping_cpu = ~0u;

  struct IterPool;
  machine::SpinLock iters_lock{machine::SpinLock::Kind::kPrivate, "iters"};  // A leaf: which slots are free.
  std::unique_ptr<IterPool> iters;
};

// The one way into an operation: what kfuncs may do depends on the context that is pushed here.
template <typename Fn>
auto Ext::Impl::call2(Op op, Rq *locked_rq, Task *subject, Task *subject2, Fn fn) {
  CallContext *&top = cpus[this_cpu()].context;
  CallContext context{op, locked_rq, {subject, subject2}, top};
  struct Pop {
    CallContext *&top;
    CallContext *outer;
    ~Pop() { top = outer; }
  } pop{top, top};
  top = &context;
  Kernel::charge(Cost::bpf_callback);
  machine::explore_point();
  return fn();
}

struct ExtInternal {
  static Ext::Impl &impl(Ext &ext) { return *ext.impl_; }
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_IMPL_H_
