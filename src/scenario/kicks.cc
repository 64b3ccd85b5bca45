// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of CPUs that tell each other to look: idle CPUs and kicks.
#include <algorithm>
#include <cerrno>
#include <deque>

#include "scenario/scenario.h"

namespace uscx::scenario {

using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kSharedDsq = 7;
constexpr u64 kUnloadNs = 400000;  // What taking a scheduler down takes on a small machine.
constexpr u64 kSliceNs = 1000000;

}  // namespace

// A waker that never leaves its CPU, and a task that is queued there, so that only a kick brings the other CPU to it.
// The scheduler kicks an idle CPU after it has queued a task, and a CPU that goes idle looks at the queue once it shows
// as idle. The queue is the scheduler's own: a DSQ would get the task only after ops.enqueue has returned.
void run_idle_race(machine::ExploreRun &run) {
  Stage stage(run, 2);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("idle", SCX_OPS_KEEP_BUILTIN_IDLE);
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  std::deque<Task *> queue;
  scheduler.on_select_cpu = [](Task &p, s32 prev_cpu, u64) { return p.is_kthread() ? prev_cpu : 0; };
  scheduler.on_dequeue = [&](Task &p, u64) { std::erase(queue, &p); };
  scheduler.on_enqueue = [&](Task &p, u64) {
    queue.push_back(&p);
    machine::explore_point();
    // Without a claim: a CPU that was claimed for another task would not show as idle, though it may find nothing.
    for (s32 cpu = 0; cpu < 2; cpu++)
      if (ext.idle_cpumask(self(), false, sched::Ext::kGlobalMask)->bits[0] >> cpu & 1)
        ext.kick_cpu(self(), cpu, SCX_KICK_IDLE);
  };
  auto waits_for = [&](s32 cpu) {
    return std::find_if(queue.begin(), queue.end(), [&](Task *p) { return p->allowed_on(static_cast<u32>(cpu)); });
  };
  scheduler.on_dispatch = [&](s32 cpu, Task *) {
    const auto it = waits_for(cpu);
    if (it == queue.end()) return;
    Task &p = **it;
    queue.erase(it);
    ext.dsq_insert(self(), p, SCX_DSQ_LOCAL, SCX_SLICE_INF, 0);
  };
  scheduler.on_update_idle = [&](s32 cpu, bool idle) {
    if (idle && waits_for(cpu) != queue.end()) ext.kick_cpu(self(), cpu, 0);
    machine::explore_point();
  };
  stage.load(scheduler);
  // Two, so that one is woken while the CPU switches away from the other.
  Task *workers[2];
  for (Task *&worker : workers) {
    worker =
        &stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::block() : Step::run(3000); });
    stage.kernel.get_task(*worker);
  }
  const machine::CpuMask first = stage.mask({0});
  auto wake_often = [&workers, n = 0](Kernel &kernel, Task &) mutable {
    if (n++ >= 40) return Step::run(1000000000);
    kernel.wake(*workers[n % 2]);
    return Step::run(7000);
  };
  stage.spawn("waker", std::make_unique<sched::Script>(wake_often), 0, &first);
  // After the last wakeup nobody comes by any more: what is stranded stays so.
  stage.explore(scheduler, 60000000, 20000000);
}

void run_kick_ring(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("ring");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_enqueue = [&](Task &p, u64 flags) { ext.dsq_insert(self(), p, kSharedDsq, 20000, flags); };
  scheduler.on_dispatch = [&](s32 cpu, Task *) {
    ext.dsq_move_to_local(self(), kSharedDsq, 0);
    ext.kick_cpu(self(), (cpu + 1) % 3, SCX_KICK_WAIT | SCX_KICK_PREEMPT);
  };
  stage.load(scheduler);
  for (int i = 0; i < 6; i++)
    stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::yield() : Step::run(15000); });
  stage.explore(scheduler, 500000);
}

