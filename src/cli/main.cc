// SPDX-License-Identifier: GPL-2.0-only
// The `uscx` command: parses, and hands over to the subcommand. Exit statuses are in docs/ARCHITECTURE.md.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <system_error>

#include "base/need.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/command_tree.h"
#include "run/run.h"

namespace {

constexpr const char *kFooter =
    "Exit status: 0 all went well; 2 bad input or a refused scheduler; 3 the\n"
    "scheduler ended with an error; 4 a task stalled; 5 a condition of --fail-on was\n"
    "met; 70 a bug of uscx itself; 130 or 143 interrupted.\n"
    "\n"
    "`uscx help COMMAND` says more about a command.";

// Files of ours must not get the numbers of standard descriptors that are closed: they would be written to. In their
// place stand some that cannot be used either.
void take_standard_descriptors() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0)
      NEED(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) == fd, "/dev/null cannot be opened");
}

// A write that cannot be done is an error of the call, so that what is half done can be undone. Programs that we start
// have the usual effect of these signals again.
void let_writes_fail() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGPIPE, SIGXFSZ}) ::sigaction(signal, &action, nullptr);
}

int run_command(int argc, char **argv) {
  CLI::App app("Runs sched_ext schedulers, unmodified, on a simulated machine.", "uscx");
  app.footer(kFooter);
  app.get_formatter()->column_width(26);
  uscx::cli::Action action;
  uscx::cli::add_new_command(app, action);
  uscx::cli::add_run_command(app, action);
  uscx::cli::add_session_commands(app, action);
  uscx::cli::add_list_command(app, action);
  uscx::cli::add_btf_command(app, action);
  uscx::cli::add_inspect_command(app, action);
  uscx::cli::add_explore_commands(app, action);
  uscx::cli::add_help_command(app, action);
  app.set_version_flag("--version", fmt::format("uscx {}", uscx::kVersion), "Says which version this is");
  app.require_subcommand(1);
  try {
    if (argc == 1) throw CLI::CallForHelp();
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp &) {
    std::fputs(app.help().c_str(), stdout);
    return uscx::cli::kExitOk;
  } catch (const CLI::CallForVersion &version) {
    std::puts(version.what());
    return uscx::cli::kExitOk;
  } catch (const CLI::ParseError &error) {
    const bool json = uscx::cli::asks_for_json(std::vector<std::string>(argv + 1, argv + argc));
    return uscx::cli::bad_input(uscx::cli::parse_error(app, error), json);
  }
  return action();
}

}  // namespace

int main(int argc, char **argv) {
  take_standard_descriptors();
  let_writes_fail();
  uscx::end_without_memory();
  int status = uscx::cli::kExitOk;
  bool written = true;
  try {
    status = run_command(argc, argv);
  } catch (const std::system_error &) {  // So fmt::print() fails.
    written = false;
  }
  written = std::fflush(stdout) == 0 && !std::ferror(stdout) && written;
  if (written) return status;
  const int refused = uscx::cli::bad_input(uscx::Status::error("standard output cannot be written"));
  return status == uscx::cli::kExitOk ? refused : status;
}
