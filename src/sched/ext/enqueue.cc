// SPDX-License-Identifier: GPL-2.0-only
// Enqueueing and dequeueing (docs/reference/core.md, sections 2, 3 and 5): who gets a task that became queued,
// insertion into DSQs, and custody, the time during which the BPF scheduler answers for a task. The task's rq lock is
// held throughout.
#include <algorithm>

#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

// A dispatcher on another CPU has claimed the task and is about to put it on a DSQ.
void wait_for_state_change(const Task &) { machine::spin_wait("a task that is being dispatched"); }

}  // namespace

// --- small steps ---

void Ext::Impl::set_runnable(Rq &rq, Task &p) {
  if (p.scx_flags() & SCX_TASK_RESET_RUNNABLE_AT) {
    p.ts.scx.runnable_at = kernel.jiffies();
    p.clear_scx_flags(rq.lock, SCX_TASK_RESET_RUNNABLE_AT);
  }
  rq.ext.runnable_list.write().push_back(p);
}

void Ext::Impl::refill_slice(ExtSched &s, Task &p) {
  p.set_slice(s.slice_dfl);
  count(s, &scx_event_stats::SCX_EV_REFILL_SLICE_DFL);
}

void Ext::Impl::clear_direct_dispatch(Task &p) {
  p.ts.scx.ddsp_dsq_id = SCX_DSQ_INVALID;
  p.ts.scx.ddsp_enq_flags = 0;
}

Dsq &Ext::Impl::global_dsq_of(ExtSched &s, const Task &p) { return s.global_dsq(machine.topology().node_of(p.cpu)); }

// Fires ops.dequeue if the scheduler answers for p. locked_rq is the rq whose lock is held, not necessarily p's.
void Ext::Impl::end_custody(ExtSched &s, Rq *locked_rq, Task &p, u64 deq_flags) {
  p.clear_scx_flags(flags_owner(p), SCX_TASK_IN_CUSTODY);
  if (s.has(Op::dequeue)) call(Op::dequeue, locked_rq, &p, [&] { s.ops.dequeue(&p.ts, deq_flags); });
}

// --- insertion ---

// Where an insert goes. Bad targets are the scheduler's error, and the task goes to its node's global DSQ.
Dsq &Ext::Impl::find_dsq_for_insert(ExtSched &s, Rq &rq, u64 dsq_id, Task &p, u64 *enq_flags) {
  if (dsq_id == SCX_DSQ_LOCAL) return rq.ext.local_dsq;
  if ((dsq_id & SCX_DSQ_LOCAL_ON) == SCX_DSQ_LOCAL_ON) {
    const s32 cpu = local_on_cpu(s, dsq_id, "in SCX_DSQ_LOCAL_ON dispatch verdict");
    if (cpu >= 0) return kernel.rq(static_cast<u32>(cpu)).ext.local_dsq;
  } else if (dsq_id == SCX_DSQ_GLOBAL) {
    return global_dsq_of(s, p);
  } else if (Dsq *dsq = s.dsqs.find(dsq_id)) {
    return *dsq;
  } else {
    error(s, fmt::format("non-existent DSQ 0x{:x} for {}", dsq_id, task_label(p)));
  }
  *enq_flags = (*enq_flags & ~SCX_ENQ_DSQ_PRIQ) | SCX_ENQ_GDSQ_FALLBACK;
  return global_dsq_of(s, p);
}

void Ext::Impl::check_insert_order(ExtSched &s, const Dsq &dsq, u64 *enq_flags) {
  if (dsq.is_builtin() && (*enq_flags & SCX_ENQ_DSQ_PRIQ)) {
    error(s, "cannot use vtime ordering for built-in DSQs");
    *enq_flags &= ~SCX_ENQ_DSQ_PRIQ;
  }
  if (*enq_flags & SCX_ENQ_DSQ_PRIQ) {
    if (dsq.priq.empty() && dsq.nr.load() > 0)
      error(s, fmt::format("DSQ ID 0x{:016x} already had FIFO-enqueued tasks", dsq.id));
  } else if (!dsq.priq.empty()) {
    error(s, fmt::format("DSQ ID 0x{:016x} already had PRIQ-enqueued tasks", dsq.id));
  }
}

