// SPDX-License-Identifier: GPL-2.0-only
#include "run/program_scheduler.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "process/supervisor.h"
#include "run/compile.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

// How long a program has to end after SIGINT, and how finely the machine's progress is watched.
constexpr u64 kGraceNs = 10 * kNsPerSec;
constexpr u64 kLastNs = 120 * kNsPerSec;  // A scheduler that starves even the dying is ejected meanwhile.
constexpr u64 kSliceNs = 10 * kNsPerMs;

class ProgramScheduler final : public SchedulerUnderTest {
 public:
  explicit ProgramScheduler(const RunOptions &options) : options_(options) {}

  Status run(RunHost &run) override {
    process::SupervisorOptions supervision;
    supervision.say = [&run](std::string_view line) { run.note(line); };
    supervision.stop = options_.hooks.stop;
    supervision.kill_call = options_.kill.call;
    process::Supervisor supervisor(run.host(), std::move(supervision));
    process::ProgramSpec spec;
    spec.args = options_.scheduler_args;
    spec.args.insert(spec.args.begin(), options_.scheduler);
    spec.fds[STDOUT_FILENO] = options_.program_output_fd;
    Result<process::Process *> started = supervisor.start(spec);
    if (!started.ok()) return started.status();
    process::Process &program = **started;

    until_attached(run, supervisor, program);
    const bool attached = run.host().ext().enabled();
    if (!attached && supervisor.all_gone() && program.wait_status != 0)
      return Status::error("{} {} without attaching a scheduler", options_.scheduler, ending(program));
    while (!run.over() && !supervisor.all_gone()) {
      run.advance(next_look_ns(run) - run.host().machine().loop_now_ns());
      kill_if_due(run, supervisor, program);
    }
    end_programs(run, supervisor, options_.scheduler);
    if (program.wait_status != 0) run.note(fmt::format("{} {}", options_.scheduler, ending(program)));
    return Status::ok_status();
  }

 private:
  // The workload starts when there is a scheduler, or when there will be none.
  void until_attached(RunHost &run, process::Supervisor &supervisor, process::Process &program) {
    bridge::Host &host = run.host();
    const auto waiting = [&] { return !host.ext().enabled() && !supervisor.all_gone(); };
    while (waiting() && !run.over()) {
      host.machine().run_while(waiting, std::min(next_look_ns(run), options_.duration_ns));
      kill_if_due(run, supervisor, program);
    }
  }

  u64 next_look_ns(RunHost &run) const {
    const u64 now_ns = run.host().machine().loop_now_ns(), kill_ns = options_.kill.at_ns;
    return kill_ns > now_ns ? std::min(now_ns + kSliceNs, kill_ns) : now_ns + kSliceNs;
  }

  void kill_if_due(RunHost &run, process::Supervisor &supervisor, process::Process &program) {
    if (options_.kill.at_ns != 0 && run.host().machine().loop_now_ns() >= options_.kill.at_ns) supervisor.kill(program);
  }

  static std::string ending(const process::Process &program) {
    const int status = program.wait_status;
    if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
    return fmt::format("ended with status {}", WEXITSTATUS(status));
  }

  const RunOptions &options_;
};

}  // namespace

void end_programs(RunHost &run, process::Supervisor &supervisor, const std::string &who) {
  machine::Machine &machine = run.host().machine();
  run.advance(0);
  const auto alive = [&supervisor] { return !supervisor.all_gone(); };
  if (!alive()) return;
  supervisor.signal_all(SIGINT);
  machine.run_while(alive, machine.loop_now_ns() + kGraceNs);
  if (!alive()) return;
  run.note(fmt::format("{} does not end on SIGINT within {} and is killed", who, format_duration(kGraceNs)));
  for (const auto &process : supervisor.processes()) supervisor.kill(*process);
  const bool gone = machine.run_while(alive, machine.loop_now_ns() + kLastNs) || !alive();
  CHECK(gone, "killed programs do not end");
}

bool is_program_file(const std::string &path) {
  if (is_source_file(path)) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  Elf64_Ehdr header{};
  const ssize_t got = ::read(fd, &header, sizeof header);
  const bool directory = got < 0;
  ::close(fd);
  if (directory) return false;
  const bool elf = got == sizeof header && std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
  return elf ? header.e_machine != EM_BPF : ::access(path.c_str(), X_OK) == 0;
}

Result<std::unique_ptr<SchedulerUnderTest>> make_program_scheduler(const RunOptions &options) {
  if (!options.sets.empty() || !options.ops.empty())
    return Status::error("{}: a program sets up its own scheduler; --set and --ops are for object files",
                         options.scheduler);
  if (options.threads)
    return Status::error("--machine threads: {} is a program, which needs the simulated machine", options.scheduler);
  Result<std::string> found = process::find_program(options.scheduler);
  if (!found.ok()) return found.status();
  return std::unique_ptr<SchedulerUnderTest>(std::make_unique<ProgramScheduler>(options));
}

}  // namespace uscx::cli
