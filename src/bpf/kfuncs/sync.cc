// SPDX-License-Identifier: GPL-2.0-only
// Resilient spin locks and work queues in map values.
#include <errno.h>
#include <linux/bpf.h>

#include <algorithm>

#include "abi/kernel_types.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/value_lock.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"
#include "bpf/object/timers.h"

struct bpf_res_spin_lock {
  u32 val;
};

namespace uscx::bpf {

using bpf_wq_callback_fn = u64;

namespace {

// A lock of one's own is a deadlock; one that cannot become free was never given back, and the wait for it times out.
s32 res_lock(bpf_res_spin_lock *lock) {
  std::vector<u32 *> &held = Invocation::current()->holdings().rarely().res_locks;
  if (std::find(held.begin(), held.end(), &lock->val) != held.end()) return -EDEADLK;
  if (!try_value_lock(&lock->val)) return -ETIMEDOUT;
  held.push_back(&lock->val);
  return 0;
}

void res_unlock(const char *who, bpf_res_spin_lock *lock) {
  Invocation *invocation = Invocation::current();
  std::vector<u32 *> &held = invocation->holdings().rarely().res_locks;
  if (held.empty() || held.back() != &lock->val)
    invocation->violation("kfunc {}: the lock is not the last one taken", who);
  held.pop_back();
  value_unlock(&lock->val);
}

// Work's map, with the value that it lies in.
Map *map_of_work(const char *who, void *wq, void *handle, void **value) {
  Map *map = Guard::map(who, 2, reinterpret_cast<u64>(handle));
  *value = map->value_of(wq);
  const u64 offset = static_cast<u64>(static_cast<char *>(wq) - static_cast<char *>(*value));
  if (*value == nullptr || map->field_at(FieldKind::kWorkqueue, offset) == nullptr)
    Invocation::current()->violation("kfunc {}: argument 1 is not a bpf_wq of the map", who);
  return map;
}

s32 set_callback(bpf_wq *wq, u64 callback, u32 flags) {
  Invocation *invocation = Invocation::current();
  const std::optional<u32> subprog = invocation->program()->callback_subprog(callback);
  if (!subprog.has_value()) invocation->violation("kfunc bpf_wq_set_callback: argument 2 is not a function");
  Prog *prog = running_prog();
  if (prog == nullptr) return -EPERM;
  return static_cast<s32>(BpfSystem::current()->timers().set_work_callback(wq, prog, *subprog, flags));
}

}  // namespace

USCX_KFUNC(kGeneric, 0, s32, bpf_res_spin_lock, (struct bpf_res_spin_lock * lock)) { return res_lock(lock); }

USCX_KFUNC(kGeneric, 0, void, bpf_res_spin_unlock, (struct bpf_res_spin_lock * lock)) {
  res_unlock("bpf_res_spin_unlock", lock);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_res_spin_lock_irqsave,
           (struct bpf_res_spin_lock * lock, unsigned long *flags__irq_flag)) {
  *flags__irq_flag = 0;
  return res_lock(lock);
}

USCX_KFUNC(kGeneric, 0, void, bpf_res_spin_unlock_irqrestore,
           (struct bpf_res_spin_lock * lock, unsigned long *flags__irq_flag)) {
  *flags__irq_flag = 0;
  res_unlock("bpf_res_spin_unlock_irqrestore", lock);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_wq_init, (struct bpf_wq * wq, void *p__map, u32 flags)) {
  void *value;
  Map *map = map_of_work("bpf_wq_init", wq, p__map, &value);
  return static_cast<s32>(BpfSystem::current()->timers().init_work(wq, map, value, flags));
}

USCX_KFUNC(kGeneric, KF_IMPLICIT_ARGS | KF_SLEEPABLE_CALLBACK, s32, bpf_wq_set_callback,
           (struct bpf_wq * wq, bpf_wq_callback_fn callback_fn, u32 flags)) {
  return set_callback(wq, callback_fn, flags);
}

USCX_KFUNC(kGeneric, KF_SLEEPABLE_CALLBACK, s32, bpf_wq_set_callback_impl,
           (struct bpf_wq * wq, bpf_wq_callback_fn callback_fn, u32 flags, void *aux__ign)) {
  (void)aux__ign;
  return set_callback(wq, callback_fn, flags);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_wq_start, (struct bpf_wq * wq, u32 flags)) {
  return static_cast<s32>(BpfSystem::current()->timers().start_work(wq, flags));
}

}  // namespace uscx::bpf
