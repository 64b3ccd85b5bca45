// SPDX-License-Identifier: GPL-2.0-only
// The idle class: swapper/N, which is never queued. It tells sched_ext and the machine when a CPU is idle, and stops
// the tick there.
#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {
namespace {

class IdleClass final : public SchedClass {
 public:
  explicit IdleClass(Kernel &kernel) : SchedClass(kernel, kIdle, "idle_sched_class") {}
  void enqueue_task(Rq &, Task &, u64) override { CHECK(false, "the idle task is never queued"); }
  void dequeue_task(Rq &, Task &, u64) override { CHECK(false, "the idle task is never queued"); }
  void yield_task(Rq &) override { CHECK(false, "the idle task never yields"); }
  void wakeup_preempt(Rq &rq, Task &, u64) override { kernel_.resched_curr(rq); }
  Task *pick_task(Rq &rq, Task *, bool *) override;
  void put_prev_task(Rq &rq, Task &p, Task *next) override;
  void set_next_task(Rq &rq, Task &p, bool first) override;
  u32 select_task_rq(Task &p, u32, u64) override { return p.cpu; }
  void task_tick(Rq &, Task &) override {}
  void update_curr(Rq &) override {}
};

Task *IdleClass::pick_task(Rq &rq, Task *, bool *) {
  kernel_.ext().update_idle(rq, true, false);
  return rq.idle;
}

void IdleClass::set_next_task(Rq &rq, Task &p, bool) {
  p.ts.se.exec_start = rq.clock_ns;
  rq.idle_since_ns = rq.clock_ns;
  if (rq.nr_running == 0) kernel_.set_cpu_idle(rq.cpu, true);
  kernel_.machine().stop_tick(rq.cpu);
  kernel_.ext().update_idle(rq, true, true);
}

void IdleClass::put_prev_task(Rq &rq, Task &, Task *) {
  rq.idle_ns += rq.clock_ns - rq.idle_since_ns;
  kernel_.set_cpu_idle(rq.cpu, false);
  kernel_.machine().cpu_left_idle(rq.cpu);
  kernel_.machine().start_tick(rq.cpu);
  kernel_.ext().update_idle(rq, false, true);
}

}  // namespace

std::unique_ptr<SchedClass> make_idle_class(Kernel &kernel) { return std::make_unique<IdleClass>(kernel); }

}  // namespace uscx::sched
