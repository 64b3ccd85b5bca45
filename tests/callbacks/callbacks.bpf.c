// SPDX-License-Identifier: GPL-2.0-only
// A scheduler with every callback of sched_ext_ops, one of which never ends: that whose name `endless` has. Each has
// its SPIN on a line of its own, which the test looks for. With CID_FORM it is one of sched_ext_ops_cid.
#include "uscx_scx.bpf.h"

#define QUEUE 5

const volatile char endless[32];
// How often each has been called that has come to its end, for the test to know that it would have been called at all.
u64 nr_calls;

UEI_DEFINE(uei);

static __always_inline bool is_endless(const char *name, u32 size) {
  for (u32 i = 0; i < size; i++) {
    if (endless[i] != name[i]) return false;
  }
  return true;
}

// Written out where it is used, so that the line is the callback's own.
#define SPIN(name)                      \
  if (is_endless(#name, sizeof(#name))) \
    for (volatile u64 i = 0; i + 1; i++) nr_calls++

#ifdef CID_FORM
// Where the kernel puts the masks of CPUs.
struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 64);
  __ulong(map_extra, 1ull << 44);
} arena SEC(".maps");

s32 BPF_STRUCT_OPS(callbacks_select_cid, struct task_struct *p, s32 prev_cid, u64 wake_flags) {
  SPIN(select_cid);
  return prev_cid;
}

void BPF_STRUCT_OPS(callbacks_set_cmask, struct task_struct *p, const struct scx_cmask *cmask) { SPIN(set_cmask); }

void BPF_STRUCT_OPS(callbacks_dump_cid, struct scx_dump_ctx *dump, s32 cid, bool idle) { SPIN(dump_cid); }

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_cid_online, s32 cid) { SPIN(cid_online); }

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_cid_offline, s32 cid) { SPIN(cid_offline); }

s32 BPF_STRUCT_OPS_SLEEPABLE(callbacks_sub_attach, struct scx_sub_attach_args *args) {
  SPIN(sub_attach);
  return 0;
}

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_sub_detach, struct scx_sub_detach_args *args) { SPIN(sub_detach); }
#else
s32 BPF_STRUCT_OPS(callbacks_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags) {
  bool is_idle = false;
  SPIN(select_cpu);
  return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
}

void BPF_STRUCT_OPS(callbacks_set_cpumask, struct task_struct *p, const struct cpumask *mask) { SPIN(set_cpumask); }

void BPF_STRUCT_OPS(callbacks_dump_cpu, struct scx_dump_ctx *dump, s32 cpu, bool idle) { SPIN(dump_cpu); }

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_cpu_online, s32 cpu) { SPIN(cpu_online); }

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_cpu_offline, s32 cpu) { SPIN(cpu_offline); }

void BPF_STRUCT_OPS(callbacks_cpu_acquire, s32 cpu, struct scx_cpu_acquire_args *args) { SPIN(cpu_acquire); }

void BPF_STRUCT_OPS(callbacks_cpu_release, s32 cpu, struct scx_cpu_release_args *args) { SPIN(cpu_release); }
#endif

void BPF_STRUCT_OPS(callbacks_enqueue, struct task_struct *p, u64 enq_flags) {
  SPIN(enqueue);
  scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(callbacks_dequeue, struct task_struct *p, u64 deq_flags) { SPIN(dequeue); }

void BPF_STRUCT_OPS(callbacks_dispatch, s32 cpu, struct task_struct *prev) {
  SPIN(dispatch);
  scx_bpf_dsq_move_to_local(QUEUE);
}

void BPF_STRUCT_OPS(callbacks_tick, struct task_struct *p) { SPIN(tick); }

void BPF_STRUCT_OPS(callbacks_runnable, struct task_struct *p, u64 enq_flags) { SPIN(runnable); }

void BPF_STRUCT_OPS(callbacks_running, struct task_struct *p) { SPIN(running); }

void BPF_STRUCT_OPS(callbacks_stopping, struct task_struct *p, bool runnable) { SPIN(stopping); }

void BPF_STRUCT_OPS(callbacks_quiescent, struct task_struct *p, u64 deq_flags) { SPIN(quiescent); }

bool BPF_STRUCT_OPS(callbacks_yield, struct task_struct *from, struct task_struct *to) {
  SPIN(yield);
  return false;
}

bool BPF_STRUCT_OPS(callbacks_core_sched_before, struct task_struct *a, struct task_struct *b) {
  SPIN(core_sched_before);
  return false;
}

void BPF_STRUCT_OPS(callbacks_set_weight, struct task_struct *p, u32 weight) { SPIN(set_weight); }

void BPF_STRUCT_OPS(callbacks_update_idle, s32 cpu, bool idle) { SPIN(update_idle); }

s32 BPF_STRUCT_OPS_SLEEPABLE(callbacks_init_task, struct task_struct *p, struct scx_init_task_args *args) {
  SPIN(init_task);
  return 0;
}

void BPF_STRUCT_OPS(callbacks_exit_task, struct task_struct *p, struct scx_exit_task_args *args) { SPIN(exit_task); }

void BPF_STRUCT_OPS(callbacks_enable, struct task_struct *p) { SPIN(enable); }

void BPF_STRUCT_OPS(callbacks_disable, struct task_struct *p) { SPIN(disable); }

void BPF_STRUCT_OPS(callbacks_dump, struct scx_dump_ctx *dump) {
  SPIN(dump);
  scx_bpf_dump("callbacks\n");
}

void BPF_STRUCT_OPS(callbacks_dump_task, struct scx_dump_ctx *dump, struct task_struct *p) { SPIN(dump_task); }

s32 BPF_STRUCT_OPS_SLEEPABLE(callbacks_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args) {
  SPIN(cgroup_init);
  return 0;
}

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_cgroup_exit, struct cgroup *cgrp) { SPIN(cgroup_exit); }

