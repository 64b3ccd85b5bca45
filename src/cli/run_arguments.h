// SPDX-License-Identifier: GPL-2.0-only
// What a scheduler runs on, and with, as text: the options that `uscx run` and `uscx explore` share, before they are
// checked.
#ifndef USCX_CLI_RUN_ARGUMENTS_H_
#define USCX_CLI_RUN_ARGUMENTS_H_

#include <string>
#include <vector>

#include "cli/run.h"

namespace uscx::cli {

struct RunArguments {
  std::vector<std::string> sets, ops, workloads;
  std::vector<std::string> sysrqs, hotplugs, alloc_failures;
  std::string kill;
  std::string machine = "simulated";
  std::string cpus, topology, hz = "250", duration, seed = "1", nohz_full, isolcpus, trace, report = "text", recipe;
  bool interpreter = false;
};

// `rest` is the scheduler and its own arguments.
Result<RunOptions> parse_run_options(const RunArguments &arguments, const std::vector<std::string> &rest);

}  // namespace uscx::cli

#endif  // USCX_CLI_RUN_ARGUMENTS_H_
