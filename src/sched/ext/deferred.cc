// SPDX-License-Identifier: GPL-2.0-only
// Work that an rq owes but could not do where it came up (docs/reference/core.md, sections 6 and 9): direct dispatches
// to other CPUs' local DSQs, and re-enqueueing. It runs with the rq's lock held, which it may drop: after a wakeup,
// from the balance callback, or from an irq_work on that CPU.
#include <algorithm>

#include "sched/ext/impl.h"

namespace uscx::sched {

void Ext::Impl::queue_balance_callback(Rq &rq) {
  rq.balance_callback = balance_callback;
  rq.set_scx_flags(SCX_RQ_BAL_CB_PENDING);
}

void Ext::Impl::balance_callback(Kernel &kernel, Rq &rq) {
  Impl &impl = ExtInternal::impl(kernel.ext());
  rq.clear_scx_flags(SCX_RQ_BAL_CB_PENDING);
  if (rq.ext.deferred_pending) impl.run_deferred(rq);
  // On another CPU's behalf nobody may be kept waiting.
  if (rq.ext.kick_sync_pending && rq.cpu == this_cpu()) impl.start_sync_wait(rq);
}

void Ext::Impl::schedule_deferred(Rq &rq) {
  rq.ext.deferred_pending = true;
  if (rq.scx_flags() & SCX_RQ_IN_WAKEUP) return;   // task_woken() is about to be called.
  if (rq.scx_flags() & SCX_RQ_IN_BALANCE) return;  // The end of the pick queues the callback.
  if (!mutated(Mutation::no_deferred_irq)) machine.raise_irq_work(rq.cpu);
}

void Ext::Impl::run_deferred(Rq &rq) {
  rq.ext.deferred_pending = false;
  while (!rq.ext.ddsp_deferred_locals.read().empty()) {
    Task &p = rq.ext.ddsp_deferred_locals.racy().front();
    const VerdictScope scope(*this, unpark(rq, p));
    u64 enq_flags = p.ts.scx.ddsp_enq_flags;
    Dsq &dsq = find_dsq_for_insert(*p.ext_sched, rq, p.ts.scx.ddsp_dsq_id, p, &enq_flags);
    clear_direct_dispatch(p);
    if (dsq.is_local())
      dispatch_to_local(*p.ext_sched, rq, dsq, p, enq_flags);
    else
      insert(*p.ext_sched, dsq, p, enq_flags);
  }
  std::vector<ExtSched *> all_of;
  for (u32 repeats = 0; take_reenq_local(rq, &all_of); repeats++) {
    if (repeats) {
      ExtSched *s = root;
      if (!s) break;
      count(*s, &scx_event_stats::SCX_EV_REENQ_LOCAL_REPEAT);
      if (repeats > SCX_REENQ_LOCAL_MAX_REPEAT) {
        error(*s, fmt::format("SCX_ENQ_REENQ on SCX_DSQ_LOCAL repeated {} times", repeats));
        break;
      }
    }
    reenq_local(rq, all_of);
  }
  UserReenq request;
  while (take_reenq_user(rq, &request)) reenq_user(rq, request);
}

bool Ext::Impl::take_reenq_local(Rq &rq, std::vector<ExtSched *> *of) {
  machine::SpinGuard guard(rq.ext.reenq_lock);
  of->clear();
  of->swap(rq.ext.reenq_local_scheds.write());
  return std::exchange(rq.ext.reenq_local_pending, false);
}

bool Ext::Impl::take_reenq_user(Rq &rq, UserReenq *request) {
  machine::SpinGuard guard(rq.ext.reenq_lock);
  if (rq.ext.reenq_users.read().empty()) return false;
  std::vector<UserReenq> &requests = rq.ext.reenq_users.write();
  *request = requests.front();
  requests.erase(requests.begin());
  return true;
}

void Ext::Impl::schedule_reenq_local(Rq &rq) {
  ask_reenq_local(rq, nullptr);
  schedule_deferred(rq);
}

// From anywhere; the deferred work has to follow. Null: only IMMED tasks are meant.
void Ext::Impl::ask_reenq_local(Rq &rq, ExtSched *of) {
  machine::SpinGuard guard(rq.ext.reenq_lock);
  std::vector<ExtSched *> &scheds = rq.ext.reenq_local_scheds.write();
  if (of && std::find(scheds.begin(), scheds.end(), of) == scheds.end()) scheds.push_back(of);
  rq.ext.reenq_local_pending = true;
}

// May a task on this rq's local DSQ expect to run right away?
bool Ext::Impl::rq_open(const Rq &rq, u64 enq_flags) const {
  if (rq.next_class->above(kernel.ext_class()) || rq.curr->sched_class->above(kernel.ext_class())) return false;
  const bool idle_ish = rq.next_class == &kernel.idle_class() || rq.curr == rq.idle;
  return idle_ish || (rq.scx_flags() & SCX_RQ_IN_BALANCE) || (enq_flags & SCX_ENQ_PREEMPT);
}

u32 Ext::Impl::reenq_local(Rq &rq, const std::vector<ExtSched *> &all_of) {
  std::vector<Task *> taken;
  Dsq &local = rq.ext.local_dsq;
  const bool open = rq_open(rq, 0);
  bool first = true;
  for (Task *p = local.first(), *next; p; p = next, first = false) {
    next = local.next(*p);
    if (p->migration_pending || p->ext_sched->bypassing(rq.cpu)) continue;
    u32 reason = SCX_TASK_REENQ_KFUNC;
    if (!std::any_of(all_of.begin(), all_of.end(), [&](ExtSched *s) { return p->ext_sched->is_below(*s); })) {
      if (!(p->scx_flags() & SCX_TASK_IMMED) || (first && open)) continue;
      reason = SCX_TASK_REENQ_IMMED;
      count(*p->ext_sched, &scx_event_stats::SCX_EV_REENQ_IMMED);
    }
    dsq_dequeue(rq, *p);
    p->set_scx_flags(rq.lock, reason);
    taken.push_back(p);
  }
  for (Task *p : taken) {
    do_enqueue(rq, *p, SCX_ENQ_REENQ, -1);
    p->clear_scx_flags(rq.lock, SCX_TASK_REENQ_REASON_MASK);
  }
  return static_cast<u32>(taken.size());
}

// Every task that is on the DSQ now goes through ops.enqueue again. rq is locked before and after; each task's own rq
// is locked for its turn.
void Ext::Impl::reenq_user(Rq &rq, const UserReenq &request) {
  ExtSched &s = *request.sched;
  Dsq *dsq = s.dsqs.find(request.dsq_id);
  if (!dsq) return;
  const u32 snapshot_seq = dsq->seq;
  lock_dsq(*dsq);
  DsqWalk walk(*dsq);
  unlock_dsq(*dsq);
  Rq *locked = &rq;
  while (!s.bypassing(rq.cpu)) {
    lock_dsq(*dsq);
    Task *p = walk.next();
    while (p && static_cast<s32>(p->ts.scx.dsq_seq - snapshot_seq) > 0) p = walk.next();
    unlock_dsq(*dsq);
    if (!p) break;
    Rq &own = kernel.task_rq(*p);
    if (locked != &own) {
      unlock(*locked);
      lock(own);
      kernel.update_rq_clock(own);
      locked = &own;
    }
    if (p->dsq != dsq || &kernel.task_rq(*p) != &own || p->holding_cpu() >= 0) continue;
    dsq_dequeue(own, *p);
    p->set_scx_flags(own.lock, SCX_TASK_REENQ_KFUNC);
    do_enqueue(own, *p, SCX_ENQ_REENQ, -1);
    p->clear_scx_flags(own.lock, SCX_TASK_REENQ_REASON_MASK);
  }
  lock_dsq(*dsq);
  walk.finish();
  unlock_dsq(*dsq);
  if (locked != &rq) {
    unlock(*locked);
    lock(rq);
  }
}

}  // namespace uscx::sched
