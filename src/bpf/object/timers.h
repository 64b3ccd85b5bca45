// SPDX-License-Identifier: GPL-2.0-only
// bpf_timer and bpf_wq: the state behind the 16 opaque bytes in a map value, which hold the timer's or the work's id.
// The Env arms and fires them; the callback runs as part of the program that set it.
//
// Threading: any CPU; one lock for all timers, held also around the Env's timer_arm() and timer_cancel(). It is not
// held while a callback runs or a program is released.
//
// Invariant: a timer is known by the address of its field and by its id; both must agree, so that bytes which a program
// has overwritten name no timer.
#ifndef USCX_BPF_OBJECT_TIMERS_H_
#define USCX_BPF_OBJECT_TIMERS_H_

#include <map>
#include <memory>

#include "bpf/object/env.h"
#include "machine/sync.h"

namespace uscx::bpf {

class BpfSystem;
class Map;
class Prog;

class TimerTable {
 public:
  explicit TimerTable(BpfSystem &system) : system_(system) {}

  // What the helpers of the same names return. `field` is a bpf_timer inside a value of `map`.
  s64 init(void *field, Map *map, void *value, u64 flags);
  s64 set_callback(void *field, Prog *prog, u32 subprog);
  s64 start(void *field, u64 ns, u64 flags);
  s64 cancel(void *field);

  // The same of bpf_wq.
  s64 init_work(void *field, Map *map, void *value, u64 flags);
  s64 set_work_callback(void *field, Prog *prog, u32 subprog, u64 flags);
  s64 start_work(void *field, u64 flags);

  // The value that holds the field goes away.
  void forget(void *field);
  // User space's last descriptor of the map has gone: its timers stop. (A timer holds its program, which holds the map:
  // this ends the circle, as in the kernel.)
  void forget_map(const Map *map);
  void fire(TimerId id);

 private:
  struct Timer {
    void *field;
    Map *map;
    void *value;
    std::shared_ptr<Prog> prog;
    u32 subprog = 0;
    bool armed = false;
    u64 expires_ns = 0;
    TimerId id = 0;
    bool running = false;
    u32 nr_cancelling = 0;  // Callbacks that wait in cancel() for this one's end.
  };
  Timer *find(void *field);
  Timer *find(TimerId id);
  bool is_running(void *field);

  BpfSystem &system_;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf timers"};
  TimerId next_id_ = 1;              // guarded by lock_
  std::map<TimerId, Timer> timers_;  // guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_TIMERS_H_
