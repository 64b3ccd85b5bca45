// SPDX-License-Identifier: GPL-2.0-only
// scx_central: one CPU schedules for all. Every task that is queued goes into one FIFO of pids; only the central CPU
// takes from it, and puts tasks on the local queues of the CPUs that have asked for one. Tasks get infinite slices, so
// that the other CPUs need no tick; a timer on the central CPU preempts those that have run for longer than a slice
// while others wait. Made for machines where most CPUs run guests or batch work and interruptions are dear.
//
// What the central CPU cannot place (a task that may not run on the CPU that asked, or one that found the FIFO full)
// waits in FALLBACK_DSQ, which every CPU looks at first. Kernel threads of one CPU are never made to wait for another.
//
// Concurrency: callbacks run on all CPUs at once. The FIFO synchronises itself; a CPU's wants_task is set by that CPU
// and cleared by the central one; its started_ns is written by that CPU and read by the timer, to which a stale value
// costs a preemption too early or a period too late. Counters are hints but for those that are atomic.
#include "uscx_scx.bpf.h"

#define QUEUE_LEN 4096
#define FALLBACK_DSQ 0
#define MAX_CPUS 8192
#define TIMER_INTERVAL_NS 1000000ULL
#define BPF_F_TIMER_CPU_PIN 2
#define CLOCK_MONOTONIC 1
#define EINVAL 22

const volatile s32 central_cpu;
const volatile u64 slice_ns = 20000000;
// Ends a dispatch when the kernel's buffer is full. Without it the scheduler is ejected for overrunning the buffer.
const volatile bool use_slots_guard = true;

u64 nr_total, nr_locals, nr_queued, nr_lost_pids, nr_timers, nr_dispatches, nr_mismatches, nr_retries, nr_overflows;
bool timer_pinned = true;

UEI_DEFINE(uei);

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, QUEUE_LEN);
  __type(value, s32);
} central_queue SEC(".maps");

struct timer_value {
  struct bpf_timer timer;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct timer_value);
} timers SEC(".maps");

struct central_cpu_state {
  u64 started_ns;  // When its task began to run; 0 if it runs none of ours.
  u32 wants_task;
};
static struct central_cpu_state cpu_states[MAX_CPUS];

static u32 timer_started;

static struct central_cpu_state *state_of(s32 cpu) {
  barrier_var(cpu);
  return cpu >= 0 && cpu < MAX_CPUS ? &cpu_states[cpu] : NULL;
}

s32 BPF_STRUCT_OPS(central_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags) {
  // Wakeups are the central CPU's work: it is the one without a task to disturb.
  return central_cpu;
}

void BPF_STRUCT_OPS(central_enqueue, struct task_struct *p, u64 enq_flags) {
  s32 pid = p->pid;

  __sync_fetch_and_add(&nr_total, 1);
  if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
    // Others may wait for it, so that it must not wait for the central CPU.
    __sync_fetch_and_add(&nr_locals, 1);
    scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_INF, enq_flags | SCX_ENQ_PREEMPT);
    return;
  }
  if (bpf_map_push_elem(&central_queue, &pid, 0)) {
    __sync_fetch_and_add(&nr_overflows, 1);
    scx_bpf_dsq_insert(p, FALLBACK_DSQ, SCX_SLICE_INF, enq_flags);
    return;
  }
  __sync_fetch_and_add(&nr_queued, 1);
  // A task that is running now is put back by its own CPU, which then asks for the next one.
  if (!scx_bpf_task_running(p)) scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
}

static bool may_run_on(struct task_struct *p, s32 cpu) {
  if (p->migration_disabled && scx_bpf_task_cpu(p) != cpu) return false;
  return bpf_cpumask_test_cpu(cpu, p->cpus_ptr);
}

static bool slots_left(void) { return !use_slots_guard || scx_bpf_dispatch_nr_slots(); }

// Puts the first task of the FIFO that may run on `cpu` there. Those before it that may not go to FALLBACK_DSQ.
static bool dispatch_to(s32 cpu) {
  struct task_struct *p;
  s32 pid;

  bpf_repeat(QUEUE_LEN) {
    if (!slots_left() || bpf_map_pop_elem(&central_queue, &pid)) return false;
    __sync_fetch_and_sub(&nr_queued, 1);
    p = bpf_task_from_pid(pid);
    if (!p) {
      __sync_fetch_and_add(&nr_lost_pids, 1);
      continue;
    }
    if (!may_run_on(p, cpu)) {
      __sync_fetch_and_add(&nr_mismatches, 1);
      scx_bpf_dsq_insert(p, FALLBACK_DSQ, SCX_SLICE_INF, 0);
      bpf_task_release(p);
      continue;
    }
    scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_INF, 0);
    bpf_task_release(p);
    if (cpu != central_cpu) scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
    return true;
  }
  return false;
}

static int timer_fired(void *map, int *key, struct bpf_timer *timer);

