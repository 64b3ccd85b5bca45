// SPDX-License-Identifier: GPL-2.0-only
// Dispatching (docs/reference/core.md, sections 2, 4 and 7): how a CPU that needs a task gets one, and how tasks move
// between run queues. Entered with the rq's lock held, inside the class's pick; the lock is dropped to reach other run
// queues, so callers must look again at everything afterwards.
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

constexpr u32 kMaxRounds = SCX_DSP_MAX_LOOPS;

bool may_run_here(const Task &p, const Rq &rq) { return !p.migration_disabled() && p.allowed_on(rq.cpu); }

}  // namespace

// --- the verdict of one pick ---

// Finds out what `rq` runs next: enum scx_dsp_verdict. prev is rq.curr and has not been put back yet.
u32 Ext::Impl::dispatch_pick(Rq &rq, Task *prev) {
  // A nested pick on a run queue that is dispatching finds nothing.
  if (rq.scx_flags() & SCX_RQ_IN_BALANCE) return SCX_DSP_NONE;
  bump_kick_sync(rq);
  rq.set_scx_flags(SCX_RQ_IN_BALANCE);
  ExtSched &s = *root;
  if (s.flag(SCX_OPS_HAS_CPU_PREEMPT) && rq.shared->scx.cpu_released) {
    if (s.has(Op::cpu_acquire))
      call(Op::cpu_acquire, &rq, nullptr, [&] { s.ops.cpu_acquire(static_cast<s32>(rq.cpu)); });
    rq.shared->scx.cpu_released = false;
  }
  const bool prev_in_ext = in_ext(prev);
  if (prev_in_ext) update_curr(rq);
  u32 verdict;
  if (prev_in_ext && queued(*prev) && prev->slice() && !s.bypassing(rq.cpu))
    verdict = SCX_DSP_PREV;
  else if (rq.ext.local_dsq.nr.load())
    verdict = SCX_DSP_LOCAL;
  else
    verdict = dispatch_sched(s, rq, prev_in_ext ? prev : nullptr);
  if (verdict == SCX_DSP_NONE && prev_in_ext && queued(*prev) && (!s.flag(SCX_OPS_ENQ_LAST) || s.bypassing(rq.cpu))) {
    count(s, &scx_event_stats::SCX_EV_DISPATCH_KEEP_LAST);
    verdict = SCX_DSP_PREV;
  }
  if (rq.ext.local_dsq.nr.load() > 1 && rq.ext.nr_immed) schedule_reenq_local(rq);
  rq.clear_scx_flags(SCX_RQ_IN_BALANCE);
  return verdict;
}

u32 Ext::Impl::dispatch_sched(ExtSched &s, Rq &rq, Task *prev) {
  SchedCpu &cpu = s.cpus[rq.cpu];
  if (consume(s, rq, s.global_dsq(machine.topology().node_of(rq.cpu)))) return SCX_DSP_LOCAL;
  if (cpu.bypassing) return consume(s, rq, cpu.bypass_dsq) ? SCX_DSP_LOCAL : SCX_DSP_NONE;
  if (cpu.bypass_dsq.nr.load() && dispatch_for_children(s, rq)) return SCX_DSP_LOCAL;
  if (s.has(Op::dispatch) && rq_online(rq)) {
    const u32 verdict = dispatch_rounds(s, rq, prev);
    if (verdict != SCX_DSP_NONE) return verdict;
  }
  // Bypass may have begun while the lock was dropped; and children's tasks are better than none.
  return consume(s, rq, cpu.bypass_dsq) ? SCX_DSP_LOCAL : SCX_DSP_NONE;
}