// Puts p on a DSQ. With SCX_ENQ_CLEAR_OPSS the caller owns ops_state and it is handed back to the core here.
void Ext::Impl::insert(ExtSched &s, Dsq &target, Task &p, u64 enq_flags) {
  Dsq *dsq = &target;
  CHECK(!p.dsq && !p.dsq_node.hook.is_linked(), "{} is on a dsq already", task_label(p));
  if (!dsq->is_local()) {
    lock_dsq(*dsq);
    if (dsq->id == SCX_DSQ_INVALID) {
      error(s, "attempting to dispatch to a destroyed dsq");
      unlock_dsq(*dsq);
      dsq = &global_dsq_of(s, p);
      lock_dsq(*dsq);
    }
  }
  check_insert_order(s, *dsq, &enq_flags);
  if (enq_flags & SCX_ENQ_DSQ_PRIQ)
    dsq->insert_vtime(p);
  else
    dsq->insert_fifo(p, enq_flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT));
  trace(EventType::dsq_insert, static_cast<u64>(p.pid()), dsq->trace_id(), enq_flags, dsq->nr.racy());
  // A verdict that still stood has been carried out or overruled now.
  clear_direct_dispatch(p);
  if (dsq->is_local()) {
    if (enq_flags & SCX_ENQ_CLEAR_OPSS) opss::store_release(p, SCX_OPSS_NONE);
    after_local_insert(s, *dsq->rq, p, enq_flags);
    return;
  }
  const bool terminal = dsq->is_builtin();
  const bool leaves = terminal && (p.scx_flags() & SCX_TASK_IN_CUSTODY);
  if (leaves)
    p.clear_scx_flags(flags_owner(p), SCX_TASK_IN_CUSTODY);
  else if (!terminal)
    p.set_scx_flags(flags_owner(p), SCX_TASK_IN_CUSTODY);
  unlock_dsq(*dsq);
  if (leaves && s.has(Op::dequeue)) {
    // The dispatching CPU's rq is the one that is locked here, which need not be p's.
    Rq *locked = kernel.task_rq(p).lock.held_here() ? &kernel.task_rq(p) : &kernel.this_rq();
    call(Op::dequeue, locked, &p, [&] { s.ops.dequeue(&p.ts, 0); });
  }
  if (enq_flags & SCX_ENQ_CLEAR_OPSS) opss::store_release(p, SCX_OPSS_NONE);
}

// What an arrival on a local DSQ means for its CPU.
void Ext::Impl::after_local_insert(ExtSched &s, Rq &rq, Task &p, u64 enq_flags) {
  const bool open = rq_open(rq, enq_flags);
  if (enq_flags & SCX_ENQ_IMMED) p.set_scx_flags(rq.lock, SCX_TASK_IMMED);
  if (p.scx_flags() & SCX_TASK_IMMED) {
    rq.ext.nr_immed++;
    rq.shared->scx.nr_immed = rq.ext.nr_immed;
    if ((enq_flags & SCX_ENQ_IMMED) && (rq.ext.local_dsq.nr.load() > 1 || !open)) schedule_reenq_local(rq);
  }
  leave_custody(s, &rq, p, 0);
  if (kernel.ext_class().above(*rq.next_class)) kernel.wakeup_preempt(rq, p, 0);
  if (rq.scx_flags() & SCX_RQ_IN_BALANCE) return;
  if ((enq_flags & SCX_ENQ_PREEMPT) && &p != rq.curr && in_ext(rq.curr)) {
    rq.curr->set_slice(0);
    kernel.resched_curr(rq);
  }
}

// --- the enqueue path ---

void Ext::Impl::enqueue_task(Rq &rq, Task &p, u64 core_flags) {
  const s32 was_sticky = p.ts.scx.sticky_cpu;
  const u64 enq_flags = core_flags | rq.ext.extra_enq_flags;
  s32 sticky_cpu = was_sticky;
  if (core_flags & ENQUEUE_WAKEUP) rq.set_scx_flags(SCX_RQ_IN_WAKEUP);
  if (!mutated(Mutation::sticky_stays)) p.ts.scx.sticky_cpu = -1;
  // The running task comes back from a property change: it never left its CPU.
  if ((enq_flags & ENQUEUE_RESTORE) && rq.curr == &p) sticky_cpu = static_cast<s32>(rq.cpu);

  if (!queued(p)) {
    set_runnable(rq, p);
    p.set_scx_flags(rq.lock, SCX_TASK_QUEUED);
    rq.shared->scx.nr_running++;
    kernel.add_nr_running(rq, 1);
    if (rq.shared->scx.nr_running == 1) kernel.dl_server_start(rq.ext_server);
    ExtSched &s = *p.ext_sched;
    if (s.has(Op::runnable) && p.on_rq_state() != kOnRqMigrating)
      call(Op::runnable, &rq, &p, [&] { s.ops.runnable(&p.ts, enq_flags); });
    do_enqueue(rq, p, enq_flags, sticky_cpu);
    if ((enq_flags & SCX_ENQ_CPU_SELECTED) && static_cast<s32>(rq.cpu) != p.ts.scx.selected_cpu)
      count(s, &scx_event_stats::SCX_EV_SELECT_CPU_FALLBACK);
  }
  rq.clear_scx_flags(SCX_RQ_IN_WAKEUP);
}

