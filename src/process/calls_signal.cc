// SPDX-License-Identifier: GPL-2.0-only
// Signals. The host's kernel keeps handlers and masks and runs the handlers; when a signal is sent is ours to say. A
// thread that waits here learns from Thread::interrupted that its call ends early.
#include <signal.h>
#include <sys/syscall.h>

#include "process/calls.h"
#include "process/supervisor.h"

namespace uscx::process {
namespace {

constexpr u64 kMaskBytes = 8;

// Signals to oneself are under way when the call returns.
Outcome do_kill(Supervisor &s, Thread &t) {
  const s64 pid = static_cast<s32>(t.call.args[0]);
  const int signal = static_cast<int>(t.call.args[1]);
  if (pid > 0) {
    Process *process = s.find_process(static_cast<int>(pid));
    if (process && process->reaped) process = nullptr;
    if (process) return Outcome::answer(s.deliver(*process, signal));
    return Outcome::answer(s.kernel().find_task(static_cast<int>(pid)) ? -EPERM : -ESRCH);
  }
  // The group: this program and all that it has started.
  const Process *program = t.process->program;
  int found = -ESRCH;
  for (size_t i = 0; i < s.processes().size(); i++) {
    Process &process = *s.processes()[i];
    if (process.program != program || process.host_dead || (pid == -1 && &process == t.process)) continue;
    found = 0;
    s.deliver(process, signal);
  }
  return Outcome::answer(found);
}

Outcome to_thread(Supervisor &s, int pid, int tid, int signal) {
  Thread *target = s.find_thread(tid);
  if (!target || (pid > 0 && target->process->pid != pid)) return Outcome::answer(-ESRCH);
  return Outcome::answer(s.deliver(*target->process, signal, target));
}

Outcome do_tkill(Supervisor &s, Thread &t) {
  return to_thread(s, 0, static_cast<int>(t.call.args[0]), static_cast<int>(t.call.args[1]));
}
Outcome do_tgkill(Supervisor &s, Thread &t) {
  return to_thread(s, static_cast<int>(t.call.args[0]), static_cast<int>(t.call.args[1]),
                   static_cast<int>(t.call.args[2]));
}

// What goes with the signal is passed on, if it says that a program has sent it.
Outcome queue_signal(Supervisor &s, Thread &t, int pid, Thread *thread, int signal, u64 address) {
  siginfo_t info{};
  Process *process = s.find_process(pid);
  if (t.process->remote.get(&info, address) != 0) return Outcome::answer(-EFAULT);
  if (!process || process->reaped) return Outcome::answer(s.kernel().find_task(pid) ? -EPERM : -ESRCH);
  if (info.si_code >= 0 || info.si_code == SI_TKILL) return Outcome::answer(-EPERM);
  info.si_signo = signal;
  return Outcome::answer(s.deliver(*process, signal, thread, &info));
}

Outcome do_rt_sigqueueinfo(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  return queue_signal(s, t, static_cast<int>(args[0]), nullptr, static_cast<int>(args[1]), args[2]);
}
Outcome do_rt_tgsigqueueinfo(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  Thread *thread = s.find_thread(static_cast<int>(args[1]));
  if (!thread || thread->process->pid != static_cast<int>(args[0])) return Outcome::answer(-ESRCH);
  return queue_signal(s, t, static_cast<int>(args[0]), thread, static_cast<int>(args[2]), args[3]);
}

// The host's own, which never waits; whether it has anything is asked here (poll_fd()).
Outcome do_signalfd(Supervisor &, Thread &t) {
  t.process->has_signal_fds = true;
  return Outcome::let_through();
}

// --- descriptors of processes ---

Outcome do_pidfd_open(Supervisor &s, Thread &t) {
  constexpr u64 kNonblock = 04000;
  const int pid = static_cast<int>(t.call.args[0]);
  if (pid <= 0 || t.call.args[1] & ~kNonblock) return Outcome::answer(-EINVAL);
  Process *process = s.find_process(pid);
  if (!process && s.kernel().find_task(pid)) {
    s.note(fmt::format("{}: pidfd_open() of a task that is no program's process ({}) is not implemented",
                       t.process->name, pid));
    return Outcome::answer(-EINVAL);
  }
  if (!process || process->reaped) return Outcome::answer(-ESRCH);
  const int fd = s.pid_fds().create(*process, (t.call.args[1] & kNonblock) != 0);
  if (fd < 0) return Outcome::answer(fd);
  const int given = t.process->notifier->add_fd(t.call, fd, true);
  ::close(fd);
  return Outcome::answer(given);
}

Outcome do_pidfd_send_signal(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  Process *process = s.pid_fds().find(t.process->remote, static_cast<int>(args[0]));
  if (!process) return Outcome::answer(-EBADF);
  const int signal = static_cast<int>(args[1]);
  if (args[2] != 0) return queue_signal(s, t, process->pid, nullptr, signal, args[2]);
  return Outcome::answer(process->reaped ? -ESRCH : s.deliver(*process, signal));
}

Outcome do_pidfd_getfd(Supervisor &s, Thread &t) {
  const Process *process = s.pid_fds().find(t.process->remote, static_cast<int>(t.call.args[0]));
  if (!process) return Outcome::answer(-EBADF);
  if (process->host_dead) return Outcome::answer(-ESRCH);
  const int fd = process->remote.borrow_fd(static_cast<int>(t.call.args[1]));
  if (fd < 0) return Outcome::answer(fd);
  const int given = t.process->notifier->add_fd(t.call, fd, true);
  ::close(fd);
  return Outcome::answer(given);
}

Outcome do_pause(Supervisor &, Thread &t) {
  if (t.interrupted) return Outcome::answer(-EINTR);
  return Outcome::wait();
}

// When a signal is there that the mask lets in, the host's own call returns at once.
Outcome do_rt_sigsuspend(Supervisor &, Thread &t) {
  u64 mask{};
  if (t.call.args[1] != kMaskBytes) return Outcome::answer(-EINVAL);
  if (t.process->remote.get(&mask, t.call.args[0]) != 0) return Outcome::answer(-EFAULT);
  const Remote::Signals signals = t.process->remote.signals(t.host_tid);
  if (t.interrupted || signals.pending & ~mask & signals.caught) return Outcome::let_through();
  t.wants_signals = ~mask;
  return Outcome::wait();
}

Outcome do_rt_sigtimedwait(Supervisor &s, Thread &t) {
  u64 wanted{};
  if (t.call.args[3] != kMaskBytes) return Outcome::answer(-EINVAL);
  if (t.process->remote.get(&wanted, t.call.args[0]) != 0) return Outcome::answer(-EFAULT);
  if (t.process->remote.signals(t.host_tid).pending & wanted) return Outcome::let_through();
  if (!t.started) {
    t.until_ns = kNever;
    timespec time{};
    if (t.call.args[2] != 0) {
      if (t.process->remote.get(&time, t.call.args[2]) != 0) return Outcome::answer(-EFAULT);
      if (!valid_time(time)) return Outcome::answer(-EINVAL);
      t.until_ns = after_ns(s.now_ns(), ns_of(time));
    }
  }
  if (s.now_ns() >= t.until_ns) return Outcome::answer(-EAGAIN);
  if (t.interrupted) return Outcome::answer(-EINTR);
  t.wants_signals = wanted;
  return wait_until(t.until_ns);
}

constexpr CallEntry kTable[] = {
    {SYS_kill, "kill", 800, do_kill},
    {SYS_tkill, "tkill", 800, do_tkill},
    {SYS_tgkill, "tgkill", 800, do_tgkill},
    {SYS_rt_sigqueueinfo, "rt_sigqueueinfo", 800, do_rt_sigqueueinfo},
    {SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", 800, do_rt_tgsigqueueinfo},
    {SYS_signalfd, "signalfd", 800, do_signalfd},
    {SYS_signalfd4, "signalfd4", 800, do_signalfd},
    {SYS_pidfd_open, "pidfd_open", 1000, do_pidfd_open},
    {SYS_pidfd_send_signal, "pidfd_send_signal", 800, do_pidfd_send_signal},
    {SYS_pidfd_getfd, "pidfd_getfd", 1000, do_pidfd_getfd},
    {SYS_pause, "pause", 300, do_pause},
    {SYS_rt_sigsuspend, "rt_sigsuspend", 400, do_rt_sigsuspend},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", 400, do_rt_sigtimedwait},
};

}  // namespace

const std::span<const CallEntry> kSignalCalls = kTable;

}  // namespace uscx::process
