// SPDX-License-Identifier: GPL-2.0-only
// Changes of a live task's properties: nice, policy, class. Every change of a queued task goes through sched_change(),
// which takes it off its class's queue, lets the change happen, and puts it back.
//
// Threading: any CPU or host context, no locks held, except sched_change() itself.
#include <cerrno>

#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"
#include "sched/mutation.h"

namespace uscx::sched {

using trace::EventType;

namespace {

Rq &lock_task(Kernel &kernel, Task &p) {
  p.pi_lock.lock();
  return kernel.lock_task_rq(p);
}

}  // namespace

// A dispatching CPU moves tasks without their pi_lock.
Rq &Kernel::lock_task_rq(Task &p) {
  CHECK(p.pi_lock.held_here());
  for (;;) {
    Rq &rq = task_rq(p);
    rq_lock(rq);
    const bool under_way = p.on_rq_state() == kOnRqMigrating;
    if ((&rq == &task_rq(p) && !under_way) || mutated(Mutation::no_requeue_check)) return rq;
    rq_unlock(rq);
    if (under_way) machine::spin_wait("a task that is moved between run queues");
  }
}

Kernel::TaskLock::TaskLock(Kernel &the_kernel, Task &task)
    : kernel(the_kernel), p(task), rq(lock_task(the_kernel, task)) {}

Kernel::TaskLock::~TaskLock() {
  rq_unlock(rq);
  p.pi_lock.unlock();
}

void Kernel::sched_change(Rq &rq, Task &p, u64 flags, const std::function<void()> &change) {
  CHECK(rq.lock.held_here() && p.pi_lock.held_here());
  if (!(flags & DEQUEUE_NOCLOCK)) update_rq_clock(rq);
  flags |= DEQUEUE_NOCLOCK;
  const bool queued = p.on_rq_state() == kOnRqQueued;
  const bool running = rq.curr == &p;
  SchedClass &old_class = *p.sched_class;
  if (flags & DEQUEUE_CLASS) old_class.switching_from(rq, p);
  if (queued) dequeue_task(rq, p, flags);
  if (running) old_class.put_prev_task(rq, p, nullptr);
  if (flags & DEQUEUE_CLASS) old_class.switched_from(rq, p);
  change();
  SchedClass &new_class = *p.sched_class;
  CHECK((flags & DEQUEUE_CLASS) || &new_class == &old_class);
  if (flags & ENQUEUE_CLASS) new_class.switching_to(rq, p);
  if (queued) enqueue_task(rq, p, flags);
  if (running) new_class.set_next_task(rq, p, false);
  if (!(flags & ENQUEUE_CLASS)) return;
  new_class.switched_to(rq, p);
  if (!running) return;
  if (new_class.above(old_class)) {
    rq.next_class->wakeup_preempt(rq, p, 0);
    rq.next_class = &new_class;
  } else {
    // A task of the old class, or of one between, may have the better claim now.
    resched_curr(rq);
  }
}

void Kernel::update_task_class(Task &p) {
  TaskLock lock(*this, p);
  if (p.dead) return;  // One that is only about to be still runs, and leaves its CPU through its class.
  SchedClass &next = class_for(p);
  if (&next == p.sched_class) return;
  sched_change(lock.rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_CLASS, [&] { set_class(p, next); });
}

void Kernel::set_user_nice(Task &p, int nice) {
  constexpr int kMinNice = -20, kMaxNice = 19;
  CHECK(nice >= kMinNice && nice <= kMaxNice, "nice {}", nice);
  TaskLock lock(*this, p);
  if (p.dead || p.nice() == nice) return;
  update_rq_clock(lock.rq);
  machine_.trace(EventType::task_nice, static_cast<u64>(p.pid()), static_cast<u64>(static_cast<s64>(nice)));
  p.ts.static_prio = DEFAULT_PRIO + nice;
  // A realtime task keeps the nice value for later.
  if (p.sched_class->above(fair_class())) {
    set_load_weight(p);
    return;
  }
  sched_change(lock.rq, p, DEQUEUE_SAVE | DEQUEUE_NOCLOCK, [&] {
    p.ts.prio = p.ts.normal_prio = p.ts.static_prio;
    set_load_weight(p);
    p.sched_class->reweight_task(lock.rq, p);
  });
}

int Kernel::set_scheduler(Task &p, int policy, u32 rt_priority, int nice) {
  constexpr u32 kMaxPriority = MAX_RT_PRIO - 1;
  const bool rt = is_rt_policy(policy);
  const bool normal = policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == SCHED_EXT;
  if (!rt && !normal) return -EINVAL;
  if (rt ? rt_priority < 1 || rt_priority > kMaxPriority : rt_priority != 0) return -EINVAL;
  if (nice < -20 || nice > 19) return -EINVAL;
  TaskLock lock(*this, p);
  if (p.dead || p.sched_class == &stop_class() || p.sched_class == &idle_class()) return -EINVAL;
  if (const int refused = ext_->check_setscheduler(p, policy)) return refused;
  update_rq_clock(lock.rq);
  if (p.nice() != nice && normal)
    machine_.trace(EventType::task_nice, static_cast<u64>(p.pid()), static_cast<u64>(static_cast<s64>(nice)));
  // The class depends on the policy, and has to be known before the task is taken off its queue.
  const u32 old_policy = p.ts.policy;
  p.ts.policy = static_cast<u32>(policy);
  SchedClass &next = class_for(p);
  p.ts.policy = old_policy;
  u64 flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK;
  if (&next != p.sched_class) flags |= DEQUEUE_CLASS;
  sched_change(lock.rq, p, flags, [&] {
    p.ts.policy = static_cast<u32>(policy);
    if (normal) p.ts.static_prio = DEFAULT_PRIO + nice;
    p.rt_priority = rt_priority;
    p.ts.prio = p.ts.normal_prio = rt ? static_cast<int>(kMaxPriority - rt_priority) : p.ts.static_prio;
    set_load_weight(p);
    if (&next == p.sched_class)
      p.sched_class->reweight_task(lock.rq, p);
    else
      set_class(p, next);
  });
  // Within one class, a priority that fell may let another go first.
  if (lock.rq.curr == &p) resched_curr(lock.rq);
  return 0;
}

}  // namespace uscx::sched
