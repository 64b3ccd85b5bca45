// SPDX-License-Identifier: GPL-2.0-only
// The scheduling class (docs/reference/core.md, sections 7 and 8): what the core asks of ext, and the operations that
// tell the scheduler about a task's way over a CPU. The rq lock is held unless class.h says otherwise.
#include <algorithm>
#include <bit>

#include "sched/ext/impl.h"

namespace uscx::sched {

// --- picking ---

Task *Ext::Impl::pick_task(Rq &rq, Task *, bool *retry) {
  if (!enabled && !rq.shared->scx.nr_running) return nullptr;
  if (!root) return nullptr;
  // Higher classes have been asked before this one; only what comes from now on counts.
  if (rq.next_class->above(kernel.ext_class())) rq.next_class = &kernel.ext_class();
  Task *const prev = rq.curr;
  const u32 verdict = dispatch_pick(rq, prev);
  if (rq.ext.kick_sync_pending || rq.ext.deferred_pending) queue_balance_callback(rq);
  // For its deadline server only what is above that one counts.
  const SchedClass &own = rq.picking_server ? kernel.dl_class() : kernel.ext_class();
  if (rq.next_class->above(own)) {
    *retry = true;
    return nullptr;
  }
  if (verdict == SCX_DSP_PREV) {
    if (!prev->slice()) refill_slice(*prev->ext_sched, *prev);
    return prev;
  }
  if (verdict != SCX_DSP_LOCAL) return nullptr;
  Task *p = rq.ext.local_dsq.first();
  if (!p) return nullptr;
  ExtSched &s = *p->ext_sched;
  if (!p->slice()) {
    if (!s.bypassing(rq.cpu) && !s.warned_zero_slice) {
      kernel.log(fmt::format("sched_ext: {} has zero slice in pick_task_scx()", task_label(*p)));
      s.warned_zero_slice = true;
    }
    refill_slice(s, *p);
  }
  return p;
}

// This CPU has gone through the scheduler once more; whoever waits for that (SCX_KICK_WAIT) may go on.
void Ext::Impl::bump_kick_sync(Rq &rq) {
  // Pairs with continue_sync_wait(): either the counter is seen there, or the wait is seen here.
  unsigned long &kick_sync = rq.shared->scx.kick_sync;
  if (machine::on_threads())
    __atomic_fetch_add(&kick_sync, 1, __ATOMIC_SEQ_CST);
  else
    kick_sync++;
  if (!nr_spinning) return;
  for (u32 word = 0; word < machine::mask_words(kernel.nr_cpus()); word++)
    for (u64 bits = spinning[word].load(); bits; bits &= bits - 1) {
      const u32 cpu = word * 64 + static_cast<u32>(std::countr_zero(bits));
      if (kernel.rq(cpu).ext.to_sync.test(rq.cpu)) machine.raise_irq_work(cpu);
    }
}

void Ext::Impl::put_prev(Rq &rq, Task &p, Task *next) {
  bump_kick_sync(rq);
  update_curr(rq);
  ExtSched &s = *p.ext_sched;
  if (queued(p)) {
    if (s.has(Op::stopping)) call(Op::stopping, &rq, &p, [&] { s.ops.stopping(&p.ts, true); });
    set_runnable(rq, p);
    if (p.slice() && !s.bypassing(rq.cpu)) {
      // A higher class took the CPU. The rest of the slice is p's, unless it was promised to run at once or not at all.
      if (p.scx_flags() & SCX_TASK_IMMED) {
        p.set_scx_flags(rq.lock, SCX_TASK_REENQ_PREEMPTED);
        do_enqueue(rq, p, SCX_ENQ_REENQ, -1);
        p.clear_scx_flags(rq.lock, SCX_TASK_REENQ_REASON_MASK);
      } else {
        insert(s, rq.ext.local_dsq, p, SCX_ENQ_HEAD);
      }
    } else {
      const bool last = next && kernel.ext_class().above(*next->sched_class);
      do_enqueue(rq, p, last ? u64{SCX_ENQ_LAST} : 0, -1);
    }
  }
  if (next && next->sched_class != &kernel.ext_class()) switch_class(rq, next);
}

namespace {

scx_cpu_preempt_reason preempt_reason(const SchedClass &next) {
  switch (next.rank()) {
    case SchedClass::kRt: return SCX_CPU_PREEMPT_RT;
    case SchedClass::kDl: return SCX_CPU_PREEMPT_DL;
    case SchedClass::kStop: return SCX_CPU_PREEMPT_STOP;
    default: return SCX_CPU_PREEMPT_UNKNOWN;
  }
}

}  // namespace

// The CPU goes to another class.
void Ext::Impl::switch_class(Rq &rq, Task *next) {
  ExtSched *s = root;
  if (!s || !s->flag(SCX_OPS_HAS_CPU_PREEMPT)) return;
  if (!next->sched_class->above(kernel.ext_class()) || rq.shared->scx.cpu_released) return;
  if (s->has(Op::cpu_release)) {
    args().cpu_release = {.reason = preempt_reason(*next->sched_class), .task = &next->ts};
    call(Op::cpu_release, &rq, nullptr, [&] { s->ops.cpu_release(static_cast<s32>(rq.cpu), &args().cpu_release); });
  }
  rq.shared->scx.cpu_released = true;
}

void Ext::Impl::set_next(Rq &rq, Task &p) {
  ExtSched &s = *p.ext_sched;
  if (queued(p)) {
    // Out of whatever holds it. A pick takes from the local DSQ, so the scheduler owns p only in a property change.
    ops_dequeue(rq, p, SCX_DEQ_CORE_SCHED_EXEC);
    dsq_dequeue(rq, p);
  }
  p.ts.se.exec_start = rq.clock_ns;
  if (queued(p) && s.has(Op::running)) call(Op::running, &rq, &p, [&] { s.ops.running(&p.ts); });
  clear_runnable(rq, p);
  p.set_scx_flags(rq.lock, SCX_TASK_RESET_RUNNABLE_AT);
  if (p.slice() == SCX_SLICE_INF)
    rq.set_scx_flags(SCX_RQ_CAN_STOP_TICK);
  else
    rq.clear_scx_flags(SCX_RQ_CAN_STOP_TICK);
}

// --- time ---

void Ext::Impl::update_curr(Rq &rq) {
  Task &p = *rq.curr;
  const u64 delta_ns = kernel.update_curr_common(rq);
  kernel.dl_server_used(rq.ext_server, delta_ns);
  if (p.slice() == SCX_SLICE_INF) return;
  // A program may store a slice at the same time. As in the kernel, one of the two is then lost.
  machine::change(p.ts.scx.slice, "a slice", rq.lock, [=](u64 slice) { return slice - std::min(slice, delta_ns); });
}

void Ext::Impl::tick(Rq &rq, Task &p) {
  update_curr(rq);
  ExtSched &s = *p.ext_sched;
  if (s.bypassing(rq.cpu))
    p.set_slice(0);
  else if (s.has(Op::tick))
    call(Op::tick, &rq, &p, [&] { s.ops.tick(&p.ts); });
  if (!p.slice()) kernel.resched_curr(rq);
}

bool Ext::can_stop_tick(const Rq &rq) const {
  const Task &curr = *rq.curr;
  if (curr.sched_class != &impl_->kernel.ext_class() || !rq.shared->scx.nr_running) return true;
  const ExtSched *s = curr.ext_sched;
  return s && !s->bypassing(rq.cpu) && (rq.scx_flags() & SCX_RQ_CAN_STOP_TICK);
}

// --- choosing a CPU ---

u32 Ext::Impl::select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) {
  if (wake_flags & WF_EXEC) return prev_cpu;
  ExtSched *const s = p.ext_sched;
  if (!s) return prev_cpu;
  const bool bypassing = s->bypassing(p.cpu);
  if (s->has(Op::select_cpu) && !bypassing) {
    PerCpu &here = cpus[this_cpu()];
    Rq &this_rq = kernel.this_rq();
    Task *const outer = std::exchange(here.ddsp_task, &p);
    this_rq.shared->scx.in_select_cpu = true;
    const s32 cpu = call(Op::select_cpu, nullptr, &p,
                         [&] { return s->ops.select_cpu(&p.ts, static_cast<s32>(prev_cpu), wake_flags); });
    this_rq.shared->scx.in_select_cpu = false;
    here.ddsp_task = outer;
    p.ts.scx.selected_cpu = cpu;
    return cpu_ok(*s, cpu, "from ops.select_cpu()") ? static_cast<u32>(cpu) : prev_cpu;
  }
  const s32 idle_cpu = idle.select_cpu_dfl(p, static_cast<s32>(prev_cpu), wake_flags, nullptr, 0);
  if (idle_cpu >= 0) {
    refill_slice(*s, p);
    p.ts.scx.ddsp_dsq_id = SCX_DSQ_LOCAL;
    p.ts.scx.ddsp_enq_flags = 0;
  }
  const u32 cpu = idle_cpu >= 0 ? static_cast<u32>(idle_cpu) : prev_cpu;
  p.ts.scx.selected_cpu = static_cast<s32>(cpu);
  if (bypassing) count(*s, &scx_event_stats::SCX_EV_BYPASS_DISPATCH);
  return cpu;
}

