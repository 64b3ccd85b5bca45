// SPDX-License-Identifier: GPL-2.0-only
// A scheduler without ops.dispatch, which keeps what it cannot start at once: in its custody, or in a DSQ of its own.
#include "uscx_scx.bpf.h"

const volatile bool in_queue;

#define QUEUE 7

UEI_DEFINE(uei);

s32 BPF_STRUCT_OPS_SLEEPABLE(hoards_init) { return scx_bpf_create_dsq(QUEUE, -1); }

void BPF_STRUCT_OPS(hoards_enqueue, struct task_struct *p, u64 enq_flags) {
  if (p->flags & PF_KTHREAD)
    scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, enq_flags);
  else if (in_queue)
    scx_bpf_dsq_insert(p, QUEUE, 5000000, enq_flags);
}

void BPF_STRUCT_OPS(hoards_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(hoards_ops, .enqueue = (void *)hoards_enqueue, .init = (void *)hoards_init,
               .exit = (void *)hoards_exit, .name = "hoards");
