// SPDX-License-Identifier: GPL-2.0-only
// Explore mode for schedulers in BPF: what `uscx run` runs, as a scenario. The scheduler is loaded and attached once,
// its workload's tasks are created, and each schedule goes on from there; or each schedule loads and unloads it too, in
// a process of its own.
//
// Threading: one thread, in a process that has no others.
#ifndef USCX_RUN_EXPLORE_SCHEDULER_H_
#define USCX_RUN_EXPLORE_SCHEDULER_H_

#include <functional>

#include "machine/explore/driver.h"
#include "run/run.h"

namespace uscx::cli {

struct SchedulerStage {
  RunOptions options;      // options.duration_ns is what is explored.
  bool with_load = false;  // Loading and unloading are explored too.
  // A task that waits for longer than that for a CPU, when nothing is interleaved any more, starves.
  u64 patience_ns = 2 * kNsPerSec;
};

// What schedules of a scheduler rest on, besides its arguments: its object, and those of `files` that are files
// (workloads, the recipe).
Result<u64> hash_of_inputs(const RunOptions &options, const std::vector<std::string> &files);

// What is done with the scenario (explore, replay, minimize). `start_hash` tells the state that schedules start from.
using ScenarioUser = std::function<void(const machine::ScenarioFn &scenario, u64 start_hash)>;
// An error is bad input or a refused load; `use` was not called then.
Status with_scheduler(const SchedulerStage &stage, const ScenarioUser &use);

}  // namespace uscx::cli

#endif  // USCX_RUN_EXPLORE_SCHEDULER_H_
