// SPDX-License-Identifier: GPL-2.0-only
// Our own schedulers, by name, and what their user half may ask of whoever runs it. The same user half is linked into uscx
// and into a program of its own for a real kernel: it talks to BPF through plain libbpf (inside uscx redirected to the
// simulated machine's bpf(2)), and to the passing of time through SchedulerHost alone.
//
// This header needs the standard library only, so that a stand-alone program can implement SchedulerHost too.
//
// Threading: a user half runs on the thread that runs the simulation; virtual time passes only inside sleep_ns().
#ifndef USCX_CLI_SCHEDULER_REGISTRY_H_
#define USCX_CLI_SCHEDULER_REGISTRY_H_

#include <cstdint>
#include <string_view>
#include <vector>

struct bpf_object;

namespace uscx::cli {

class SchedulerHost {
 public:
  virtual ~SchedulerHost() = default;
  // What the command line asks of every object (--set, --ops): call it between open and load. 0, or -errno after a message
  // was printed.
  virtual int configure(struct bpf_object *object) = 0;
  // Lets time pass. Returns early when exit_requested() becomes true.
  virtual void sleep_ns(uint64_t ns) = 0;
  // The user wants the program to end: SIGINT, or the end of the run. Detach, report and return.
  virtual bool exit_requested() const = 0;
  // The program's output and its errors, whole lines or parts of them. Nothing is written anywhere else.
  virtual void print(std::string_view text) = 0;
};

struct BuiltinScheduler {
  const char *name;
  const char *help;  // One line for `uscx list schedulers`.
  // As a program's main(); argv[0] is the name. 0, or another exit status after a message was printed. It must leave no
  // global state behind (getopt's optind included): it may be run again in the same process.
  int (*main)(int argc, char **argv, SchedulerHost &host);
};

// Each scheduler's user half has one `const BuiltinSchedulerRegistrar registrar{{"scx_x", "...", main}};`.
struct BuiltinSchedulerRegistrar {
  explicit BuiltinSchedulerRegistrar(const BuiltinScheduler &scheduler);
};

// Sorted by name.
std::vector<BuiltinScheduler> builtin_schedulers();

}  // namespace uscx::cli

#endif  // USCX_CLI_SCHEDULER_REGISTRY_H_
