// SPDX-License-Identifier: GPL-2.0-only
// Waiting for several descriptors: asked of the host without waiting, waited for in virtual time. When something is
// ready, the host executes the call itself and returns at once.
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <array>
#include <vector>

#include "process/calls.h"
#include "process/supervisor.h"

namespace uscx::process {
namespace {

// Reads the time limit at the first round: a timespec, or null for none.
int read_limit(Supervisor &s, Thread &t, u64 address) {
  t.until_ns = kNever;
  if (address == 0) return 0;
  timespec time{};
  if (t.process->remote.get(&time, address) != 0) return -EFAULT;
  if (!valid_time(time)) return -EINVAL;
  t.until_ns = after_ns(s.now_ns(), ns_of(time));
  return 0;
}

void limit_ms(Supervisor &s, Thread &t, int ms) {
  t.until_ns = ms < 0 ? kNever : after_ns(s.now_ns(), static_cast<u64>(ms) * kNsPerMs);
}

// Common to all: `ready` says whether the host has something, `expired` what is done when time is up.
Outcome wait_for(Supervisor &s, Thread &t, std::function<bool()> ready, const std::function<s64()> &expired) {
  if (ready()) return Outcome::let_through();
  if (s.now_ns() >= t.until_ns) return Outcome::answer(expired());
  // With a signal mask of its own, the call must be made for the signal to be let in. It does not wait then.
  if (t.interrupted) return t.wants_signals != 0 ? Outcome::let_through() : Outcome::answer(-EINTR);
  t.probe = std::move(ready);
  return wait_until(t.until_ns);
}

// ppoll() and its like block other signals while they wait.
int read_mask(Thread &t, u64 address) {
  t.wants_signals = 0;
  u64 mask = 0;
  if (address == 0) return 0;
  if (t.process->remote.get(&mask, address) != 0) return -EFAULT;
  t.wants_signals = ~mask;
  return 0;
}

// --- poll, ppoll ---

Outcome poll_fds(Supervisor &s, Thread &t) {
  constexpr u64 kMaxFds = 65536;
  const u64 address = t.call.args[0], count = t.call.args[1];
  if (count > kMaxFds) return Outcome::answer(-EINVAL);
  std::vector<pollfd> fds(count);
  const Remote &remote = t.process->remote;
  if (remote.read(fds.data(), address, count * sizeof(pollfd)) != 0) return Outcome::answer(-EFAULT);
  const auto ready = [&remote, fds] {
    for (const pollfd &fd : fds)
      if (fd.fd >= 0 && fd_is_ready(remote, fd.fd, fd.events)) return true;
    return false;
  };
  return wait_for(s, t, ready, [&remote, fds, address]() mutable -> s64 {
    for (pollfd &fd : fds) fd.revents = 0;
    return remote.write(address, fds.data(), fds.size() * sizeof(pollfd));
  });
}

Outcome do_poll(Supervisor &s, Thread &t) {
  if (!t.started) limit_ms(s, t, static_cast<int>(t.call.args[2]));
  return poll_fds(s, t);
}

Outcome do_ppoll(Supervisor &s, Thread &t) {
  if (!t.started) {
    if (int error = read_limit(s, t, t.call.args[2]); error != 0) return Outcome::answer(error);
    if (int error = read_mask(t, t.call.args[3]); error != 0) return Outcome::answer(error);
  }
  return poll_fds(s, t);
}

// --- select, pselect6 ---

struct FdSets {
  std::array<std::vector<u64>, 3> sets;  // To read, to write, exceptions; empty if not given.
  int nr_fds = 0;
};

int read_sets(const Thread &t, FdSets *out) {
  out->nr_fds = static_cast<int>(t.call.args[0]);
  if (out->nr_fds < 0) return -EINVAL;
  const size_t words = (static_cast<size_t>(out->nr_fds) + 63) / 64;
  for (size_t i = 0; i < 3; i++) {
    const u64 address = t.call.args[1 + i];
    if (address == 0) continue;
    out->sets[i].resize(words);
    if (t.process->remote.read(out->sets[i].data(), address, words * sizeof(u64)) != 0) return -EFAULT;
  }
  return 0;
}

bool any_ready(const Remote &remote, const FdSets &fds) {
  constexpr short kEvents[] = {POLLIN, POLLOUT, POLLPRI};
  for (size_t i = 0; i < 3; i++)
    for (int fd = 0; fd < fds.nr_fds; fd++) {
      const size_t word = static_cast<size_t>(fd) / 64;
      if (word >= fds.sets[i].size() || !(fds.sets[i][word] >> (fd % 64) & 1)) continue;
      const short events = poll_fd(remote, fd, kEvents[i]);
      // select() takes an error for readiness, but only to read and to write.
      if (events & (kEvents[i] | POLLNVAL) || (i < 2 && events & (POLLERR | POLLHUP))) return true;
    }
  return false;
}

Outcome select_fds(Supervisor &s, Thread &t) {
  FdSets fds;
  if (int error = read_sets(t, &fds); error != 0) return Outcome::answer(error);
  const Remote &remote = t.process->remote;
  return wait_for(
      s, t, [&remote, fds] { return any_ready(remote, fds); },
      [&t, &remote, fds]() mutable -> s64 {
        for (size_t i = 0; i < 3; i++) {
          std::fill(fds.sets[i].begin(), fds.sets[i].end(), 0);
          if (remote.write(t.call.args[1 + i], fds.sets[i].data(), fds.sets[i].size() * sizeof(u64)) != 0)
            return -EFAULT;
        }
        return 0;
      });
}

Outcome do_select(Supervisor &s, Thread &t) {
  if (!t.started) {
    t.until_ns = kNever;
    timeval time{};
    if (t.call.args[4] != 0) {
      if (t.process->remote.get(&time, t.call.args[4]) != 0) return Outcome::answer(-EFAULT);
      const timespec limit{time.tv_sec, time.tv_usec * static_cast<long>(kNsPerUs)};
      if (!valid_time(limit)) return Outcome::answer(-EINVAL);
      t.until_ns = after_ns(s.now_ns(), ns_of(limit));
    }
  }
  return select_fds(s, t);
}

Outcome do_pselect6(Supervisor &s, Thread &t) {
  if (!t.started) {
    if (int error = read_limit(s, t, t.call.args[4]); error != 0) return Outcome::answer(error);
    u64 mask[2] = {0, 0};  // The address of the mask, and its size.
    if (t.call.args[5] != 0 && t.process->remote.get(&mask, t.call.args[5]) != 0) return Outcome::answer(-EFAULT);
    if (int error = read_mask(t, mask[0]); error != 0) return Outcome::answer(error);
  }
  return select_fds(s, t);
}

// --- epoll ---

Outcome epoll_events(Supervisor &s, Thread &t) {
  const int fd = static_cast<int>(t.call.args[0]);
  const Remote &remote = t.process->remote;
  return wait_for(
      s, t, [&remote, fd] { return fd_is_ready(remote, fd, POLLIN); }, []() -> s64 { return 0; });
}

Outcome do_epoll_wait(Supervisor &s, Thread &t) {
  if (!t.started) limit_ms(s, t, static_cast<int>(t.call.args[3]));
  return epoll_events(s, t);
}

Outcome do_epoll_pwait(Supervisor &s, Thread &t) {
  if (!t.started) {
    limit_ms(s, t, static_cast<int>(t.call.args[3]));
    if (int error = read_mask(t, t.call.args[4]); error != 0) return Outcome::answer(error);
  }
  return epoll_events(s, t);
}

Outcome do_epoll_pwait2(Supervisor &s, Thread &t) {
  if (!t.started) {
    if (int error = read_limit(s, t, t.call.args[3]); error != 0) return Outcome::answer(error);
    if (int error = read_mask(t, t.call.args[4]); error != 0) return Outcome::answer(error);
  }
  return epoll_events(s, t);
}

// A map is a file of ours, which the host's epoll knows nothing of.
Outcome do_epoll_ctl(Supervisor &s, Thread &t) {
  if (!s.host().system().object_of_fd(static_cast<int>(t.call.args[2]))) return Outcome::let_through();
  s.note(fmt::format("{}: epoll of an object of bpf(2) is not implemented", t.process->name));
  return Outcome::answer(-EPERM);
}

constexpr CallEntry kTable[] = {
    {SYS_poll, "poll", 1000, do_poll},
    {SYS_ppoll, "ppoll", 1000, do_ppoll},
    {SYS_select, "select", 1000, do_select},
    {SYS_pselect6, "pselect6", 1000, do_pselect6},
    {SYS_epoll_wait, "epoll_wait", 800, do_epoll_wait},
    {SYS_epoll_pwait, "epoll_pwait", 800, do_epoll_pwait},
    {SYS_epoll_pwait2, "epoll_pwait2", 800, do_epoll_pwait2},
    {SYS_epoll_ctl, "epoll_ctl", 600, do_epoll_ctl},
};

}  // namespace

const std::span<const CallEntry> kPollCalls = kTable;

}  // namespace uscx::process
