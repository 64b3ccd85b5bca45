// SPDX-License-Identifier: GPL-2.0-only
#include "scenario/scenario.h"

namespace uscx::scenario {

using machine::Failure;
using Kind = machine::ExploreOptions::Kind;
using sched::Mutation;

const std::vector<Scenario> &scenarios() {
  static const std::vector<Scenario> all = {
      {"fifo", "three CPUs share one DSQ; tasks wake each other, move, fork and exit", run_fifo},
      {"requeue", "a scheduler with queues of its own; tasks' affinity changes while they wait", run_requeue},
      {"idle-race", "wakeups meet CPUs that are just going idle", run_idle_race},
      {"affinity", "dispatches to other CPUs meet changes of affinity", run_affinity},
      {"kick-ring", "three CPUs wait for each other (SCX_KICK_WAIT)", run_kick_ring},
      {"unload", "the scheduler is unloaded while CPUs kick each other", run_unload},
  };
  return all;
}

const Scenario *find_scenario(std::string_view name) {
  for (const Scenario &scenario : scenarios())
    if (name == scenario.name) return &scenario;
  return nullptr;
}

const std::vector<History> &histories() {
  static const std::vector<History> all = {
      {"c", Mutation::ksyncs_no_grace, "unload", Kind::kRandom, 2000},
      {"f", Mutation::wait_in_irq_work, "kick-ring", Kind::kRandom, 500},
      {"g", Mutation::no_qseq, "requeue", Kind::kRandom, 2000},
      {"h", Mutation::no_idle_kick, "idle-race", Kind::kRandom, 2000},
      {"i", Mutation::stale_affinity, "affinity", Kind::kRandom, 2000},
  };
  return all;
}

void Stage::load(sched::TestScheduler &scheduler) {
  const int error = attach(scheduler.ready());
  if (error) run.fail(Failure::kScheduler, fmt::format("the scheduler is not loaded: {}", error));
}

void Stage::explore(sched::TestScheduler &scheduler, u64 ns, u64 patience_ns) {
  {
    machine::Explorer explorer(machine, run);
    explorer.set_quiet_check([this] { kernel.verify_all(); });
    run_for(ns);
  }
  kernel.verify_all();
  if (const sched::ExitRecord *exit = ext().exit_of(scheduler))
    run.fail(Failure::kScheduler, fmt::format("the scheduler was ejected: {} ({})", exit->reason, exit->msg));
  if (!scheduler.faults().empty())
    run.fail(Failure::kScheduler, "callbacks out of order: " + scheduler.faults().front());
  const u64 now = machine.loop_now_ns() / machine.tick_ns();
  for (u32 cpu = 0; cpu < machine.nr_cpus(); cpu++)
    for (sched::Task &p : kernel.rq(cpu).ext.runnable_list)
      if ((now - p.ts.scx.runnable_at) * machine.tick_ns() > patience_ns)
        run.fail(Failure::kScheduler, fmt::format("{} [{}] waits on CPU {} since jiffy {}, it is {}", p.comm(), p.pid(),
                                                  cpu, p.ts.scx.runnable_at, now));
}

}  // namespace uscx::scenario
