// SPDX-License-Identifier: GPL-2.0-only
// The core of scheduling on one CPU: the rq's clock and counts, the schedule() pass, and the end of each segment, where
// pending reschedules happen and the current task goes on with its steps.
//
// Threading: a CPU's own code only, except update_rq_clock, resched_curr and the enqueue side, which any CPU may call
// with the rq lock held. Invariants: rq.curr changes only in context_switch() on its own CPU; a task's state is other
// than running only while it is off the rq or inside the schedule() pass that takes it off.
#include <utility>

#include "sched/ext/ext.h"
#include "sched/kernel.h"
#include "sched/trace_hooks.h"

namespace uscx::sched {

using machine::Cost;
using machine::exec;
using machine::now_ns;
using trace::EventType;

namespace {

// Interrupts are off in a segment. A chain of steps and reschedules that goes on for longer than this is cut, so that
// interrupts get through and other CPUs go on, as between the system calls of a real task.
constexpr u64 kMaxSegmentNs = 10000;
constexpr u64 kHardLockupNs = 10000000000;  // watchdog_thresh

}  // namespace

// --- clock and accounting ---

void Kernel::update_rq_clock(Rq &rq) {
  CHECK(rq.lock.held_here());
  rq.clock_valid = true;
  // Another CPU, whose segment ran ahead, may have brought it further than this CPU's time.
  if (now_ns() <= rq.clock_ns) return;
  rq.clock_ns = now_ns();
  rq.shared->clock = rq.shared->clock_task = rq.shared->clock_pelt = rq.clock_ns;
}

u64 Kernel::update_curr_common(Rq &rq) {
  Task &p = *rq.curr;
  if (rq.clock_ns <= p.ts.se.exec_start) return 0;
  const u64 delta = rq.clock_ns - p.ts.se.exec_start;
  p.ts.se.exec_start = rq.clock_ns;
  p.ts.se.sum_exec_runtime += delta;
  account_process_time(p, delta);
  return delta;
}

void Kernel::account_process_time(Task &p, u64 delta_ns) {
  if (p.is_kthread() || p.is_exiting())
    p.ts.stime += delta_ns;
  else
    p.ts.utime += delta_ns;
}

void Kernel::add_nr_running(Rq &rq, u32 count) {
  if (rq.nr_running == 0) idle_cpus_.set_shared(rq.cpu, false);
  machine::change(rq.nr_running, "nr_running", rq.lock, [=](u32 nr) { return nr + count; });
  rq.shared->nr_running = rq.nr_running;
  if (rq.nohz_full) update_tick(rq);
}

void Kernel::sub_nr_running(Rq &rq, u32 count) {
  CHECK(rq.nr_running >= count, "CPU {}", rq.cpu);
  machine::change(rq.nr_running, "nr_running", rq.lock, [=](u32 nr) { return nr - count; });
  rq.shared->nr_running = rq.nr_running;
  if (rq.nr_running == 0 && rq.curr == rq.idle) set_cpu_idle(rq.cpu, true);
}

// --- queueing ---

void Kernel::enqueue_task(Rq &rq, Task &p, u64 flags) {
  if (!(flags & ENQUEUE_NOCLOCK)) update_rq_clock(rq);
  p.sched_class->enqueue_task(rq, p, flags);
}

void Kernel::dequeue_task(Rq &rq, Task &p, u64 flags) {
  if (!(flags & DEQUEUE_NOCLOCK)) update_rq_clock(rq);
  p.sched_class->dequeue_task(rq, p, flags);
}

void Kernel::activate_task(Rq &rq, Task &p, u64 flags) {
  CHECK(p.on_rq_state() != kOnRqQueued && p.cpu == rq.cpu, "{} [{}] on CPU {}", p.comm(), p.pid(), p.cpu);
  if (p.on_rq_state() == kOnRqMigrating) flags |= ENQUEUE_MIGRATED;
  enqueue_task(rq, p, flags);
  p.set_on_rq(kOnRqQueued);
}

void Kernel::deactivate_task(Rq &rq, Task &p, u64 flags) {
  CHECK(p.on_rq_state() == kOnRqQueued && p.cpu == rq.cpu, "{} [{}] on CPU {}", p.comm(), p.pid(), p.cpu);
  if (flags & DEQUEUE_SLEEP) {
    dequeue_task(rq, p, flags);
    p.set_on_rq(kNotOnRq);
  } else {
    p.set_on_rq(kOnRqMigrating);
    dequeue_task(rq, p, flags);
  }
}

void Kernel::set_task_cpu(Task &p, u32 cpu) {
  CHECK(p.on_rq_state() != kOnRqQueued, "{} [{}] changes its CPU while it is queued", p.comm(), p.pid());
  if (cpu != p.cpu) {
    CHECK(!p.migration_disabled(), "{} [{}] migrates from CPU {} with migration disabled", p.comm(), p.pid(), p.cpu);
    machine_.trace(EventType::sched_migrate_task, static_cast<u64>(p.pid()), p.cpu, cpu);
    trace_point(*this, TracePoint::sched_migrate_task, task_arg(p), cpu);
    p.cpu = cpu;
  }
  p.wake_cpu = cpu;
}

// --- rescheduling ---

void Kernel::resched_curr(Rq &rq) {
  CHECK(rq.lock.held_here());
  if (rq.need_resched) return;
  rq.need_resched = true;
  if (!exec().on_cpu || rq.cpu != machine::this_cpu()) machine_.send_resched(rq.cpu);
}

void Kernel::wakeup_preempt(Rq &rq, Task &p, u64 flags) {
  if (p.sched_class == rq.next_class) {
    rq.next_class->wakeup_preempt(rq, p, flags);
  } else if (p.sched_class->above(*rq.next_class)) {
    rq.next_class->wakeup_preempt(rq, p, flags);
    resched_curr(rq);
    rq.next_class = p.sched_class;
  }
}

void Kernel::kick_idle_balance(u32 cpu) {
  Rq &rq = *rqs_[cpu];
  if (rq.balance_kick.exchange(true)) return;
  machine_.send_resched(cpu);
}

// --- the schedule() pass ---

Task &Kernel::pick_next_task(Rq &rq, Task &prev) {
  for (;;) {
    bool retry = false;
    for (int rank = SchedClass::kStop; rank >= SchedClass::kIdle && !retry; rank--) {
      SchedClass *sched_class = classes_[rank].get();
      if (rank == SchedClass::kFair && ext_->switched_all()) continue;
      if (rank == SchedClass::kDl && !rq.nr_running_servers) continue;
      Task *next = sched_class->pick_task(rq, &prev, &retry);
      if (next && !retry) return *next;
    }
    CHECK(retry, "no class had a task for CPU {}, not even idle", rq.cpu);
  }
}

void Kernel::schedule(bool preempt) {
  Rq &rq = this_rq();
  Task &prev = *rq.curr;
  CHECK(!rq.user_running && exec().on_cpu);
  rcu_.quiescent(rq.cpu);
  rq_lock(rq);
  update_rq_clock(rq);
  const u32 prev_state = preempt ? TASK_RUNNING : prev.state();
  if (prev_state != TASK_RUNNING) deactivate_task(rq, prev, DEQUEUE_SLEEP | DEQUEUE_NOCLOCK);
  Task &next = pick_next_task(rq, prev);
  rq.need_resched = false;
  rq.next_class = next.sched_class;
  const int rank = next.sched_class->rank();
  if (rank > SchedClass::kFair || rq.servers_armed || (rank == SchedClass::kFair && rq.shared->scx.nr_running))
    dl_check_starving(rq, next);
  if (&next == &prev) {
    charge(Cost::schedule);
  } else {
    prev.sched_class->put_prev_task(rq, prev, &next);
    next.sched_class->set_next_task(rq, next, true);
    if (prev_state != TASK_RUNNING)
      prev.ts.nvcsw++;
    else
      prev.ts.nivcsw++;
    context_switch(rq, prev, next);
  }
  if (rq.balance_callback) {
    auto callback = rq.balance_callback;
    rq.balance_callback = nullptr;
    callback(*this, rq);
  }
  rq_unlock(rq);
  if (!rq.active) push_current(rq);
  // A dead task is gone from this CPU for good; nobody but us knows when. Another one may run elsewhere by now.
  if (prev_state == TASK_DEAD) finish_dead(prev);
}

void Kernel::context_switch(Rq &rq, Task &prev, Task &next) {
  CHECK(next.cpu == rq.cpu && (next.on_rq_state() == kOnRqQueued || &next == rq.idle), "{} [{}] is picked on CPU {}",
        next.comm(), next.pid(), rq.cpu);
  CHECK(next.allowed_on(rq.cpu) || next.migration_pending || next.migration_disabled(),
        "{} [{}] is picked on CPU {}, where it may not run", next.comm(), next.pid(), rq.cpu);
  migrate_disable_switch(prev);
  rq.nr_switches++;
  rq.shared->nr_switches = rq.nr_switches;
  const bool prev_runnable = prev.on_rq_state() == kOnRqQueued || &prev == rq.idle;
  machine_.trace(EventType::sched_switch, static_cast<u64>(prev.pid()), prev_runnable ? TASK_RUNNING : prev.state(),
                 static_cast<u64>(next.pid()), prev_runnable);
  // FIDELITY: switch-preempt.
  trace_point(*this, TracePoint::sched_switch, prev_runnable && &prev != rq.idle, task_arg(prev), task_arg(next),
              prev_runnable ? TASK_RUNNING : prev.ts.__state);
  rq.curr = &next;
  rq.shared->curr = &next.ts;
  // From here on a waker may put prev on another CPU; it waits for this in wake().
  next.set_on_cpu(true);
  prev.set_on_cpu(false);
  charge(Cost::context_switch);
}

// --- steps of the current task ---

// User code starts when the segment ends, which is now: nothing is charged after this.
void Kernel::start_user(Rq &rq, Task &p) {
  p.run_started_ns = now_ns();
  rq.user_running = true;
  machine_.start_run(p.run_left_ns);
}

void Kernel::stop_user(Rq &rq) {
  if (!rq.user_running) return;
  rq.user_running = false;
  Task &p = *rq.curr;
  const u64 until = exec().segment_start_ns;
  const u64 done = until > p.run_started_ns ? until - p.run_started_ns : 0;
  p.run_left_ns -= done < p.run_left_ns ? done : p.run_left_ns;
  machine_.cancel_run(rq.cpu);
}

void Kernel::leave_segment(Rq &rq) { machine_.arm_timer(rq.continuation, now_ns()); }

void Kernel::on_segment_end() {
  Rq &rq = this_rq();
  stop_user(rq);
  const u64 limit_ns = exec().segment_start_ns + kMaxSegmentNs;
  bool cut = false;
  for (;;) {
    // schedule() has not returned yet: it waits for other CPUs (SCX_KICK_WAIT). An irq_work ends that.
    if (ext_->cpu_held(rq)) break;
    Task &p = *rq.curr;
    const bool must_go_on = rq.need_resched || (&p != rq.idle && p.run_left_ns == 0);
    cut = must_go_on && now_ns() >= limit_ns;
    if (cut) break;
    if (rq.need_resched) {
      schedule(true);
    } else if (&p == rq.idle) {
      machine_.cpu_entered_idle(rq.cpu);
      break;
    } else if (p.run_left_ns == 0) {
      take_step(rq, p);
    } else {
      start_user(rq, p);
      break;
    }
  }
  cut ? leave_segment(rq) : machine_.cancel_timer(rq.continuation);
  // The NMI watchdog finds a CPU that has had no interrupt for so long. FIDELITY: hard-lockup.
  if (now_ns() >= limit_ns + kHardLockupNs && !machine_.threads()) ext_->hard_lockup(rq.cpu);
  if (rq.nohz_full) {
    RqGuard guard(rq);
    update_tick(rq);
  }
  // Explore mode's grace periods wait for readers, which are segments, and not for ticks.
  if (machine::exploring()) rcu_.quiescent(rq.cpu);
}

void Kernel::take_step(Rq &rq, Task &p) {
  if (p.is_exiting()) return die(p);
  const Step step = p.behavior->next(*this, p);
  CHECK(rq.curr == &p && p.state() == TASK_RUNNING, "{} [{}] left its CPU while it chose a step", p.comm(), p.pid());
  switch (step.kind) {
    case Step::Kind::kRun: p.run_left_ns = step.ns; break;
    case Step::Kind::kSleepUntil:
      if (step.ns <= now_ns()) break;
      p.sleep_timer.cpu = rq.cpu;
      machine_.arm_timer(p.sleep_timer, step.ns);
      block_current(p, true);
      break;
    case Step::Kind::kBlock: block_current(p, false); break;
    case Step::Kind::kYield: yield_current(rq, p); break;
    case Step::Kind::kExit: begin_exit(p); break;
  }
}

// A wakeup that came since the task decided to block keeps it awake; a timed sleep lasts until then all the same.
void Kernel::block_current(Task &p, bool timed) {
  {
    machine::SpinGuard guard(p.pi_lock);
    if (!timed && std::exchange(p.wakeup_before_block, false)) return;
    p.timed_sleep = timed;
    p.set_state(TASK_INTERRUPTIBLE);
  }
  schedule(false);
}

void Kernel::yield_current(Rq &rq, Task &p) {
  {
    RqGuard guard(rq);
    update_rq_clock(rq);
    p.sched_class->yield_task(rq);
  }
  schedule(false);
}

// An exit takes a while, in which the task can be preempted like any other; but nobody finds it by its pid any more.
// FIDELITY: exit-time.
void Kernel::begin_exit(Task &p) {
  p.add_flags(PF_EXITING);
  {
    machine::SpinGuard forks(fork_lock_);
    machine::SpinGuard guard(pid_lock_);
    by_pid_.erase(p.pid());
  }
  trace_point(*this, TracePoint::sched_process_exit, task_arg(p), true);
  p.run_left_ns = machine::kCostNs[static_cast<u32>(Cost::task_exit)];
}

void Kernel::die(Task &p) {
  machine_.trace(EventType::task_exit, static_cast<u64>(p.pid()));
  {
    machine::SpinGuard guard(p.pi_lock);
    p.set_state(TASK_DEAD);
  }
  schedule(false);
}

}  // namespace uscx::sched
