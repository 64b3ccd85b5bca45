// SPDX-License-Identifier: GPL-2.0-only
// Births and deaths, identity and names. Programs know processes and threads by their simulated pids. All processes are
// the supervisor's children on the host, whoever made them, so that it alone waits for them there.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "process/calls.h"
#include "process/supervisor.h"
#include "process/tracee.h"

namespace uscx::process {
namespace {

// --- births ---

// Writes the simulated tid where the host has written its own.
void put_tid(const Remote &remote, u64 address, int tid) {
  if (address != 0) remote.put(address, tid);
}

s64 make_child(Supervisor &s, Thread &t, const CloneArgs &args, pid_t host_tid) {
  int error = 0;
  Thread *child = nullptr;
  if (args.flags & CLONE_THREAD) {
    child = s.adopt_thread(*t.process, host_tid, t, &error);
  } else {
    Process *process = s.adopt_process(host_tid, t, (args.flags & CLONE_VM) != 0, &error);
    if (process) child = process->threads.front();
  }
  if (!child) return error;
  if (args.flags & CLONE_PARENT_SETTID) put_tid(t.process->remote, args.parent_tid, child->tid);
  if (args.flags & CLONE_CHILD_SETTID) put_tid(child->process->remote, args.child_tid, child->tid);
  if (args.flags & CLONE_CHILD_CLEARTID) child->clear_tid = args.child_tid;
  if (args.flags & CLONE_VFORK) child->process->vfork_parent = &t;
  return child->tid;
}

Outcome do_clone_with(Supervisor &s, Thread &t, CloneArgs args) {
  const auto has_its_memory = [&t](const auto &process) { return process->vfork_parent == &t; };
  if (t.held) {
    // vfork() returns when the child has another memory, or is gone.
    if (std::any_of(s.processes().begin(), s.processes().end(), has_its_memory)) return Outcome::wait();
    t.held = false;
    let_go(t.host_tid);
    t.place = Place::kUser;
    return Outcome::gone();
  }
  constexpr u64 kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                              CLONE_NEWPID | CLONE_NEWNET | CLONE_PIDFD | CLONE_PTRACE;
  if (args.flags & kNamespaces) {
    s.note(fmt::format("{}: clone() with flags {:#x} is not implemented", t.process->name, args.flags & kNamespaces));
    return Outcome::answer(-EPERM);
  }
  // A signal that is due comes first, and tracing that is about to end too.
  if (t.interrupted || t.traced) return Outcome::answer(-kErestartNoIntr);
  const bool vfork = (args.flags & CLONE_VFORK) != 0;
  CloneArgs host = args;
  host.flags &= ~static_cast<u64>(CLONE_VFORK | CLONE_UNTRACED);
  if (!(args.flags & CLONE_THREAD)) host.flags |= CLONE_PARENT;
  const bool alive = clone_stopped(*t.process->notifier, t.call, host, vfork,
                                   [&](pid_t host_tid) { return make_child(s, t, args, host_tid); });
  if (!alive) {
    s.host_process_ends(*t.process);
    return Outcome::gone();
  }
  const bool born = std::any_of(s.processes().begin(), s.processes().end(), has_its_memory);
  if (vfork && born) {
    t.held = true;
    return Outcome::wait();
  }
  t.place = Place::kUser;
  return Outcome::gone();
}

Outcome do_clone(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  return do_clone_with(s, t, {args[0], args[1], args[2], args[3], args[4]});
}
Outcome do_fork(Supervisor &s, Thread &t) { return do_clone_with(s, t, {SIGCHLD, 0, 0, 0, 0}); }
Outcome do_vfork(Supervisor &s, Thread &t) {
  return do_clone_with(s, t, {SIGCHLD | CLONE_VM | CLONE_VFORK, 0, 0, 0, 0});
}

Outcome do_execve(Supervisor &s, Thread &t) {
  if (t.process->threads.size() > 1) {
    s.note(fmt::format("{}: execve() of a process with several threads is not implemented", t.process->name));
    return Outcome::answer(-EAGAIN);
  }
  t.process->image_is_new = true;
  return Outcome::let_through();
}

// --- deaths ---

Outcome do_exit(Supervisor &s, Thread &t) {
  t.process->notifier->let_through(t.call);
  s.host_thread_ends(t);
  return Outcome::gone();
}

Outcome do_exit_group(Supervisor &s, Thread &t) {
  t.process->notifier->let_through(t.call);
  s.host_process_ends(*t.process);
  return Outcome::gone();
}

struct WaitRequest {
  s64 pid;      // > 0: that one; -1: any child. Groups are not told apart.
  int options;  // Of waitid(2).
};

bool is_asked_for(const Process &child, int options) {
  if (child.gone) return (options & WEXITED) != 0;
  return (child.news == News::kStopped && options & WSTOPPED) ||
         (child.news == News::kContinued && options & WCONTINUED);
}

// A child that is waited for: one that has something to report, else any, else null.
Process *find_child(Supervisor &s, const Process &parent, const WaitRequest &request) {
  Process *found = nullptr;
  for (const auto &process : s.processes()) {
    if (process->parent != &parent || process->reaped || (request.pid > 0 && process->pid != request.pid)) continue;
    if (is_asked_for(*process, request.options)) return process.get();
    if (!found) found = process.get();
  }
  return found;
}

// What wait4() says of a child that is_asked_for().
int status_of(const Process &child) {
  constexpr int kContinued = 0xffff;
  if (child.gone) return child.wait_status;
  return child.news == News::kContinued ? kContinued : child.stop_signal << 8 | 0x7f;
}

// The child of which something is to be reported, and its status; null with an outcome otherwise.
Process *wait_for_child(Supervisor &s, Thread &t, const WaitRequest &request, int *status, Outcome *otherwise) {
  Process *child = find_child(s, *t.process, request);
  *otherwise = Outcome::answer(!child ? -ECHILD : 0);
  if (!child) return nullptr;
  if (is_asked_for(*child, request.options)) {
    *status = status_of(*child);
    if (request.options & WNOWAIT) return child;
    child->reaped = child->gone;
    child->news = News::kNone;
    return child;
  }
  if (request.options & WNOHANG) return nullptr;
  if (t.interrupted) {
    *otherwise = Outcome::answer(-kErestartSys);
    return nullptr;
  }
  const Process &parent = *t.process;
  t.probe = [&s, &parent, request] {
    const Process *found = find_child(s, parent, request);
    return !found || is_asked_for(*found, request.options);
  };
  *otherwise = Outcome::wait();
  return nullptr;
}

Outcome do_wait4(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  const s64 pid = static_cast<s32>(args[0]);
  Outcome otherwise = Outcome::gone();
  const int options = static_cast<int>(args[2]) & (WNOHANG | WUNTRACED | WCONTINUED);
  int status = 0;
  const Process *child = wait_for_child(s, t, {pid > 0 ? pid : -1, options | WEXITED}, &status, &otherwise);
  if (!child) return otherwise;
  if (args[1] != 0 && t.process->remote.put(args[1], status) != 0) return Outcome::answer(-EFAULT);
  if (args[3] != 0) {
    const struct rusage usage {};
    if (t.process->remote.put(args[3], usage) != 0) return Outcome::answer(-EFAULT);
  }
  return Outcome::answer(child->pid);
}

Outcome do_waitid(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  if (!(args[3] & (WEXITED | WSTOPPED | WCONTINUED))) return Outcome::answer(-EINVAL);
  constexpr u64 kPidFd = 3;  // P_PIDFD
  const Process *of_fd = args[0] == kPidFd ? s.pid_fds().find(t.process->remote, static_cast<int>(args[1])) : nullptr;
  if (args[0] == kPidFd && !of_fd) return Outcome::answer(-EBADF);
  const s64 pid = of_fd ? of_fd->pid : args[0] == P_PID ? static_cast<s32>(args[1]) : -1;
  Outcome otherwise = Outcome::gone();
  int status = 0;
  const Process *child = wait_for_child(s, t, {pid, static_cast<int>(args[3])}, &status, &otherwise);
  if (!child && otherwise.kind != Outcome::Kind::kAnswer) return otherwise;
  if (!child && otherwise.value != 0) return otherwise;
  siginfo_t info{};
  if (child) {
    info.si_signo = SIGCHLD;
    info.si_pid = child->pid;
    info.si_code = WIFEXITED(status)      ? CLD_EXITED
                   : WIFSTOPPED(status)   ? CLD_STOPPED
                   : WIFCONTINUED(status) ? CLD_CONTINUED
                   : WCOREDUMP(status)    ? CLD_DUMPED
                                          : CLD_KILLED;
    info.si_status = WIFEXITED(status)      ? WEXITSTATUS(status)
                     : WIFSTOPPED(status)   ? WSTOPSIG(status)
                     : WIFCONTINUED(status) ? SIGCONT
                                            : WTERMSIG(status);
  }
  return Outcome::answer(args[2] != 0 ? t.process->remote.put(args[2], info) : 0);
}

// --- identity ---

Outcome do_getpid(Supervisor &, Thread &t) { return Outcome::answer(t.process->pid); }
Outcome do_gettid(Supervisor &, Thread &t) { return Outcome::answer(t.tid); }
Outcome do_getppid(Supervisor &, Thread &t) { return Outcome::answer(t.process->parent ? t.process->parent->pid : 1); }
// A program and all that it starts are one group and one session.
Outcome do_getpgrp(Supervisor &, Thread &t) { return Outcome::answer(t.process->program->pid); }
Outcome do_setpgid(Supervisor &, Thread &) { return Outcome::answer(0); }

Outcome do_set_tid_address(Supervisor &, Thread &t) {
  t.clear_tid = t.call.args[0];
  return Outcome::answer(t.tid);
}

// --- prctl ---

Outcome set_name(Supervisor &s, Thread &t) {
  std::string name;
  const int error = t.process->remote.get_string(&name, t.call.args[1], TASK_COMM_LEN);
  if (error != 0 && error != -ENAMETOOLONG) return Outcome::answer(error);
  s.kernel().rename(*t.task, name);
  return Outcome::let_through();
}
// The name is the task's: the host's thread may have another one, as when another thread has set it.
Outcome get_name(Supervisor &, Thread &t) {
  return Outcome::answer(t.process->remote.write(t.call.args[1], t.task->ts.comm, TASK_COMM_LEN));
}
Outcome set_death_signal(Supervisor &, Thread &t) {
  if (t.call.args[1] > static_cast<u64>(SIGRTMAX)) return Outcome::answer(-EINVAL);
  t.process->death_signal = static_cast<int>(t.call.args[1]);
  return Outcome::answer(0);
}
Outcome get_death_signal(Supervisor &, Thread &t) {
  return Outcome::answer(t.process->remote.put(t.call.args[1], t.process->death_signal));
}
// The host must let us look into it in any case.
Outcome set_dumpable(Supervisor &, Thread &t) {
  if (t.call.args[1] > 1) return Outcome::answer(-EINVAL);
  t.process->dumpable = static_cast<int>(t.call.args[1]);
  return Outcome::answer(0);
}
Outcome get_dumpable(Supervisor &, Thread &t) { return Outcome::answer(t.process->dumpable); }
Outcome set_subreaper(Supervisor &, Thread &t) {
  t.process->is_subreaper = t.call.args[1] != 0;
  return Outcome::answer(0);
}
Outcome get_subreaper(Supervisor &, Thread &t) {
  const int value = t.process->is_subreaper ? 1 : 0;
  return Outcome::answer(t.process->remote.put(t.call.args[1], value));
}
Outcome on_host(Supervisor &, Thread &) { return Outcome::let_through(); }
// FIDELITY: no-core-sched. As a kernel without it.
Outcome not_configured(Supervisor &, Thread &) { return Outcome::answer(-EINVAL); }

struct PrctlOption {
  int option;
  Outcome (*carry_out)(Supervisor &s, Thread &t);
};
// All others are refused with their number. What is the host's is a thread's memory, users and capabilities, which are
// the host's as a whole, and how exact its timers are, which virtual ones are always.
constexpr PrctlOption kPrctlOptions[] = {
    {PR_SET_NAME, set_name},
    {PR_GET_NAME, get_name},
    {PR_SET_PDEATHSIG, set_death_signal},
    {PR_GET_PDEATHSIG, get_death_signal},
    {PR_SET_DUMPABLE, set_dumpable},
    {PR_GET_DUMPABLE, get_dumpable},
    {PR_SET_CHILD_SUBREAPER, set_subreaper},
    {PR_GET_CHILD_SUBREAPER, get_subreaper},
    {PR_SCHED_CORE, not_configured},
    {PR_SET_TIMERSLACK, on_host},
    {PR_GET_TIMERSLACK, on_host},
    {PR_SET_KEEPCAPS, on_host},
    {PR_GET_KEEPCAPS, on_host},
    {PR_SET_SECUREBITS, on_host},
    {PR_GET_SECUREBITS, on_host},
    {PR_CAPBSET_READ, on_host},
    {PR_CAPBSET_DROP, on_host},
    {PR_CAP_AMBIENT, on_host},
    {PR_SET_NO_NEW_PRIVS, on_host},
    {PR_GET_NO_NEW_PRIVS, on_host},
    {PR_SET_SECCOMP, on_host},
    {PR_GET_SECCOMP, on_host},
    {PR_SET_THP_DISABLE, on_host},
    {PR_GET_THP_DISABLE, on_host},
    {PR_SET_VMA, on_host},
    {PR_SET_PTRACER, on_host},
    {PR_SET_MM, on_host},
};

Outcome do_prctl(Supervisor &s, Thread &t) {
  const int option = static_cast<int>(t.call.args[0]);
  for (const PrctlOption &known : kPrctlOptions)
    if (known.option == option) return known.carry_out(s, t);
  s.note(fmt::format("{}: option {} of prctl() is not implemented", t.process->name, option));
  return Outcome::answer(-EINVAL);
}

// Memory of the simulated machine is never written out, so that all of it is as if locked.
Outcome do_mlockall(Supervisor &, Thread &t) {
  constexpr u64 kCurrent = 1, kFuture = 2, kOnFault = 4;
  const u64 flags = t.call.args[0];
  return Outcome::answer(flags & ~(kCurrent | kFuture | kOnFault) || !(flags & (kCurrent | kFuture)) ? -EINVAL : 0);
}
Outcome do_munlockall(Supervisor &, Thread &) { return Outcome::answer(0); }

Outcome do_getrandom(Supervisor &s, Thread &t) {
  constexpr u64 kMaxBytes = 1 << 20;
  std::vector<u8> bytes(std::min(t.call.args[1], kMaxBytes));
  for (u8 &byte : bytes) byte = static_cast<u8>(s.random().next());
  if (t.process->remote.write(t.call.args[0], bytes.data(), bytes.size()) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(static_cast<s64>(bytes.size()));
}

// They come to us only as the first call of a new program image.
Outcome do_first_call(Supervisor &, Thread &) { return Outcome::let_through(); }

constexpr CallEntry kTable[] = {
    {SYS_clone, "clone", 25000, do_clone},
    {SYS_clone3, "clone3", 200, refuse_quietly},  // The C library goes on with clone().
    {SYS_fork, "fork", 60000, do_fork},
    {SYS_vfork, "vfork", 30000, do_vfork},
    {SYS_execve, "execve", 300000, do_execve},
    {SYS_execveat, "execveat", 300000, do_execve},
    {SYS_exit, "exit", 10000, do_exit},
    {SYS_exit_group, "exit_group", 50000, do_exit_group},
    {SYS_wait4, "wait4", 800, do_wait4},
    {SYS_waitid, "waitid", 800, do_waitid},
    {SYS_getpid, "getpid", 100, do_getpid},
    {SYS_gettid, "gettid", 100, do_gettid},
    {SYS_getppid, "getppid", 100, do_getppid},
    {SYS_getpgrp, "getpgrp", 100, do_getpgrp},
    {SYS_getpgid, "getpgid", 100, do_getpgrp},
    {SYS_getsid, "getsid", 100, do_getpgrp},
    {SYS_setpgid, "setpgid", 200, do_setpgid},
    {SYS_setsid, "setsid", 200, do_getpgrp},
    {SYS_set_tid_address, "set_tid_address", 100, do_set_tid_address},
    {SYS_rseq, "rseq", 100, refuse_quietly},  // It would show the host's CPU.
    {SYS_prctl, "prctl", 300, do_prctl},
    {SYS_mlockall, "mlockall", 800, do_mlockall},
    {SYS_munlockall, "munlockall", 500, do_munlockall},
    {SYS_getrandom, "getrandom", 300, do_getrandom},
    {SYS_brk, "brk", 500, do_first_call},
    {SYS_arch_prctl, "arch_prctl", 200, do_first_call},
};

}  // namespace

const std::span<const CallEntry> kProcessCalls = kTable;

}  // namespace uscx::process
