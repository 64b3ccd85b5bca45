// SPDX-License-Identifier: GPL-2.0-only
// scx_qmap: five first-in-first-out queues of pids, by weight. A CPU that wants work takes 1, 2, 4, 8 and 16 tasks from
// queues 0 to 4 in turn, moves them to one shared DSQ and takes its next task from there. It is no policy for daily
// use: it shows what a BPF scheduler can do (queues of its own, per-task and per-CPU data, dispatch in batches, order
// between hyperthreads for core scheduling, priority boosts, refusing tasks, dumps) and can misbehave on request, to
// test what the kernel does about it.
//
// Concurrency: callbacks run on all CPUs at once. The queues synchronise themselves; counters are atomic; a per-CPU
// context is used by its CPU's dispatch and tick alone; a task's context by the callbacks of that task, except
// task_ctx.counted, which is exchanged atomically.
#include "uscx_scx.bpf.h"

#define NR_QUEUES 5
#define QUEUE_LEN 4096
#define SHARED_DSQ 0
#define HIGHPRI_DSQ 1
// The weight of nice -20.
#define HIGHPRI_WEIGHT 8668
#define MONITOR_INTERVAL_NS 1000000000ULL

const volatile u64 slice_ns = 20000000;
const volatile u32 stall_user_nth;
const volatile u32 stall_kernel_nth;
const volatile u32 dsp_inf_loop_after;
const volatile u32 dsp_batch;
const volatile bool highpri_boosting;
const volatile bool print_dsqs;
const volatile bool suppress_dump;
const volatile s32 disallow_tgid;

u32 test_error_cnt;

u64 nr_enqueued, nr_dispatched, nr_dequeued, nr_core_sched_execed, nr_ddsp_from_enq;
u64 nr_highpri_queued;

UEI_DEFINE(uei);

#define QUEUE_MAP(name)               \
  struct {                            \
    __uint(type, BPF_MAP_TYPE_QUEUE); \
    __uint(max_entries, QUEUE_LEN);   \
    __type(value, u32);               \
  } name SEC(".maps")

QUEUE_MAP(queue0);
QUEUE_MAP(queue1);
QUEUE_MAP(queue2);
QUEUE_MAP(queue3);
QUEUE_MAP(queue4);

// Entries in each queue, stale ones included.
static u64 queue_depth[NR_QUEUES];

// Order for core scheduling. A task gets the tail's number when it is queued; the head is the number of the task taken
// last. The distance from the head says how soon a task would run, and can be compared between queues.
static u64 core_sched_head_seqs[NR_QUEUES];
static u64 core_sched_tail_seqs[NR_QUEUES];

static u64 last_monitor_ns;

struct task_ctx {
  bool force_local;  // select_cpu() found a CPU for it: enqueue() passes it on to the local DSQ
  u32 counted;       // it is one of nr_highpri_queued
  u64 core_sched_seq;
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_ctx);
} task_ctx_stor SEC(".maps");

struct cpu_ctx {
  u64 dsp_idx;  // the queue that this CPU takes from, and how many more before it goes on to the next
  u64 dsp_cnt;
  u32 batch_left;  // of the batch under way; here and not on the stack, so that the verifier need not count it down
  u32 avg_weight;
  u32 cpuperf_target;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct cpu_ctx);
} cpu_ctx_stor SEC(".maps");

