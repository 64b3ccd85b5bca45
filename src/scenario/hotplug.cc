// SPDX-License-Identifier: GPL-2.0-only
// A scenario of a CPU that goes while everybody wants something of it.
#include <deque>

#include "scenario/scenario.h"
#include "sched/hotplug.h"

namespace uscx::scenario {

using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kSliceNs = 20000;
constexpr u32 kVictim = 2;

}  // namespace

// The scheduler sends tasks to the local DSQ of the CPU that goes, also by ops.select_cpu, and kicks it with WAIT. One
// task is bound to it, and others sleep and wake meanwhile.
void run_hotplug(machine::ExploreRun &run) {
  Stage stage(run, 3);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("hotplug");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  std::deque<Task *> queue;
  u32 turn = 0;
  scheduler.on_cpu_offline = scheduler.on_cpu_online = [](s32) { machine::explore_point(); };
  scheduler.on_select_cpu = [&](Task &p, s32 prev_cpu, u64) {
    return p.is_kthread() ? prev_cpu : static_cast<s32>(kVictim);
  };
  scheduler.on_enqueue = [&](Task &p, u64) { queue.push_back(&p); };
  scheduler.on_dequeue = [&](Task &p, u64) { std::erase(queue, &p); };
  scheduler.on_dispatch = [&](s32 cpu, Task *) {
    if (!queue.empty()) {
      Task &p = *queue.front();
      queue.pop_front();
      const bool bound = p.ts.nr_cpus_allowed == 1;
      const u32 target = bound ? p.cpus->view().first() : turn++ % 2 ? kVictim : static_cast<u32>(cpu);
      ext.dsq_insert(self(), p, SCX_DSQ_LOCAL_ON | target, kSliceNs, 0);
    }
    ext.kick_cpu(self(), static_cast<s32>(kVictim), turn % 3 ? SCX_KICK_WAIT : SCX_KICK_PREEMPT);
  };
  stage.load(scheduler);
  const machine::CpuMask only = stage.mask({kVictim});
  auto often = [n = 0](Kernel &, Task &) mutable {
    return n++ % 3 ? Step::run(15000) : Step::sleep_until(machine::now_ns() + 5000);
  };
  stage.spawn("bound", std::make_unique<sched::Script>(often), 0, &only);
  for (int i = 0; i < 3; i++) stage.script("work", often);
  int changes = 0;
  {
    machine::Explorer explorer(stage.machine, run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    for (bool online : {false, true}) {
      stage.machine.run_on(0, [&] { stage.kernel.hotplug().request(kVictim, online, [&](int) { changes++; }); });
      stage.machine.run_while([&] { return !stage.kernel.hotplug().idle(); }, stage.machine.loop_now_ns() + 200000000);
      stage.run_for(50000);
    }
  }
  stage.explore(scheduler, 100000);
  if (changes != 2) run.fail(machine::Failure::kScheduler, "the CPU is neither gone nor back");
}

}  // namespace uscx::scenario
