// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/timers.h"

#include <errno.h>
#include <linux/bpf.h>
#include <time.h>

#include <cstring>
#include <vector>

#include "bpf/bpf_system.h"
#include "bpf/map.h"
#include "bpf/prog.h"

namespace uscx::bpf {

namespace {
// Programs know the clock by the low bits of the flags of bpf_timer_init().
constexpr u64 kClockMask = 0xf;
}  // namespace

TimerTable::Timer *TimerTable::find(void *field) {
  TimerId id;
  std::memcpy(&id, field, sizeof(id));
  auto it = timers_.find(id);
  return it == timers_.end() || it->second.field != field ? nullptr : &it->second;
}

s64 TimerTable::init(void *field, Map *map, void *value, u64 flags) {
  const u64 clock = flags & kClockMask;
  if (flags & ~kClockMask || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME))
    return -EINVAL;
  if (find(field) != nullptr) return -EBUSY;
  if (!map->user_held()) return -EPERM;
  const TimerId id = next_id_++;
  timers_[id] = Timer{field, map, value, nullptr};
  std::memcpy(field, &id, sizeof(id));
  return 0;
}

s64 TimerTable::set_callback(void *field, Prog *prog, u32 subprog) {
  Timer *timer = find(field);
  if (timer == nullptr) return -EINVAL;
  timer->prog = std::static_pointer_cast<Prog>(prog->shared_from_this());
  timer->subprog = subprog;
  return 0;
}

s64 TimerTable::start(void *field, u64 ns, u64 flags) {
  Timer *timer = find(field);
  if (flags & ~u64{BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN} || timer == nullptr || timer->prog == nullptr) return -EINVAL;
  Env &env = system_.env();
  const u64 now = env.now_ns();
  u64 expires = flags & BPF_F_TIMER_ABS ? ns : now + ns;
  if (!(flags & BPF_F_TIMER_ABS) && expires < now) expires = ~0ull >> 1;  // saturates, as ktime does
  TimerId id;
  std::memcpy(&id, field, sizeof(id));
  timer->armed = true;
  env.timer_arm(id, expires, flags & BPF_F_TIMER_CPU_PIN ? static_cast<s32>(env.cpu()) : -1);
  return 0;
}

s64 TimerTable::cancel(void *field) {
  Timer *timer = find(field);
  if (timer == nullptr) return -EINVAL;
  if (timer->running) return -EDEADLK;
  TimerId id;
  std::memcpy(&id, field, sizeof(id));
  const bool was_armed = timer->armed && system_.env().timer_cancel(id);
  timer->armed = false;
  timer->prog = nullptr;
  return was_armed;
}

void TimerTable::forget(void *field) {
  Timer *timer = find(field);
  if (timer == nullptr) return;
  TimerId id;
  std::memcpy(&id, field, sizeof(id));
  if (timer->armed) system_.env().timer_cancel(id);
  const std::shared_ptr<Prog> dropped = std::move(timer->prog);
  timers_.erase(id);
}

void TimerTable::forget_map(const Map *map) {
  // Dropping a program may end the last map that it held, which comes back here: take them out first.
  std::vector<std::shared_ptr<Prog>> dropped;
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
  auto it = timers_.find(id);
  if (it == timers_.end() || it->second.prog == nullptr) return;
  Timer &timer = it->second;
  timer.armed = false;
  timer.running = true;
  // The callback may delete the element, and with it this timer: hold what the call needs.
  const std::shared_ptr<Prog> prog = timer.prog;
  const u64 key = reinterpret_cast<u64>(timer.map->key_of(timer.value));
  const u64 map = reinterpret_cast<u64>(timer.map->handle());
  system_.env().run_callback(*prog, timer.subprog, {map, key, reinterpret_cast<u64>(timer.value)});
  if (it = timers_.find(id); it != timers_.end()) it->second.running = false;
}

}  // namespace uscx::bpf
