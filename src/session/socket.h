// SPDX-License-Identifier: GPL-2.0-only
// How the commands of `uscx session` reach the process that has the machine: a socket in a private directory of the
// user's, and messages of strings and descriptors on it.
//
// A session's name is held by a lock on a file beside the socket, which its process keeps for life: where it can be
// taken, a socket that is left is a dead session's. Not thread-safe.
#ifndef USCX_SESSION_SOCKET_H_
#define USCX_SESSION_SOCKET_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::cli {

// A descriptor with an owner.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd &&other) noexcept : fd_(other.release()) {}
  Fd &operator=(Fd &&other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

struct SessionMessage {
  enum class Kind : u8 {
    // Of commands.
    kExec,    // file, directory, options, number of arguments, arguments, environment; three descriptors
    kSignal,  // number; to the program that this connection has started
    kStatus,
    kStop,  // "1" if the report goes to a terminal
    // Of the session.
    kStarted,  // pid
    kExited,   // exit status
    kRefused,  // why
    kText,     // the answer to kStatus
    kReport,   // the report, exit status
  };
  Kind kind;
  std::vector<std::string> strings;
  std::vector<Fd> fds;
};

// One end of a connection.
class SessionChannel {
 public:
  explicit SessionChannel(Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  // Waits until all is sent; false if the other end has gone.
  bool send(SessionMessage::Kind kind, const std::vector<std::string> &strings, std::span<const int> fds = {});
  // The next message if it is all there; closed() may become true.
  std::optional<SessionMessage> receive();
  // Waits for it; nothing if the other end goes.
  std::optional<SessionMessage> wait();
  bool closed() const { return closed_; }

 private:
  void read_more();

  Fd fd_;
  std::string input_;
  std::vector<Fd> input_fds_;
  bool closed_ = false;
};

struct SessionPlace {
  std::string socket, lock, log;  // Paths.
};
// An error if the name is none, or the user's directory is not private. Makes the directory.
Result<SessionPlace> session_place(const std::string &name);

// The name of a session, taken until this ends.
class SessionClaim {
 public:
  static Result<std::unique_ptr<SessionClaim>> take(const std::string &name);
  // Removes the files, unless another process has the claim by now.
  ~SessionClaim();
  // In the process that forks: the child has it now.
  void leave() { removes_ = false; }
  const SessionPlace &place() const { return place_; }
  int listener() const { return listener_.get(); }

 private:
  SessionPlace place_;
  Fd lock_, listener_;
  bool removes_ = false;
};

// A connection to a session that runs.
Result<std::unique_ptr<SessionChannel>> connect_session(const std::string &name);

}  // namespace uscx::cli

#endif  // USCX_SESSION_SOCKET_H_
