// SPDX-License-Identifier: GPL-2.0-only
// Kicks (docs/reference/core.md, section 10). A request is noted in this rq's masks, and one irq_work carries all of
// them out. SCX_KICK_WAIT keeps the kicker inside its next schedule() until its targets have been through theirs: the
// target's kick_sync moves at each pick and put_prev, and while a CPU itself waits its own counter moves too, which
// breaks cycles.
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

void size_masks(ExtRq &ext, u32 nr_cpus) {
  if (ext.kick_masks_sized) return;
  for (machine::OwnedMask *mask : {&ext.to_kick, &ext.idle_to_kick, &ext.to_preempt, &ext.to_wait, &ext.to_sync})
    *mask = machine::OwnedMask(nr_cpus);
  ext.kick_masks_sized = true;
}

}  // namespace

// `s` is null for the core's own kicks.
void Ext::Impl::kick(ExtSched *s, u32 cpu, u64 flags) {
  Rq &this_rq = kernel.this_rq();
  ExtRq &ext = this_rq.ext;
  if (s && s->bypassing(this_rq.cpu)) return;
  size_masks(ext, kernel.nr_cpus());
  const Owner own = Owner::of_cpu(this_rq.cpu);
  trace(EventType::scx_kick, cpu, flags);
  if (flags & SCX_KICK_IDLE) {
    if (s && (flags & (SCX_KICK_PREEMPT | SCX_KICK_WAIT))) error(*s, "PREEMPT/WAIT cannot be used with SCX_KICK_IDLE");
    // Not worth an interrupt if the target is plainly busy.
    Rq &target = kernel.rq(cpu);
    if (!target.lock.held() && target.curr != target.idle && !(target.scx_flags() & SCX_RQ_IN_BALANCE)) return;
    ext.idle_to_kick.set(own, cpu);
  } else {
    ext.to_kick.set(own, cpu);
    if (flags & SCX_KICK_PREEMPT) ext.to_preempt.set(own, cpu);
    if (flags & SCX_KICK_WAIT) ext.to_wait.set(own, cpu);
  }
  ext.any_kick = true;
  ext.kick_irq_pending = true;
  machine.raise_irq_work(this_rq.cpu);
}

void Ext::Impl::run_kicks(Rq &this_rq) {
  ExtRq &ext = this_rq.ext;
  ext.kick_irq_pending = false;
  ext.any_kick = false;
  u64 *const syncs = kick_syncs.of(this_rq.cpu);
  if (!syncs && !mutated(Mutation::ksyncs_no_check)) {
    // A kick that outlived its scheduler.
    if (!warned_null_syncs) kernel.log("sched_ext: kick_cpus_irq_workfn() called with NULL scx_kick_syncs");
    warned_null_syncs = true;
    return;
  }
  const Owner own = Owner::of_cpu(this_rq.cpu);
  const u32 nr_cpus = kernel.nr_cpus();
  bool wait = false;
  for (u32 cpu = ext.to_kick.view().first(); cpu < nr_cpus; cpu = ext.to_kick.view().next(cpu + 1)) {
    wait |= kick_one(this_rq, cpu, syncs);
    ext.to_kick.clear(own, cpu);
    ext.idle_to_kick.clear(own, cpu);
  }
  for (u32 cpu = ext.idle_to_kick.view().first(); cpu < nr_cpus; cpu = ext.idle_to_kick.view().next(cpu + 1)) {
    kick_one_if_idle(cpu);
    ext.idle_to_kick.clear(own, cpu);
  }
  if (wait && mutated(Mutation::wait_in_irq_work)) {
    for (u32 cpu = ext.to_sync.view().first(); cpu < nr_cpus; cpu = ext.to_sync.view().next(cpu + 1)) {
      while (cpu != this_rq.cpu && machine::racy_load(kernel.rq(cpu).shared->scx.kick_sync) == syncs[cpu])
        machine::spin_wait("a kicked CPU, in the irq_work");
      ext.to_sync.clear(own, cpu);
    }
  } else if (wait) {
    // Not waited for here: the next pick on this CPU will.
    RqGuard guard(this_rq);
    ext.kick_sync_pending = true;
    kernel.resched_curr(this_rq);
  }
}

