// SPDX-License-Identifier: GPL-2.0-only
// The machine of `uscx session`: programs are started in it on request, by connections to a socket, until one of them
// asks for the end. In a run it has the scheduler's place.
//
// Virtual time goes while a program runs in the foreground (somebody waits for its end), or is being killed; else it
// stands still. So what happens is a function of the requests, in their order, unless they come while time goes.
//
// Threading: one thread, the one that runs the simulation.
#ifndef USCX_SESSION_SERVER_H_
#define USCX_SESSION_SERVER_H_

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "process/supervisor.h"
#include "run/run.h"
#include "run/scheduler.h"
#include "session/socket.h"

namespace uscx::cli {

class SessionServer final : public SchedulerUnderTest {
 public:
  // `listener` is not owned. `ready` is called once when requests are taken.
  SessionServer(std::string name, int listener, std::function<void()> ready);
  ~SessionServer() override;

  Status run(RunHost &run) override;
  // Text for people: the kernel log, what programs do that we do not know.
  void write(std::string_view text);
  // Tells who has asked for the end of the session how it was.
  void finish(const std::function<std::string(bool terminal)> &report, int status);

 private:
  using Kind = SessionMessage::Kind;
  struct Client {
    explicit Client(Fd fd) : channel(std::move(fd)) {}
    SessionChannel channel;
    process::Process *program = nullptr;  // In the foreground.
    Fd error;                             // Its standard error.
    u64 stop_ns = 0;                      // When it gets SIGINT; 0: never. Then, when it is killed.
    bool stopping = false;
  };

  // Takes what has come; what interrupts a program is done at once, the rest is left in requests_.
  void take_requests(int timeout_ms);
  void handle(Client &client, SessionMessage message);
  void exec(Client &client, SessionMessage message);
  void signal(Client &client, int signal);
  void stop(Client &client, bool terminal);
  void hang_up(Client &client);
  std::string status_text();

  bool time_goes() const;
  void let_time_go();
  void end_overdue(Client &client);
  void report_exits();
  static int exit_status_of(const process::Process &program);

  const std::string name_;
  const int listener_;
  const std::function<void()> ready_;
  RunHost *run_ = nullptr;
  process::Supervisor *supervisor_ = nullptr;
  std::deque<std::unique_ptr<Client>> clients_;               // In order of their coming.
  std::deque<std::pair<Client *, SessionMessage>> requests_;  // To be handled.
  std::vector<process::Process *> dying_;                     // Killed; time goes on until they are gone.
  std::vector<process::Process *> background_;                // Started without anybody who waits.
  std::atomic<bool> stop_ = false;
  Client *stopper_ = nullptr;
  bool stopper_has_terminal_ = false;
};

}  // namespace uscx::cli

#endif  // USCX_SESSION_SERVER_H_
