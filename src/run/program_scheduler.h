// SPDX-License-Identifier: GPL-2.0-only
// A whole scheduler program, unmodified: it runs under a process::Supervisor as tasks of the simulated machine, loads
// what it likes, and gets SIGINT at the end of the run. One thread.
#ifndef USCX_RUN_PROGRAM_SCHEDULER_H_
#define USCX_RUN_PROGRAM_SCHEDULER_H_

#include <memory>

#include "run/scheduler.h"

namespace uscx::process {
class Supervisor;
}

namespace uscx::cli {

// Is the file something to execute, rather than a BPF object?
bool is_program_file(const std::string &path);

// At the end of a run: SIGINT to all programs, ten virtual seconds to end, then SIGKILL. `who` is named then.
void end_programs(RunHost &run, process::Supervisor &supervisor, const std::string &who);

// `options` must outlive what is made.
Result<std::unique_ptr<SchedulerUnderTest>> make_program_scheduler(const RunOptions &options);

}  // namespace uscx::cli

#endif  // USCX_RUN_PROGRAM_SCHEDULER_H_