// Returns whether this CPU is to wait for it.
bool Ext::Impl::kick_one(Rq &this_rq, u32 cpu, u64 *syncs) {
  ExtRq &ext = this_rq.ext;
  const Owner own = Owner::of_cpu(this_rq.cpu);
  Rq &rq = kernel.rq(cpu);
  RqGuard guard(rq);
  // When those bugs were there, the class of what a target runs did not matter for WAIT.
  const bool wait_for_any = mutated(Mutation::ksyncs_no_grace) || mutated(Mutation::ksyncs_no_check);
  bool wait = false;
  if ((kernel.online_mask().test(cpu) || &rq == &this_rq) && !rq.curr->sched_class->above(kernel.ext_class())) {
    const bool target_in_ext = in_ext(rq.curr);
    if (ext.to_preempt.test(cpu) && target_in_ext) {
      kernel.update_rq_clock(rq);
      machine::plain_write(&rq.curr->ts.scx.slice, "slice");
      rq.curr->set_slice(0);
    }
    if (ext.to_wait.test(cpu) && (target_in_ext || wait_for_any)) {
      machine::note_use(&syncs[cpu], "its snapshot");
      syncs[cpu] = machine::racy_load(rq.shared->scx.kick_sync);
      ext.to_sync.set(own, cpu);
      wait = true;
    }
    if (!mutated(Mutation::no_kick_resched)) kernel.resched_curr(rq);
  }
  ext.to_preempt.clear(own, cpu);
  ext.to_wait.clear(own, cpu);
  return wait;
}

void Ext::Impl::kick_one_if_idle(u32 cpu) {
  Rq &rq = kernel.rq(cpu);
  RqGuard guard(rq);
  const bool busy = rq.curr != rq.idle && !(rq.scx_flags() & SCX_RQ_IN_BALANCE);
  if (!busy && kernel.online_mask().test(cpu) && !mutated(Mutation::no_kick_resched)) kernel.resched_curr(rq);
}

void Ext::Impl::start_sync_wait(Rq &rq) {
  rq.ext.kick_sync_pending = false;
  continue_sync_wait(rq);
}

// Drops the targets that have gone through schedule(); returns whether one is left.
bool Ext::Impl::drop_synced(Rq &rq) {
  ExtRq &ext = rq.ext;
  const Owner own = Owner::of_cpu(rq.cpu);
  const u64 *snapshot = kick_syncs.of(rq.cpu);
  machine::note_use(snapshot, "its snapshot");
  const u32 nr_cpus = kernel.nr_cpus();
  bool left = false;
  for (u32 cpu = ext.to_sync.view().first(); cpu < nr_cpus; cpu = ext.to_sync.view().next(cpu + 1)) {
    Rq &target = kernel.rq(cpu);
    const u64 sync = __atomic_load_n(&target.shared->scx.kick_sync, __ATOMIC_SEQ_CST);
    const bool moved = !snapshot || cpu == rq.cpu || sync != snapshot[cpu];
    if (moved || target.ext.sync_spinning)
      ext.to_sync.clear(own, cpu);
    else
      left = true;
  }
  return left;
}

// While a target is left this CPU stays where it is (Ext::cpu_held()); the target's next step raises an irq_work here.
void Ext::Impl::continue_sync_wait(Rq &rq) {
  ExtRq &ext = rq.ext;
  if (!ext.kick_masks_sized) return;
  const bool was_spinning = ext.sync_spinning;
  bool left = drop_synced(rq);
  if (left && !was_spinning) {
    set_spinning(rq, true);
    bump_kick_sync(rq);  // Whoever waits for this CPU must not wait for its targets too.
    // A target that moved before it could see that this CPU waits raises no irq_work: pairs with bump_kick_sync().
    left = drop_synced(rq);
  }
  if (left || !ext.sync_spinning) return;
  set_spinning(rq, false);
}

void Ext::Impl::set_spinning(Rq &rq, bool on) {
  const u64 bit = u64{1} << rq.cpu % 64;
  rq.ext.sync_spinning = on;
  if (on) {
    spinning[rq.cpu / 64] |= bit;
    nr_spinning++;
  } else {
    nr_spinning--;
    spinning[rq.cpu / 64] &= ~bit;
  }
}

}  // namespace uscx::sched
