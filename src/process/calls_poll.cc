// SPDX-License-Identifier: GPL-2.0-only
// Waiting for several descriptors: asked of the host without waiting, waited for in virtual time. When something is
// ready, the host executes the call itself and returns at once, unless objects of bpf(2) are among what is polled.
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <vector>

#include "process/calls.h"
#include "process/poll_proxies.h"
#include "process/supervisor.h"

namespace uscx::process {
namespace {

// Signals that a descriptor of signals has for whoever reads it; nothing if it is another one.
std::optional<u64> signals_of(const Thread &t, const std::string &fdinfo) {
  constexpr std::string_view kMask = "sigmask:\t";
  const size_t at = fdinfo.find(kMask);
  if (at == std::string::npos) return std::nullopt;
  const u64 mask = std::strtoull(fdinfo.c_str() + at + kMask.size(), nullptr, 16);
  return t.process->remote.signals(t.host_tid).pending & mask;
}

// The host would tell us of our own signals. Of what an epoll descriptor waits for, those of signals count too.
short poll_signals(const Thread &t, int fd, short events, bool *is_one) {
  const auto info_of = [&t](int of) {
    return read_host_file(fmt::format("/proc/{}/fdinfo/{}", t.process->remote.host_pid(), of));
  };
  const std::string info = info_of(fd);
  const std::optional<u64> signals = signals_of(t, info);
  *is_one = signals.has_value();
  if (*is_one) return *signals != 0 ? static_cast<short>(events & POLLIN) : short{0};
  constexpr std::string_view kTarget = "tfd:";
  for (size_t at = 0; (at = info.find(kTarget, at)) != std::string::npos; at += kTarget.size())
    if (signals_of(t, info_of(std::atoi(info.c_str() + at + kTarget.size()))).value_or(0) != 0)
      return static_cast<short>(events & POLLIN);
  return 0;
}

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

// Common to all: `ready` says whether there is something, `expired` what is done when time is up, `answer` when there
// is (if not the host's own call).
Outcome wait_for(Supervisor &s, Thread &t, std::function<bool()> ready, const std::function<s64()> &expired,
                 const std::function<s64()> &answer = nullptr) {
  s.poll_proxies().update();
  if (ready()) return answer ? Outcome::answer(answer()) : Outcome::let_through();
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

using Proxies = std::vector<std::shared_ptr<PollProxies::Proxy>>;

// One for each descriptor that is an object's, null for the others; empty if there is none at all.
template <typename Fds, typename FdOf>
Proxies proxies_of(Supervisor &s, const Fds &fds, FdOf fd_of) {
  Proxies proxies;
  if (!s.holds_any()) return proxies;
  bool any = false;
  for (const auto &entry : fds) {
    proxies.push_back(s.poll_proxies().of(s.host().system().object_of_fd(fd_of(entry))));
    any = any || proxies.back();
  }
  if (!any) proxies.clear();
  return proxies;
}

// What poll() says of an object now.
short events_of(const PollProxies::Proxy &proxy, short wanted) {
  const short events = proxy.for_room ? POLLOUT | POLLWRNORM : POLLIN | POLLRDNORM;
  return proxy.ready ? static_cast<short>(events & wanted) : short{0};
}

struct PollSet {
  std::vector<pollfd> fds;
  Proxies proxies;
  short events(const Thread &t, size_t i) const {
    const pollfd &fd = fds[i];
    if (fd.fd < 0) return 0;
    return !proxies.empty() && proxies[i] ? events_of(*proxies[i], fd.events) : poll_fd(t, fd.fd, fd.events);
  }
};

Outcome poll_fds(Supervisor &s, Thread &t) {
  constexpr u64 kMaxFds = 65536;
  const u64 address = t.call.args[0], count = t.call.args[1];
  if (count > kMaxFds) return Outcome::answer(-EINVAL);
  PollSet set{std::vector<pollfd>(count), {}};
  const Remote &remote = t.process->remote;
  if (remote.read(set.fds.data(), address, count * sizeof(pollfd)) != 0) return Outcome::answer(-EFAULT);
  set.proxies = proxies_of(s, set.fds, [](const pollfd &fd) { return fd.fd; });
  const auto ready = [&t, set] {
    for (size_t i = 0; i < set.fds.size(); i++)
      if (set.events(t, i) != 0) return true;
    return false;
  };
  const auto answer = [&t, &remote, set, address]() mutable -> s64 {
    s64 ready_fds = 0;
    for (size_t i = 0; i < set.fds.size(); i++) {
      set.fds[i].revents = set.events(t, i);
      if (set.fds[i].revents != 0) ready_fds++;
    }
    const int error = remote.write(address, set.fds.data(), set.fds.size() * sizeof(pollfd));
    return error != 0 ? error : ready_fds;
  };
  return wait_for(s, t, ready, answer, set.proxies.empty() ? std::function<s64()>() : answer);
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
  bool has(size_t set, int fd) const {
    const size_t word = static_cast<size_t>(fd) / 64;
    return word < sets[set].size() && (sets[set][word] >> (fd % 64) & 1);
  }
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

// The sets as poll() would have them: an entry for each descriptor of each set.
struct SelectSet {
  FdSets given;
  PollSet polled;
  std::vector<size_t> sets;  // Of each entry.

  bool is_ready(const Thread &t, size_t i) const {
    const short events = polled.events(t, i);
    // select() takes an error for readiness, but only to read and to write.
    const short errors = sets[i] < 2 ? POLLERR | POLLHUP : 0;
    return (events & (polled.fds[i].events | POLLNVAL | errors)) != 0;
  }
  bool any_ready(const Thread &t) const {
    for (size_t i = 0; i < sets.size(); i++)
      if (is_ready(t, i)) return true;
    return false;
  }
  // Writes what is ready, or nothing; the number of it, or -errno.
  s64 write(Thread &t, bool nothing) {
    s64 count = 0;
    for (auto &set : given.sets) std::fill(set.begin(), set.end(), 0);
    for (size_t i = 0; i < sets.size() && !nothing; i++) {
      if (!is_ready(t, i)) continue;
      const u32 fd = static_cast<u32>(polled.fds[i].fd);
      given.sets[sets[i]][fd / 64] |= 1ull << (fd % 64);
      count++;
    }
    for (size_t set = 0; set < 3; set++)
      if (t.process->remote.write(t.call.args[1 + set], given.sets[set].data(), given.sets[set].size() * sizeof(u64)))
        return -EFAULT;
    return count;
  }
};

Outcome select_fds(Supervisor &s, Thread &t) {
  constexpr short kEvents[] = {POLLIN, POLLOUT, POLLPRI};
  SelectSet set;
  if (int error = read_sets(t, &set.given); error != 0) return Outcome::answer(error);
  for (size_t i = 0; i < 3; i++)
    for (int fd = 0; fd < set.given.nr_fds; fd++) {
      if (!set.given.has(i, fd)) continue;
      set.polled.fds.push_back({fd, kEvents[i], 0});
      set.sets.push_back(i);
    }
  set.polled.proxies = proxies_of(s, set.polled.fds, [](const pollfd &fd) { return fd.fd; });
  const bool ours = !set.polled.proxies.empty();
  return wait_for(
      s, t, [&t, set] { return set.any_ready(t); }, [&t, set]() mutable { return set.write(t, true); },
      ours ? [&t, set]() mutable { return set.write(t, false); } : std::function<s64()>());
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
  return wait_for(
      s, t, [&t, fd] { return fd_is_ready(t, fd, POLLIN); }, []() -> s64 { return 0; });
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

Outcome do_epoll_ctl(Supervisor &s, Thread &t) {
  const std::shared_ptr<bpf::Object> object = s.host().system().object_of_fd(static_cast<int>(t.call.args[2]));
  if (!object) return Outcome::let_through();
  const int op = static_cast<int>(t.call.args[1]);
  epoll_event event{};
  if (op != EPOLL_CTL_DEL && t.process->remote.get(&event, t.call.args[3]) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(
      s.poll_proxies().epoll_ctl(t.process->remote, static_cast<int>(t.call.args[0]), op, object, event));
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

short poll_fd(const Thread &t, int fd, short events) {
  bool is_signals = false;
  const short signals = t.process->has_signal_fds ? poll_signals(t, fd, events, &is_signals) : short{0};
  if (is_signals || signals != 0) return signals;
  const int own = t.process->remote.borrow_fd(fd);
  if (own < 0) return POLLNVAL;
  pollfd poll{own, events, 0};
  ::poll(&poll, 1, 0);
  ::close(own);
  return poll.revents;
}

const std::span<const CallEntry> kPollCalls = kTable;

}  // namespace uscx::process
