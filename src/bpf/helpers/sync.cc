// SPDX-License-Identifier: GPL-2.0-only
// Spin locks and timers in map values.
#include <errno.h>
#include <linux/bpf.h>

#include "bpf/exec/exec.h"
#include "bpf/memory/value_lock.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"
#include "bpf/object/timers.h"

namespace uscx::bpf {

// A lock that is taken and cannot become free is the invocation's own, or another's that leaked.
USCX_HELPER(BPF_FUNC_spin_lock, 0, spin_lock, s64, (u32 * lock)) {
  Guard::writable("bpf_spin_lock", 1, lock, sizeof(*lock));
  Invocation *invocation = Invocation::current();
  Holdings &held = invocation->holdings();
  if (held.lock != nullptr || !try_value_lock(lock))
    invocation->violation("helper bpf_spin_lock: a lock is already held");
  held.lock = lock;
  return 0;
}

USCX_HELPER(BPF_FUNC_spin_unlock, 0, spin_unlock, s64, (u32 * lock)) {
  Invocation *invocation = Invocation::current();
  Holdings &held = invocation->holdings();
  if (lock == nullptr || held.lock != lock) invocation->violation("helper bpf_spin_unlock: the lock is not held");
  held.lock = nullptr;
  value_unlock(lock);
  return 0;
}

namespace {
TimerTable &timers(const char *who, void *timer) {
  Guard::writable(who, 1, timer, sizeof(bpf_timer));
  return BpfSystem::current()->timers();
}
}  // namespace

USCX_HELPER(BPF_FUNC_timer_init, 0, timer_init, s64, (void *timer, u64 map_handle, u64 flags)) {
  TimerTable &table = timers("bpf_timer_init", timer);
  Map *map = Guard::map("bpf_timer_init", 2, map_handle);
  void *value = map->value_of(timer);
  const u64 offset = static_cast<char *>(timer) - static_cast<char *>(value);
  if (value == nullptr || map->field_at(FieldKind::kTimer, offset) == nullptr)
    Invocation::current()->violation("helper bpf_timer_init: argument 1 is not a timer of the map");
  return table.init(timer, map, value, flags);
}

USCX_HELPER(BPF_FUNC_timer_set_callback, HELPER_ATOMIC_CALLBACK, timer_set_callback, s64, (void *timer, u64 callback)) {
  TimerTable &table = timers("bpf_timer_set_callback", timer);
  Invocation *invocation = Invocation::current();
  const std::optional<u32> subprog = invocation->program()->callback_subprog(callback);
  if (!subprog.has_value()) invocation->violation("helper bpf_timer_set_callback: argument 2 is not a function");
  Prog *prog = running_prog();
  return prog == nullptr ? -EPERM : table.set_callback(timer, prog, *subprog);
}

USCX_HELPER(BPF_FUNC_timer_start, 0, timer_start, s64, (void *timer, u64 ns, u64 flags)) {
  return timers("bpf_timer_start", timer).start(timer, ns, flags);
}

USCX_HELPER(BPF_FUNC_timer_cancel, 0, timer_cancel, s64, (void *timer)) {
  return timers("bpf_timer_cancel", timer).cancel(timer);
}

}  // namespace uscx::bpf
