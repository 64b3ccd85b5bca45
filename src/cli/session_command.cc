// SPDX-License-Identifier: GPL-2.0-only
// `uscx session start|exec|status|stop`: a simulated machine that stays, and programs that are started in it one after
// another or at once. `start` leaves a process that has the machine (session/server.h); the other commands talk to it.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/machine_options.h"
#include "cli/terminal.h"
#include "process/launch.h"
#include "run/run_arguments.h"
#include "session/server.h"
#include "session/socket.h"

namespace uscx::cli {
namespace {

using Kind = SessionMessage::Kind;

// Of `exec`, whose other exit statuses are the program's.
constexpr int kExecFailed = 125;

constexpr const char *kFooter =
    "Virtual time goes while an exec waits for its program, and stands still\n"
    "otherwise: the same commands give the same trace, as long as each comes after\n"
    "the end of the one before it. exec passes the standard descriptors, the\n"
    "environment, the directory and the exit status through; the kernel log goes to\n"
    "standard error, too. Ctrl-C goes to the program, a third one kills it, as the\n"
    "end of exec itself does.\n"
    "\n"
    "Examples:\n"
    "  uscx session start --cpus 16 --workload mixed\n"
    "  uscx session exec --detach ./scx_simple >simple.log\n"
    "  uscx session exec sleep 5               # five seconds pass\n"
    "  uscx session exec bpftool struct_ops list\n"
    "  uscx session exec --for 10s ./scx_qmap  # fails: EBUSY\n"
    "  uscx session stop                       # with the report\n"
    "\n"
    "Exit status: of exec the program's, 128 and the signal's number if it was\n"
    "killed, 125 if it was not started; of stop as of uscx run; else 0, or 2 for\n"
    "bad input.";

int exec_failed(const Status &status) {
  bad_input(status);
  return kExecFailed;
}

Status session_ended(const std::string &name) { return Status::error("session {} has ended", name); }

// --- start ---

// What `start` waits for: a word from the process of the session, and a line if it cannot begin.
class Readiness {
 public:
  Readiness() { CHECK(::pipe2(fds_, O_CLOEXEC) == 0, "pipe: errno {}", errno); }
  void tell(const std::string &error) {
    const std::string text = error.empty() ? kReady : error;
    (void)!::write(fds_[1], text.data(), text.size());  // Whoever started it may have gone.
    ::close(fds_[1]);
  }
  Status wait() {
    ::close(fds_[1]);
    std::string text;
    char block[512];
    for (ssize_t got; (got = ::read(fds_[0], block, sizeof block)) > 0;) text.append(block, static_cast<size_t>(got));
    if (text == kReady) return Status::ok_status();
    return Status::error("{}", text.empty() ? "the session has died as it began" : text);
  }

 private:
  static constexpr const char *kReady = "ready";
  int fds_[2];
};

// The process of the session. Its standard error is the log, which stays if it dies.
int serve(const std::string &name, const std::string &format, RunOptions options, std::unique_ptr<SessionClaim> claim,
          Readiness &readiness) {
  bool ready = false;
  SessionServer server(name, claim->listener(), [&] {
    ready = true;
    readiness.tell("");
  });
  const InterruptGuard interrupt;
  options.hooks = text_hooks([&server](std::string_view text) { server.write(text); });
  options.hooks.stop = interrupt.stop();
  Result<RunResult> result = run(options, server);
  if (!result.ok()) {
    if (!ready) readiness.tell(result.message());
    return kExitBadInput;
  }
  // Who gets the report may take the name again at once.
  claim.reset();
  server.finish([&](bool terminal) { return report_of(*result, format, terminal); }, exit_status(*result));
  return kExitOk;
}

bool become_background(const std::string &log) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (null < 0 || file < 0 || ::setsid() < 0) return false;
  ::dup2(null, STDIN_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::dup2(file, STDERR_FILENO);
  return true;
}

int do_start(const std::string &name, const RunArguments &arguments) {
  Result<RunOptions> options = parse_run_options(arguments, {"fair"});
  if (!options.ok()) return bad_input(options.status());
  options->scheduler = "session " + name;
  options->duration_ns = workload::kMaxDurationNs;
  Result<std::unique_ptr<SessionClaim>> claim = SessionClaim::take(name);
  if (!claim.ok()) return bad_input(claim.status());
  Readiness readiness;
  const pid_t child = ::fork();
  if (child < 0) return bad_input(Status::error("fork: {}", std::strerror(errno)));
  if (child == 0) {
    int status = kExitBadInput;
    if (become_background((*claim)->place().log)) {
      status = serve(name, arguments.report, options.take(), claim.take(), readiness);
    } else {
      readiness.tell(fmt::format("{}: {}", (*claim)->place().log, std::strerror(errno)));
      claim.take().reset();
    }
    std::fflush(nullptr);
    ::_exit(status);
  }
  (*claim)->leave();
  const Status status = readiness.wait();
  return status.ok() ? static_cast<int>(kExitOk) : bad_input(status);
}

// --- exec ---

struct ExecArguments {
  std::string name = "default", for_time;
  bool detach = false;
};

// Signals that would end us go to the program instead.
class SignalRelay {
 public:
  SignalRelay() {
    sigset_t signals;
    sigemptyset(&signals);
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&signals, signal);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    fd_ = Fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  int fd() const { return fd_.get(); }
  // False at the third SIGINT.
  bool relay(SessionChannel &channel) {
    constexpr int kPatience = 3;
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo == SIGINT && ++interrupts_ == kPatience) return false;
      channel.send(Kind::kSignal, {std::to_string(info.ssi_signo)});
    }
    return true;
  }

