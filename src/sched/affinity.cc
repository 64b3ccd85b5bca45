// SPDX-License-Identifier: GPL-2.0-only
// Where tasks may run: changes of affinity, disabled migration, and moving a task from one rq to another.
//
// Threading: any CPU or host context, no locks held unless said otherwise. A running task is moved by migration/N of
// its CPU, because only a task that is off its CPU can be queued elsewhere. p.cpus is what was asked for; ts.cpus_ptr
// is what is in force: the same, or the one CPU on which the task was when it left the CPU with migration disabled.
#include <cerrno>
#include <memory>

#include "sched/kernel.h"

namespace uscx::sched {

using machine::Cost;
using machine::CpuMask;
using machine::SpinGuard;

namespace {

struct MigrateWork final : StopWork {
  Task *task = nullptr;
  void drop() override { delete this; }
};

}  // namespace

void Kernel::use_mask(Task &p, const CpuMask *interned) { machine::racy_store(p.ts.cpus_ptr, kernel_mask(interned)); }

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
  {
    RqGuard guard(rq);
    CHECK(!work.node.is_linked());
    rq.stop_works.push_back(work);
  }
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
    if (here && !p.migration_disabled() && !p.allowed_on(rq->cpu)) {
      const u32 cpu = kernel.pick_distributed(*p.cpus);
      rq = &kernel.move_queued_task(*rq, p, cpu);
    }
    if (!p.migration_disabled()) p.migration_pending = false;
    rq_unlock(*rq);
  }
  kernel.put_task(p);
}

// --- affinity ---

int Kernel::set_cpus_allowed(Task &p, const CpuMask &cpus) {
  if (p.flags() & PF_NO_SETAFFINITY) return -EINVAL;
  if (!cpus.view().intersects(online_)) return -EINVAL;
  const CpuMask *interned = intern_mask(cpus);
  bool by_stopper = false;
  {
    SpinGuard guard(p.pi_lock);
    Rq *rq = &lock_task_rq(p);
    if (p.cpus != interned && !p.dead) {
      sched_change(*rq, p, DEQUEUE_SAVE, [&] {
        p.cpus = interned;
        machine::racy_store(p.ts.nr_cpus_allowed, static_cast<int>(mask_weight(interned)));
        // With migration disabled and the task off its CPU, the one-CPU mask stays in force until migrate_enable().
        const bool pinned = p.migration_disabled() && p.cpus_ptr() == kernel_mask(single_cpu_mask(p.cpu));
        if (!pinned) use_mask(p, interned);
        p.sched_class->set_cpus_allowed(p);
      });
      if (!p.cpus->test(p.cpu) || !online_.test(p.cpu)) {
        if (p.migration_disabled() || rq->curr == &p) {
          p.migration_pending = true;
          by_stopper = !p.migration_disabled();
        } else if (p.on_rq_state() == kOnRqQueued) {
          rq = &move_queued_task(*rq, p, pick_distributed(*p.cpus));
        }
      } else {
        p.migration_pending = false;
      }
    }
    rq_unlock(*rq);
  }
  if (by_stopper) request_migration(p);
  return 0;
}

// --- disabled migration ---

void Kernel::migrate_disable(Task &p) {
  machine::racy_store(p.ts.migration_disabled, static_cast<u16>(p.ts.migration_disabled + 1));
}

// As lazily as in Linux: a task that is not switched out while migration is disabled keeps its mask.
void Kernel::migrate_disable_switch(Task &prev) {
  if (!prev.migration_disabled()) return;
  const CpuMask *here = single_cpu_mask(prev.cpu);
  if (prev.cpus_ptr() == kernel_mask(here) || prev.cpus_ptr() != kernel_mask(prev.cpus)) return;
  use_mask(prev, here);
  prev.sched_class->set_cpus_allowed(prev);
}

void Kernel::migrate_enable(Task &p) {
  CHECK(p.migration_disabled() > 0, "{} [{}]", p.comm(), p.pid());
  machine::racy_store(p.ts.migration_disabled, static_cast<u16>(p.ts.migration_disabled - 1));
  if (p.migration_disabled()) return;
  {
    TaskLock lock(*this, p);
    if (p.cpus_ptr() != kernel_mask(p.cpus)) {
      sched_change(lock.rq, p, DEQUEUE_SAVE, [&] {
        use_mask(p, p.cpus);
        p.sched_class->set_cpus_allowed(p);
      });
    }
    if (!p.migration_pending) return;
  }
  if (task_rq(p).curr == &p) return request_migration(p);
  SpinGuard guard(p.pi_lock);
  Rq *rq = &lock_task_rq(p);
  p.migration_pending = false;
  if (p.on_rq_state() == kOnRqQueued && !p.allowed_on(p.cpu)) rq = &move_queued_task(*rq, p, pick_distributed(*p.cpus));
  rq_unlock(*rq);
}

}  // namespace uscx::sched
