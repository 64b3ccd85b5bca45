// SPDX-License-Identifier: GPL-2.0-only
// NAME: a sched_ext scheduler. All tasks wait in one queue, and each CPU takes the first one from it.
//
//   uscx run NAME.bpf.c                          run it on a simulated machine, and see the report
//   uscx run --workload hogs --cpus 2 NAME.bpf.c with another load and another machine
//   uscx explore NAME.bpf.c                      run it in many orders of events
//
// A scheduler is a table of callbacks (the last lines). The kernel calls them; they call the kernel's functions whose
// names begin with scx_bpf_ (uscx list kfuncs).
#include "uscx_scx.bpf.h"

// A queue of tasks is a DSQ (dispatch queue). The number is ours; every CPU has a local DSQ besides.
#define SHARED_DSQ 0

// How long a task may run before the next one has its turn: uscx run --set slice_ns=1000000 changes it.
const volatile u64 slice_ns = 5000000;

// A counter, which the report does not show, but `bpf_printk("%llu", nr_enqueued)` would.
static u64 nr_enqueued;

// A task wakes up: choose a CPU for it. Where one is idle the task goes straight to that CPU's local DSQ, and
// NAME_enqueue() is not called.
s32 BPF_STRUCT_OPS(NAME_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags) {
  bool is_idle = false;
  s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

  if (is_idle) scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
  return cpu;
}

// A task is ready to run, and no CPU has it: put it into a queue. A task that is put nowhere waits until the kernel
// notices the stall and ends the scheduler.
void BPF_STRUCT_OPS(NAME_enqueue, struct task_struct *p, u64 enq_flags) {
  __sync_fetch_and_add(&nr_enqueued, 1);
  scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
}

// A CPU has nothing to run: move a task to its local DSQ.
void BPF_STRUCT_OPS(NAME_dispatch, s32 cpu, struct task_struct *prev) { scx_bpf_dsq_move_to_local(SHARED_DSQ); }

// The scheduler is loaded. Callbacks that may sleep, as this one, are marked.
s32 BPF_STRUCT_OPS_SLEEPABLE(NAME_init) { return scx_bpf_create_dsq(SHARED_DSQ, -1); }

SCX_OPS_DEFINE(NAME_ops, .select_cpu = (void *)NAME_select_cpu, .enqueue = (void *)NAME_enqueue,
               .dispatch = (void *)NAME_dispatch, .init = (void *)NAME_init, .name = "NAME");
