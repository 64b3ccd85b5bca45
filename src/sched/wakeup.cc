// SPDX-License-Identifier: GPL-2.0-only
// Wakeups (try_to_wake_up) and the choice of a CPU for a task that becomes runnable.
//
// Threading: any CPU or host context, with no rq lock held. The woken task's pi_lock is held throughout, so that
// its affinity and state do not change; the rq lock of its new CPU is taken after the CPU is chosen.
#include "sched/kernel.h"
#include "sched/mutation.h"
#include "sched/trace_hooks.h"

namespace uscx::sched {

using machine::Cost;
using machine::exec;
using machine::SpinGuard;
using trace::EventType;

u32 Kernel::select_fallback_rq(Task &p, u32 cpu) {
  if (is_cpu_allowed(p, cpu)) return cpu;
  // CPUs of the same node first.
  const auto &topology = machine_.topology();
  const auto find = [&](machine::MaskView among) {
    const machine::MaskView allowed(p.allowed->bits, nr_cpus());
    u32 found = allowed.next_and(among, 0);
    while (found < nr_cpus() && !is_cpu_allowed(p, found)) found = allowed.next_and(among, found + 1);
    return found;
  };
  u32 found = find(topology.node_mask(topology.node_of(cpu)));
  if (found == nr_cpus()) found = find(online_);
  if (found < nr_cpus()) return found;
  // All of its CPUs are gone: it is let out of its mask.
  force_cpus_allowed(p, possible_mask_);
  if (!p.is_kthread()) log(fmt::format("process {} ({}) no longer affine to cpu{}", p.pid(), p.comm(), cpu));
  found = find(topology.node_mask(topology.node_of(cpu)));
  if (found == nr_cpus()) found = find(online_);
  CHECK(found < nr_cpus(), "{} [{}] may run on no CPU", p.comm(), p.pid());
  return found;
}

u32 Kernel::select_task_rq(Task &p, u32 cpu, u64 *wake_flags) {
  CHECK(p.pi_lock.held_here());
  if (p.nr_cpus_allowed() > 1 && !p.migration_disabled()) {
    cpu = p.sched_class->select_task_rq(p, cpu, *wake_flags);
    *wake_flags |= WF_RQ_SELECTED;
  } else if (!p.migration_disabled()) {
    cpu = machine::MaskView(p.allowed->bits, nr_cpus()).first();
  } else {
    cpu = p.cpu;
  }
  if (cpu >= nr_cpus() || !is_cpu_allowed(p, cpu)) cpu = select_fallback_rq(p, p.cpu);
  return cpu;
}

bool Kernel::wake(Task &p, u64 wake_flags) {
  if (shutting_down_) return false;
  SpinGuard guard(p.pi_lock);
  return wake_locked(p, wake_flags);
}

bool Kernel::wake_locked(Task &p, u64 wake_flags) {
  if (p.state() == TASK_DEAD) return false;
  if (p.state() == TASK_RUNNING) {
    p.wakeup_before_block = true;
    return false;
  }
  wake_flags |= WF_TTWU;
  charge(Cost::wakeup);
  machine_.cancel_timer(p.sleep_timer);
  const u64 waker_pid = exec().on_cpu ? static_cast<u64>(this_rq().curr->pid()) : 0;
  machine_.trace(EventType::sched_waking, static_cast<u64>(p.pid()), p.cpu, wake_flags, waker_pid);
  trace_point(*this, TracePoint::sched_waking, task_arg(p));
  if (p.on_rq() && wake_before_sleep(p)) return true;
  // Only then is it off its CPU, whose code may still use it. Pairs with context_switch().
  while (p.on_cpu() && !mutated(Mutation::no_on_cpu_wait)) machine::spin_wait("a task that goes to sleep");
  const u32 cpu = select_task_rq(p, p.wake_cpu, &wake_flags);
  if (cpu != p.cpu) {
    wake_flags |= WF_MIGRATED;
    set_task_cpu(p, cpu);
  }
  Rq &rq = *rqs_[cpu];
  RqGuard rq_guard(rq);
  update_rq_clock(rq);
  ttwu_activate(rq, p, wake_flags);
  return true;
}

// p has decided to sleep but is still queued, so it just goes on. False if it has left its rq meanwhile.
bool Kernel::wake_before_sleep(Task &p) {
  Rq &rq = lock_task_rq(p);
  const bool queued = p.on_rq();
  if (queued && !mutated(Mutation::lost_wakeup)) {
    p.set_state(TASK_RUNNING);
    machine_.trace(EventType::sched_wakeup, static_cast<u64>(p.pid()), rq.cpu);
    trace_point(*this, TracePoint::sched_wakeup, task_arg(p));
  }
  rq_unlock(rq);
  return queued;
}

void Kernel::ttwu_activate(Rq &rq, Task &p, u64 wake_flags) {
  u64 flags = ENQUEUE_WAKEUP | ENQUEUE_NOCLOCK;
  if (wake_flags & WF_MIGRATED) flags |= ENQUEUE_MIGRATED;
  if (wake_flags & WF_RQ_SELECTED) flags |= ENQUEUE_RQ_SELECTED;
  activate_task(rq, p, flags);
  wakeup_preempt(rq, p, wake_flags);
  p.set_state(TASK_RUNNING);
  machine_.trace(EventType::sched_wakeup, static_cast<u64>(p.pid()), rq.cpu);
  trace_point(*this, TracePoint::sched_wakeup, task_arg(p));
  p.sched_class->task_woken(rq, p);
}

void Kernel::wake_up_new_task(Task &p) {
  SpinGuard guard(p.pi_lock);
  u64 wake_flags = WF_FORK;
  p.set_state(TASK_RUNNING);
  const u32 cpu = select_task_rq(p, p.cpu, &wake_flags);
  p.cpu = cpu;
  p.wake_cpu = cpu;
  Rq &rq = *rqs_[cpu];
  RqGuard rq_guard(rq);
  update_rq_clock(rq);
  activate_task(rq, p, ENQUEUE_NOCLOCK | ENQUEUE_INITIAL);
  machine_.trace(EventType::sched_wakeup, static_cast<u64>(p.pid()), cpu);
  trace_point(*this, TracePoint::sched_wakeup_new, task_arg(p));
  wakeup_preempt(rq, p, wake_flags);
  p.sched_class->task_woken(rq, p);
}

void Kernel::sleep_timer_fired(machine::SimEvent &event) {
  Task &p = *static_cast<Task *>(event.owner);
  charge(Cost::timer_irq);
  Kernel &kernel = *p.kernel;
  SpinGuard guard(p.pi_lock);
  // Another wakeup may have come first, too late to stop this timer.
  if (kernel.shutting_down_ || p.state() != TASK_INTERRUPTIBLE || !p.timed_sleep) return;
  kernel.wake_locked(p, 0);
}

}  // namespace uscx::sched
