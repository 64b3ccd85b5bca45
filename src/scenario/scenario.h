// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of explore mode: small machines with native schedulers, each made to bring one part of the core into every
// order of events. One block a scenario in the files of this folder, and one line in the table of scenario.cc.
//
// Threading: a scenario runs in child processes (machine/explore/driver.h).
#ifndef USCX_SCENARIO_SCENARIO_H_
#define USCX_SCENARIO_SCENARIO_H_

#include <string>
#include <string_view>
#include <vector>

#include "machine/explore/driver.h"
#include "sched/mutation.h"
#include "sched/native/scheduler.h"

namespace uscx::scenario {

struct Scenario {
  const char *name;
  const char *text;
  void (*run)(machine::ExploreRun &run);
};
const std::vector<Scenario> &scenarios();
const Scenario *find_scenario(std::string_view name);
constexpr u32 kLoadsPerSchedule = 5;  // Of reload, and at least so many of race-load.

// A bug of the past: the switch, the scenario in which it shows, and the number of schedules within which it is found
// from each of three seeds.
struct History {
  const char *name;  // "g"; a mutation of our own has none of the letters.
  sched::Mutation mutation;
  const char *scenario;
  machine::ExploreOptions::Kind kind;
  u64 schedules;
};
const std::vector<History> &histories();

// A machine with a scheduler, set up atomically and then explored.
struct Stage : sched::ExtMachine {
  Stage(machine::ExploreRun &the_run, u32 nr_cpus) : ExtMachine(nr_cpus), run(the_run) {}

  // Loads the scheduler and lets things settle.
  void load(sched::TestScheduler &scheduler);
  // From here on for `ns` of virtual time segments interleave. Afterwards nothing may be wrong: the scheduler is still
  // there, its callbacks came in order, and no task has waited for longer than `patience_ns` for a CPU.
  void explore(sched::TestScheduler &scheduler, u64 ns, u64 patience_ns = 50000000);

  machine::ExploreRun &run;
};

void run_fifo(machine::ExploreRun &run);
void run_requeue(machine::ExploreRun &run);
void run_idle_race(machine::ExploreRun &run);
void run_affinity(machine::ExploreRun &run);
void run_kick_ring(machine::ExploreRun &run);
void run_unload(machine::ExploreRun &run);
void run_spread(machine::ExploreRun &run);
void run_ping_pong(machine::ExploreRun &run);
void run_ineligible(machine::ExploreRun &run);
void run_second_load(machine::ExploreRun &run);
void run_big_load(machine::ExploreRun &run);
void run_hotplug(machine::ExploreRun &run);
void run_reload(machine::ExploreRun &run);
void run_race_load(machine::ExploreRun &run);
void run_busy_unload(machine::ExploreRun &run);
void run_exit_race(machine::ExploreRun &run);
void run_sub_load(machine::ExploreRun &run);
void run_sub_exit(machine::ExploreRun &run);
void run_watchdog(machine::ExploreRun &run);
void run_direct(machine::ExploreRun &run);
void run_cgroups(machine::ExploreRun &run);
void run_moves(machine::ExploreRun &run);

}  // namespace uscx::scenario

#endif  // USCX_SCENARIO_SCENARIO_H_
