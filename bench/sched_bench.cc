// SPDX-License-Identifier: GPL-2.0-only
// How much scheduling a second of real time holds: scx_simple with all its callbacks, and the fair class beside it, on
// machines of several sizes under `mixed`.
#include <cstdio>

#include "bench/timing.h"
#include "run/run.h"

namespace uscx::bench {
namespace {

constexpr int kRepeats = 3;

struct Rates {
  double switches = 0, events = 0;  // Per second.
};

Rates measure(const char *scheduler, u32 nr_cpus, u64 duration_ns) {
  cli::RunOptions options;
  options.scheduler = scheduler;
  options.topology = machine::Topology::flat(nr_cpus);
  options.duration_ns = duration_ns;
  options.workloads.push_back(workload::open_workload("mixed").take());
  Rates best;
  for (int i = 0; i < kRepeats; i++) {
    Result<cli::RunResult> result = cli::run(options);
    CHECK(result.ok(), "{}", result.message());
    u64 switches = 0;
    for (const report::TaskFigures &task : result->metrics->figures().tasks) switches += task.picks;
    const double wall_s = static_cast<double>(result->info.wall_ns) / 1e9;
    best.switches = std::max(best.switches, static_cast<double>(switches) / wall_s);
    best.events = std::max(best.events, static_cast<double>(result->info.events) / wall_s);
  }
  return best;
}

void run() {
  std::printf("Scheduling: switches and trace events per second of real time, set-up included\n");
  std::printf("%8s %22s %22s %14s %12s\n", "CPUs", "scx_simple M switch/s", "scx_simple M event/s", "fair M switch/s",
              "cost ratio");
  for (const u32 nr_cpus : {8u, 64u, 512u}) {
    const u64 duration_ns = 160 * kNsPerSec / nr_cpus;  // About the same number of events on each.
    const Rates simple = measure("scx_simple", nr_cpus, duration_ns);
    const Rates fair = measure("fair", nr_cpus, duration_ns);
    std::printf("%8u %22.2f %22.2f %14.2f %12.2f\n", nr_cpus, simple.switches / 1e6, simple.events / 1e6,
                fair.switches / 1e6, fair.switches / simple.switches);
  }
}

}  // namespace
}  // namespace uscx::bench

int main() { uscx::bench::run(); }