s32 BPF_STRUCT_OPS_SLEEPABLE(callbacks_cgroup_prep_move, struct task_struct *p, struct cgroup *from,
                             struct cgroup *to) {
  SPIN(cgroup_prep_move);
  // A thread may not move, so that its process does not, and the leader hears of that.
  return is_endless("cgroup_cancel_move", sizeof("cgroup_cancel_move")) && p->pid != p->tgid ? -1 : 0;
}

void BPF_STRUCT_OPS(callbacks_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to) {
  SPIN(cgroup_move);
}

void BPF_STRUCT_OPS(callbacks_cgroup_cancel_move, struct task_struct *p, struct cgroup *from, struct cgroup *to) {
  SPIN(cgroup_cancel_move);
}

void BPF_STRUCT_OPS(callbacks_cgroup_set_weight, struct cgroup *cgrp, u32 weight) { SPIN(cgroup_set_weight); }

void BPF_STRUCT_OPS(callbacks_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) {
  SPIN(cgroup_set_bandwidth);
}

void BPF_STRUCT_OPS(callbacks_cgroup_set_idle, struct cgroup *cgrp, bool idle) { SPIN(cgroup_set_idle); }

s32 BPF_STRUCT_OPS_SLEEPABLE(callbacks_init) {
  SPIN(init);
#ifdef CID_FORM
  bpf_printk("%p", &arena);
#endif
  return scx_bpf_create_dsq(QUEUE, -1);
}

void BPF_STRUCT_OPS_SLEEPABLE(callbacks_exit, struct scx_exit_info *info) {
  SPIN(exit);
  UEI_RECORD(uei, info);
}

#define OP(name) .name = (void *)callbacks_##name
// clang-format off
#define COMMON_OPS                                                                                          \
  OP(enqueue), OP(dequeue), OP(dispatch), OP(tick), OP(runnable), OP(running), OP(stopping), OP(quiescent), \
  OP(yield), OP(core_sched_before), OP(set_weight), OP(update_idle), OP(init_task), OP(exit_task),          \
  OP(enable), OP(disable), OP(dump), OP(dump_task), OP(cgroup_init), OP(cgroup_exit),                       \
  OP(cgroup_prep_move), OP(cgroup_move), OP(cgroup_cancel_move), OP(cgroup_set_weight),                     \
  OP(cgroup_set_bandwidth), OP(cgroup_set_idle), OP(init), OP(exit),                                        \
  .flags = 1 << 0 /* SCX_OPS_KEEP_BUILTIN_IDLE */, .name = "callbacks"

#ifdef CID_FORM
SEC(".struct_ops.link")
struct sched_ext_ops_cid callbacks_ops = {
  OP(select_cid), OP(set_cmask), OP(dump_cid), OP(cid_online), OP(cid_offline), OP(sub_attach), OP(sub_detach),
  COMMON_OPS};
#else
SCX_OPS_DEFINE(callbacks_ops, OP(select_cpu), OP(set_cpumask), OP(dump_cpu), OP(cpu_online), OP(cpu_offline),
               OP(cpu_acquire), OP(cpu_release), COMMON_OPS);
#endif
// clang-format on
