// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that the verifier refuses.
#include "uscx_scx.bpf.h"

u64 seen;

void BPF_STRUCT_OPS(unchecked_enqueue, struct task_struct *p, u64 enq_flags) {
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5000000, enq_flags);
}

void BPF_STRUCT_OPS(unchecked_dispatch, s32 cpu, struct task_struct *prev) {
  seen = prev->scx.dsq_vtime;  // MARK unchecked
}

SCX_OPS_DEFINE(unchecked_ops, .enqueue = (void *)unchecked_enqueue, .dispatch = (void *)unchecked_dispatch,
               .name = "unchecked");
