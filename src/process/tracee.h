// SPDX-License-Identifier: GPL-2.0-only
// The few moments in which a thread is traced: to make a child of it that starts stopped, belongs to us and is known to
// it by its simulated pid; to have it make calls of ours, such as the several that map one of our maps; and to park a
// thread that makes no calls. A thread is never traced while it runs otherwise.
//
// Threading: the supervisor's thread, which is the tracer of the host.
#ifndef USCX_PROCESS_TRACEE_H_
#define USCX_PROCESS_TRACEE_H_

#include <sys/types.h>

#include <array>
#include <functional>

#include "base/status.h"
#include "base/types.h"
#include "process/notifier.h"

namespace uscx::process {

// Whether this host lets us trace our children; the reason if not.
Status check_tracing();

struct CloneArgs {
  u64 flags = 0;  // CLONE_* and the exit signal
  u64 stack = 0, parent_tid = 0, child_tid = 0, tls = 0;
};

using CallArgs = std::array<u64, 6>;
// Makes a call of ours, in the midst of a call of a thread's: the result or -errno. -ESRCH: the thread has died.
using CallMaker = std::function<s64(int nr, const CallArgs &args)>;
// Stops the thread whose call this is, has `body` make calls in its name, and answers the call with what `body`
// returns. All calls must be among those that come to us. Returns false if the thread has died meanwhile.
bool make_calls(Notifier &notifier, const Call &call, const std::function<s64(const CallMaker &make)> &body);

// Executes clone(2) in the thread whose call this is, and answers the call. `birth` is told the child's host tid while
// both are stopped, and returns what the call returns to the parent: a pid, or -errno to have the child killed. With
// `hold`, the parent stays stopped until let_go(). The child stays stopped in any case, and a new process dies with us.
// Returns false if the thread has died meanwhile.
bool clone_stopped(Notifier &notifier, const Call &call, const CloneArgs &args, bool hold,
                   const std::function<s64(pid_t child)> &birth);

// A stopped thread runs on, no longer traced. False if it is not stopped, as when it dies.
bool let_go(pid_t host_tid);

// Stops a thread that runs user code. It may come to make a call before it stops: then it is still traced, stops when
// the call is answered, and end_tracing() is due then.
enum class Stopped : u8 { kStopped, kCalls, kDead };
Stopped stop_thread(const Notifier &notifier, pid_t host_tid);
void end_tracing(pid_t host_tid);
// A traced thread that has died, and is not the first of its process, is kept by the host until it is waited for.
void reap_thread(pid_t host_tid);

}  // namespace uscx::process

#endif  // USCX_PROCESS_TRACEE_H_
