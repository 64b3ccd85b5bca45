// SPDX-License-Identifier: GPL-2.0-only
// Bypass mode (docs/reference/core.md, section 12): while a scheduler cannot be trusted (it is being loaded, unloaded,
// or has failed), its tasks run from simple per-CPU FIFO queues without it. Depth-counted; per-CPU flags change under
// the rq lock, and every waiting task is taken through its queue once, so that it lands where the new mode wants it.
#include <algorithm>

#include "sched/ext/impl.h"

namespace uscx::sched {

// The rq is locked and its clock up to date. Waiting tasks only: the running one is told by a reschedule. Backwards,
// because each goes to the list's end.
void Ext::Impl::cycle_runnable(Rq &rq, const ExtSched *only) {
  std::vector<Task *> waiting;
  for (Task &p : rq.ext.runnable_list.read())
    if (!only || p.ext_sched->is_below(*only)) waiting.push_back(&p);
  for (auto it = waiting.rbegin(); it != waiting.rend(); ++it) {
    dequeue_task(rq, **it, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
    enqueue_task(rq, **it, ENQUEUE_RESTORE | ENQUEUE_MOVE | ENQUEUE_NOCLOCK);
  }
}

void Ext::Impl::change_bypass(ExtSched &s, bool on) {
  if (!s.parent) trace(EventType::scx_bypass, s.bypass_depth);
  if (on) {
    s.slice_dfl = slice_bypass_ns;
    s.bypass_since_ns = now_ns();
    count(s, &scx_event_stats::SCX_EV_BYPASS_ACTIVATE);
    if (bypass_lb_intv_ns) kernel.works().queue_delayed_unbound(bypass_lb, bypass_lb_intv_ns);
  } else {
    s.slice_dfl = SCX_SLICE_DFL;
    count(s, &scx_event_stats::SCX_EV_BYPASS_DURATION, static_cast<s64>(now_ns() - s.bypass_since_ns));
    if (!any_bypass()) kernel.works().cancel_delayed(bypass_lb);
  }
}

bool Ext::Impl::any_bypass() {
  ExtSched *top = root;
  if (!top) return false;
  const std::vector<ExtSched *> scheds = subtree(*top);
  return std::any_of(scheds.begin(), scheds.end(), [](const ExtSched *s) { return s->bypass_depth > 0; });
}

// With all schedulers below s.
void Ext::Impl::bypass(ExtSched &s, bool on) {
  machine::SpinGuard guard(bypass_lock);
  std::vector<ExtSched *> changed;
  for (ExtSched *below : subtree(s))
    if (on ? below->bypass_depth.add(1) == 0 : below->bypass_depth.sub(1) == 1) changed.push_back(below);
  if (changed.empty()) return;
  for (ExtSched *below : changed) change_bypass(*below, on);
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    Rq &rq = kernel.rq(cpu);
    {
      RqGuard guard(rq);
      for (ExtSched *below : changed) below->cpus[cpu].bypassing = on;
    }
    if (!enabled) continue;  // Nobody is on ext yet.
    {
      RqGuard guard(rq);
      kernel.update_rq_clock(rq);
      cycle_runnable(rq, &s);
    }
    RqGuard guard(rq);
    if (kernel.online_mask().test(cpu)) kernel.resched_curr(rq);
  }
}

// --- load balancing between the bypass queues of a node ---

u32 Ext::Impl::move_bypassed(ExtSched &s, Rq &donor, Rq &receiver, u32 nr_donor, u32 *nr_receiver, u32 target,
                             u32 limit) {
  Dsq &from = s.cpus[donor.cpu].bypass_dsq;
  Dsq &to = s.cpus[receiver.cpu].bypass_dsq;
  u32 moved = 0;
  RqGuard guard(donor);
  lock_dsq(from);
  DsqWalk walk(from);
  while (moved < SCX_BYPASS_LB_BATCH && nr_donor - moved > limit && *nr_receiver < target) {
    Task *const p = walk.next();
    if (!p) break;
    // Tasks of other rqs wait here only for a moment; theirs are not locked.
    if (&kernel.task_rq(*p) != &donor || p->migration_disabled() || !p->allowed_on(receiver.cpu)) continue;
    unlink_from_dsq(from, *p);
    p->dsq = nullptr;
    unlock_dsq(from);
    insert(s, to, *p, SCX_ENQ_NESTED);
    lock_dsq(from);
    moved++;
    ++*nr_receiver;
  }
  walk.finish();
  unlock_dsq(from);
  return moved;
}

void Ext::Impl::balance_bypass_node(ExtSched &s, u32 node) {
  const machine::CpuMask &cpus_of_node = machine.topology().node_mask(node);
  std::vector<u32> donors, receivers, load(kernel.nr_cpus());
  u32 nr_cpus = 0, nr_tasks = 0;
  for (u32 cpu = cpus_of_node.view().first(); cpu < kernel.nr_cpus(); cpu = cpus_of_node.view().next(cpu + 1)) {
    if (!kernel.rq(cpu).online) continue;
    load[cpu] = s.cpus[cpu].bypass_dsq.nr.load();
    nr_cpus++;
    nr_tasks += load[cpu];
  }
  if (!nr_cpus || !nr_tasks) return;
  const u32 target = (nr_tasks + nr_cpus - 1) / nr_cpus;
  const u32 limit = (target * SCX_BYPASS_LB_DONOR_PCT + 99) / 100;
  // Below this surplus a queue drains by itself soon enough.
  const u64 quarter_ns = (bypass_lb_intv_ns + SCX_BYPASS_LB_MIN_DELTA_DIV - 1) / SCX_BYPASS_LB_MIN_DELTA_DIV;
  const u32 min_delta = static_cast<u32>((quarter_ns + slice_bypass_ns - 1) / slice_bypass_ns);
  for (u32 cpu = cpus_of_node.view().first(); cpu < kernel.nr_cpus(); cpu = cpus_of_node.view().next(cpu + 1)) {
    if (!kernel.rq(cpu).online) continue;
    if (load[cpu] > limit && load[cpu] - target >= min_delta) donors.push_back(cpu);
    if (load[cpu] < target) receivers.push_back(cpu);
  }
  for (u32 donor : donors)
    for (u32 receiver : receivers) {
      const u32 moved =
          move_bypassed(s, kernel.rq(donor), kernel.rq(receiver), load[donor], &load[receiver], target, target);
      load[donor] -= moved;
      if (!moved) continue;
      Rq &rq = kernel.rq(receiver);
      RqGuard guard(rq);
      kernel.resched_curr(rq);
    }
}

// A change of mode may come at any time: it moves all tasks by itself.
void Ext::Impl::bypass_lb_work() {
  ExtSched *top = root;
  if (!top || !any_bypass()) return;
  for (ExtSched *s : subtree(*top))
    for (u32 node = 0; node < machine.topology().nr_nodes(); node++) balance_bypass_node(*s, node);
  kernel.works().queue_delayed_unbound(bypass_lb, bypass_lb_intv_ns);
}

void Ext::set_slice_bypass_us(u32 us) { impl_->slice_bypass_ns = u64{std::clamp(us, 100u, 100000u)} * 1000; }
void Ext::set_bypass_lb_intv_us(u32 us) { impl_->bypass_lb_intv_ns = u64{std::min(us, 10000000u)} * 1000; }

}  // namespace uscx::sched
