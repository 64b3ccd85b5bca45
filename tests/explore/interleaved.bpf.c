// SPDX-License-Identifier: GPL-2.0-only
// A scheduler with a bug, chosen by `bug`, that shows in some interleavings of its callbacks only; without one it is
// right in all of them. Tasks wait in one DSQ, and one at a time in a mailbox in front of it.
#include "uscx_scx.bpf.h"

const volatile u32 bug;

#define WAITING 1  // DSQ

#define COUNTS_WITHOUT_ORDER 1
#define CHECKS_THEN_TAKES_THE_MAILBOX 2
#define CHECKS_THEN_TAKES_THE_SECTION 3

u64 nr_enqueued;
u32 section_owner;

UEI_DEFINE(uei);

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, u32);
  __type(value, u32);
  __uint(max_entries, 1);
} mailbox SEC(".maps");

static bool put_into_mailbox(struct task_struct *p) {
  u32 zero = 0, *pid = bpf_map_lookup_elem(&mailbox, &zero);

  if (!pid) return false;
  if (bug != CHECKS_THEN_TAKES_THE_MAILBOX) return __sync_val_compare_and_swap(pid, 0, p->pid) == 0;
  if (*(volatile u32 *)pid) return false;  // MARK mailbox is looked at
  *(volatile u32 *)pid = p->pid;           // MARK mailbox is filled
  return true;
}

void BPF_STRUCT_OPS(interleaved_enqueue, struct task_struct *p, u64 enq_flags) {
  if (bug == COUNTS_WITHOUT_ORDER)
    (*(volatile u64 *)&nr_enqueued)++;  // MARK counter
  else
    __sync_fetch_and_add(&nr_enqueued, 1);
  if (p->flags & PF_KTHREAD || !put_into_mailbox(p)) scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

static bool take_from_mailbox(void) {
  u32 zero = 0, *slot = bpf_map_lookup_elem(&mailbox, &zero);
  struct task_struct *p;
  u32 pid;

  if (!slot) return false;
  pid = __sync_lock_test_and_set(slot, 0);
  if (!pid) return false;
  p = bpf_task_from_pid(pid);
  if (!p) return false;
  scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
  bpf_task_release(p);
  return true;
}

void BPF_STRUCT_OPS(interleaved_dispatch, s32 cpu, struct task_struct *prev) {
  if (!take_from_mailbox()) scx_bpf_dsq_move_to_local(WAITING);
}

// One CPU at a time is in the section.
void BPF_STRUCT_OPS(interleaved_running, struct task_struct *p) {
  u32 me = bpf_get_smp_processor_id() + 1;
  volatile u32 *owner = &section_owner;

  if (bug != CHECKS_THEN_TAKES_THE_SECTION) return;
  if (*owner) return;
  *owner = me;
  if (*owner != me) scx_bpf_error("CPU %u is in the section of CPU %u", *owner - 1, me - 1);
  *owner = 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(interleaved_init) { return scx_bpf_create_dsq(WAITING, -1); }

void BPF_STRUCT_OPS(interleaved_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(interleaved_ops, .enqueue = (void *)interleaved_enqueue, .dispatch = (void *)interleaved_dispatch,
               .running = (void *)interleaved_running, .init = (void *)interleaved_init,
               .exit = (void *)interleaved_exit, .name = "interleaved");
