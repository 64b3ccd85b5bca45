// SPDX-License-Identifier: GPL-2.0-only
// Notifier: the system calls of a program's threads, as the host's kernel hands them over (seccomp's user
// notification). A thread whose call is here sleeps in the host's kernel until it is answered; only a fatal signal ends
// that. All processes that descend from one started program share its notifier.
//
// Threading: the supervisor's thread.
#ifndef USCX_PROCESS_NOTIFIER_H_
#define USCX_PROCESS_NOTIFIER_H_

#include <sys/types.h>

#include "base/types.h"

namespace uscx::process {

// A call as it arrived. `arch_ok` is false for the calls of 32-bit code.
struct Call {
  u64 id = 0;
  pid_t host_tid = 0;
  int nr = -1;
  bool arch_ok = true;
  u64 args[6] = {};
};

class Notifier {
 public:
  explicit Notifier(int fd);  // Owns it.
  ~Notifier();
  Notifier(const Notifier &) = delete;
  Notifier &operator=(const Notifier &) = delete;

  int fd() const { return fd_; }
  // The next call; waits for it unless one is there. False if its thread has died meanwhile.
  bool receive(Call *call);
  // Is a call there?
  bool pending() const;

  // The three answers. They do nothing if the thread has died.
  void answer(const Call &call, s64 result);  // A result, or -errno; -512 (ERESTARTSYS) restarts after a signal.
  void let_through(const Call &call);         // The host's kernel executes the call after all.
  // A new descriptor of our file in the caller's process, before the answer; or -errno.
  int add_fd(const Call &call, int fd, bool close_on_exec);

 private:
  const int fd_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_NOTIFIER_H_
