// SPDX-License-Identifier: GPL-2.0-only
// Timers that send signals (timer_create) in virtual time; those that are descriptors are in calls_time.cc.
#include <signal.h>
#include <sys/syscall.h>

#include "process/calls.h"
#include "process/supervisor.h"

namespace uscx::process {
namespace {

using Timer = PosixTimers::Timer;

// The fields of struct sigevent that the kernel looks at.
struct SigEvent {
  u64 value = 0;
  int signal = SIGALRM, notify = SIGEV_SIGNAL, tid = 0;
};

// 0, or -errno.
int read_event(Supervisor &s, const Thread &t, u64 address, SigEvent *event) {
  if (address == 0) return 0;
  if (t.process->remote.get(event, address) != 0) return -EFAULT;
  const bool to_thread = event->notify == (SIGEV_SIGNAL | SIGEV_THREAD_ID);
  if (event->notify != SIGEV_SIGNAL && event->notify != SIGEV_NONE && !to_thread) return -EINVAL;
  if (event->notify == SIGEV_NONE) {
    event->signal = 0;
  } else if (event->signal < 1 || event->signal > SIGRTMAX) {
    return -EINVAL;
  }
  if (!to_thread) event->tid = 0;
  const Thread *thread = to_thread ? s.find_thread(event->tid) : nullptr;
  return to_thread && (!thread || thread->process != t.process) ? -EINVAL : 0;
}

Outcome do_timer_create(Supervisor &s, Thread &t) {
  const clockid_t clock = static_cast<clockid_t>(t.call.args[0]);
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && clock != CLOCK_TAI) {
    s.note(fmt::format("{}: timer_create() of clock {} is not implemented: timers of CPU time do not expire",
                       t.process->name, clock));
    return Outcome::answer(-EOPNOTSUPP);
  }
  SigEvent event;
  if (const int error = read_event(s, t, t.call.args[1], &event); error != 0) return Outcome::answer(error);
  Timer &timer = t.process->timers->create();
  timer.realtime = clock == CLOCK_REALTIME || clock == CLOCK_TAI;
  timer.signal = event.signal;
  timer.tid = event.tid;
  timer.value = t.call.args[1] != 0 ? event.value : static_cast<u64>(timer.id);
  if (t.process->remote.put(t.call.args[2], timer.id) == 0) return Outcome::answer(0);
  t.process->timers->remove(static_cast<u64>(timer.id));
  return Outcome::answer(-EFAULT);
}

itimerspec left_of(Supervisor &s, const Timer &timer) {
  const u64 left = timer.expires_ns > s.now_ns() ? timer.expires_ns - s.now_ns() : 0;
  return {timespec_of(timer.interval_ns), timespec_of(left)};
}

Outcome do_timer_settime(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  Timer *timer = t.process->timers->find(args[0]);
  itimerspec value{};
  if (!timer) return Outcome::answer(-EINVAL);
  if (t.process->remote.get(&value, args[2]) != 0) return Outcome::answer(-EFAULT);
  if (!valid_time(value.it_value) || !valid_time(value.it_interval)) return Outcome::answer(-EINVAL);
  if (args[3] != 0 && t.process->remote.put(args[3], left_of(s, *timer)) != 0) return Outcome::answer(-EFAULT);
  const u64 ns = ns_of(value.it_value), epoch = timer->realtime ? Supervisor::kBootRealtimeNs : 0;
  // An absolute time in the past expires at once; zero disarms.
  const u64 absolute = ns > epoch ? ns - epoch : 1;
  const u64 expires = ns == 0 ? 0 : (args[1] & TIMER_ABSTIME) != 0 ? absolute : after_ns(s.now_ns(), ns);
  t.process->timers->set(*timer, expires, ns_of(value.it_interval));
  return Outcome::answer(0);
}

Outcome do_timer_gettime(Supervisor &s, Thread &t) {
  const Timer *timer = t.process->timers->find(t.call.args[0]);
  return Outcome::answer(timer ? t.process->remote.put(t.call.args[1], left_of(s, *timer)) : -EINVAL);
}

Outcome do_timer_getoverrun(Supervisor &, Thread &t) {
  const Timer *timer = t.process->timers->find(t.call.args[0]);
  return Outcome::answer(timer ? timer->overrun : -EINVAL);
}

Outcome do_timer_delete(Supervisor &, Thread &t) {
  if (!t.process->timers->find(t.call.args[0])) return Outcome::answer(-EINVAL);
  t.process->timers->remove(t.call.args[0]);
  return Outcome::answer(0);
}

constexpr CallEntry kTable[] = {
    {SYS_timer_create, "timer_create", 800, do_timer_create},
    {SYS_timer_settime, "timer_settime", 500, do_timer_settime},
    {SYS_timer_gettime, "timer_gettime", 300, do_timer_gettime},
    {SYS_timer_getoverrun, "timer_getoverrun", 150, do_timer_getoverrun},
    {SYS_timer_delete, "timer_delete", 400, do_timer_delete},
};

}  // namespace

const std::span<const CallEntry> kTimerCalls = kTable;

}  // namespace uscx::process