// A dispatched task may be taken away again while locks are dropped, so the scheduler is asked until it gives nothing.
u32 Ext::Impl::dispatch_rounds(ExtSched &s, Rq &rq, Task *prev) {
  SchedCpu &cpu = s.cpus[rq.cpu];
  task_struct *prev_ts = prev && prev->ext_sched == &s ? &prev->ts : nullptr;
  for (u32 round = 1;; round++) {
    Kernel::charge(Cost::dispatch_round);
    cpu.nr_dispatched = 0;
    call(Op::dispatch, &rq, prev, [&] { s.ops.dispatch(static_cast<s32>(rq.cpu), prev_ts); });
    flush_dispatch_buffer(s, rq);
    trace(EventType::scx_dispatch, cpu.nr_dispatched, round);
    if (prev && queued(*prev) && prev->slice()) return SCX_DSP_PREV;
    if (rq.ext.local_dsq.nr.load()) return SCX_DSP_LOCAL;
    if (consume(s, rq, s.global_dsq(machine.topology().node_of(rq.cpu)))) return SCX_DSP_LOCAL;
    if (!cpu.nr_dispatched) return SCX_DSP_NONE;
    if (round == kMaxRounds && !mutated(Mutation::endless_dispatch)) {
      // It keeps dispatching what cannot run here. Let this CPU see to its interrupts and come back.
      kick(nullptr, rq.cpu, 0);
      return SCX_DSP_NONE;
    }
  }
}

// --- the dispatch buffer ---

void Ext::Impl::flush_dispatch_buffer(ExtSched &s, Rq &rq) {
  SchedCpu &cpu = s.cpus[rq.cpu];
  for (u32 i = 0; i < cpu.buffered; i++) finish_dispatch(s, rq, cpu.buffer[i]);
  cpu.nr_dispatched += cpu.buffered;
  cpu.buffered = 0;
}

// Claims the task of a buffered verdict, unless the verdict is stale, and moves it. Claiming needs no lock: whoever
// changes QUEUED to something else owns the task. Pairs with the release in call_enqueue().
void Ext::Impl::finish_dispatch(ExtSched &s, Rq &rq, const DispatchEntry &entry) {
  Task &p = *entry.task;
  for (;;) {
    const u64 word = opss::load(p);
    switch (opss::state(word)) {
      case SCX_OPSS_NONE:
      case SCX_OPSS_DISPATCHING: return;  // Dequeued, or another dispatcher was first.
      case SCX_OPSS_QUEUED:
        if (opss::qseq(word) != entry.qseq && !mutated(Mutation::no_qseq))
          return;  // Queued anew since: not what was meant.
        if (p.ext_sched != &s) return count(s, &scx_event_stats::SCX_EV_INSERT_NOT_OWNED);
        if (!opss::compare_exchange(p, word, SCX_OPSS_DISPATCHING)) continue;
        break;
      default: machine::spin_wait("a task that is being enqueued"); continue;
    }
    break;
  }
  const VerdictScope scope(*this, entry.site);
  u64 enq_flags = entry.enq_flags;
  Dsq &dsq = find_dsq_for_insert(s, rq, entry.dsq_id, p, &enq_flags);
  if (dsq.is_local())
    dispatch_to_local(s, rq, dsq, p, enq_flags);
  else
    insert(s, dsq, p, enq_flags | SCX_ENQ_CLEAR_OPSS);
}

// --- moving tasks ---

// May p be moved to rq, which is not its own? With enforce, a no is the scheduler's error. p's rq lock is held.
bool Ext::Impl::can_run_on(ExtSched &s, Task &p, Rq &rq, bool enforce) {
  if (p.migration_disabled()) {
    if (enforce)
      error(s, fmt::format("SCX_DSQ_LOCAL[_ON] cannot move migration disabled {} from CPU {} to {}", task_label(p),
                           p.cpu, rq.cpu));
    return false;
  }
  if (!p.allowed_on(rq.cpu)) {
    if (enforce) error(s, fmt::format("SCX_DSQ_LOCAL[_ON] target CPU {} not allowed for {}", rq.cpu, task_label(p)));
    return false;
  }
  if (!rq_online(rq)) {
    if (enforce) count(s, &scx_event_stats::SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE);
    return false;
  }
  return true;
}