// The ladder of docs/reference/core.md, section 5: the first rule that applies decides where p goes.
void Ext::Impl::do_enqueue(Rq &rq, Task &p, u64 enq_flags, s32 sticky_cpu) {
  ExtSched &s = *p.ext_sched;
  Dsq &local = rq.ext.local_dsq;
  if (sticky_cpu == static_cast<s32>(rq.cpu)) return insert(s, local, p, enq_flags);
  p.clear_scx_flags(rq.lock, SCX_TASK_IMMED);
  if (!rq_online(rq)) return enqueue_fallback(s, rq, local, p, enq_flags);
  if (s.bypassing(rq.cpu)) {
    count(s, &scx_event_stats::SCX_EV_BYPASS_DISPATCH);
    return enqueue_fallback(s, rq, bypass_host(s, rq.cpu).cpus[rq.cpu].bypass_dsq, p, enq_flags);
  }
  if (p.ts.scx.ddsp_dsq_id != SCX_DSQ_INVALID) return direct_dispatch(s, rq, p, enq_flags);
  if (p.is_exiting() && !s.flag(SCX_OPS_ENQ_EXITING)) {
    count(s, &scx_event_stats::SCX_EV_ENQ_SKIP_EXITING);
    return enqueue_fallback(s, rq, local, p, enq_flags);
  }
  if (p.migration_disabled() && !s.flag(SCX_OPS_ENQ_MIGRATION_DISABLED)) {
    count(s, &scx_event_stats::SCX_EV_ENQ_SKIP_MIGRATION_DISABLED);
    return enqueue_fallback(s, rq, local, p, enq_flags);
  }
  if (!s.has(Op::enqueue)) return enqueue_fallback(s, rq, global_dsq_of(s, p), p, enq_flags);
  call_enqueue(s, rq, p, enq_flags);
}

// The core queues p without asking. IMMED is a promise of the scheduler's own inserts, so it does not hold here.
void Ext::Impl::enqueue_fallback(ExtSched &s, Rq &, Dsq &dsq, Task &p, u64 enq_flags) {
  refill_slice(s, p);
  clear_direct_dispatch(p);
  insert(s, dsq, p, enq_flags);
}

void Ext::Impl::call_enqueue(ExtSched &s, Rq &rq, Task &p, u64 enq_flags) {
  CHECK(opss::load(p) == SCX_OPSS_NONE, "{} is queued twice", task_label(p));
  if (++p.ts.scx.ops_qseq == 0) p.ts.scx.ops_qseq = 1;
  const u64 qseq = u64{p.ts.scx.ops_qseq} << SCX_OPSS_QSEQ_SHIFT;
  opss::store_release(p, (mutated(Mutation::early_queued) ? SCX_OPSS_QUEUED : SCX_OPSS_QUEUEING) | qseq);
  trace(EventType::scx_enqueue, static_cast<u64>(p.pid()), enq_flags);
  Task *&ddsp_task = cpus[this_cpu()].ddsp_task;
  Task *const outer = std::exchange(ddsp_task, &p);
  call(Op::enqueue, &rq, &p, [&] { s.ops.enqueue(&p.ts, enq_flags); });
  cpus[this_cpu()].ddsp_task = outer;
  if (p.ts.scx.ddsp_dsq_id != SCX_DSQ_INVALID) return direct_dispatch(s, rq, p, enq_flags);
  // From here on the scheduler owns p. A dispatcher on another CPU may take it as soon as QUEUED is seen, so custody
  // comes before it. Pairs with the acquire in finish_dispatch().
  p.set_scx_flags(rq.lock, SCX_TASK_IN_CUSTODY);
  opss::store_release(p, SCX_OPSS_QUEUED | qseq);
}

// Carries out the verdict that select_cpu or enqueue recorded on p.
void Ext::Impl::direct_dispatch(ExtSched &s, Rq &rq, Task &p, u64 enq_flags) {
  const VerdictScope scope(*this, cpus[this_cpu()].ddsp_site);
  p.ts.scx.ddsp_enq_flags |= enq_flags;
  u64 flags = p.ts.scx.ddsp_enq_flags;
  Dsq &dsq = find_dsq_for_insert(s, rq, p.ts.scx.ddsp_dsq_id, p, &flags);
  if (dsq.is_local() && dsq.rq != &rq) {
    // p's rq is locked, and the other cannot be taken now: park p until the deferred work runs.
    opss::store_release(p, SCX_OPSS_NONE);
    rq.ext.ddsp_deferred_locals.write().push_back(p);
    rq.ext.parked_sites.push_back({&p, scope.site});
    schedule_deferred(rq);
    return;
  }
  insert(s, dsq, p, flags | SCX_ENQ_CLEAR_OPSS);
}

