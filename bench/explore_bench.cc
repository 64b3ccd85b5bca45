// SPDX-License-Identifier: GPL-2.0-only
// Explore mode: how many schedules of each scenario a second of real time holds, by strategy; and of four CPUs with
// about 50 points among them and nothing else, which is what a schedule costs besides what it does.
#include <cstdio>

#include "bench/timing.h"
#include "machine/explore/toy.h"
#include "scenario/scenario.h"

namespace uscx::bench {
namespace {

using Kind = machine::ExploreOptions::Kind;

constexpr u64 kSchedules = 400, kToySchedules = 40000, kToyExhaustive = 1000;

// Each adds to a counter under a lock.
void run_toy(machine::ExploreRun &run) {
  machine::SpinLock lock;
  machine::Plain<u32> count("count");
  auto add = [&] {
    for (int i = 0; i < 5; i++) {
      machine::SpinGuard guard(lock);
      count.write() = count.read() + 1;
    }
  };
  machine::on_cpus(run, {add, add, add, add});
  CHECK(count.racy() == 20);
}

struct Rate {
  double schedules = 0, steps = 0;  // A second; and steps of one schedule.
};

Rate measure(const char *name, void (*scenario)(machine::ExploreRun &), Kind kind, u64 schedules) {
  machine::ExploreResult result;
  const double wall_s =
      seconds([&] { result = machine::explore(scenario, {.kind = kind, .max_schedules = schedules, .seed = 1}); });
  CHECK(result.failing.failure == machine::Failure::kNone, "{}: {}", name, result.failing.text);
  const auto done = static_cast<double>(result.schedules);
  return {done / wall_s, static_cast<double>(result.steps) / done};
}

void print(const char *name, void (*scenario)(machine::ExploreRun &), u64 schedules, u64 exhaustive_schedules) {
  const Rate random = measure(name, scenario, Kind::kRandom, schedules);
  const Rate pct = measure(name, scenario, Kind::kPct, schedules);
  const Rate exhaustive = measure(name, scenario, Kind::kExhaustive, exhaustive_schedules);
  std::printf("%-14s %10.0f %10.0f %12.0f %8.0f\n", name, random.schedules, pct.schedules, exhaustive.schedules,
              random.steps);
}

void run() {
  std::printf("Explore mode: schedules per second of real time, and steps of one schedule\n");
  std::printf("%-14s %10s %10s %12s %8s\n", "scenario", "random", "pct", "exhaustive", "steps");
  print("(4 CPUs)", run_toy, kToySchedules, kToyExhaustive);
  for (const scenario::Scenario &scenario : scenario::scenarios()) {
    // One order of events, of a large machine: not what exploring costs.
    if (std::string_view(scenario.name) == "big-load") continue;
    print(scenario.name, scenario.run, kSchedules, kSchedules / 2);
  }
}

}  // namespace
}  // namespace uscx::bench

int main() { uscx::bench::run(); }