// --- the class object ---

namespace {

class ExtClass final : public SchedClass {
 public:
  explicit ExtClass(Kernel &kernel) : SchedClass(kernel, kExt, "ext_sched_class") {}

  void enqueue_task(Rq &rq, Task &p, u64 flags) override { impl().enqueue_task(rq, p, flags); }
  void dequeue_task(Rq &rq, Task &p, u64 flags) override { impl().dequeue_task(rq, p, flags); }
  void yield_task(Rq &rq) override {
    Task &p = *rq.curr;
    ExtSched &s = *p.ext_sched;
    if (s.has(Op::yield))
      impl().call(Op::yield, &rq, &p, [&] { return s.ops.yield(&p.ts, nullptr); });
    else
      p.set_slice(0);
  }
  // Ext tasks do not preempt each other by waking up. A higher class's wakeup ends the promise made to IMMED tasks.
  void wakeup_preempt(Rq &rq, Task &p, u64) override {
    if (p.sched_class->above(*this) && rq.ext.nr_immed) impl().schedule_reenq_local(rq);
  }
  Task *pick_task(Rq &rq, Task *prev, bool *retry) override { return impl().pick_task(rq, prev, retry); }
  void put_prev_task(Rq &rq, Task &p, Task *next) override { impl().put_prev(rq, p, next); }
  void set_next_task(Rq &rq, Task &p, bool) override { impl().set_next(rq, p); }
  u32 select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) override {
    return impl().select_task_rq(p, prev_cpu, wake_flags);
  }
  void task_woken(Rq &rq, Task &) override {
    if (rq.ext.deferred_pending) impl().run_deferred(rq);
  }
  void task_tick(Rq &rq, Task &p) override { impl().tick(rq, p); }
  void update_curr(Rq &rq) override { impl().update_curr(rq); }
  void switching_to(Rq &rq, Task &p) override {
    if (p.dead) return;
    impl().enable_task(rq, p);
    set_cpus_allowed(p);
  }
  void switched_from(Rq &rq, Task &p) override {
    if (!p.dead && impl().task_state(p) == SCX_TASK_ENABLED) impl().disable_task(rq, p);
  }
  void reweight_task(Rq &rq, Task &p) override {
    if (!p.dead && p.ext_sched) impl().update_weight(rq, p);
  }
  void set_cpus_allowed(Task &p) override {
    ExtSched *s = p.ext_sched;
    if (p.dead || !s || !s->has(Op::set_cpumask)) return;
    impl().call(Op::set_cpumask, &kernel_.task_rq(p), &p, [&] { s->ops.set_cpumask(&p.ts, p.cpus_ptr()); });
  }
  void rq_online(Rq &rq) override { kernel_.ext().rq_online(rq); }
  void rq_offline(Rq &rq) override { kernel_.ext().rq_offline(rq); }

 private:
  Ext::Impl &impl() { return ExtInternal::impl(kernel_.ext()); }
};

}  // namespace

std::unique_ptr<SchedClass> make_ext_class(Kernel &kernel) { return std::make_unique<ExtClass>(kernel); }

}  // namespace uscx::sched
