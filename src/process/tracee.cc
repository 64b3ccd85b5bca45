// SPDX-License-Identifier: GPL-2.0-only
#include "process/tracee.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

namespace uscx::process {
namespace {

constexpr u64 kSyscallInstructionBytes = 2;

// Waits for the next stop of a traced thread; its status, or -1 if the thread has died. The status of a dead process is
// left for whoever waits for it.
int wait_stop(pid_t tid) {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(tid), &info, WSTOPPED | WEXITED | WNOWAIT | __WALL) != 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) return -1;
    int status = 0;
    if (::waitpid(tid, &status, __WALL | WNOHANG) == tid) return status;
  }
}

bool is_event(int status, int event) { return status >> 16 == event; }
bool is_syscall_stop(int status) { return WSTOPSIG(status) == (SIGTRAP | 0x80); }

// Lets a thread go on to its next stop. A signal that comes in between is kept for later.
int resume_to_stop(pid_t tid, int request) {
  if (::ptrace(static_cast<__ptrace_request>(request), tid, 0, 0) != 0) return -1;
  return wait_stop(tid);
}

// The thread, which is about to return from a call, is made to enter another one instead.
bool set_call(pid_t tid, user_regs_struct regs, int nr, const CallArgs &args) {
  regs.rip -= kSyscallInstructionBytes;
  regs.rax = static_cast<u64>(nr);
  regs.orig_rax = ~0ull;
  regs.rdi = args[0];
  regs.rsi = args[1];
  regs.rdx = args[2];
  regs.r10 = args[3];
  regs.r8 = args[4];
  regs.r9 = args[5];
  return ::ptrace(PTRACE_SETREGS, tid, 0, &regs) == 0;
}

// The registers of `tid` as they were before the calls of ours, with the result of its own call.
void restore(pid_t tid, user_regs_struct regs, s64 result) {
  regs.rax = static_cast<u64>(result);
  regs.orig_rax = ~0ull;
  ::ptrace(PTRACE_SETREGS, tid, 0, &regs);
}

// From the entry of the call that is set to its end: its result, or -ESRCH if the thread has died. `child`: what it has
// given birth to, else unchanged.
s64 run_call(Notifier &notifier, pid_t tid, pid_t *child) {
  int status = resume_to_stop(tid, PTRACE_SYSCALL);
  if (status < 0 || !is_syscall_stop(status)) return -ESRCH;
  if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return -ESRCH;
  // Our own call comes to us as any does.
  Call again;
  if (!notifier.receive(&again)) return -ESRCH;
  CHECK(again.host_tid == tid, "thread {} makes a call while thread {} makes one of ours", again.host_tid, tid);
  notifier.let_through(again);
  while ((status = wait_stop(tid)) >= 0 && !is_syscall_stop(status)) {
    unsigned long born = 0;
    if ((is_event(status, PTRACE_EVENT_CLONE) || is_event(status, PTRACE_EVENT_FORK) ||
         is_event(status, PTRACE_EVENT_VFORK)) &&
        ::ptrace(PTRACE_GETEVENTMSG, tid, 0, &born) == 0)
      *child = static_cast<pid_t>(born);
    if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return -ESRCH;
  }
  user_regs_struct regs{};
  if (status < 0 || ::ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0) return -ESRCH;
  return static_cast<s64>(regs.rax);
}

// Traces the thread and stops it at the end of its call.
bool stop_in_call(Notifier &notifier, const Call &call, user_regs_struct *regs) {
  const pid_t tid = call.host_tid;
  constexpr long kOptions =
      PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
  if (::ptrace(PTRACE_SEIZE, tid, 0, kOptions) != 0) {
    CHECK(errno == ESRCH, "ptrace is no longer allowed: errno {}", errno);
    return false;
  }
  ::ptrace(PTRACE_INTERRUPT, tid, 0, 0);
  notifier.answer(call, 0);
  return wait_stop(tid) >= 0 && ::ptrace(PTRACE_GETREGS, tid, 0, regs) == 0;
}