// A woken task waits in a DSQ that nobody looks at, on the rq of a CPU that is busy for good. When its nice value
// changes, the scheduler sends it to another CPU, which only that CPU's interrupt can carry out.
void run_direct(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("direct");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_select_cpu = [](Task &p, s32 prev_cpu, u64) { return p.is_kthread() ? prev_cpu : 0; };
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    const bool anywhere = p.ts.nr_cpus_allowed == 3 && !p.is_kthread();
    const u64 dsq = !anywhere ? u64{SCX_DSQ_LOCAL} : flags & SCX_ENQ_WAKEUP ? kSharedDsq : u64{SCX_DSQ_LOCAL_ON} | 1;
    ext.dsq_insert(self(), p, dsq, SCX_SLICE_INF, flags);
  };
  stage.load(scheduler);
  const machine::CpuMask first = stage.mask({0}), last = stage.mask({2});
  stage.hog(0, &first);
  Task &worker =
      stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::block() : Step::run(3000); });
  stage.kernel.get_task(worker);
  auto send_often = [&worker, n = 0](Kernel &kernel, Task &) mutable {
    if (n++ >= 20) return Step::block();
    if (n % 2)
      kernel.wake(worker);
    else
      kernel.set_user_nice(worker, n % 5);
    return Step::run(9000);
  };
  stage.spawn("sender", std::make_unique<sched::Script>(send_often), 0, &last);
  stage.explore(scheduler, 60000000, 20000000);
}

// The scheduler goes away in the explored part, while CPUs carry out kicks.
void run_unload(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("unload");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  // A kick can be under way while its scheduler is taken down, up to the end.
  run.limits.irq_work_delay_ns = kUnloadNs / 4;
  run.limits.window_ns = std::max(run.limits.window_ns, kUnloadNs);
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_enqueue = [&](Task &p, u64 flags) { ext.dsq_insert(self(), p, kSharedDsq, 20000, flags); };
  scheduler.on_dispatch = [&](s32 cpu, Task *) {
    ext.dsq_move_to_local(self(), kSharedDsq, 0);
    for (s32 other = 1; other < 3; other++) ext.kick_cpu(self(), (cpu + other) % 3, SCX_KICK_WAIT);
  };
  stage.load(scheduler);
  for (int i = 0; i < 2; i++)
    stage.script("work", [n = 0](Kernel &, Task &) mutable {
      return n++ % 3 ? Step::run(15000) : Step::sleep_until(machine::now_ns() + 5000);
    });
  {
    machine::Explorer explorer(stage.machine, run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    stage.run_for(100000);
    stage.detach(scheduler);
    stage.run_for(100000);
  }
  stage.kernel.verify_all();
  if (scheduler.exit_kind != SCX_EXIT_UNREG)
    run.fail(machine::Failure::kScheduler, fmt::format("the scheduler was ejected: {}", scheduler.exit_msg));
  if (!scheduler.faults().empty())
    run.fail(machine::Failure::kScheduler, "callbacks out of order: " + scheduler.faults().front());
}

// A second scheduler is refused while one is loaded, and the first one goes on.
void run_second_load(machine::ExploreRun &run) {
  Stage stage(run, 2);
  sched::TestScheduler first("first"), second("second");
  stage.load(first);
  stage.hog();
  int error = 0;
  {
    machine::Explorer explorer(stage.machine, run);
    explorer.set_quiet_check([&stage] { stage.kernel.verify_all(); });
    error = stage.attach(second.ready());
  }
  if (error != -EBUSY)
    run.fail(machine::Failure::kScheduler, fmt::format("a second scheduler's load ends with {}", error));
  stage.explore(first, 100000);
}

// No exploring: a load on a machine with more CPUs than fit into a page of 32 KiB.
void run_big_load(machine::ExploreRun &run) {
  Stage stage(run, 4097);
  sched::TestScheduler scheduler("big");
  stage.load(scheduler);
  stage.detach(scheduler);
}

}  // namespace uscx::scenario