// The compiler must not conclude from its callers what idx can be and then leave out a comparison that the verifier
// wants to see: hence barrier_var().
#define PUSH_CASE(n)                                    \
  case n:                                               \
    ret = bpf_map_push_elem(&queue##n, &pid, 0);        \
    if (!ret) __sync_fetch_and_add(&queue_depth[n], 1); \
    break

#define POP_CASE(n)                                     \
  case n:                                               \
    ret = bpf_map_pop_elem(&queue##n, pid);             \
    if (!ret) __sync_fetch_and_sub(&queue_depth[n], 1); \
    break

static int queue_push(u32 idx, u32 pid) {
  int ret = -ENOENT;

  barrier_var(idx);
  switch (idx) {
    PUSH_CASE(0);
    PUSH_CASE(1);
    PUSH_CASE(2);
    PUSH_CASE(3);
    PUSH_CASE(4);
  }
  return ret;
}

static int queue_pop(u32 idx, u32 *pid) {
  int ret = -ENOENT;

  barrier_var(idx);
  switch (idx) {
    POP_CASE(0);
    POP_CASE(1);
    POP_CASE(2);
    POP_CASE(3);
    POP_CASE(4);
  }
  return ret;
}

static u32 weight_to_idx(u32 weight) {
  if (weight <= 25) return 0;
  if (weight <= 50) return 1;
  if (weight < 200) return 2;
  if (weight < 400) return 3;
  return 4;
}

static struct task_ctx *lookup_task_ctx(struct task_struct *p) {
  struct task_ctx *tctx = bpf_task_storage_get(&task_ctx_stor, p, 0, 0);

  if (!tctx) scx_bpf_error("task_ctx lookup failed");
  return tctx;
}

static struct cpu_ctx *lookup_cpu_ctx(void) {
  u32 zero = 0;
  struct cpu_ctx *cpuc = bpf_map_lookup_elem(&cpu_ctx_stor, &zero);

  if (!cpuc) scx_bpf_error("cpu_ctx lookup failed");
  return cpuc;
}

// An idle CPU for p, which is idle no more in the kernel's masks, or -1. A task of one CPU has no choice, but with -l
// it is queued all the same: on a machine of one CPU nothing would ever be dispatched otherwise.
static s32 pick_direct_dispatch_cpu(struct task_struct *p, s32 prev_cpu) {
  s32 cpu;

  if ((p->nr_cpus_allowed == 1 && !dsp_inf_loop_after) || scx_bpf_test_and_clear_cpu_idle(prev_cpu)) return prev_cpu;
  cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
  return cpu >= 0 ? cpu : -1;
}

s32 BPF_STRUCT_OPS(qmap_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags) {
  struct task_ctx *tctx = lookup_task_ctx(p);
  s32 cpu;

  if (!tctx) return -ESRCH;
  cpu = pick_direct_dispatch_cpu(p, prev_cpu);
  if (cpu < 0) return prev_cpu;
  tctx->force_local = true;
  return cpu;
}

// True if this enqueue is one that -t or -T asks to lose.
static bool stall_requested(struct task_struct *p) {
  static u32 user_cnt, kernel_cnt;

  if (p->flags & PF_KTHREAD)
    return stall_kernel_nth && !((__sync_fetch_and_add(&kernel_cnt, 1) + 1) % stall_kernel_nth);
  return stall_user_nth && !((__sync_fetch_and_add(&user_cnt, 1) + 1) % stall_user_nth);
}

// Inserts p where it can run at once, if there is such a CPU.
static bool insert_direct(struct task_struct *p, struct task_ctx *tctx, u64 enq_flags) {
  s32 cpu;

  if (tctx->force_local) {
    tctx->force_local = false;
    scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
    return true;
  }
  // select_cpu() is not called for a task that may not move, nor at a slice's end.
  if (enq_flags & SCX_ENQ_CPU_SELECTED) return false;
  cpu = pick_direct_dispatch_cpu(p, scx_bpf_task_cpu(p));
  if (cpu < 0) return false;
  __sync_fetch_and_add(&nr_ddsp_from_enq, 1);
  scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, slice_ns, enq_flags);
  return true;
}

void BPF_STRUCT_OPS(qmap_enqueue, struct task_struct *p, u64 enq_flags) {
  u32 idx = weight_to_idx(p->scx.weight);
  struct task_ctx *tctx;

  if (stall_requested(p)) return;
  if (test_error_cnt && !__sync_sub_and_fetch(&test_error_cnt, 1)) scx_bpf_error("test triggering error");

  tctx = lookup_task_ctx(p);
  if (!tctx) return;
  // Wherever the task goes, it may be compared with others.
  tctx->core_sched_seq = __sync_fetch_and_add(&core_sched_tail_seqs[idx], 1);
  if (insert_direct(p, tctx, enq_flags)) return;

  if (queue_push(idx, p->pid)) {
    // The queue is full: the task waits where those taken from the queues wait.
    scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
    return;
  }
  if (highpri_boosting && p->scx.weight >= HIGHPRI_WEIGHT && !__sync_lock_test_and_set(&tctx->counted, 1))
    __sync_fetch_and_add(&nr_highpri_queued, 1);
  __sync_fetch_and_add(&nr_enqueued, 1);
}

static void uncount_highpri(struct task_ctx *tctx) {
  if (highpri_boosting && __sync_lock_test_and_set(&tctx->counted, 0)) __sync_fetch_and_sub(&nr_highpri_queued, 1);
}

// The task leaves our hands. Its pid stays in its queue, and whoever takes it from there finds a task that cannot be
// dispatched any more (the kernel ignores that) or one that was queued again.
void BPF_STRUCT_OPS(qmap_dequeue, struct task_struct *p, u64 deq_flags) {
  struct task_ctx *tctx;

  __sync_fetch_and_add(&nr_dequeued, 1);
  if (deq_flags & SCX_DEQ_CORE_SCHED_EXEC) __sync_fetch_and_add(&nr_core_sched_execed, 1);
  tctx = lookup_task_ctx(p);
  if (tctx) uncount_highpri(tctx);
}

// Moves the boosted tasks of the shared DSQ past all others, and takes one for this CPU. Those that may not run here
// get a CPU of theirs interrupted.
static bool dispatch_highpri(s32 cpu) {
  struct task_struct *p;

  if (!highpri_boosting || !bpf_ksym_exists(scx_bpf_dsq_move)) return false;
  bpf_for_each(scx_dsq, p, SHARED_DSQ, 0) {
    s32 target;

    if (p->scx.weight < HIGHPRI_WEIGHT) continue;
    scx_bpf_dsq_move_set_slice(BPF_FOR_EACH_ITER, slice_ns * 2);
    if (!scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, HIGHPRI_DSQ, 0)) continue;
    target = scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
    if (target >= 0 && target != cpu) scx_bpf_kick_cpu(target, SCX_KICK_PREEMPT);
  }
  return scx_bpf_dsq_move_to_local(HIGHPRI_DSQ);
}

