// SPDX-License-Identifier: GPL-2.0-only
// The stop class: one task a CPU, migration/N, above everything else. It is there to move running tasks.
#include "sched/classes.h"
#include "sched/kernel.h"

namespace uscx::sched {
namespace {

class StopClass final : public SchedClass {
 public:
  explicit StopClass(Kernel &kernel) : SchedClass(kernel, kStop, "stop_sched_class") {}
  void enqueue_task(Rq &rq, Task &, u64) override { kernel_.add_nr_running(rq, 1); }
  void dequeue_task(Rq &rq, Task &, u64) override { kernel_.sub_nr_running(rq, 1); }
  void yield_task(Rq &) override { CHECK(false, "migration/N never yields"); }
  void wakeup_preempt(Rq &, Task &, u64) override {}  // Nothing is above, and there is one of its kind.
  Task *pick_task(Rq &rq, Task *, bool *) override { return rq.stop && rq.stop->on_rq() ? rq.stop : nullptr; }
  void put_prev_task(Rq &rq, Task &, Task *) override { update_curr(rq); }
  void set_next_task(Rq &rq, Task &p, bool) override { p.ts.se.exec_start = rq.clock_ns; }
  u32 select_task_rq(Task &, u32 prev_cpu, u64) override { return prev_cpu; }
  void task_tick(Rq &rq, Task &) override { update_curr(rq); }
  void update_curr(Rq &rq) override { kernel_.update_curr_common(rq); }
};

class StopBehavior final : public Behavior {
 public:
  explicit StopBehavior(u32 cpu) : cpu_(cpu) {}
  Step next(Kernel &kernel, Task &) override {
    Rq &rq = kernel.rq(cpu_);
    StopWork *work = nullptr;
    {
      RqGuard guard(rq);
      if (rq.stop_works.read().empty()) return Step::block();
      work = &rq.stop_works.racy().front();
      rq.stop_works.write().pop_front();
    }
    work->fn(kernel, *work);
    return Step::run(0);
  }

 private:
  u32 cpu_;
};

}  // namespace

std::unique_ptr<SchedClass> make_stop_class(Kernel &kernel) { return std::make_unique<StopClass>(kernel); }

std::unique_ptr<Behavior> make_stop_behavior(u32 cpu) { return std::make_unique<StopBehavior>(cpu); }

}  // namespace uscx::sched
