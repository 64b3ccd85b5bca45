// SPDX-License-Identifier: GPL-2.0-only
// Explore mode: how many schedules of each scenario a second of real time holds, by strategy, each in a process of its
// own.
#include <cstdio>

#include "bench/timing.h"
#include "scenario/scenario.h"

namespace uscx::bench {
namespace {

using Kind = machine::ExploreOptions::Kind;

constexpr u64 kSchedules = 200;

struct Rate {
  double schedules = 0, steps = 0;  // A second; and steps of one schedule.
};

Rate measure(const scenario::Scenario &scenario, Kind kind) {
  machine::ExploreResult result;
  const double wall_s =
      seconds([&] { result = machine::explore(scenario.run, {.kind = kind, .max_schedules = kSchedules, .seed = 1}); });
  CHECK(result.failing.failure == machine::Failure::kNone, "{}: {}", scenario.name, result.failing.text);
  const auto schedules = static_cast<double>(result.schedules);
  return {schedules / wall_s, static_cast<double>(result.steps) / schedules};
}

void run() {
  std::printf("Explore mode: schedules per second of real time, and steps of one schedule\n");
  std::printf("%-14s %10s %10s %12s %8s\n", "scenario", "random", "pct", "exhaustive", "steps");
  for (const scenario::Scenario &scenario : scenario::scenarios()) {
    // One order of events, of a large machine: not what exploring costs.
    if (std::string_view(scenario.name) == "big-load") continue;
    const Rate random = measure(scenario, Kind::kRandom);
    const Rate pct = measure(scenario, Kind::kPct);
    const Rate exhaustive = measure(scenario, Kind::kExhaustive);
    std::printf("%-14s %10.0f %10.0f %12.0f %8.0f\n", scenario.name, random.schedules, pct.schedules,
                exhaustive.schedules, random.steps);
  }
}

}  // namespace
}  // namespace uscx::bench

int main() { uscx::bench::run(); }