// Takes one task from queue idx to the shared DSQ. 1: done; 0: its entry was stale; below 0: the queue is empty or the
// scheduler is at its end.
static int dispatch_one(u32 idx) {
  struct task_struct *p;
  struct task_ctx *tctx;
  u32 pid;

  if (queue_pop(idx, &pid)) return -ENOENT;
  p = bpf_task_from_pid(pid);
  if (!p) return 0;
  tctx = lookup_task_ctx(p);
  if (!tctx) {
    bpf_task_release(p);
    return -ESRCH;
  }
  uncount_highpri(tctx);
  // Updates race, and the order between hyperthreads is a hint: close is good enough.
  barrier_var(idx);
  if (idx < NR_QUEUES && time_before(core_sched_head_seqs[idx], tctx->core_sched_seq))
    core_sched_head_seqs[idx] = tctx->core_sched_seq;
  __sync_fetch_and_add(&nr_dispatched, 1);
  scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, 0);
  bpf_task_release(p);
  return 1;
}

// -l: keeps the kernel asking for ever, by giving it a task that cannot run here now. Pid 2, kthreadd, sleeps most of
// the time.
static bool dispatch_endlessly(void) {
  struct task_struct *p;

  if (!dsp_inf_loop_after || nr_dispatched <= dsp_inf_loop_after) return false;
  p = bpf_task_from_pid(2);
  if (!p) return false;
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, 0);
  bpf_task_release(p);
  return true;
}