// The child is where its parent was, with the registers that it had: some code keeps a return address there. A process
// must not outlive us, which fork() does not pass on.
bool prepare_child(Notifier &notifier, pid_t child, const user_regs_struct &parent, bool is_process) {
  user_regs_struct regs{};
  pid_t none = 0;
  if (wait_stop(child) < 0 || ::ptrace(PTRACE_GETREGS, child, 0, &regs) != 0) return false;
  if (is_process && (!set_call(child, regs, SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0}) ||
                     run_call(notifier, child, &none) != 0))
    return false;
  regs.rdi = parent.rdi;
  regs.rsi = parent.rsi;
  regs.rdx = parent.rdx;
  regs.r10 = parent.r10;
  regs.r8 = parent.r8;
  restore(child, regs, 0);
  return true;
}

}  // namespace

Status check_tracing() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  if (child < 0) return Status::error("fork: {}", ::strerror(errno));
  const int error = ::ptrace(PTRACE_SEIZE, child, 0, 0) == 0 ? 0 : errno;
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  if (error == 0) return Status::ok_status();
  return Status::error("programs cannot be traced on this host, which forks and threads need (ptrace: {})",
                       ::strerror(error));
}

bool make_calls(Notifier &notifier, const Call &call, const std::function<s64(const CallMaker &make)> &body) {
  const pid_t tid = call.host_tid;
  user_regs_struct regs{};
  pid_t none = 0;
  if (!stop_in_call(notifier, call, &regs)) return false;
  bool alive = true;
  const s64 result = body([&](int nr, const CallArgs &args) -> s64 {
    const s64 got = alive && set_call(tid, regs, nr, args) ? run_call(notifier, tid, &none) : -ESRCH;
    alive = got != -ESRCH;
    return got;
  });
  if (!alive) return false;
  restore(tid, regs, result);
  let_go(tid);
  return true;
}

bool clone_stopped(Notifier &notifier, const Call &call, const CloneArgs &args, bool hold,
                   const std::function<s64(pid_t child)> &birth) {
  const pid_t tid = call.host_tid;
  user_regs_struct regs{};
  pid_t child = 0;
  if (!stop_in_call(notifier, call, &regs) ||
      !set_call(tid, regs, SYS_clone, {args.flags, args.stack, args.parent_tid, args.child_tid, args.tls, 0}))
    return false;
  s64 result = run_call(notifier, tid, &child);
  if (result == -ESRCH) return false;
  if (child != 0) {
    if (!prepare_child(notifier, child, regs, !(args.flags & CLONE_THREAD))) return false;
    result = birth(child);
    if (result < 0) {
      ::syscall(SYS_tgkill, child, child, SIGKILL);
      ::waitpid(child, nullptr, __WALL);
    }
  }
  restore(tid, regs, result);
  if (!hold || result < 0) let_go(tid);
  return true;
}

bool let_go(pid_t host_tid) { return ::ptrace(PTRACE_DETACH, host_tid, 0, 0) == 0; }

Stopped stop_thread(const Notifier &notifier, pid_t host_tid) {
  if (::ptrace(PTRACE_SEIZE, host_tid, 0, 0) != 0 || ::ptrace(PTRACE_INTERRUPT, host_tid, 0, 0) != 0)
    return Stopped::kDead;
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(host_tid), &info, WSTOPPED | WEXITED | WNOWAIT | WNOHANG | __WALL) != 0)
      return Stopped::kDead;
    if (info.si_pid != 0) return wait_stop(host_tid) >= 0 ? Stopped::kStopped : Stopped::kDead;
    if (notifier.pending()) return Stopped::kCalls;
    constexpr timespec kShort{0, 50000};
    ::nanosleep(&kShort, nullptr);
  }
}

void end_tracing(pid_t host_tid) {
  if (wait_stop(host_tid) >= 0) let_go(host_tid);
}

void reap_thread(pid_t host_tid) {
  while (::waitpid(host_tid, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

}  // namespace uscx::process
