// SPDX-License-Identifier: GPL-2.0-only
#include "process/posix_timers.h"

#include <climits>
#include <csignal>

#include "process/supervisor.h"

namespace uscx::process {

PosixTimers::Timer &PosixTimers::create() {
  auto timer = std::make_unique<Timer>();
  timer->owner = this;
  timer->id = next_id_++;
  timer->event.fn = fired;
  timer->event.owner = timer.get();
  return *(timers_[timer->id] = std::move(timer));
}

PosixTimers::Timer *PosixTimers::find(u64 id) {
  const auto it = timers_.find(static_cast<int>(id));
  return it == timers_.end() ? nullptr : it->second.get();
}

void PosixTimers::remove(u64 id) {
  const auto it = timers_.find(static_cast<int>(id));
  supervisor_.host().machine().cancel_timer(it->second->event);
  timers_.erase(it);
}

void PosixTimers::clear() {
  while (!timers_.empty()) remove(static_cast<u64>(timers_.begin()->first));
}

void PosixTimers::set(Timer &timer, u64 expires_ns, u64 interval_ns) {
  machine::Machine &machine = supervisor_.host().machine();
  machine.cancel_timer(timer.event);
  timer.expires_ns = expires_ns;
  timer.interval_ns = interval_ns;
  timer.overrun = 0;
  if (expires_ns == 0) return;
  timer.event.cpu = machine::this_cpu();
  machine.arm_timer(timer.event, std::max(expires_ns, machine::now_ns()));
}

void PosixTimers::fired(machine::SimEvent &event) {
  Timer &timer = *static_cast<Timer *>(event.owner);
  PosixTimers &self = *timer.owner;
  machine::charge(machine::Cost::timer_irq);
  timer.expires_ns = timer.interval_ns == 0 ? 0 : timer.expires_ns + timer.interval_ns;
  if (timer.expires_ns != 0)
    self.supervisor_.host().machine().arm_timer(event, std::max(timer.expires_ns, machine::now_ns()));
  self.send(timer);
}

// A timer has one signal under way at most; expirations meanwhile are counted.
void PosixTimers::send(Timer &timer) {
  if (timer.signal == 0 || process_.host_dead) return;
  Thread *thread = timer.tid ? supervisor_.find_thread(timer.tid) : nullptr;
  if (timer.tid && (!thread || thread->process != &process_)) return;
  const Thread &asked = thread ? *thread : *process_.threads.front();
  if (process_.remote.signals(asked.host_tid).pending >> (timer.signal - 1) & 1) {
    if (timer.overrun < INT_MAX) timer.overrun++;
    return;
  }
  siginfo_t info{};
  info.si_signo = timer.signal;
  info.si_code = SI_TIMER;
  info.si_timerid = timer.id;
  info.si_overrun = timer.overrun;
  info.si_value.sival_ptr = reinterpret_cast<void *>(timer.value);
  timer.overrun = 0;
  supervisor_.deliver(process_, timer.signal, thread, &info);
}

}  // namespace uscx::process
