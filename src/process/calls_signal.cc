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

// FIDELITY: sigqueue-value. The value that goes with a signal is lost: it is sent as kill() does.
Outcome do_rt_sigqueueinfo(Supervisor &s, Thread &t) {
  s.note(fmt::format("{}: the value of sigqueue() is not passed on", t.process->name));
  return do_kill(s, t);
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
    {SYS_pause, "pause", 300, do_pause},
    {SYS_rt_sigsuspend, "rt_sigsuspend", 400, do_rt_sigsuspend},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", 400, do_rt_sigtimedwait},
};

}  // namespace

const std::span<const CallEntry> kSignalCalls = kTable;

}  // namespace uscx::process
