// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that does nothing, with variables of all kinds.
#include "uscx_scx.bpf.h"

enum mode { MODE_OFF, MODE_FAST, MODE_SLOW = 10 };
enum big_mode : unsigned long long { BIG_MODE_NONE, BIG_MODE_ALL = 1ULL << 40 };

struct level {
  u8 weight;
  s16 offsets[3];
  union {
    u32 limit;
    s32 bias;
  };
  u32 narrow : 5;
};

const volatile u64 slice_ns = 5;
const volatile s8 nudge;
const volatile bool enabled;
const volatile enum mode mode;
const volatile enum big_mode big_mode;
const volatile char label[8];
struct level levels[2];
u64 *somewhere;
u32 counter = 7;
// No enumerator of any kernel.
USCX_ENUMERATOR(SCX_NO_SUCH_THING);

UEI_DEFINE(uei);

void BPF_STRUCT_OPS(variables_enqueue, struct task_struct *p, u64 enq_flags) {
  if (enabled && mode != MODE_OFF && big_mode != BIG_MODE_NONE && label[0]) counter += nudge + levels[0].weight;
  if (!somewhere) scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL + __SCX_NO_SUCH_THING, slice_ns, enq_flags);
}

void BPF_STRUCT_OPS(variables_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(variables_ops, .enqueue = (void *)variables_enqueue, .exit = (void *)variables_exit, .timeout_ms = 1000,
               .name = "variables");
SCX_OPS_DEFINE(second_ops, .exit = (void *)variables_exit, .name = "second");
