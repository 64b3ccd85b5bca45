// SPDX-License-Identifier: GPL-2.0-only
#include "session/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "run/program_scheduler.h"
#include "sched/ext/ext.h"
#include "sched/ext/ext_sched.h"

namespace uscx::cli {
namespace {

constexpr u64 kSliceNs = 10 * kNsPerMs;   // How finely requests come in between.
constexpr u64 kGraceNs = 10 * kNsPerSec;  // Between SIGINT at the end of a program's time and SIGKILL.

// Writes to somebody else's descriptor, who may have closed the other end.
void write_all(int fd, std::string_view text) {
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, &before);
  for (size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(fd, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    at += static_cast<size_t>(written);
  }
  constexpr timespec kNow{};
  while (sigtimedwait(&pipe, nullptr, &kNow) == SIGPIPE) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

SessionServer::SessionServer(std::string name, int listener, std::function<void()> ready)
    : name_(std::move(name)), listener_(listener), ready_(std::move(ready)) {}

SessionServer::~SessionServer() = default;

Status SessionServer::run(RunHost &run) {
  run_ = &run;
  process::SupervisorOptions supervision;
  supervision.say = [&run](std::string_view line) { run.note(line); };
  supervision.stop = &stop_;
  supervision.while_waiting = [this] { take_requests(0); };
  process::Supervisor supervisor(run.host(), std::move(supervision));
  supervisor_ = &supervisor;
  run.advance(0);
  ready_();
  while (!stop_ && !run.over()) {
    constexpr int kForever = -1;
    take_requests(time_goes() || !requests_.empty() ? 0 : kForever);
    while (!requests_.empty() && !stop_) {
      auto [client, message] = std::move(requests_.front());
      requests_.pop_front();
      handle(*client, std::move(message));
    }
    if (time_goes()) let_time_go();
    report_exits();
  }
  run.end_now();
  end_programs(run, supervisor, "session " + name_);
  report_exits();
  supervisor_ = nullptr;
  return Status::ok_status();
}

void SessionServer::write(std::string_view text) {
  write_all(STDERR_FILENO, text);
  for (const auto &client : clients_)
    if (client->program) write_all(client->error.get(), text);
}

void SessionServer::finish(const std::function<std::string(bool)> &report, int status) {
  if (stopper_) stopper_->channel.send(Kind::kReport, {report(stopper_has_terminal_), std::to_string(status)});
}

// --- requests ---

void SessionServer::take_requests(int timeout_ms) {
  std::vector<pollfd> polls{{listener_, POLLIN, 0}};
  for (const auto &client : clients_) polls.push_back({client->channel.fd(), POLLIN, 0});
  if (::poll(polls.data(), polls.size(), timeout_ms) <= 0) return;
  for (size_t i = 0; i + 1 < polls.size(); i++) {
    Client &client = *clients_[i];
    if (polls[i + 1].revents == 0) continue;
    while (std::optional<SessionMessage> message = client.channel.receive()) {
      if (message->kind == Kind::kSignal && !message->strings.empty())
        signal(client, std::atoi(message->strings[0].c_str()));
      else if (message->kind == Kind::kStop)
        stop(client, !message->strings.empty() && message->strings[0] == "1");
      else
        requests_.emplace_back(&client, std::move(*message));
    }
    if (client.channel.closed()) hang_up(client);
  }
  std::erase_if(clients_, [this](const auto &client) {
    const bool asks = std::any_of(requests_.begin(), requests_.end(),
                                  [&client](const auto &request) { return request.first == client.get(); });
    return client->channel.closed() && !asks && stopper_ != client.get();
  });
  if (polls[0].revents & POLLIN) {
    Fd fd(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    // One that does not read is not waited for for ever.
    constexpr timeval kPatience{5, 0};
    if (fd.get() >= 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
    if (fd.get() >= 0) clients_.push_back(std::make_unique<Client>(std::move(fd)));
  }
}

void SessionServer::handle(Client &client, SessionMessage message) {
  switch (message.kind) {
    case Kind::kExec: return exec(client, std::move(message));
    case Kind::kStatus: client.channel.send(Kind::kText, {status_text()}); return;
    default: client.channel.send(Kind::kRefused, {"a request that this version does not know"});
  }
}

void SessionServer::exec(Client &client, SessionMessage message) {
  constexpr size_t kFixed = 5, kStdio = 3;
  const auto refuse = [&client](const std::string &why) { client.channel.send(Kind::kRefused, {why}); };
  const std::vector<std::string> &strings = message.strings;
  const size_t nr_args = strings.size() < kFixed ? 0 : std::strtoull(strings[4].c_str(), nullptr, 10);
  if (client.program || message.fds.size() != kStdio || nr_args == 0 || nr_args > strings.size() - kFixed)
    return refuse("a request of another version");
  if (client.channel.closed()) return;
  process::ProgramSpec spec;
  spec.file = strings[0];
  spec.directory = strings[1];
  spec.args.assign(strings.begin() + kFixed, strings.begin() + static_cast<s64>(kFixed + nr_args));
  spec.environment.emplace(strings.begin() + static_cast<s64>(kFixed + nr_args), strings.end());
  for (size_t i = 0; i < kStdio; i++) spec.fds[i] = message.fds[i].get();
  Result<process::Process *> program = supervisor_->start(spec);
  if (!program.ok()) return refuse(program.message());
  const bool detached = strings[2] == "1";
  const u64 for_ns = std::strtoull(strings[3].c_str(), nullptr, 10);
  if (detached) {
    background_.push_back(*program);
  } else {
    client.program = *program;
    client.error = std::move(message.fds[STDERR_FILENO]);
    client.stop_ns = for_ns == 0 ? 0 : run_->host().machine().loop_now_ns() + for_ns;
  }
  client.channel.send(Kind::kStarted, {std::to_string((*program)->pid)});
}

// As from the terminal: to the program and all that it has started.
void SessionServer::signal(Client &client, int signal) {
  if (!client.program) return;
  for (const auto &process : supervisor_->processes())
    if (process->program == client.program && !process->host_dead) supervisor_->deliver(*process, signal);
}

void SessionServer::stop(Client &client, bool terminal) {
  stop_ = true;
  if (stopper_) return;
  stopper_ = &client;
  stopper_has_terminal_ = terminal;
}

void SessionServer::hang_up(Client &client) {
  if (!client.program) return;
  for (const auto &process : supervisor_->processes()) {
    if (process->program != client.program || process->gone) continue;
    supervisor_->kill(*process);
    dying_.push_back(process.get());
  }
  client.program = nullptr;
}

std::string SessionServer::status_text() {
  bridge::Host &host = run_->host();
  const sched::ExtSched *loaded = host.ext().enabled() ? host.ext().root() : nullptr;
  std::string text =
      fmt::format("session {}: {} CPUs, virtual time {}, {}\n", name_, host.kernel().nr_cpus(),
                  format_duration(host.machine().loop_now_ns()), loaded ? "scheduler " + loaded->name : "no scheduler");
  for (const auto &process : supervisor_->processes())
    if (!process->gone) text += fmt::format("{:>8} {}\n", process->pid, process->name);
  return text;
}

// --- time ---

bool SessionServer::time_goes() const {
  return !dying_.empty() ||
         std::any_of(clients_.begin(), clients_.end(), [](const auto &client) { return client->program; });
}

// Until one of those that are waited for is gone, but not for long.
void SessionServer::let_time_go() {
  machine::Machine &machine = run_->host().machine();
  u64 end_ns = machine.loop_now_ns() + kSliceNs;
  for (const auto &client : clients_)
    if (client->program && client->stop_ns != 0) end_ns = std::min(end_ns, client->stop_ns);
  const auto nobody_gone = [this] {
    return std::none_of(clients_.begin(), clients_.end(),
                        [](const auto &client) { return client->program && client->program->gone; }) &&
           std::none_of(dying_.begin(), dying_.end(), [](const auto *process) { return process->gone; });
  };
  machine.run_while(nobody_gone, end_ns);
  for (const auto &client : clients_) end_overdue(*client);
  std::erase_if(dying_, [](const auto *process) { return process->gone; });
}

void SessionServer::end_overdue(Client &client) {
  const u64 now_ns = run_->host().machine().loop_now_ns();
  if (!client.program || client.program->gone || client.stop_ns == 0 || now_ns < client.stop_ns) return;
  signal(client, client.stopping ? SIGKILL : SIGINT);
  client.stopping = true;
  client.stop_ns = now_ns + kGraceNs;
}

int SessionServer::exit_status_of(const process::Process &program) {
  constexpr int kSignalled = 128;  // As shells have it.
  const int status = program.wait_status;
  return WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status);
}

void SessionServer::report_exits() {
  for (const auto &client : clients_) {
    if (!client->program || !client->program->gone) continue;
    client->channel.send(Kind::kExited, {std::to_string(exit_status_of(*client->program))});
    client->program = nullptr;
  }
  std::erase_if(background_, [this](const process::Process *program) {
    if (program->gone && program->wait_status != 0)
      run_->note(fmt::format("{} [{}] ended with status {}", program->name, program->pid, exit_status_of(*program)));
    return program->gone;
  });
}

}  // namespace uscx::cli
