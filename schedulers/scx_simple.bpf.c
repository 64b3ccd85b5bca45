// SPDX-License-Identifier: GPL-2.0-only
// scx_simple: one queue for the whole machine. A task that wakes while a CPU is idle goes straight to that CPU; all
// others wait in one DSQ, in the order of their weighted virtual time, or first in first out with -f. Good where all
// CPUs share a cache and are few.
#include "uscx_scx.bpf.h"

#define SHARED_DSQ 0

const volatile bool fifo_sched;

// How far virtual time has come: the largest vtime with which a task has started to run.
static u64 vtime_now;

UEI_DEFINE(uei);

enum simple_stat { STAT_LOCAL, STAT_GLOBAL, NR_SIMPLE_STATS };

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, NR_SIMPLE_STATS);
} stats SEC(".maps");

static __always_inline void count(u32 stat) {
  u64 *value = bpf_map_lookup_elem(&stats, &stat);

  if (value) (*value)++;
}

s32 BPF_STRUCT_OPS(simple_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags) {
  bool is_idle = false;
  s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

  if (is_idle) {
    count(STAT_LOCAL);
    scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
  }
  return cpu;
}

void BPF_STRUCT_OPS(simple_enqueue, struct task_struct *p, u64 enq_flags) {
  u64 vtime = p->scx.dsq_vtime;

  count(STAT_GLOBAL);
  if (fifo_sched) {
    scx_bpf_dsq_insert(p, SHARED_DSQ, SCX_SLICE_DFL, enq_flags);
    return;
  }
  // Who slept long comes back with one slice of credit at most, or it would hold the CPU until the others catch up.
  if (time_before(vtime, vtime_now - SCX_SLICE_DFL)) vtime = vtime_now - SCX_SLICE_DFL;
  scx_bpf_dsq_insert_vtime(p, SHARED_DSQ, SCX_SLICE_DFL, vtime, enq_flags);
}

void BPF_STRUCT_OPS(simple_dispatch, s32 cpu, struct task_struct *prev) { scx_bpf_dsq_move_to_local(SHARED_DSQ); }

void BPF_STRUCT_OPS(simple_running, struct task_struct *p) {
  if (fifo_sched) return;
  // CPUs race here, and a lost update only delays vtime_now until the next task starts.
  if (time_before(vtime_now, p->scx.dsq_vtime)) vtime_now = p->scx.dsq_vtime;
}

void BPF_STRUCT_OPS(simple_stopping, struct task_struct *p, bool runnable) {
  if (fifo_sched) return;
  // What is gone of the slice is the time used; a yield zeroes the slice and so pays for all of it.
  scx_bpf_task_set_dsq_vtime(p, p->scx.dsq_vtime + (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight);
}

void BPF_STRUCT_OPS(simple_enable, struct task_struct *p) { scx_bpf_task_set_dsq_vtime(p, vtime_now); }

s32 BPF_STRUCT_OPS_SLEEPABLE(simple_init) { return scx_bpf_create_dsq(SHARED_DSQ, -1); }

void BPF_STRUCT_OPS(simple_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(simple_ops, .select_cpu = (void *)simple_select_cpu, .enqueue = (void *)simple_enqueue,
               .dispatch = (void *)simple_dispatch, .running = (void *)simple_running,
               .stopping = (void *)simple_stopping, .enable = (void *)simple_enable, .init = (void *)simple_init,
               .exit = (void *)simple_exit, .name = "simple");