// Moves a queued, unlinked task from src to dst. src is locked on entry, dst on return.
void Ext::Impl::move_remote(Rq &src, Rq &dst, Task &p, u64 enq_flags) {
  Kernel::charge(Cost::migrate_task);
  // Before the dequeue, which then knows that the scheduler does not lose p.
  p.ts.scx.sticky_cpu = static_cast<s32>(dst.cpu);
  kernel.update_rq_clock(src);
  kernel.deactivate_task(src, p, 0);
  kernel.set_task_cpu(p, dst.cpu);
  if (!mutated(Mutation::lock_order)) unlock(src);
  lock(dst);
  if (mutated(Mutation::lock_order)) unlock(src);
  kernel.update_rq_clock(dst);
  dst.ext.extra_enq_flags = enq_flags;
  kernel.activate_task(dst, p, 0);
  dst.ext.extra_enq_flags = 0;
}

// Brings p, whose ops_state this CPU has claimed, to a local DSQ that may be any CPU's. `rq` is locked before and
// after.
void Ext::Impl::dispatch_to_local(ExtSched &s, Rq &rq, Dsq &dst_dsq, Task &p, u64 enq_flags) {
  Rq &src = kernel.task_rq(p);
  Rq &dst = *dst_dsq.rq;
  if (&rq == &src && &rq == &dst) return insert(s, dst_dsq, p, enq_flags | SCX_ENQ_CLEAR_OPSS);

  // p's rq is not locked by us, so it may be dequeued at any time once ops_state is given back: holding_cpu tells.
  p.set_holding_cpu(static_cast<s32>(this_cpu()));
  opss::store_release(p, SCX_OPSS_NONE);
  Rq *locked = &rq;
  if (locked != &src) {
    unlock(*locked);
    lock(src);
    locked = &src;
  }
  const bool ours = p.holding_cpu() == static_cast<s32>(this_cpu()) || mutated(Mutation::no_holding_cpu);
  if (ours && &src == &kernel.task_rq(p)) {
    if (&src == &dst) {
      p.set_holding_cpu(-1);
      kernel.update_rq_clock(src);
      insert(s, dst_dsq, p, enq_flags);
    } else if (!can_run_on(s, p, dst, true)) {
      p.set_holding_cpu(-1);
      insert(s, global_dsq_of(s, p), p, enq_flags | SCX_ENQ_GDSQ_FALLBACK);
    } else {
      move_remote(src, dst, p, enq_flags);
      locked = &dst;
    }
  }
  if (locked != &rq) {
    unlock(*locked);
    lock(rq);
  }
}

// Takes the first task of dsq that may run on rq to rq's local DSQ. Tasks that may not are skipped and stay.
bool Ext::Impl::consume_some(ExtSched &s, Rq &rq, Dsq &dsq, u64 enq_flags) {
  do {
    lock_dsq(dsq);
    Task *p = nullptr;
    if (!s.aborting || dsq.id == SCX_DSQ_BYPASS)
      for (p = dsq.first(); p; p = dsq.next(*p))
        if (&kernel.task_rq(*p) == &rq || (may_run_here(*p, rq) && rq_online(rq))) break;
    if (!p) {
      unlock_dsq(dsq);
      return false;
    }
    Rq &src = kernel.task_rq(*p);
    unlink_from_dsq(dsq, *p);
    if (&src == &rq) {
      p->dsq = nullptr;
      unlock_dsq(dsq);
      insert(s, rq.ext.local_dsq, *p, enq_flags);
      return true;
    }
    // As in dispatch_to_local(): the mark survives only if nobody dequeues p before its rq is locked.
    p->set_holding_cpu(static_cast<s32>(this_cpu()));
    unlock_dsq(dsq);
    unlock(rq);
    lock(src);
    const bool ours = p->holding_cpu() == static_cast<s32>(this_cpu()) || mutated(Mutation::stale_affinity);
    if (ours && &src == &kernel.task_rq(*p)) {
      move_remote(src, rq, *p, enq_flags);
      return true;
    }
    unlock(src);
    lock(rq);
  } while (dsq.nr.load());
  return false;
}

// From a DSQ (locked, unlocked on return) to the local DSQ of p's own rq, whose lock is held.
void Ext::Impl::move_local(ExtSched &s, Rq &rq, Dsq &src, Task &p, u64 enq_flags) {
  unlink_from_dsq(src, p);
  p.dsq = nullptr;
  unlock_dsq(src);
  insert(s, rq.ext.local_dsq, p, enq_flags);
}

}  // namespace uscx::sched
