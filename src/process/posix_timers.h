// SPDX-License-Identifier: GPL-2.0-only
// A process's timers of timer_create(), which send signals in virtual time.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_POSIX_TIMERS_H_
#define USCX_PROCESS_POSIX_TIMERS_H_

#include <map>
#include <memory>

#include "machine/machine.h"

namespace uscx::process {

class Supervisor;
struct Process;

class PosixTimers {
 public:
  PosixTimers(Supervisor &supervisor, Process &process) : supervisor_(supervisor), process_(process) {}
  ~PosixTimers() { clear(); }

  struct Timer {
    machine::SimEvent event;
    PosixTimers *owner = nullptr;
    int id = 0;
    bool realtime = false;
    int signal = 0;                       // 0: it only counts.
    int tid = 0;                          // Which thread gets it; 0: any.
    u64 value = 0;                        // What goes with it.
    u64 expires_ns = 0, interval_ns = 0;  // Virtual; 0: disarmed.
    int overrun = 0;  // Of the signal that was sent last: how often it expired again before that was taken.
  };
  Timer &create();
  Timer *find(u64 id);
  void remove(u64 id);
  void set(Timer &timer, u64 expires_ns, u64 interval_ns);
  void clear();  // The process ends, or has a new image.

 private:
  static void fired(machine::SimEvent &event);
  void send(Timer &timer);

  Supervisor &supervisor_;
  Process &process_;
  int next_id_ = 0;
  std::map<int, std::unique_ptr<Timer>> timers_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_POSIX_TIMERS_H_
