// SPDX-License-Identifier: GPL-2.0-only
#include "process/timer_fds.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace uscx::process {
TimerFds::~TimerFds() {
  for (auto &[id, timer] : timers_) {
    machine_.cancel_timer(timer->event);
    ::close(timer->fd);
  }
}

int TimerFds::create(bool realtime, bool nonblocking) {
  const int fd = ::eventfd(0, EFD_CLOEXEC | (nonblocking ? EFD_NONBLOCK : 0));
  if (fd < 0) return -errno;
  const u64 id = eventfd_id(fmt::format("/proc/self/fdinfo/{}", fd));
  if (id == 0) {  // A host that gives them none: Linux before 5.2.
    ::close(fd);
    return -ENOSYS;
  }
  auto timer = std::make_unique<Timer>();
  timer->owner = this;
  timer->fd = fd;
  timer->realtime = realtime;
  timer->event.fn = fired;
  timer->event.owner = timer.get();
  timers_[id] = std::move(timer);
  return fd;
}

TimerFds::Timer *TimerFds::find(const Remote &remote, int fd) {
  const u64 id = eventfd_id(fmt::format("/proc/{}/fdinfo/{}", remote.host_pid(), fd));
  const auto it = timers_.find(id);
  return it == timers_.end() ? nullptr : it->second.get();
}

void TimerFds::set(Timer &timer, u64 expires_ns, u64 interval_ns) {
  machine_.cancel_timer(timer.event);
  // Whatever flags the program has set, this read must not wait: a counter of zero is not read.
  eventfd_t add = 1, sum;
  if (::eventfd_write(timer.fd, add) == 0) ::eventfd_read(timer.fd, &sum);
  timer.expires_ns = expires_ns;
  timer.interval_ns = interval_ns;
  if (expires_ns == 0) return;
  timer.event.cpu = machine::exec().on_cpu ? machine::this_cpu() : 0;
  machine_.arm_timer(timer.event, std::max(expires_ns, machine::now_ns()));
}

void TimerFds::fired(machine::SimEvent &event) {
  Timer &timer = *static_cast<Timer *>(event.owner);
  machine::charge(machine::Cost::timer_irq);
  ::eventfd_write(timer.fd, 1);
  timer.expires_ns = timer.interval_ns == 0 ? 0 : timer.expires_ns + timer.interval_ns;
  if (timer.expires_ns != 0) timer.owner->machine_.arm_timer(event, std::max(timer.expires_ns, machine::now_ns()));
  timer.owner->on_expiry_();
}

}  // namespace uscx::process