// A timer pinned to a CPU is started there, and init runs anywhere: so the central CPU's first dispatch starts it.
// Kernels that cannot pin timers get one that runs where it was started anyway.
static void start_timer(void) {
  struct timer_value *value;
  u32 key = 0;
  int ret;

  if (__sync_val_compare_and_swap(&timer_started, 0, 1)) return;
  value = bpf_map_lookup_elem(&timers, &key);
  if (!value) return;
  ret = bpf_timer_start(&value->timer, TIMER_INTERVAL_NS, BPF_F_TIMER_CPU_PIN);
  if (ret == -EINVAL) {
    timer_pinned = false;
    ret = bpf_timer_start(&value->timer, TIMER_INTERVAL_NS, 0);
  }
  if (ret) scx_bpf_error("bpf_timer_start failed (%d)", ret);
}

// The other CPUs that have asked, as far as there are tasks and slots. False: the slots are used up.
static bool serve_others(void) {
  s32 nr_cpus = scx_bpf_nr_cpu_ids(), cpu;

  bpf_for(cpu, 0, nr_cpus) {
    struct central_cpu_state *state = state_of(cpu);

    if (!slots_left()) return false;
    if (!state || cpu == central_cpu || !state->wants_task) continue;
    if (dispatch_to(cpu))
      state->wants_task = false;
    else if (!nr_queued)
      break;
  }
  return slots_left();
}

// The central CPU's task is interrupted whenever another CPU asks. It goes on afterwards, until its time is up: it
// would lose its turn otherwise, time and again.
static bool keep_central(struct task_struct *prev) {
  struct central_cpu_state *state = state_of(central_cpu);

  if (!prev || !state || !state->started_ns || !scx_bpf_task_running(prev)) return false;
  if (!time_before(scx_now(), state->started_ns + slice_ns)) return false;
  scx_bpf_task_set_slice(prev, SCX_SLICE_INF);
  return true;
}

void BPF_STRUCT_OPS(central_dispatch, s32 cpu, struct task_struct *prev) {
  struct central_cpu_state *state;

  if (cpu == central_cpu) {
    start_timer();
    __sync_fetch_and_add(&nr_dispatches, 1);
    if (!serve_others()) {
      // The kernel calls again when it has emptied its buffer, if that left this CPU without a task; otherwise the kick
      // brings it back here.
      __sync_fetch_and_add(&nr_retries, 1);
      scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
      return;
    }
    if (keep_central(prev)) return;
    if (!scx_bpf_dsq_move_to_local(FALLBACK_DSQ)) dispatch_to(central_cpu);
    return;
  }
  if (scx_bpf_dsq_move_to_local(FALLBACK_DSQ)) return;
  state = state_of(cpu);
  if (!state) return;
  state->wants_task = true;
  scx_bpf_kick_cpu(central_cpu, SCX_KICK_PREEMPT);
}

void BPF_STRUCT_OPS(central_running, struct task_struct *p) {
  struct central_cpu_state *state = state_of(scx_bpf_task_cpu(p));

  if (state) state->started_ns = scx_now() ?: 1;
}

void BPF_STRUCT_OPS(central_stopping, struct task_struct *p, bool runnable) {
  struct central_cpu_state *state = state_of(scx_bpf_task_cpu(p));

  if (state) state->started_ns = 0;
}

// Somebody waits for this CPU, or could use it.
static bool work_waits(s32 cpu) {
  return nr_queued || scx_bpf_dsq_nr_queued(FALLBACK_DSQ) > 0 || scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) > 0;
}

static int timer_fired(void *map, int *key, struct bpf_timer *timer) {
  s32 nr_cpus = scx_bpf_nr_cpu_ids(), here = bpf_get_smp_processor_id(), cpu;
  u64 now = scx_now();

  if (timer_pinned && here != central_cpu) {
    scx_bpf_error("the central timer fired on CPU %d, not on CPU %d", here, central_cpu);
    return 0;
  }
  bpf_for(cpu, 0, nr_cpus) {
    struct central_cpu_state *state = state_of(cpu);
    u64 started_ns;

    if (!state) break;
    started_ns = state->started_ns;
    if (!started_ns || time_before(now, started_ns + slice_ns) || !work_waits(cpu)) continue;
    scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
  }
  __sync_fetch_and_add(&nr_timers, 1);
  bpf_timer_start(timer, TIMER_INTERVAL_NS, timer_pinned ? BPF_F_TIMER_CPU_PIN : 0);
  return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(central_init) {
  struct timer_value *value;
  u32 key = 0;
  s32 ret;

  if (central_cpu < 0 || central_cpu >= scx_bpf_nr_cpu_ids()) {
    scx_bpf_error("there is no CPU %d", central_cpu);
    return -EINVAL;
  }
  ret = scx_bpf_create_dsq(FALLBACK_DSQ, -1);
  if (ret) return ret;
  value = bpf_map_lookup_elem(&timers, &key);
  if (!value) return -ESRCH;
  bpf_timer_init(&value->timer, &timers, CLOCK_MONOTONIC);
  bpf_timer_set_callback(&value->timer, timer_fired);
  return 0;
}

void BPF_STRUCT_OPS(central_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

// ENQ_LAST: the last runnable task of a CPU is not kept there silently, but queued like all others.
SCX_OPS_DEFINE(central_ops, .flags = SCX_OPS_ENQ_LAST, .select_cpu = (void *)central_select_cpu,
               .enqueue = (void *)central_enqueue, .dispatch = (void *)central_dispatch,
               .running = (void *)central_running, .stopping = (void *)central_stopping, .init = (void *)central_init,
               .exit = (void *)central_exit, .name = "central");
