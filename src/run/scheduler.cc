// SPDX-License-Identifier: GPL-2.0-only
#include "run/scheduler.h"

#include <algorithm>

#include "base/nearest.h"
#include "run/bpf_scheduler.h"
#include "run/compile.h"
#include "run/program_scheduler.h"
#include "run/run.h"
#include "schedulers/user_half.h"

namespace uscx::cli {
namespace {

// No BPF scheduler: all tasks are in the fair class.
class FairOnly final : public SchedulerUnderTest {
 public:
  Status run(RunHost &run) override {
    run.advance_to_end();
    return Status::ok_status();
  }
};

Result<std::unique_ptr<schedulers::UserHalf>> make_user_half(const RunOptions &options) {
  const schedulers::Scheduler *found = schedulers::find_scheduler(options.scheduler);
  if (!found) {
    std::vector<std::string> known{"fair"};
    for (const schedulers::Scheduler &scheduler : schedulers::schedulers()) known.emplace_back(scheduler.name);
    return Status::error("unknown scheduler '{}'{}; ours are {}, and a file has a slash or ends in .bpf.o or .bpf.c",
                         options.scheduler, did_you_mean(options.scheduler, known), fmt::join(known, ", "));
  }
  std::unique_ptr<schedulers::UserHalf> half = found->make();
  if (Status status = half->parse_args(options.scheduler_args); !status.ok()) {
    const bool is_ours = std::any_of(options.scheduler_args.begin(), options.scheduler_args.end(),
                                     [](const std::string &word) { return word.starts_with("--"); });
    if (is_ours) return Status::error("{}: {}; options of uscx come before it", options.scheduler, status.message());
    return status;
  }
  return half;
}

}  // namespace

bool is_scheduler_file(std::string_view name) {
  return name.find('/') != std::string_view::npos || name.ends_with(".bpf.o") || is_source_file(name);
}

Result<std::unique_ptr<SchedulerUnderTest>> make_scheduler(const RunOptions &options) {
  using Made = std::unique_ptr<SchedulerUnderTest>;
  if (options.scheduler == "fair") {
    if (!options.scheduler_args.empty())
      return Status::error("fair takes no arguments ('{}'); options come before it", options.scheduler_args[0]);
    if (!options.sets.empty() || !options.ops.empty()) return Status::error("fair has no object for --set and --ops");
    return Made(std::make_unique<FairOnly>());
  }
  if (is_scheduler_file(options.scheduler) && is_program_file(options.scheduler))
    return make_program_scheduler(options);
  if (options.kill.call != 0 || options.kill.at_ns != 0)
    return Status::error("--kill: {} is no program, and has no process to kill", options.scheduler);
  if (is_scheduler_file(options.scheduler)) return make_object_scheduler(options);
  Result<std::unique_ptr<schedulers::UserHalf>> half = make_user_half(options);
  if (!half.ok()) return half.status();
  return make_own_scheduler(half.take(), options);
}

Result<std::optional<std::string>> scheduler_usage(const RunOptions &options) {
  if (options.scheduler == "fair" || is_scheduler_file(options.scheduler)) return std::optional<std::string>();
  Result<std::unique_ptr<schedulers::UserHalf>> half = make_user_half(options);
  if (!half.ok()) return half.status();
  return (*half)->help_wanted() ? std::optional<std::string>((*half)->usage()) : std::nullopt;
}

}  // namespace uscx::cli
