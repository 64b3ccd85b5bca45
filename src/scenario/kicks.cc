// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of CPUs that tell each other to look: idle CPUs and kicks.
#include "scenario/scenario.h"

namespace uscx::scenario {

using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kSharedDsq = 7;
constexpr u64 kSliceNs = 1000000;

}  // namespace

// Tasks go to a shared DSQ, and an idle CPU is told if there is one. A CPU that goes idle looks at the DSQ before.
void run_idle_race(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("idle", SCX_OPS_KEEP_BUILTIN_IDLE);
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_select_cpu = [](Task &, s32 prev_cpu, u64) { return prev_cpu; };
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    ext.dsq_insert(self(), p, kSharedDsq, kSliceNs, flags);
    const s32 cpu = ext.pick_idle_cpu(self(), p.ts.cpus_ptr, 0);
    if (cpu >= 0) ext.kick_cpu(self(), cpu, SCX_KICK_IDLE);
  };
  scheduler.on_dispatch = [&](s32, Task *) { ext.dsq_move_to_local(self(), kSharedDsq, 0); };
  scheduler.on_update_idle = [&](s32 cpu, bool idle) {
    if (idle && ext.dsq_nr_queued(self(), kSharedDsq) > 0) ext.kick_cpu(self(), cpu, 0);
  };
  stage.load(scheduler);
  Task *tasks[2];
  for (Task *&p : tasks) {
    p = &stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::block() : Step::run(3000); });
    stage.kernel.get_task(*p);
  }
  for (u32 i = 0; i < 2; i++) {
    Task *target = tasks[i];
    stage.script("waker", [target, i, n = 0](Kernel &kernel, Task &) mutable {
      if (n++ >= 6) return Step::block();
      kernel.wake(*target);
      return Step::sleep_until(machine::now_ns() + 9000 + 2000 * i);
    });
  }
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
  for (int i = 0; i < 6; i++) stage.script("work", [](Kernel &, Task &) { return Step::run(15000); });
  stage.explore(scheduler, 500000);
}

// The scheduler goes away in the explored part, while CPUs carry out kicks.
void run_unload(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("unload");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_enqueue = [&](Task &p, u64 flags) { ext.dsq_insert(self(), p, kSharedDsq, 20000, flags); };
  scheduler.on_dispatch = [&](s32 cpu, Task *) {
    ext.dsq_move_to_local(self(), kSharedDsq, 0);
    ext.kick_cpu(self(), (cpu + 1) % 3, SCX_KICK_WAIT);
  };
  stage.load(scheduler);
  for (int i = 0; i < 4; i++)
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

}  // namespace uscx::scenario
