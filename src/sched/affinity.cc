// SPDX-License-Identifier: GPL-2.0-only
// Where tasks may run: changes of affinity, disabled migration, and moving a task from one rq to another.
//
// Threading: any CPU or host context, no locks held unless said otherwise. A running task is moved by migration/N of
// its CPU, because only a task that is off its CPU can be queued elsewhere. p.cpus is what was asked for; p.allowed
// is what is in force: the same, or the one CPU on which the task was when it left the CPU with migration disabled.
#include <cerrno>
#include <memory>
#include <utility>

#include "sched/kernel.h"
#include "sched/mutation.h"

namespace uscx::sched {

using machine::Cost;
using machine::CpuMask;
using machine::SpinGuard;

namespace {

struct MigrateWork final : StopWork {
  Task *task = nullptr;
  void drop() override { delete this; }
};

// One a rq, which owns it.
struct PushWork final : StopWork {
  Task *task = nullptr;
};

}  // namespace

void Kernel::set_mask(Task &p, const CpuMask *interned) {
  p.cpus = interned;
  machine::racy_store(p.ts.nr_cpus_allowed, static_cast<int>(mask_weight(interned)));
  for (u32 i = 0; i < machine::mask_words(nr_cpus()); i++)
    machine::racy_store(p.cpus_mask()->bits[i], interned->view().words()[i]);
}

void Kernel::use_own_mask(Task &p) {
  p.allowed = kernel_mask(p.cpus);
  machine::racy_store(p.ts.cpus_ptr, p.cpus_mask());
}

void Kernel::pin_here(Task &p) {
  p.allowed = kernel_mask(single_cpu_mask(p.cpu));
  machine::racy_store(p.ts.cpus_ptr, p.allowed);
}

void Kernel::double_lock(Rq &rq, Rq &other) {
  CHECK(rq.lock.held_here() && &rq != &other);
  if (other.cpu > rq.cpu) return rq_lock(other);
  rq_unlock(rq);
  rq_lock(other);
  rq_lock(rq);
}

Rq &Kernel::move_queued_task(Rq &rq, Task &p, u32 cpu) {
  CHECK(p.pi_lock.held_here() && rq.curr != &p);
  charge(Cost::migrate_task);
  update_rq_clock(rq);
  deactivate_task(rq, p, DEQUEUE_NOCLOCK);
  set_task_cpu(p, cpu);
  rq_unlock(rq);
  Rq &to = *rqs_[cpu];
  rq_lock(to);
  update_rq_clock(to);
  activate_task(to, p, ENQUEUE_NOCLOCK);
  wakeup_preempt(to, p, 0);
  return to;
}

// --- stop work ---

void Kernel::cpu_stop(u32 cpu, StopWork &work) {
  Rq &rq = *rqs_[cpu];
  const bool locks = !mutated(Mutation::no_stopper_lock);
  if (locks) rq_lock(rq);
  CHECK(!work.node.is_linked());
  rq.stop_works.write().push_back(work);
  if (locks) rq_unlock(rq);
  wake(*rq.stop);
}

void Kernel::request_migration(Task &p) {
  auto work = std::make_unique<MigrateWork>();
  work->fn = migration_work;
  work->task = &p;
  get_task(p);
  cpu_stop(p.cpu, *work.release());
}

void Kernel::migration_work(Kernel &kernel, StopWork &stop_work) {
  std::unique_ptr<MigrateWork> work(static_cast<MigrateWork *>(&stop_work));
  Task &p = *work->task;
  {
    SpinGuard guard(p.pi_lock);
    Rq *rq = &kernel.lock_task_rq(p);
    // It may have gone to sleep, moved, or been given this CPU again meanwhile.
    const bool here = rq->cpu == machine::this_cpu() && p.on_rq_state() == kOnRqQueued;
    if (here && !p.migration_disabled() && !p.allowed_on(rq->cpu)) rq = &kernel.move_to_own_mask(*rq, p);
    // On another CPU where it may not run either, it waits for the work of that one.
    const bool waits = p.on_rq_state() == kOnRqQueued && !p.allowed_on(rq->cpu);
    if (!p.migration_disabled() && !waits) p.migration_pending = false;
    rq_unlock(*rq);
  }
  kernel.put_task(p);
}

// --- affinity ---

// To a CPU of p's mask. If all of them are going down, the one where it is pushes it away.
Rq &Kernel::move_to_own_mask(Rq &rq, Task &p) {
  const u32 cpu = pick_distributed(*p.cpus);
  return cpu < nr_cpus() ? move_queued_task(rq, p, cpu) : rq;
}

void Kernel::change_mask(Rq &rq, Task &p, const CpuMask *interned) {
  sched_change(rq, p, DEQUEUE_SAVE, [&] {
    set_mask(p, interned);
    // With migration disabled and the task off its CPU, the one-CPU mask stays in force until migrate_enable().
    const bool pinned = p.cpus_ptr() != p.cpus_mask();
    if (!pinned) use_own_mask(p);
    p.sched_class->set_cpus_allowed(p);
  });
}

void Kernel::force_cpus_allowed(Task &p, const CpuMask *interned) {
  Rq &rq = lock_task_rq(p);
  if (p.cpus != interned && !p.dead) change_mask(rq, p, interned);
  rq_unlock(rq);
}

int Kernel::set_cpus_allowed(Task &p, const CpuMask &cpus) {
  if (p.flags() & PF_NO_SETAFFINITY) return -EINVAL;
  if (!cpus.view().intersects(p.is_kthread() ? online_ : active_)) return -EINVAL;
  change_affinity(p, intern_mask(cpus));
  return 0;
}

void Kernel::change_affinity(Task &p, const CpuMask *interned) {
  bool by_stopper = false;
  {
    SpinGuard guard(p.pi_lock);
    Rq *rq = &lock_task_rq(p);
    if (p.cpus != interned && !p.dead) {
      change_mask(*rq, p, interned);
      if (!p.cpus->test(p.cpu) || !online_.test(p.cpu)) {
        if (p.migration_disabled() || rq->curr == &p) {
          p.migration_pending = true;
          by_stopper = !p.migration_disabled();
        } else if (p.on_rq_state() == kOnRqQueued) {
          rq = &move_to_own_mask(*rq, p);
        }
      } else {
        p.migration_pending = false;
      }
    }
    rq_unlock(*rq);
  }
  if (by_stopper) request_migration(p);
}

// --- CPUs that come and go ---

bool Kernel::is_percpu_kthread(const Task &p) const {
  return p.is_kthread() && (p.flags() & PF_NO_SETAFFINITY) && machine::racy_load(p.ts.nr_cpus_allowed) == 1;
}

bool Kernel::is_cpu_allowed(const Task &p, u32 cpu) const {
  if (!p.allowed_on(cpu)) return false;
  if (__builtin_expect(nr_inactive_ == 0, 1)) return true;
  if (p.migration_disabled()) return online_.test(cpu);
  if (!p.is_kthread()) return active_.test(cpu);
  return online_.test(cpu) && (is_percpu_kthread(p) || !dying_.test(cpu));
}

void Kernel::set_cpu_active(u32 cpu, bool active) {
  Rq &rq = *rqs_[cpu];
  rq.active = active;
  active_.set_shared(cpu, active);
  active ? nr_inactive_.sub(1) : nr_inactive_.add(1);
  set_cpu_idle(cpu, rq.curr == rq.idle && rq.nr_running == 0);
}

void Kernel::set_cpu_online(u32 cpu, bool online) { online_.set_shared(cpu, online); }

void Kernel::set_cpu_dying(u32 cpu, bool dying) { dying_.set_shared(cpu, dying); }

void Kernel::set_rq_online(Rq &rq, bool online) {
  rq.online = online;
  rq.shared->online = online;
  for (const std::unique_ptr<SchedClass> &sched_class : classes_) {
    if (!sched_class) continue;
    online ? sched_class->rq_online(rq) : sched_class->rq_offline(rq);
  }
}

// Takes away what this CPU has picked, unless it belongs here. The stopper comes at the end of this segment.
void Kernel::push_current(Rq &rq) {
  Task &p = *rq.curr;
  if (&p == rq.idle || &p == rq.stop || is_percpu_kthread(p) || p.migration_disabled()) return;
  if (!rq.push_work) rq.push_work = std::make_unique<PushWork>();
  auto &work = static_cast<PushWork &>(*rq.push_work);
  if (work.task) return;  // Another one is on its way.
  work.fn = push_work;
  work.task = &p;
  get_task(p);
  cpu_stop(rq.cpu, work);
}

void Kernel::push_work(Kernel &kernel, StopWork &stop_work) {
  auto &work = static_cast<PushWork &>(stop_work);
  Task &p = *std::exchange(work.task, nullptr);
  const u32 here = machine::this_cpu();
  {
    SpinGuard guard(p.pi_lock);
    const bool queued_here = p.cpu == here && p.on_rq_state() == kOnRqQueued && !p.migration_disabled();
    // Before the rq is locked: it may have to change the mask.
    const u32 cpu = queued_here ? kernel.select_fallback_rq(p, here) : here;
    Rq *rq = &kernel.lock_task_rq(p);
    if (cpu != here && rq->cpu == here && p.on_rq_state() == kOnRqQueued && rq->curr != &p)
      rq = &kernel.move_queued_task(*rq, p, cpu);
    rq_unlock(*rq);
  }
  kernel.put_task(p);
}

// --- disabled migration ---

namespace {

void change_migration_disabled(Task &p, int delta) {
  machine::change(p.ts.migration_disabled, "migration_disabled", machine::Owner::because("a task changes its own"),
                  [=](u16 count) { return count + delta; });
}

}  // namespace

void Kernel::migrate_disable(Task &p) { change_migration_disabled(p, 1); }

// As lazily as in Linux: a task that is not switched out while migration is disabled keeps its mask.
void Kernel::migrate_disable_switch(Task &prev) {
  if (!prev.migration_disabled() || prev.cpus_ptr() != prev.cpus_mask()) return;
  pin_here(prev);
  prev.sched_class->set_cpus_allowed(prev);
}

void Kernel::migrate_enable(Task &p) {
  CHECK(p.migration_disabled() > 0, "{} [{}]", p.comm(), p.pid());
  change_migration_disabled(p, -1);
  if (p.migration_disabled()) return;
  {
    TaskLock lock(*this, p);
    if (p.cpus_ptr() != p.cpus_mask()) {
      sched_change(lock.rq, p, DEQUEUE_SAVE, [&] {
        use_own_mask(p);
        p.sched_class->set_cpus_allowed(p);
      });
    }
    // If its CPU waited for this task alone, the next pass through schedule() pushes it away.
    if (!cpu_active(p.cpu) && lock.rq.curr == &p) resched_curr(lock.rq);
    if (!p.migration_pending) return;
  }
  if (task_rq(p).curr == &p) return request_migration(p);
  SpinGuard guard(p.pi_lock);
  Rq *rq = &lock_task_rq(p);
  p.migration_pending = false;
  if (p.on_rq_state() == kOnRqQueued && !p.allowed_on(p.cpu)) rq = &move_to_own_mask(*rq, p);
  rq_unlock(*rq);
}

}  // namespace uscx::sched
