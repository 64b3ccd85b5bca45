// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/timers.h"

#include <errno.h>
#include <linux/bpf.h>
#include <time.h>

#include <cstring>
#include <vector>

#include "bpf/object/bpf_system.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {
// Programs know the clock by the low bits of the flags of bpf_timer_init().
constexpr u64 kClockMask = 0xf;

// The timer whose callback this CPU is in; 0: none.

}  // namespace

TimerTable::Timer *TimerTable::find(TimerId id) {
  auto it = timers_.find(id);
  return it == timers_.end() ? nullptr : &it->second;
}

TimerTable::Timer *TimerTable::find(void *field) {
  Timer *timer = find(__atomic_load_n(static_cast<TimerId *>(field), __ATOMIC_RELAXED));
  return timer == nullptr || timer->field != field ? nullptr : timer;
}

bool TimerTable::is_running(void *field) {
  const machine::SpinGuard guard(lock_);
  const Timer *timer = find(field);
  return timer != nullptr && timer->running;
}

s64 TimerTable::init(void *field, Map *map, void *value, u64 flags) {
  const u64 clock = flags & kClockMask;
  if (flags & ~kClockMask || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME))
    return -EINVAL;
  const machine::SpinGuard guard(lock_);
  if (find(field) != nullptr) return -EBUSY;
  if (!map->user_held()) return -EPERM;
  const TimerId id = next_id_++;
  Timer &timer = timers_[id];
  timer.field = field;
  timer.map = map;
  timer.value = value;
  timer.id = id;
  __atomic_store_n(static_cast<TimerId *>(field), id, __ATOMIC_RELAXED);
  return 0;
}

s64 TimerTable::set_callback(void *field, Prog *prog, u32 subprog) {
  std::shared_ptr<Prog> other = std::static_pointer_cast<Prog>(prog->shared_from_this());
  const machine::SpinGuard guard(lock_);
  Timer *timer = find(field);
  if (timer == nullptr) return -EINVAL;
  timer->prog.swap(other);
  timer->subprog = subprog;
  return 0;
}

s64 TimerTable::start(void *field, u64 ns, u64 flags) {
  const machine::SpinGuard guard(lock_);
  Timer *timer = find(field);
  if (flags & ~u64{BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN} || timer == nullptr || timer->prog == nullptr) return -EINVAL;
  Env &env = system_.env();
  const u64 now = env.now_ns();
  u64 expires = flags & BPF_F_TIMER_ABS ? ns : now + ns;
  if (!(flags & BPF_F_TIMER_ABS) && expires < now) expires = ~0ull >> 1;  // saturates, as ktime does
  timer->armed = true;
  timer->expires_ns = expires;
  env.timer_arm(timer->id, expires, flags & BPF_F_TIMER_CPU_PIN ? static_cast<s32>(env.cpu()) : -1);
  return 0;
}

// Waits for a callback that is running on another CPU, unless that one waits for this one's.
s64 TimerTable::cancel(void *field) {
  std::shared_ptr<Prog> dropped;
  bool was_armed, wait;
  {
    const machine::SpinGuard guard(lock_);
    Timer *timer = find(field);
    if (timer == nullptr) return -EINVAL;
    const Timer *mine = find(running().firing_timer);
    if (timer == mine) return -EDEADLK;
    wait = timer->running && machine::concurrent();
    if (timer->running && (!wait || (mine != nullptr && mine->nr_cancelling > 0))) return -EDEADLK;
    timer->nr_cancelling += wait;
    was_armed = timer->armed;
    if (was_armed) system_.env().timer_cancel(timer->id);
    timer->armed = false;
    dropped.swap(timer->prog);
  }
  if (!wait) return was_armed;
  while (is_running(field)) machine::spin_wait("bpf_timer_cancel");
  const machine::SpinGuard guard(lock_);
  if (Timer *timer = find(field)) timer->nr_cancelling--;
  return was_armed;
}

s64 TimerTable::init_work(void *field, Map *map, void *value, u64 flags) {
  return flags != 0 ? -EINVAL : init(field, map, value, CLOCK_MONOTONIC);
}

s64 TimerTable::set_work_callback(void *field, Prog *prog, u32 subprog, u64 flags) {
  return flags != 0 ? -EINVAL : set_callback(field, prog, subprog);
}

s64 TimerTable::start_work(void *field, u64 flags) {
  const machine::SpinGuard guard(lock_);
  Timer *work = find(field);
  if (flags != 0 || work == nullptr || work->prog == nullptr) return -EINVAL;
  // Work that is queued stays where it is.
  if (work->armed) return 0;
  work->armed = true;
  work->expires_ns = 0;
  system_.env().work_queue(work->id);
  return 0;
}

void TimerTable::forget(void *field) {
  std::shared_ptr<Prog> dropped;
  const machine::SpinGuard guard(lock_);
  Timer *timer = find(field);
  if (timer == nullptr) return;
  if (timer->armed) system_.env().timer_cancel(timer->id);
  dropped.swap(timer->prog);
  timers_.erase(timer->id);
}

void TimerTable::forget_map(const Map *map) {
  // Dropping a program may end the last map that it held, which comes back here: first they are taken out.
  std::vector<std::shared_ptr<Prog>> dropped;
  const machine::SpinGuard guard(lock_);
  for (auto it = timers_.begin(); it != timers_.end();) {
    Timer &timer = it->second;
    if (timer.map != map) {
      ++it;
      continue;
    }
    if (timer.armed) system_.env().timer_cancel(it->first);
    std::memset(timer.field, 0, sizeof(bpf_timer));
    dropped.push_back(std::move(timer.prog));
    it = timers_.erase(it);
  }
}

void TimerTable::fire(TimerId id) {
  // The callback may delete the element, and with it this timer: hold what the call needs.
  std::shared_ptr<Prog> prog;
  Map *map;
  void *value;
  u32 subprog;
  {
    const machine::SpinGuard guard(lock_);
    Timer *timer = find(id);
    if (timer == nullptr || timer->prog == nullptr) return;
    // Another CPU may just have set it for later.
    if (timer->expires_ns <= system_.env().now_ns()) timer->armed = false;
    timer->running = true;
    prog = timer->prog;
    map = timer->map;
    value = timer->value;
    subprog = timer->subprog;
  }
  const TimerId outer = running().firing_timer;
  running().firing_timer = id;
  system_.env().run_callback(
      *prog, subprog,
      {reinterpret_cast<u64>(map->handle()), reinterpret_cast<u64>(map->key_of(value)), reinterpret_cast<u64>(value)});
  running().firing_timer = outer;
  const machine::SpinGuard guard(lock_);
  if (Timer *timer = find(id)) timer->running = false;
}

}  // namespace uscx::bpf
