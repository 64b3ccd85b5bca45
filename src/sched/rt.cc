// SPDX-License-Identifier: GPL-2.0-only
// The realtime class: SCHED_FIFO and SCHED_RR. Tasks wait by priority, then in order of arrival; the current one keeps
// its place in the queue, so that it goes on after a higher one has run. Under SCHED_RR it goes behind its equals when
// its turn of 100 ms is over, which is found out at ticks.
//
// FIDELITY: rt-in-place. Waiting tasks are not pushed to or pulled by other CPUs.
#include "sched/classes.h"
#include "sched/kernel.h"

namespace uscx::sched {
namespace {

class RtClass final : public SchedClass {
 public:
  explicit RtClass(Kernel &kernel) : SchedClass(kernel, kRt, "rt_sched_class") {}
  void enqueue_task(Rq &rq, Task &p, u64 flags) override;
  void dequeue_task(Rq &rq, Task &p, u64 flags) override;
  void yield_task(Rq &rq) override;
  void wakeup_preempt(Rq &rq, Task &p, u64 flags) override;
  Task *pick_task(Rq &rq, Task *, bool *) override {
    return rq.rt.queue.read().empty() ? nullptr : &rq.rt.queue.racy().front();
  }
  void put_prev_task(Rq &rq, Task &, Task *) override { update_curr(rq); }
  void set_next_task(Rq &rq, Task &p, bool) override { p.ts.se.exec_start = rq.clock_ns; }
  u32 select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) override;
  void task_tick(Rq &rq, Task &p) override;
  void update_curr(Rq &rq) override { kernel_.update_curr_common(rq); }
  void switched_to(Rq &rq, Task &p) override;

 private:
  static void insert(Rq &rq, Task &p, bool head);
  static void requeue(Rq &rq, Task &p);
  // 0 for anything that a realtime task preempts.
  static u32 level(const Task &p) {
    return p.sched_class->rank() < kRt ? 0 : p.sched_class->rank() > kRt ? ~0u : p.rt_priority.get();
  }
};

void RtClass::insert(Rq &rq, Task &p, bool head) {
  auto &queue = rq.rt.queue.write();
  auto it = queue.begin();
  while (it != queue.end() && (head ? it->rt_priority > p.rt_priority : it->rt_priority >= p.rt_priority)) ++it;
  queue.insert(it, p);
}

void RtClass::enqueue_task(Rq &rq, Task &p, u64 flags) {
  insert(rq, p, flags & ENQUEUE_HEAD);
  kernel_.add_nr_running(rq, 1);
}

void RtClass::dequeue_task(Rq &rq, Task &p, u64) {
  if (rq.curr == &p) update_curr(rq);
  rq.rt.queue.write().erase(rq.rt.queue.racy().iterator_to(p));
  kernel_.sub_nr_running(rq, 1);
}

void RtClass::requeue(Rq &rq, Task &p) {
  rq.rt.queue.write().erase(rq.rt.queue.racy().iterator_to(p));
  insert(rq, p, false);
}

void RtClass::yield_task(Rq &rq) { requeue(rq, *rq.curr); }

void RtClass::task_tick(Rq &rq, Task &p) {
  update_curr(rq);
  if (p.ts.policy != SCHED_RR || --p.rr_ticks_left > 0) return;
  p.rr_ticks_left = rr_turn_ticks(kernel_.machine().hz());
  auto next = rq.rt.queue.racy().iterator_to(p);
  if (++next == rq.rt.queue.racy().end() || next->rt_priority != p.rt_priority) return;
  requeue(rq, p);
  kernel_.resched_curr(rq);
}

void RtClass::wakeup_preempt(Rq &rq, Task &p, u64) {
  if (p.sched_class == this && p.rt_priority > level(*rq.curr)) kernel_.resched_curr(rq);
}

u32 RtClass::select_task_rq(Task &p, u32 prev_cpu, u64) {
  const auto current_level = [this](u32 cpu) { return level(*kernel_.rq(cpu).curr); };
  if (p.allowed_on(prev_cpu) && current_level(prev_cpu) < p.rt_priority) return prev_cpu;
  const machine::MaskView allowed(p.allowed->bits, kernel_.nr_cpus());
  const u32 idle = allowed.next_and(kernel_.idle_cpus(), 0);
  if (idle < kernel_.nr_cpus()) return idle;
  u32 best = prev_cpu;
  u32 best_level = p.rt_priority;
  for (u32 cpu = allowed.first(); cpu < kernel_.nr_cpus(); cpu = allowed.next(cpu + 1)) {
    if (current_level(cpu) >= best_level || !kernel_.cpu_active(cpu)) continue;
    best = cpu;
    best_level = current_level(cpu);
  }
  return best;
}

void RtClass::switched_to(Rq &rq, Task &p) {
  if (p.on_rq() && rq.curr != &p && p.rt_priority > level(*rq.curr)) kernel_.resched_curr(rq);
}

}  // namespace

std::unique_ptr<SchedClass> make_rt_class(Kernel &kernel) { return std::make_unique<RtClass>(kernel); }

}  // namespace uscx::sched
