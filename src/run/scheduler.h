// SPDX-License-Identifier: GPL-2.0-only
// The scheduler of a run, whatever it is: none (the fair class), an object file, or one of ours with its own user half.
// It plays the user half's part: it loads, attaches, lets time pass through the RunHost, and detaches.
//
// Threading: one thread, the one that runs the simulation.
#ifndef USCX_RUN_SCHEDULER_H_
#define USCX_RUN_SCHEDULER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bridge/host.h"

namespace uscx::cli {

struct RunOptions;

// What a scheduler may ask of the run that it is part of.
class RunHost {
 public:
  virtual ~RunHost() = default;
  virtual bridge::Host &host() = 0;
  // Lets virtual time pass, up to the end of the run. The first call starts the workload.
  virtual void advance(u64 ns) = 0;
  virtual void advance_to_end() = 0;
  // The end of the run is reached, or the user has interrupted it.
  virtual bool over() const = 0;
  // The run ends here, whatever its duration.
  virtual void end_now() = 0;
  // Output of the scheduler, as it comes.
  virtual void print(std::string_view text) = 0;
  // What people should know: printed, and part of the report.
  virtual void note(std::string_view line) = 0;
};

class SchedulerUnderTest {
 public:
  virtual ~SchedulerUnderTest() = default;
  // An error is a refusal: the scheduler never ran.
  virtual Status run(RunHost &run) = 0;
};

// An error if there is no such scheduler or file. Nothing is loaded yet.
Result<std::unique_ptr<SchedulerUnderTest>> make_scheduler(const RunOptions &options);
// The help text of one of our schedulers, if that is what its arguments ask for.
Result<std::optional<std::string>> scheduler_usage(const RunOptions &options);
// A name with a slash, or that ends in .bpf.o or .bpf.c, is a file.
bool is_scheduler_file(std::string_view name);

}  // namespace uscx::cli

#endif  // USCX_RUN_SCHEDULER_H_
