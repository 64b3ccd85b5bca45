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
      {"spread", "tasks are sent from CPU to CPU while their nice values change", run_spread},
      {"ping-pong", "two tasks wake each other as they go to sleep", run_ping_pong},
      {"ineligible", "the scheduler keeps handing out a task that may not run here", run_ineligible},
      {"second-load", "a second scheduler is loaded while one is there", run_second_load},
      {"big-load", "a scheduler is loaded on 4097 CPUs (one order of events)", run_big_load},
      {"hotplug", "a CPU goes offline and comes back while tasks are sent to it, kicked with WAIT or bound to it",
       run_hotplug},
      {"unload", "the scheduler is unloaded while CPUs kick each other", run_unload},
      {"reload", "a scheduler is loaded and unloaded while tasks fork, run and exit", run_reload},
      {"race-load", "two programs load a scheduler each, and unload it, again and again", run_race_load},
      {"busy-unload", "the scheduler is unloaded while every CPU is in a callback", run_busy_unload},
      {"exit-race", "callbacks on all CPUs end the scheduler at once, each in its own way", run_exit_race},
      {"sub-load", "a sub-scheduler is loaded and unloaded while tasks of its group fork, run and exit", run_sub_load},
      {"sub-exit", "a scheduler ends while others are loaded and unloaded below it", run_sub_exit},
      {"watchdog", "the watchdog looks after a scheduler that does its work", run_watchdog},
      {"direct", "tasks that wait are sent to another CPU when their nice value changes", run_direct},
      {"moves", "CPUs move tasks from DSQ to DSQ while others run them to their end", run_moves},
      {"cgroups", "control groups come and go and change while tasks move between them", run_cgroups},
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
      {"a", Mutation::ksyncs_fixed_area, "big-load", Kind::kRandom, 1},
      {"b", Mutation::ksyncs_before_check, "race-load", Kind::kRandom, 10},
      {"c", Mutation::ksyncs_no_grace, "unload", Kind::kPct, 6000},
      {"d", Mutation::ksyncs_no_check, "unload", Kind::kPct, 2000},
      {"e", Mutation::endless_dispatch, "ineligible", Kind::kRandom, 100},
      {"f", Mutation::wait_in_irq_work, "kick-ring", Kind::kRandom, 500},
      {"g", Mutation::no_qseq, "requeue", Kind::kRandom, 4000},
      {"h", Mutation::idle_told_first, "idle-race", Kind::kRandom, 2000},
      {"i", Mutation::stale_affinity, "requeue", Kind::kRandom, 2000},
      {"no_holding_cpu", Mutation::no_holding_cpu, "spread", Kind::kRandom, 2000},
      {"early_queued", Mutation::early_queued, "requeue", Kind::kRandom, 2000},
      {"lock_order", Mutation::lock_order, "fifo", Kind::kRandom, 200},
      {"lost_wakeup", Mutation::lost_wakeup, "ping-pong", Kind::kRandom, 2000},
      {"no_on_cpu_wait", Mutation::no_on_cpu_wait, "ping-pong", Kind::kRandom, 2000},
      {"no_dsq_lock", Mutation::no_dsq_lock, "affinity", Kind::kRandom, 2000},
      {"no_stopper_lock", Mutation::no_stopper_lock, "affinity", Kind::kRandom, 2000},
      {"no_requeue_check", Mutation::no_requeue_check, "spread", Kind::kRandom, 2000},
      {"no_deferred_irq", Mutation::no_deferred_irq, "direct", Kind::kRandom, 100},
      {"watchdog_once", Mutation::watchdog_once, "watchdog", Kind::kRandom, 10},
      {"sticky_stays", Mutation::sticky_stays, "spread", Kind::kRandom, 100},
      {"no_kick_resched", Mutation::no_kick_resched, "idle-race", Kind::kRandom, 100},
      {"no_dispatch_wait", Mutation::no_dispatch_wait, "requeue", Kind::kRandom, 2000},
      {"fork_unlocked", Mutation::fork_unlocked, "reload", Kind::kRandom, 500},
      {"exit_not_claimed", Mutation::exit_not_claimed, "exit-race", Kind::kRandom, 2000},
      {"move_asks_early", Mutation::move_asks_early, "moves", Kind::kPct, 2000},
      {"sub_init_unlocked", Mutation::sub_init_unlocked, "sub-load", Kind::kRandom, 2000},
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
  std::string idle;
  for (u32 cpu = 0; cpu < machine.nr_cpus(); cpu++)
    if (kernel.rq(cpu).curr == kernel.rq(cpu).idle) idle += fmt::format("{}{}", idle.empty() ? "; idle: " : ", ", cpu);
  const u64 now = machine.loop_now_ns() / machine.tick_ns();
  for (u32 cpu = 0; cpu < machine.nr_cpus(); cpu++)
    for (sched::Task &p : kernel.rq(cpu).ext.runnable_list.racy())
      if ((now - p.ts.scx.runnable_at) * machine.tick_ns() > patience_ns)
        run.fail(Failure::kScheduler, fmt::format("{} [{}] waits on CPU {} since jiffy {}, it is {}{}", p.comm(),
                                                  p.pid(), cpu, p.ts.scx.runnable_at, now, idle));
}

}  // namespace uscx::scenario
