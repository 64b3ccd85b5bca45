// SPDX-License-Identifier: GPL-2.0-only
#include "process/tracee.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

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

// The thread, which is about to return from a call, is made to enter clone(2) with other arguments instead.
bool enter_clone(pid_t tid, const CloneArgs &args, user_regs_struct *saved) {
  user_regs_struct regs{};
  if (::ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0) return false;
  *saved = regs;
  regs.rip -= kSyscallInstructionBytes;
  regs.rax = SYS_clone;
  regs.orig_rax = ~0ull;
  regs.rdi = args.flags;
  regs.rsi = args.stack;
  regs.rdx = args.parent_tid;
  regs.r10 = args.child_tid;
  regs.r8 = args.tls;
  return ::ptrace(PTRACE_SETREGS, tid, 0, &regs) == 0;
}

// The child goes on with the registers that its parent had: some code keeps a return address there.
bool restore_arguments(pid_t child, const user_regs_struct &saved) {
  user_regs_struct regs{};
  if (::ptrace(PTRACE_GETREGS, child, 0, &regs) != 0) return false;
  regs.rdi = saved.rdi;
  regs.rsi = saved.rsi;
  regs.rdx = saved.rdx;
  regs.r10 = saved.r10;
  regs.r8 = saved.r8;
  return ::ptrace(PTRACE_SETREGS, child, 0, &regs) == 0;
}

// From the entry of the call to its end; the child's tid, or -errno of the call, or -ESRCH if the thread has died.
s64 run_clone(Notifier &notifier, pid_t tid) {
  int status = resume_to_stop(tid, PTRACE_SYSCALL);
  if (status < 0 || !is_syscall_stop(status)) return -ESRCH;
  if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return -ESRCH;
  // Our own call comes to us, as each clone(2) does.
  Call again;
  if (!notifier.receive(&again)) return -ESRCH;
  CHECK(again.host_tid == tid, "thread {} makes a call while thread {} clones", again.host_tid, tid);
  notifier.let_through(again);
  unsigned long child = 0;
  while ((status = wait_stop(tid)) >= 0 && !is_syscall_stop(status)) {
    if (is_event(status, PTRACE_EVENT_CLONE) || is_event(status, PTRACE_EVENT_FORK) ||
        is_event(status, PTRACE_EVENT_VFORK))
      ::ptrace(PTRACE_GETEVENTMSG, tid, 0, &child);
    if (::ptrace(PTRACE_SYSCALL, tid, 0, 0) != 0) return -ESRCH;
  }
  if (status < 0) return -ESRCH;
  if (child != 0) return static_cast<s64>(child);
  user_regs_struct regs{};
  return ::ptrace(PTRACE_GETREGS, tid, 0, &regs) == 0 ? static_cast<s64>(regs.rax) : -ESRCH;
}

}  // namespace

bool clone_stopped(Notifier &notifier, const Call &call, const CloneArgs &args, bool hold,
                   const std::function<s64(pid_t child)> &birth) {
  const pid_t tid = call.host_tid;
  constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
  if (::ptrace(PTRACE_SEIZE, tid, 0, kOptions) != 0) {
    CHECK(errno == ESRCH, "ptrace is not allowed here (errno {}), so that programs cannot fork", errno);
    return false;
  }
  ::ptrace(PTRACE_INTERRUPT, tid, 0, 0);
  notifier.answer(call, 0);
  user_regs_struct saved{};
  if (wait_stop(tid) < 0 || !enter_clone(tid, args, &saved)) return false;
  s64 result = run_clone(notifier, tid);
  if (result == -ESRCH) return false;
  if (result > 0) {
    const pid_t child = static_cast<pid_t>(result);
    if (wait_stop(child) < 0 || !restore_arguments(child, saved)) return false;
    result = birth(child);
    if (result < 0) {
      ::syscall(SYS_tgkill, child, child, SIGKILL);
      ::waitpid(child, nullptr, __WALL);
    }
  }
  saved.rax = static_cast<u64>(result);
  saved.orig_rax = ~0ull;
  ::ptrace(PTRACE_SETREGS, tid, 0, &saved);
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
