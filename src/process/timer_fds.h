// SPDX-License-Identifier: GPL-2.0-only
// Timer descriptors. What a program holds is an eventfd of the host, which counts as a timerfd does: read() gives the
// number of expirations and resets it. We keep a duplicate and add to it when the virtual timer expires.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_TIMER_FDS_H_
#define USCX_PROCESS_TIMER_FDS_H_

#include <functional>
#include <map>
#include <memory>

#include "machine/machine.h"
#include "process/remote.h"

namespace uscx::process {

class TimerFds {
 public:
  TimerFds(machine::Machine &machine, std::function<void()> on_expiry)
      : machine_(machine), on_expiry_(std::move(on_expiry)) {}
  ~TimerFds();

  struct Timer {
    machine::SimEvent event;
    TimerFds *owner = nullptr;
    int fd = -1;  // Ours.
    bool realtime = false;
    u64 expires_ns = 0;  // Virtual; 0: disarmed.
    u64 interval_ns = 0;
  };
  // A new timer's descriptor of ours (a duplicate is to be given away), or -errno.
  int create(bool realtime, bool nonblocking);
  // The timer behind a descriptor of a program, or null.
  Timer *find(const Remote &remote, int fd);
  // Arms it for a virtual time, or disarms it if that is 0. What it had counted is forgotten.
  void set(Timer &timer, u64 expires_ns, u64 interval_ns);

 private:
  static void fired(machine::SimEvent &event);

  machine::Machine &machine_;
  const std::function<void()> on_expiry_;
  std::map<u64, std::unique_ptr<Timer>> timers_;  // By the host's id of the eventfd.
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_TIMER_FDS_H_