// A full batch: this CPU takes its task, the others find theirs in the shared DSQ.
static void finish_batch(s32 cpu) {
  if (!dispatch_highpri(cpu)) scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

// This CPU's turns at the queues, until a batch is complete or all queues are empty. True if that brought any task.
static bool dispatch_queues(s32 cpu, struct cpu_ctx *cpuc) {
  const u32 batch = dsp_batch ?: 1;
  s32 turn;

  cpuc->batch_left = batch;
  // One turn more than there are queues: the first may be the rest of an unfinished one.
  bpf_for(turn, 0, NR_QUEUES + 1) {
    if (!cpuc->dsp_cnt) {
      cpuc->dsp_idx = (cpuc->dsp_idx + 1) % NR_QUEUES;
      cpuc->dsp_cnt = 1ULL << cpuc->dsp_idx;
    }
    bpf_repeat(QUEUE_LEN) {
      int ret = dispatch_one(cpuc->dsp_idx);

      if (ret < 0) break;
      if (!ret) continue;
      cpuc->batch_left--;
      cpuc->dsp_cnt--;
      if (!cpuc->batch_left || !scx_bpf_dispatch_nr_slots()) {
        finish_batch(cpu);
        return true;
      }
      if (!cpuc->dsp_cnt) break;
    }
    cpuc->dsp_cnt = 0;
  }
  if (cpuc->batch_left == batch) return false;
  finish_batch(cpu);
  return true;
}

void BPF_STRUCT_OPS(qmap_dispatch, s32 cpu, struct task_struct *prev) {
  struct cpu_ctx *cpuc;
  struct task_ctx *tctx;
  u32 idx;

  if (dispatch_highpri(cpu)) return;
  // While a boosted task is still in the queues, what waits in the shared DSQ waits on.
  if (!nr_highpri_queued && scx_bpf_dsq_move_to_local(SHARED_DSQ)) return;
  if (dispatch_endlessly()) return;

  cpuc = lookup_cpu_ctx();
  if (!cpuc || dispatch_queues(cpu, cpuc) || !prev) return;

  // There is nothing else, so prev goes on: as if it had been queued and taken at once.
  tctx = bpf_task_storage_get(&task_ctx_stor, prev, 0, 0);
  if (!tctx) return;
  idx = weight_to_idx(prev->scx.weight);
  tctx->core_sched_seq = __sync_fetch_and_add(&core_sched_tail_seqs[idx], 1);
}

// -P: what waits where, once a second.
static void monitor(void) {
  u64 now = scx_now(), last = last_monitor_ns;
  struct task_struct *p;

  if (!print_dsqs || now - last < MONITOR_INTERVAL_NS) return;
  if (__sync_val_compare_and_swap(&last_monitor_ns, last, now) != last) return;

  bpf_printk("QMAP FIFOs: %llu %llu %llu %llu %llu", queue_depth[0], queue_depth[1], queue_depth[2], queue_depth[3],
             queue_depth[4]);
  bpf_printk("QMAP SHARED_DSQ: %d tasks", scx_bpf_dsq_nr_queued(SHARED_DSQ));
  if (bpf_ksym_exists(bpf_iter_scx_dsq_new)) {
    bpf_for_each(scx_dsq, p, SHARED_DSQ, 0) bpf_printk("QMAP SHARED_DSQ: %s[%d]", p->comm, p->pid);
  }
  if (bpf_ksym_exists(scx_bpf_events)) {
    struct scx_event_stats events = {};

    scx_bpf_events(&events, sizeof(events));
    bpf_printk("QMAP events: SELECT_CPU_FALLBACK=%lld DISPATCH_LOCAL_DSQ_OFFLINE=%lld DISPATCH_KEEP_LAST=%lld",
               events.SCX_EV_SELECT_CPU_FALLBACK, events.SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE,
               events.SCX_EV_DISPATCH_KEEP_LAST);
    bpf_printk("QMAP events: REFILL_SLICE_DFL=%lld BYPASS_DISPATCH=%lld BYPASS_ACTIVATE=%lld",
               events.SCX_EV_REFILL_SLICE_DFL, events.SCX_EV_BYPASS_DISPATCH, events.SCX_EV_BYPASS_ACTIVATE);
  }
}

// Heavier tasks ask for a faster CPU: a show of cpuperf, where weights 0 to 100 ask for up to half of full speed.
void BPF_STRUCT_OPS(qmap_tick, struct task_struct *p) {
  struct cpu_ctx *cpuc = lookup_cpu_ctx();
  u64 target;

  if (!cpuc) return;
  cpuc->avg_weight = cpuc->avg_weight * 3 / 4 + p->scx.weight / 4;
  target = SCX_CPUPERF_ONE * cpuc->avg_weight / 200;
  cpuc->cpuperf_target = target < SCX_CPUPERF_ONE ? target : SCX_CPUPERF_ONE;
  if (bpf_ksym_exists(scx_bpf_cpuperf_set)) scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), cpuc->cpuperf_target);
  monitor();
}

