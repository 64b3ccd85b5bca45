// SPDX-License-Identifier: GPL-2.0-only
// A schedule that failed, as a file: JSON with what was run, and the choices that differ from the default.
#ifndef USCX_RUN_SAVED_SCHEDULE_H_
#define USCX_RUN_SAVED_SCHEDULE_H_

#include <string>
#include <string_view>
#include <vector>

#include "machine/explore/driver.h"
#include "run/run_arguments.h"
#include "scenario/scenario.h"
#include "sched/mutation.h"

namespace uscx::cli {

// A scheduler that is explored, as text.
struct SchedulerSubject {
  std::vector<std::string> command;  // The scheduler and its arguments; empty: a scenario is explored.
  RunArguments run{.duration = "20ms"};
  std::string patience = "2s";
  bool with_load = false;
  // Of a saved schedule, to be the same again.
  u64 input_hash = 0, start_hash = 0;
};

struct SavedSchedule {
  const scenario::Scenario *scenario = nullptr;  // Null: `scheduler` says what.
  SchedulerSubject scheduler;
  sched::Mutation mutation = sched::Mutation::none;
  machine::Failure failure = machine::Failure::kNone;
  machine::ExploreLimits limits;
  machine::Schedule schedule;
};

// An error says what is wrong with it, in one line.
Result<SavedSchedule> parse_schedule(std::string_view text);
Result<SavedSchedule> load_schedule(const std::string &path);
Status save_schedule(const std::string &path, const SavedSchedule &saved, const machine::ScheduleResult &result);

}  // namespace uscx::cli

#endif  // USCX_RUN_SAVED_SCHEDULE_H_
