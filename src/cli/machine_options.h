// SPDX-License-Identifier: GPL-2.0-only
// The options that say what the machine is and does: `uscx run` and `uscx session start` have the same.
#ifndef USCX_CLI_MACHINE_OPTIONS_H_
#define USCX_CLI_MACHINE_OPTIONS_H_

#include <CLI/CLI.hpp>

#include "run/run_arguments.h"

namespace uscx::cli {

void add_machine_options(CLI::App *app, RunArguments &arguments);

}  // namespace uscx::cli

#endif  // USCX_CLI_MACHINE_OPTIONS_H_
