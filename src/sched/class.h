// SPDX-License-Identifier: GPL-2.0-only
// A scheduling class, with the kernel's words. Classes form a ladder: stop, dl, rt, fair, ext, idle (ext is below
// fair). All methods run with the rq lock held unless they say otherwise; enq_flags/deq_flags are the kernel's low 32
// bits (ENQUEUE_*/DEQUEUE_*), which ext passes on to BPF.
#ifndef USCX_SCHED_CLASS_H_
#define USCX_SCHED_CLASS_H_

#include "base/types.h"

namespace uscx::sched {

struct Task;
struct Rq;
class Kernel;

// Core flags (the kernel's values, docs/reference/constants.md).
enum : u64 {
  ENQUEUE_WAKEUP = 0x1,
  ENQUEUE_RESTORE = 0x2,
  ENQUEUE_MOVE = 0x4,
  ENQUEUE_NOCLOCK = 0x8,
  ENQUEUE_MIGRATING = 0x10,
  ENQUEUE_CLASS = 0x40,
  ENQUEUE_HEAD = 0x10000,
  ENQUEUE_MIGRATED = 0x40000,
  ENQUEUE_INITIAL = 0x80000,
  ENQUEUE_RQ_SELECTED = 0x100000,
  DEQUEUE_SLEEP = 0x1,
  DEQUEUE_SAVE = 0x2,
  DEQUEUE_MOVE = 0x4,
  DEQUEUE_NOCLOCK = 0x8,
  DEQUEUE_MIGRATING = 0x10,
  DEQUEUE_CLASS = 0x40,
  DEQUEUE_SPECIAL = 0x10000,
  WF_EXEC = 0x2,
  WF_FORK = 0x4,
  WF_TTWU = 0x8,
  WF_SYNC = 0x10,
  WF_MIGRATED = 0x20,
  WF_RQ_SELECTED = 0x80,
};

class SchedClass {
 public:
  // Order on the ladder, higher runs first. The gap order is the kernel's.
  enum Rank : int { kIdle = 0, kExt = 1, kFair = 2, kRt = 3, kDl = 4, kStop = 5 };
  SchedClass(Kernel &kernel, Rank rank, const char *symbol) : kernel_(kernel), rank_(rank), symbol_(symbol) {}
  virtual ~SchedClass() = default;
  Rank rank() const { return rank_; }
  const char *symbol() const { return symbol_; }  // "ext_sched_class", as dumps print it.
  bool above(const SchedClass &other) const { return rank_ > other.rank_; }

  virtual void enqueue_task(Rq &rq, Task &p, u64 flags) = 0;
  virtual void dequeue_task(Rq &rq, Task &p, u64 flags) = 0;
  virtual void yield_task(Rq &rq) = 0;
  // p has become runnable on rq while rq.next_class is this class; p's class is this one or a higher one. The current
  // task may be of another class.
  virtual void wakeup_preempt(Rq &rq, Task &p, u64 flags) = 0;
  // Chooses the next task without taking it (prev is not put yet). nullptr: this class has none. May drop and retake
  // the rq lock; sets retry when a higher class appeared meanwhile.
  virtual Task *pick_task(Rq &rq, Task *prev, bool *retry) = 0;
  virtual void put_prev_task(Rq &rq, Task &p, Task *next) = 0;
  virtual void set_next_task(Rq &rq, Task &p, bool first) = 0;
  // With p->pi_lock held and no rq lock. Returns a CPU; the core falls back if p may not run there.
  virtual u32 select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) = 0;
  virtual void task_woken(Rq &, Task &) {}
  virtual void task_tick(Rq &rq, Task &p) = 0;
  virtual void update_curr(Rq &rq) = 0;
  virtual void task_dead(Task &) {}             // After the final switch away, no rq lock.
  virtual void switching_from(Rq &, Task &) {}  // Still queued and perhaps running in this class.
  virtual void switching_to(Rq &, Task &) {}    // Before it is enqueued in this class.
  virtual void switched_from(Rq &, Task &) {}
  virtual void switched_to(Rq &, Task &) {}
  virtual void reweight_task(Rq &, Task &) {}  // Nice changed.
  virtual void set_cpus_allowed(Task &) {}     // ts.cpus_ptr has its new value; rq lock and pi_lock held.
  virtual void rq_online(Rq &) {}
  virtual void rq_offline(Rq &) {}

 protected:
  Kernel &kernel_;

 private:
  Rank rank_;
  const char *symbol_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_CLASS_H_
