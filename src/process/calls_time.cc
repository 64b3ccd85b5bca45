// SPDX-License-Identifier: GPL-2.0-only
// Clocks, sleeps and timers: virtual time. CLOCK_MONOTONIC starts with the machine, as bpf_ktime_get_ns() does.
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/times.h>

#include <csignal>

#include "process/calls.h"
#include "process/memory_size.h"
#include "process/supervisor.h"

namespace uscx::process {
namespace {

u64 cpu_time_of(const Process &process) {
  u64 sum = 0;
  for (const Thread *thread : process.threads) sum += thread->task->ts.se.sum_exec_runtime;
  return sum;
}

// The time of a clock; false if there is no such clock.
bool read_clock(Supervisor &s, Thread &t, u64 clock, u64 *ns) {
  switch (static_cast<clockid_t>(clock)) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI: *ns = Supervisor::kBootRealtimeNs + s.now_ns(); return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: *ns = s.now_ns(); return true;
    case CLOCK_PROCESS_CPUTIME_ID: *ns = cpu_time_of(*t.process); return true;
    case CLOCK_THREAD_CPUTIME_ID: *ns = t.task->ts.se.sum_exec_runtime; return true;
    default: return false;
  }
}

// The virtual time at which an absolute time of a clock is reached.
u64 virtual_of(u64 clock, u64 ns) {
  const clockid_t id = static_cast<clockid_t>(clock);
  if (id != CLOCK_REALTIME && id != CLOCK_TAI) return ns;
  return ns > Supervisor::kBootRealtimeNs ? ns - Supervisor::kBootRealtimeNs : 0;
}

Outcome do_clock_gettime(Supervisor &s, Thread &t) {
  u64 ns = 0;
  if (!read_clock(s, t, t.call.args[0], &ns)) {
    s.note(fmt::format("{}: clock {} is not implemented", t.process->name, static_cast<int>(t.call.args[0])));
    return Outcome::answer(-EINVAL);
  }
  return Outcome::answer(t.process->remote.put(t.call.args[1], timespec_of(ns)));
}

Outcome do_gettimeofday(Supervisor &s, Thread &t) {
  const timeval time = timeval_of(Supervisor::kBootRealtimeNs + s.now_ns());
  if (t.call.args[0] != 0 && t.process->remote.put(t.call.args[0], time) != 0) return Outcome::answer(-EFAULT);
  const struct timezone zone {};
  return Outcome::answer(t.call.args[1] != 0 ? t.process->remote.put(t.call.args[1], zone) : 0);
}

Outcome do_time(Supervisor &s, Thread &t) {
  const time_t now = static_cast<time_t>((Supervisor::kBootRealtimeNs + s.now_ns()) / kNsPerSec);
  if (t.call.args[0] != 0 && t.process->remote.put(t.call.args[0], now) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(now);
}

// --- sleeps ---

Outcome sleep_until(Supervisor &s, Thread &t, u64 clock, bool absolute, u64 request, u64 remaining) {
  if (!t.started) {
    timespec time{};
    if (t.process->remote.get(&time, request) != 0) return Outcome::answer(-EFAULT);
    if (!valid_time(time)) return Outcome::answer(-EINVAL);
    t.until_ns = absolute ? virtual_of(clock, ns_of(time)) : after_ns(s.now_ns(), ns_of(time));
  }
  if (s.now_ns() >= t.until_ns) return Outcome::answer(0);
  if (!t.interrupted) return wait_until(t.until_ns);
  if (absolute) return Outcome::answer(-kErestartSys);
  if (remaining != 0 && t.process->remote.put(remaining, timespec_of(t.until_ns - s.now_ns())) != 0)
    return Outcome::answer(-EFAULT);
  return Outcome::answer(-EINTR);
}

Outcome do_nanosleep(Supervisor &s, Thread &t) {
  return sleep_until(s, t, CLOCK_MONOTONIC, false, t.call.args[0], t.call.args[1]);
}

Outcome do_clock_nanosleep(Supervisor &s, Thread &t) {
  u64 now{};
  if (!read_clock(s, t, t.call.args[0], &now) || t.call.args[0] == CLOCK_THREAD_CPUTIME_ID)
    return Outcome::answer(-EINVAL);
  return sleep_until(s, t, t.call.args[0], (t.call.args[1] & TIMER_ABSTIME) != 0, t.call.args[2], t.call.args[3]);
}

// --- the process's interval timer ---

void alarm_fired(machine::SimEvent &event) {
  auto &[supervisor, process] = *static_cast<std::pair<Supervisor *, Process *> *>(event.owner);
  machine::charge(machine::Cost::timer_irq);
  if (process->alarm_interval_ns != 0)
    supervisor->host().machine().arm_timer(event, supervisor->now_ns() + process->alarm_interval_ns);
  process->alarm_expires_ns = process->alarm_interval_ns == 0 ? 0 : supervisor->now_ns() + process->alarm_interval_ns;
  supervisor->deliver(*process, SIGALRM);
}

void arm_alarm(Supervisor &s, Process &process, u64 delay_ns, u64 interval_ns) {
  machine::Machine &machine = s.host().machine();
  machine.cancel_timer(process.alarm);
  process.alarm_expires_ns = delay_ns == 0 ? 0 : after_ns(s.now_ns(), delay_ns);
  process.alarm_interval_ns = interval_ns;
  if (delay_ns == 0) return;
  process.alarm_owner = {&s, &process};
  process.alarm.owner = &process.alarm_owner;
  process.alarm.fn = alarm_fired;
  process.alarm.cpu = machine::this_cpu();
  machine.arm_timer(process.alarm, process.alarm_expires_ns);
}

u64 alarm_left_ns(Supervisor &s, const Process &process) {
  return process.alarm_expires_ns > s.now_ns() ? process.alarm_expires_ns - s.now_ns() : 0;
}

Outcome do_alarm(Supervisor &s, Thread &t) {
  const u64 left = alarm_left_ns(s, *t.process);
  arm_alarm(s, *t.process, (t.call.args[0] & ~0u) * kNsPerSec, 0);
  return Outcome::answer(static_cast<s64>((left + kNsPerSec - 1) / kNsPerSec));
}

Outcome do_getitimer(Supervisor &s, Thread &t) {
  if (t.call.args[0] != ITIMER_REAL) return Outcome::answer(-EINVAL);
  const itimerval value{timeval_of(t.process->alarm_interval_ns), timeval_of(alarm_left_ns(s, *t.process))};
  return Outcome::answer(t.process->remote.put(t.call.args[1], value));
}

Outcome do_setitimer(Supervisor &s, Thread &t) {
  if (t.call.args[0] != ITIMER_REAL) {
    s.note(fmt::format("{}: setitimer of CPU time is not implemented", t.process->name));
    return Outcome::answer(-EINVAL);
  }
  itimerval value{};
  if (t.call.args[1] != 0 && t.process->remote.get(&value, t.call.args[1]) != 0) return Outcome::answer(-EFAULT);
  if (t.call.args[2] != 0) {
    const itimerval old{timeval_of(t.process->alarm_interval_ns), timeval_of(alarm_left_ns(s, *t.process))};
    if (t.process->remote.put(t.call.args[2], old) != 0) return Outcome::answer(-EFAULT);
  }
  const auto ns = [](const timeval &time) { return ns_of({time.tv_sec, time.tv_usec * static_cast<long>(kNsPerUs)}); };
  arm_alarm(s, *t.process, ns(value.it_value), ns(value.it_interval));
  return Outcome::answer(0);
}

// --- timer descriptors ---

Outcome do_timerfd_create(Supervisor &s, Thread &t) {
  const u64 clock = t.call.args[0];
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) return Outcome::answer(-EINVAL);
  const int fd = s.timer_fds().create(clock == CLOCK_REALTIME, (t.call.args[1] & TFD_NONBLOCK) != 0);
  if (fd < 0) return Outcome::answer(fd);
  return Outcome::answer(t.process->notifier->add_fd(t.call, fd, (t.call.args[1] & TFD_CLOEXEC) != 0));
}

itimerspec left_of(Supervisor &s, const TimerFds::Timer &timer) {
  const u64 left = timer.expires_ns > s.now_ns() ? timer.expires_ns - s.now_ns() : 0;
  return {timespec_of(timer.interval_ns), timespec_of(left)};
}

Outcome do_timerfd_settime(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  TimerFds::Timer *timer = s.timer_fds().find(t.process->remote, static_cast<int>(args[0]));
  if (!timer) return Outcome::answer(-EINVAL);
  itimerspec value{};
  if (t.process->remote.get(&value, args[2]) != 0) return Outcome::answer(-EFAULT);
  if (!valid_time(value.it_value) || !valid_time(value.it_interval)) return Outcome::answer(-EINVAL);
  if (args[3] != 0 && t.process->remote.put(args[3], left_of(s, *timer)) != 0) return Outcome::answer(-EFAULT);
  const u64 ns = ns_of(value.it_value);
  const bool absolute = (args[1] & TFD_TIMER_ABSTIME) != 0;
  const u64 clock = timer->realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  // An absolute time in the past expires at once; zero disarms.
  const u64 expires = ns == 0 ? 0 : absolute ? std::max<u64>(virtual_of(clock, ns), 1) : after_ns(s.now_ns(), ns);
  s.timer_fds().set(*timer, expires, ns_of(value.it_interval));
  return Outcome::answer(0);
}

Outcome do_timerfd_gettime(Supervisor &s, Thread &t) {
  TimerFds::Timer *timer = s.timer_fds().find(t.process->remote, static_cast<int>(t.call.args[0]));
  if (!timer) return Outcome::answer(-EINVAL);
  return Outcome::answer(t.process->remote.put(t.call.args[1], left_of(s, *timer)));
}

// --- accounting ---

Outcome do_times(Supervisor &s, Thread &t) {
  constexpr u64 kTickNs = kNsPerSec / 100;
  tms times{};
  times.tms_utime = static_cast<clock_t>(cpu_time_of(*t.process) / kTickNs);
  if (t.call.args[0] != 0 && t.process->remote.put(t.call.args[0], times) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(static_cast<s64>(s.now_ns() / kTickNs));
}

Outcome do_getrusage(Supervisor &, Thread &t) {
  rusage usage{};
  const int who = static_cast<int>(t.call.args[0]);
  if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD) return Outcome::answer(-EINVAL);
  if (who == RUSAGE_SELF) usage.ru_utime = timeval_of(cpu_time_of(*t.process));
  if (who == RUSAGE_THREAD) usage.ru_utime = timeval_of(t.task->ts.se.sum_exec_runtime);
  usage.ru_nvcsw = static_cast<long>(t.task->ts.nvcsw);
  usage.ru_nivcsw = static_cast<long>(t.task->ts.nivcsw);
  return Outcome::answer(t.process->remote.put(t.call.args[1], usage));
}

Outcome do_sysinfo(Supervisor &s, Thread &t) {
  struct sysinfo info {};
  info.uptime = static_cast<long>(s.now_ns() / kNsPerSec);
  info.totalram = kMemoryBytes;
  info.freeram = kMemoryBytes / 2;
  info.procs = static_cast<u16>(s.kernel().nr_tasks());
  info.mem_unit = 1;
  return Outcome::answer(t.process->remote.put(t.call.args[0], info));
}

Outcome do_clock_settime(Supervisor &, Thread &) { return Outcome::answer(-EPERM); }

constexpr CallEntry kTable[] = {
    {SYS_clock_gettime, "clock_gettime", 50, do_clock_gettime, kHogTurnNs},
    {SYS_clock_settime, "clock_settime", 200, do_clock_settime},
    {SYS_gettimeofday, "gettimeofday", 50, do_gettimeofday, kHogTurnNs},
    {SYS_time, "time", 50, do_time, kHogTurnNs},
    {SYS_nanosleep, "nanosleep", 600, do_nanosleep},
    {SYS_clock_nanosleep, "clock_nanosleep", 600, do_clock_nanosleep},
    {SYS_alarm, "alarm", 300, do_alarm},
    {SYS_getitimer, "getitimer", 200, do_getitimer},
    {SYS_setitimer, "setitimer", 400, do_setitimer},
    {SYS_timerfd_create, "timerfd_create", 1200, do_timerfd_create},
    {SYS_timerfd_settime, "timerfd_settime", 500, do_timerfd_settime},
    {SYS_timerfd_gettime, "timerfd_gettime", 300, do_timerfd_gettime},
    {SYS_times, "times", 200, do_times},
    {SYS_getrusage, "getrusage", 300, do_getrusage},
    {SYS_sysinfo, "sysinfo", 400, do_sysinfo},
};

}  // namespace

const std::span<const CallEntry> kTimeCalls = kTable;

}  // namespace uscx::process
