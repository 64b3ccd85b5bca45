// SPDX-License-Identifier: GPL-2.0-only
// The program of one scheduler for a real kernel: USCX_MAKE_SCHEDULER is its factory. It loads the scheduler, prints
// its statistics once a second until a signal or the scheduler's end, and loads it again if the kernel asks for that
// (after CPU hotplug).
//
// Exit status: 0, 1 if the scheduler ended with an error, 2 for bad arguments or if it could not be loaded.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "schedulers/user_half.h"

namespace uscx::schedulers {
namespace {

volatile sig_atomic_t stop_requested = 0;

void request_stop(int) { stop_requested = 1; }

// sleep() must end at a signal, so no SA_RESTART.
void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = request_stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int fail(const Status &status) {
  fmt::print(stderr, "{}\n", status.message());
  return 2;
}

// One life of the scheduler. 0 or an exit status; `again` says whether the kernel asks for another.
int run_once(const UserHalf &half, bool &again) {
  again = false;
  Result<std::unique_ptr<ScxObject>> opened = half.open(host_environment());
  if (!opened.ok()) return fail(opened.status());
  ScxObject &object = **opened;
  Status status = object.load();
  if (status.ok()) status = object.attach();
  if (!status.ok()) {
    // The verifier's words, which no line can hold.
    fputs(libbpf_log().c_str(), stderr);
    return fail(status);
  }
  while (!stop_requested && !object.exited()) {
    half.print_stats(object, stdout);
    fflush(stdout);
    sleep(1);
  }
  object.detach();
  const ExitInfo info = object.exit_info();
  print_exit(info, stderr);
  again = info.wants_restart() && !stop_requested;
  return info.kind >= kExitKindError ? 1 : 0;
}

int run(const std::vector<std::string> &args) {
  const std::unique_ptr<UserHalf> half = USCX_MAKE_SCHEDULER();
  const Status status = half->parse_args(args);
  if (!status.ok()) return fail(status);
  if (half->help_wanted()) {
    fputs(half->usage().c_str(), stdout);
    return 0;
  }
  set_libbpf_verbose(half->verbose());
  catch_signals();
  int result;
  bool again;
  do {
    result = run_once(*half, again);
  } while (again);
  return result;
}

}  // namespace
}  // namespace uscx::schedulers

int main(int argc, char **argv) { return uscx::schedulers::run(std::vector<std::string>(argv + 1, argv + argc)); }