// How far p is from the head of its queue, in entries of queue 2: each queue is served twice as fast as the one below.
static s64 task_distance(struct task_struct *p) {
  u32 idx = weight_to_idx(p->scx.weight);
  struct task_ctx *tctx = bpf_task_storage_get(&task_ctx_stor, p, 0, 0);
  s64 distance;

  if (!tctx) return 0;
  distance = tctx->core_sched_seq - core_sched_head_seqs[idx];
  return idx < 2 ? distance << (2 - idx) : distance >> (idx - 2);
}

bool BPF_STRUCT_OPS(qmap_core_sched_before, struct task_struct *a, struct task_struct *b) {
  return task_distance(a) < task_distance(b);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(qmap_init_task, struct task_struct *p, struct scx_init_task_args *args) {
  // Only while the scheduler is being enabled may a task be refused.
  if (!args->fork && disallow_tgid && p->tgid == disallow_tgid) p->scx.disallow = true;
  return bpf_task_storage_get(&task_ctx_stor, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

void BPF_STRUCT_OPS(qmap_dump, struct scx_dump_ctx *dctx) {
  s32 idx;

  if (suppress_dump) return;
  bpf_for(idx, 0, NR_QUEUES) {
    u64 depth = queue_depth[idx];
    u32 pid;

    scx_bpf_dump("QMAP FIFO[%d]:", idx);
    // A queue cannot be read in place: each entry goes back to the end, and after depth steps the order is as before.
    bpf_repeat(QUEUE_LEN) {
      if (!depth-- || queue_pop(idx, &pid)) break;
      scx_bpf_dump(" %d", pid);
      queue_push(idx, pid);
    }
    scx_bpf_dump("\n");
  }
}

void BPF_STRUCT_OPS(qmap_dump_cpu, struct scx_dump_ctx *dctx, s32 cpu, bool idle) {
  u32 zero = 0;
  struct cpu_ctx *cpuc;

  if (suppress_dump || idle) return;
  cpuc = bpf_map_lookup_percpu_elem(&cpu_ctx_stor, &zero, cpu);
  if (!cpuc) return;
  scx_bpf_dump("QMAP: dsp_idx=%llu dsp_cnt=%llu avg_weight=%u cpuperf_target=%u", cpuc->dsp_idx, cpuc->dsp_cnt,
               cpuc->avg_weight, cpuc->cpuperf_target);
}

void BPF_STRUCT_OPS(qmap_dump_task, struct scx_dump_ctx *dctx, struct task_struct *p) {
  struct task_ctx *tctx;

  if (suppress_dump) return;
  tctx = bpf_task_storage_get(&task_ctx_stor, p, 0, 0);
  if (!tctx) return;
  scx_bpf_dump("QMAP: force_local=%d core_sched_seq=%llu", tctx->force_local, tctx->core_sched_seq);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(qmap_init) {
  s32 ret = scx_bpf_create_dsq(SHARED_DSQ, -1);

  if (ret || !highpri_boosting) return ret;
  if (!bpf_ksym_exists(scx_bpf_dsq_move)) {
    scx_bpf_error("-H needs a kernel with scx_bpf_dsq_move()");
    return -EOPNOTSUPP;
  }
  return scx_bpf_create_dsq(HIGHPRI_DSQ, -1);
}

void BPF_STRUCT_OPS(qmap_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(qmap_ops, .select_cpu = (void *)qmap_select_cpu, .enqueue = (void *)qmap_enqueue,
               .dequeue = (void *)qmap_dequeue, .dispatch = (void *)qmap_dispatch, .tick = (void *)qmap_tick,
               .core_sched_before = (void *)qmap_core_sched_before, .init_task = (void *)qmap_init_task,
               .dump = (void *)qmap_dump, .dump_cpu = (void *)qmap_dump_cpu, .dump_task = (void *)qmap_dump_task,
               .init = (void *)qmap_init, .exit = (void *)qmap_exit, .timeout_ms = 5000U, .name = "qmap");
