// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs that know nothing of scheduling: the number iterator, RCU and preemption sections.
#include <errno.h>
#include <linux/bpf.h>

#include "bpf/exec/exec.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

namespace {

// What the kernel keeps in the 8 opaque bytes. Programs read the current number through the pointer that next() gives.
struct NumberIterator {
  s32 current;
  s32 end;
};
static_assert(sizeof(NumberIterator) == sizeof(bpf_iter_num));

constexpr s64 kMaxLoops = 8ll << 20;

NumberIterator *state_of(bpf_iter_num *it) { return reinterpret_cast<NumberIterator *>(it); }

Holdings &held() { return Invocation::current()->holdings(); }

}  // namespace

USCX_KFUNC(kGeneric, KF_ITER_NEW, s32, bpf_iter_num_new, (struct bpf_iter_num * it, s32 start, s32 end)) {
  NumberIterator *state = state_of(it);
  *state = {0, 0};
  if (start > end) return -EINVAL;
  if (s64{end} - start > kMaxLoops) return -E2BIG;
  // Wraps for the smallest number, which next() undoes.
  *state = {static_cast<s32>(static_cast<u32>(start) - 1), end};
  return 0;
}

USCX_KFUNC(kGeneric, KF_ITER_NEXT | KF_RET_NULL, s32 *, bpf_iter_num_next, (struct bpf_iter_num * it)) {
  NumberIterator *state = state_of(it);
  const s32 next = static_cast<s32>(static_cast<u32>(state->current) + 1);
  if (next >= state->end) {
    *state = {0, 0};
    return nullptr;
  }
  state->current = next;
  return &state->current;
}

USCX_KFUNC(kGeneric, KF_ITER_DESTROY, void, bpf_iter_num_destroy, (struct bpf_iter_num * it)) {
  *state_of(it) = {0, 0};
}

USCX_KFUNC(kGeneric, KF_RCU_LOCK, void, bpf_rcu_read_lock, (void)) { held().rcu_depth++; }

USCX_KFUNC(kGeneric, KF_RCU_UNLOCK, void, bpf_rcu_read_unlock, (void)) {
  if (held().rcu_depth == 0) Invocation::current()->violation("kfunc bpf_rcu_read_unlock: no RCU read section is open");
  held().rcu_depth--;
}

USCX_KFUNC(kGeneric, KF_PREEMPT_DISABLE, void, bpf_preempt_disable, (void)) { held().preempt_depth++; }

USCX_KFUNC(kGeneric, KF_PREEMPT_ENABLE, void, bpf_preempt_enable, (void)) {
  if (held().preempt_depth == 0)
    Invocation::current()->violation("kfunc bpf_preempt_enable: preemption is not disabled");
  held().preempt_depth--;
}

USCX_KFUNC(kGeneric, 0, void, bpf_throw, (u64 cookie)) { Invocation::current()->throw_exception(cookie); }

// Programs run with interrupts off as it is.
USCX_KFUNC(kGeneric, 0, void, bpf_local_irq_save, (unsigned long *flags__irq_flag)) { *flags__irq_flag = 0; }
USCX_KFUNC(kGeneric, 0, void, bpf_local_irq_restore, (unsigned long *flags__irq_flag)) { *flags__irq_flag = 0; }

}  // namespace uscx::bpf
