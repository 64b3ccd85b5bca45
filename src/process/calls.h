// SPDX-License-Identifier: GPL-2.0-only
// What the handlers of calls (calls_*.cc) have in common. A handler is called again after each wait of its call, with
// Thread::started set, and looks at everything anew.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_CALLS_H_
#define USCX_PROCESS_CALLS_H_

#include <errno.h>
#include <poll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "process/call_table.h"
#include "process/process.h"

namespace uscx::process {

// The host's kernel restarts the call after the signal's handler, or returns EINTR, as the program has asked for.
inline constexpr s64 kErestartSys = 512;
// It restarts the call in any case.
inline constexpr s64 kErestartNoIntr = 513;

inline constexpr u64 kNever = ~u64{0};

// A call that newer programs try first and go without.
inline Outcome refuse_quietly(Supervisor &, Thread &) { return Outcome::answer(-ENOSYS); }

// What poll(2) says of a program's descriptor now (calls_poll.cc).
short poll_fd(const Thread &t, int fd, short events);
inline bool fd_is_ready(const Thread &t, int fd, short events) { return poll_fd(t, fd, events) != 0; }

inline bool valid_time(const timespec &time) {
  return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < static_cast<long>(kNsPerSec);
}
// Times beyond the end of all runs are as good as never.
inline u64 ns_of(const timespec &time) {
  constexpr u64 kMaxSeconds = 1ull << 32;
  return static_cast<u64>(time.tv_sec) > kMaxSeconds
             ? kNever
             : static_cast<u64>(time.tv_sec) * kNsPerSec + static_cast<u64>(time.tv_nsec);
}
inline timespec timespec_of(u64 ns) { return {static_cast<time_t>(ns / kNsPerSec), static_cast<long>(ns % kNsPerSec)}; }
inline timeval timeval_of(u64 ns) {
  return {static_cast<time_t>(ns / kNsPerSec), static_cast<suseconds_t>(ns % kNsPerSec / kNsPerUs)};
}
inline u64 after_ns(u64 now_ns, u64 delay_ns) { return delay_ns >= kNever - now_ns ? kNever : now_ns + delay_ns; }
inline Outcome wait_until(u64 ns) { return ns == kNever ? Outcome::wait() : Outcome::wait(static_cast<s64>(ns)); }

}  // namespace uscx::process

#endif  // USCX_PROCESS_CALLS_H_
