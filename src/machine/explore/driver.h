// SPDX-License-Identifier: GPL-2.0-only
// The driver of explore mode: it runs schedules of a scenario to find one that fails, repeats a schedule, or makes it
// smaller. Schedules run in child processes (server.h): no schedule can spoil the next one, memory is the same at the
// beginning of each, and a crash is a result like any other.
//
// Threading: one thread in the process, which must not have others. A function of its arguments: the same seed gives
// the same schedules.
#ifndef USCX_MACHINE_EXPLORE_DRIVER_H_
#define USCX_MACHINE_EXPLORE_DRIVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "machine/explore/explore.h"

namespace uscx::machine {

// Builds everything anew, constructs an Explorer for the interesting part, and runs to its end. What it does before the
// first choice is run once, what comes after for each schedule (ExploreRun::begin()).
using ScenarioFn = std::function<void(ExploreRun &run)>;

// The choices that differ from the default, by the number of the point.
using Schedule = std::vector<RunRecord::Deviation>;

struct ScheduleResult {
  Failure failure = Failure::kNone;
  std::string text;
  std::vector<std::string> races;  // In programs' own memory.
  u64 nr_points = 0, nr_steps = 0, nr_switches = 0;
  Schedule schedule;
};

struct ExploreOptions {
  enum class Kind { kRandom, kPct, kExhaustive };
  Kind kind = Kind::kRandom;
  u32 depth = 3;  // PCT: the number of ordering constraints of the bugs that it looks for.
  u32 bound = 2;  // Exhaustive: the number of preemptions.
  u64 max_schedules = 1000;
  u64 seed = 1;
  ExploreLimits limits;
  u32 nr_lanes = 0;  // So many schedules are run at the same time; 0: one for each CPU of the host.
};

struct ExploreResult {
  u64 schedules = 0;   // Run, the failing one included.
  u64 equivalent = 0;  // Exhaustive: of them, cut off because another one is equivalent.
  bool all = false;    // There are no more (exhaustive: within the bound).
  u64 steps = 0;
  ScheduleResult failing;  // With failure kNone if there is none.
  // Races in programs' own memory, in the order in which they were found, and in how many schedules.
  struct Race {
    std::string text;
    u64 schedules;
  };
  std::vector<Race> races;
};

ExploreResult explore(const ScenarioFn &scenario, const ExploreOptions &options);
ScheduleResult replay(const ScenarioFn &scenario, const Schedule &schedule, const ExploreLimits &limits = {});

struct MinimizeResult {
  ScheduleResult result;
  u64 runs = 0;
};
// The same kind of failure with as few deviations as delta debugging finds.
MinimizeResult minimize(const ScenarioFn &scenario, const Schedule &schedule, Failure failure,
                        const ExploreLimits &limits = {});

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_DRIVER_H_
