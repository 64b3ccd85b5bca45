// SPDX-License-Identifier: GPL-2.0-only
// A scheduler whose mistakes the core finds, or nobody: what people are told of them is the subject of told_test.py,
// which looks for lines by their MARK comments.
#include "uscx_scx.bpf.h"

enum fault {
  NONE,
  LOSES_HALF,
  WRONG_CPU,
  WRONG_CPU_AT_ONCE,
  MISSING_DSQ,
  MISSING_DSQ_TO_CONSUME,
  DOUBLE_INSERT,
  NO_TASKS,
};
const volatile u32 fault;

#define QUEUE 7
#define NO_QUEUE 8

u64 nr_lost;

UEI_DEFINE(uei);

s32 BPF_STRUCT_OPS_SLEEPABLE(told_init) { return scx_bpf_create_dsq(QUEUE, -1); }

static bool is_other_cpu(struct task_struct *p, s32 cpu) { return !bpf_cpumask_test_cpu(cpu, p->cpus_ptr); }

// Each mistake in a function of its own: of calls that are alike the compiler makes one.
// clang-format off
static __noinline void to_wrong_cpu(struct task_struct *p) {
  scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | 1, SCX_SLICE_DFL, 0);            // MARK wrong CPU at once
}

static __noinline void to_missing_dsq(struct task_struct *p) {
  scx_bpf_dsq_insert(p, NO_QUEUE, SCX_SLICE_DFL, 0);                        // MARK missing DSQ
}

static __noinline void insert_again(struct task_struct *p) {
  scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, 0);                           // MARK double insert
}

static __noinline void consume_missing_dsq(void) {
  scx_bpf_dsq_move_to_local(NO_QUEUE);                                      // MARK missing DSQ to consume
}
// clang-format on

void BPF_STRUCT_OPS(told_enqueue, struct task_struct *p, u64 enq_flags) {
  if (fault == LOSES_HALF && !(p->flags & PF_KTHREAD) && p->pid % 2) {
    nr_lost++;
    return;
  }
  if (fault == WRONG_CPU_AT_ONCE && is_other_cpu(p, 1)) return to_wrong_cpu(p);
  if (fault == MISSING_DSQ) return to_missing_dsq(p);
  scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
  if (fault == DOUBLE_INSERT) insert_again(p);
}

// clang-format off
void BPF_STRUCT_OPS(told_dispatch, s32 cpu, struct task_struct *prev) {
  if (fault == WRONG_CPU) {
    struct task_struct *p;
    bpf_for_each(scx_dsq, p, QUEUE, 0)
      if (is_other_cpu(p, 1))
        scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL_ON | 1, 0);    // MARK wrong CPU
  }
  if (fault == MISSING_DSQ_TO_CONSUME) consume_missing_dsq();
  scx_bpf_dsq_move_to_local(QUEUE);
}
// clang-format on

s32 BPF_STRUCT_OPS_SLEEPABLE(told_init_task, struct task_struct *p, struct scx_init_task_args *args) {
  return fault == NO_TASKS && args->fork ? -ENOMEM : 0;
}

void BPF_STRUCT_OPS(told_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(told_ops, .enqueue = (void *)told_enqueue, .dispatch = (void *)told_dispatch,
               .init_task = (void *)told_init_task, .init = (void *)told_init, .exit = (void *)told_exit,
               .name = "told");