 private:
  Fd fd_;
  int interrupts_ = 0;
};

int await_end(SessionChannel &channel, const ExecArguments &arguments) {
  SignalRelay signals;
  for (;;) {
    while (std::optional<SessionMessage> message = channel.receive()) {
      const std::string text = message->strings.empty() ? "" : message->strings[0];
      if (message->kind == Kind::kRefused) return exec_failed(Status::error("{}", text));
      if (message->kind == Kind::kExited) return std::atoi(text.c_str());
      if (message->kind != Kind::kStarted || !arguments.detach) continue;
      fmt::print(stderr, "uscx: pid {} in session {}\n", text, arguments.name);
      return kExitOk;
    }
    if (channel.closed()) return exec_failed(session_ended(arguments.name));
    pollfd polls[2] = {{channel.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}};
    ::poll(polls, 2, -1);
    if (!signals.relay(channel)) return 128 + SIGINT;
  }
}

int do_exec(const CLI::App &command, const ExecArguments &arguments) {
  const std::vector<std::string> program = command.remaining();
  if (program.empty()) return exec_failed(Status::error("PROGRAM is missing (see uscx session exec --help)"));
  if (program[0].starts_with("-")) return exec_failed(unknown_word(command, program[0]));
  u64 for_ns = 0;
  if (!arguments.for_time.empty()) {
    Result<u64> time = parse_duration(arguments.for_time);
    if (!time.ok()) return exec_failed(time.status().at("--for"));
    if (*time == 0 || arguments.detach)
      return exec_failed(Status::error(
          "--for: {}", arguments.detach ? "nobody waits for a detached program" : "it takes more than 0"));
    for_ns = *time;
  }
  Result<std::string> file = process::find_program(program[0]);
  if (!file.ok()) return exec_failed(file.status());
  Result<std::unique_ptr<SessionChannel>> channel = connect_session(arguments.name);
  if (!channel.ok()) return exec_failed(channel.status());
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  std::vector<std::string> strings{(here / *file).string(), here.string(), arguments.detach ? "1" : "0",
                                   std::to_string(for_ns), std::to_string(program.size())};
  strings.insert(strings.end(), program.begin(), program.end());
  for (char **variable = environ; *variable; variable++) strings.emplace_back(*variable);
  constexpr int kStdio[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  if (!(*channel)->send(Kind::kExec, strings, kStdio)) return exec_failed(session_ended(arguments.name));
  return await_end(**channel, arguments);
}

// --- status, stop ---

int ask(const std::string &name, Kind kind, const std::vector<std::string> &strings) {
  Result<std::unique_ptr<SessionChannel>> channel = connect_session(name);
  if (!channel.ok()) return bad_input(channel.status());
  std::optional<SessionMessage> answer;
  if ((*channel)->send(kind, strings)) answer = (*channel)->wait();
  if (!answer || answer->strings.empty()) return bad_input(session_ended(name));
  std::fputs(answer->strings[0].c_str(), stdout);
  return answer->strings.size() > 1 ? std::atoi(answer->strings[1].c_str()) : kExitOk;
}

void add_name(CLI::App *command, std::string *name) {
  command->add_option("--name", *name, "Which session (default: default)")->type_name("NAME");
}

}  // namespace

void add_session_commands(CLI::App &app, Action &action) {
  CLI::App *session = app.add_subcommand("session", "Keeps a simulated machine, to start programs in.");
  session->require_subcommand(1);
  session->footer(kFooter);

  CLI::App *start = session->add_subcommand("start", "Makes a machine and leaves it in the background.");
  const auto arguments = std::make_shared<std::pair<std::string, RunArguments>>("default", RunArguments());
  add_name(start, &arguments->first);
  add_machine_options(start, arguments->second);
  start->callback(
      [&action, arguments] { action = [arguments] { return do_start(arguments->first, arguments->second); }; });

  CLI::App *exec = session->add_subcommand("exec", "Runs PROGRAM [ARGS...] in it.");
  set_usage(exec, "[options] PROGRAM [ARGS...]");
  const auto how = std::make_shared<ExecArguments>();
  add_name(exec, &how->name);
  exec->add_flag("--detach", how->detach, "Starts it and does not wait for its end");
  exec->add_option("--for", how->for_time, "Sends it SIGINT after so much virtual time, and\nSIGKILL 10s later")
      ->type_name("TIME");
  exec->prefix_command();
  exec->callback([&action, exec, how] { action = [exec, how] { return do_exec(*exec, *how); }; });

  const auto name = std::make_shared<std::string>("default");
  CLI::App *status = session->add_subcommand("status", "Shows its time, its scheduler and its programs.");
  add_name(status, name.get());
  status->callback([&action, name] { action = [name] { return ask(*name, Kind::kStatus, {}); }; });

  CLI::App *stop = session->add_subcommand("stop", "Ends its programs and it, and reports.");
  add_name(stop, name.get());
  stop->callback([&action, name] {
    action = [name] { return ask(*name, Kind::kStop, {wants_colour(STDOUT_FILENO) ? "1" : "0"}); };
  });
}

}  // namespace uscx::cli
