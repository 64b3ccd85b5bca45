// SPDX-License-Identifier: GPL-2.0-only
// Starts a program of the host whose system calls come to us: its first one is the execve() that makes it what it is.
//
// Threading: the supervisor's thread.
#ifndef USCX_PROCESS_LAUNCH_H_
#define USCX_PROCESS_LAUNCH_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "process/notifier.h"

namespace uscx::process {

struct ProgramSpec {
  std::vector<std::string> args;
  std::string file;                                     // Empty: args[0] is searched as a shell would.
  std::string directory;                                // Where it runs; empty: here.
  int fds[3] = {0, 1, 2};                               // Its standard input, output and error.
  std::optional<std::vector<std::string>> environment;  // Ours if it is not given.
};

struct Launched {
  pid_t host_pid = 0;
  std::unique_ptr<Notifier> notifier;
};

// The file that `name` stands for, or an error: not there, not executable, for another machine.
Result<std::string> find_program(const std::string &name);
Result<Launched> launch(const ProgramSpec &spec);

}  // namespace uscx::process

#endif  // USCX_PROCESS_LAUNCH_H_
