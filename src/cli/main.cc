// SPDX-License-Identifier: GPL-2.0-only
// The `uscx` command: parses, and hands over to the subcommand. Exit statuses are in docs/ARCHITECTURE.md.
#include <cstdio>

#include "cli/command.h"
#include "cli/run.h"

namespace {

constexpr const char *kFooter =
    "Exit status: 0 all went well; 2 bad input or a refused scheduler; 3 the\n"
    "scheduler ended with an error; 4 a task stalled; 70 a bug of uscx itself.\n"
    "\n"
    "`uscx COMMAND --help` says more about a command.";

}  // namespace

int main(int argc, char **argv) {
  CLI::App app("Runs sched_ext schedulers, unmodified, on a simulated machine.", "uscx");
  app.footer(kFooter);
  app.get_formatter()->column_width(26);
  uscx::cli::Action action;
  uscx::cli::add_run_command(app, action);
  uscx::cli::add_session_commands(app, action);
  uscx::cli::add_list_command(app, action);
  uscx::cli::add_btf_command(app, action);
  uscx::cli::add_inspect_command(app, action);
  uscx::cli::add_explore_commands(app, action);
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    std::fputs(app.help().c_str(), stdout);
    return uscx::cli::kExitOk;
  } catch (const CLI::ParseError &error) {
    return uscx::cli::bad_input(uscx::Status::error("{} (see uscx --help)", error.what()));
  }
  return action();
}
