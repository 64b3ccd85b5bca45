// SPDX-License-Identifier: GPL-2.0-only
// The fair class: earliest eligible virtual deadline first (EEVDF), by nice weight. fair.cc has the order of one queue,
// fair_balance.cc what spreads tasks over CPUs.
//
// Terms. vruntime: CPU time times 1024 / weight. Average: the queue's vruntimes, weighted; a task at or behind it is
// eligible. Request: a task asks for slice_ns at a time; its deadline is the vruntime at which the request is served.
// Lag: average - vruntime, what the task is owed; it survives sleep.
//
// Threading: all methods run with the rq lock held, but for select_task_rq (pi_lock) and the slice timer (takes it).
#ifndef USCX_SCHED_FAIR_H_
#define USCX_SCHED_FAIR_H_

#include "machine/cpumask.h"
#include "sched/classes.h"
#include "sched/kernel.h"

namespace uscx::sched {

class FairClass final : public SchedClass {
 public:
  explicit FairClass(Kernel &kernel);
  void enqueue_task(Rq &rq, Task &p, u64 flags) override;
  void dequeue_task(Rq &rq, Task &p, u64 flags) override;
  void yield_task(Rq &rq) override;
  void wakeup_preempt(Rq &rq, Task &p, u64 flags) override;
  Task *pick_task(Rq &rq, Task *prev, bool *retry) override;
  void put_prev_task(Rq &rq, Task &p, Task *next) override;
  void set_next_task(Rq &rq, Task &p, bool first) override;
  u32 select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) override;
  void task_tick(Rq &rq, Task &p) override;
  void update_curr(Rq &rq) override;
  void switched_from(Rq &rq, Task &p) override;
  void switched_to(Rq &rq, Task &p) override;
  void reweight_task(Rq &rq, Task &p) override;

  u64 slice_ns() const { return slice_ns_; }  // What a task asks for at a time.

 private:
  // --- one queue (fair.cc) ---
  u64 to_virtual(u64 ns, const Task &p) const { return ns * kNiceZeroWeight / p.fair.weight; }
  s64 key(const Rq &rq, const Task &p) const { return static_cast<s64>(p.fair.vruntime_ns - rq.fair.base_vruntime_ns); }
  Task *queued_curr(Rq &rq) const { return rq.fair.curr && rq.fair.curr->fair.queued ? rq.fair.curr : nullptr; }
  // The sums of the queue with its current task.
  struct Sums {
    __int128 key_sum;
    u64 load;
  };
  Sums sums(Rq &rq) const;
  u64 average(Rq &rq) const;
  bool eligible(Rq &rq, const Task &p) const;
  bool is_protected(const Task &p) const {
    return static_cast<s64>(p.fair.protect_vruntime_ns - p.fair.vruntime_ns) > 0;
  }
  void rebase(Rq &rq);
  void insert(Rq &rq, Task &p);
  void erase(Rq &rq, Task &p);
  void place(Rq &rq, Task &p, u64 flags);
  void save_lag(Rq &rq, Task &p);
  Task *pick(Rq &rq);
  u64 ns_until_ineligible(Rq &rq, const Task &p) const;
  void arm_slice_timer(Rq &rq, Task &p);
  void slice_over(Rq &rq);
  static void slice_timer_fired(machine::SimEvent &event);

  // --- many queues (fair_balance.cc) ---
  void set_overloaded(Rq &rq);
  u32 find_idle_cpu(const Task &p, u32 near_cpu) const;
  u32 find_idle_in(const Task &p, machine::MaskView domain, u32 from) const;
  u32 find_idlest_cpu(const Task &p, u32 near_cpu) const;
  bool balance_new_idle(Rq &rq);
  bool pull_from_domain(Rq &rq, machine::MaskView domain, bool idle);
  Task *movable_task(Rq &from, const Rq &to, u64 max_weight) const;
  void pull_task(Rq &rq, Rq &from, Task &p);
  void balance_at_tick(Rq &rq);
  void kick_idle_cpu_for_waiters(Rq &rq);

  static constexpr u64 kNiceZeroWeight = 1024;
  u64 slice_ns_;
  // CPUs where a fair task waits. A hint: read without their rq locks, and checked again with them.
  machine::CpuMask waiting_;  // Changes by set_shared().
  machine::Racy<u32> nr_waiting_cpus_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_FAIR_H_
