// SPDX-License-Identifier: GPL-2.0-only
// What a scheduler runs on, and with, as text: the options that `uscx run` and `uscx explore` share, before they are
// checked.
#ifndef USCX_RUN_RUN_ARGUMENTS_H_
#define USCX_RUN_RUN_ARGUMENTS_H_

#include <string>
#include <vector>

#include "run/run.h"

namespace uscx::cli {

struct RunArguments {
  std::vector<std::string> sets, ops, workloads;
  std::vector<std::string> sysrqs, hotplugs, alloc_failures, cgroups;
  std::string kill;
  std::string machine = "simulated";
  std::string cpus, topology, hz = "250", duration, seed = "1", nohz_full, isolcpus, trace, report = "text", recipe,
                              rtapp_logs;
  std::string on_exit = "continue", dump;
  std::vector<std::string> fail_on;
  bool interpreter = false, quiet = false, verbose = false;
};

// `rest` is the scheduler and its own arguments.
Result<RunOptions> parse_run_options(const RunArguments &arguments, const std::vector<std::string> &rest);

// Hooks that write what a run says of itself as text.
RunHooks text_hooks(std::function<void(std::string_view text)> write_text);
std::string report_of(const RunResult &result, const std::string &format, bool terminal);

}  // namespace uscx::cli

#endif  // USCX_RUN_RUN_ARGUMENTS_H_