// p no longer waits for the deferred work; returns where the verdict on it was given.
CallSite Ext::Impl::unpark(Rq &rq, Task &p) {
  auto &deferred = rq.ext.ddsp_deferred_locals.write();
  deferred.erase(deferred.iterator_to(p));
  std::vector<ParkedSite> &sites = rq.ext.parked_sites;
  const auto at = std::find_if(sites.begin(), sites.end(), [&](const ParkedSite &parked) { return parked.task == &p; });
  CHECK(at != sites.end(), "{} is parked without a site", task_label(p));
  const CallSite site = at->site;
  sites.erase(at);
  return site;
}

// --- the dequeue path ---

// Takes p away from the scheduler, if it owns it.
void Ext::Impl::ops_dequeue(Rq &rq, Task &p, u64 deq_flags) {
  clear_runnable(rq, p);
  ExtSched &s = *p.ext_sched;
  for (;;) {
    const u64 word = opss::load(p);
    if (opss::state(word) == SCX_OPSS_NONE) break;
    CHECK(opss::state(word) != SCX_OPSS_QUEUEING, "{} is dequeued while it is being enqueued", task_label(p));
    if (mutated(Mutation::no_dispatch_wait) && opss::state(word) == SCX_OPSS_DISPATCHING) {
      opss::store_release(p, SCX_OPSS_NONE);
      break;
    }
    if (opss::state(word) == SCX_OPSS_QUEUED && opss::compare_exchange(p, word, SCX_OPSS_NONE)) break;
    wait_for_state_change(p);
  }
  // A move between rqs inside the core takes p off a queue without the scheduler losing it.
  if (p.ts.scx.sticky_cpu < 0) leave_custody(s, &rq, p, deq_flags);
}

void Ext::Impl::unlink_from_dsq(Dsq &dsq, Task &p) {
  dsq.unlink(p);
  if (dsq.is_local() && (p.scx_flags() & SCX_TASK_IMMED)) {
    CHECK(dsq.rq->ext.nr_immed > 0);
    dsq.rq->ext.nr_immed--;
    dsq.rq->shared->scx.nr_immed = dsq.rq->ext.nr_immed;
  }
  trace(EventType::dsq_remove, static_cast<u64>(p.pid()), dsq.trace_id(), dsq.nr.racy());
}

void Ext::Impl::dsq_dequeue(Rq &rq, Task &p) {
  Dsq *dsq = p.dsq;
  if (!dsq) {
    if (p.ddsp_deferred_node.is_linked()) unpark(rq, p);
    clear_direct_dispatch(p);  // A verdict that was not carried out is void now.
    // A dispatcher has taken p and waits for this rq's lock: without the mark it will give up.
    p.set_holding_cpu(-1);
    return;
  }
  const bool locks = !dsq->is_local() && !mutated(Mutation::no_dsq_lock);
  if (locks) lock_dsq(*dsq);
  if (p.holding_cpu() < 0)
    unlink_from_dsq(*dsq, p);
  else
    p.set_holding_cpu(-1);  // The consumer that holds p has unlinked it already.
  p.dsq = nullptr;
  if (locks) unlock_dsq(*dsq);
}

void Ext::Impl::dequeue_task(Rq &rq, Task &p, u64 core_flags) {
  if (!queued(p)) {
    CHECK(!p.runnable_node.is_linked());
    return;
  }
  u64 deq_flags = core_flags;
  if (!(deq_flags & (SCX_DEQ_SLEEP | SCX_DEQ_CORE_SCHED_EXEC))) deq_flags |= SCX_DEQ_SCHED_CHANGE;
  ExtSched &s = *p.ext_sched;
  ops_dequeue(rq, p, deq_flags);
  if (rq.curr == &p) {
    update_curr(rq);
    if (s.has(Op::stopping)) call(Op::stopping, &rq, &p, [&] { s.ops.stopping(&p.ts, false); });
  }
  if (s.has(Op::quiescent) && p.on_rq_state() != kOnRqMigrating)
    call(Op::quiescent, &rq, &p, [&] { s.ops.quiescent(&p.ts, deq_flags); });
  if (deq_flags & SCX_DEQ_SLEEP)
    p.set_scx_flags(rq.lock, SCX_TASK_DEQD_FOR_SLEEP);
  else
    p.clear_scx_flags(rq.lock, SCX_TASK_DEQD_FOR_SLEEP);
  p.clear_scx_flags(rq.lock, SCX_TASK_QUEUED);
  CHECK(rq.shared->scx.nr_running > 0);
  rq.shared->scx.nr_running--;
  kernel.sub_nr_running(rq, 1);
  dsq_dequeue(rq, p);
}

}  // namespace uscx::sched
