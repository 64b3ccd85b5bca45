// SPDX-License-Identifier: GPL-2.0-only
// The subcommands of uscx: each is one file with one function that adds it to the command line. A subcommand's work is
// done after parsing, and its result is the exit status of the process.
#ifndef USCX_CLI_COMMAND_H_
#define USCX_CLI_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::cli {

// What was chosen on the command line, to be done now.
using Action = std::function<int()>;

void add_new_command(CLI::App &app, Action &action);
void add_run_command(CLI::App &app, Action &action);
void add_session_commands(CLI::App &app, Action &action);  // session start, exec, status, stop
void add_list_command(CLI::App &app, Action &action);
void add_btf_command(CLI::App &app, Action &action);
void add_inspect_command(CLI::App &app, Action &action);
void add_explore_commands(CLI::App &app, Action &action);  // explore, replay, minimize
void add_help_command(CLI::App &app, Action &action);      // of all that are added by the time it is asked

// Prints "uscx: TEXT" as one line on standard error, and with `json` an object that says the same on standard output;
// returns the status for bad input.
int bad_input(const Status &status, bool json = false);
// Whether --report json is among the words of a command line.
bool asks_for_json(const std::vector<std::string> &words);

}  // namespace uscx::cli

#endif  // USCX_CLI_COMMAND_H_
