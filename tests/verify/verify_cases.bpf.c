// SPDX-License-Identifier: GPL-2.0-only
// Schedulers of one callback each, which verify_test.cc loads one at a time and expects to be refused or not.
#include "uscx_scx.bpf.h"

struct task_struct *scx_bpf_cpu_curr(s32 cpu) __ksym __weak;
void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;

u64 seen;
const volatile bool never;
const volatile u32 nr_rounds = 3;

// One table with one callback; optional, so that it is loaded alone.
#define CASE(case_, member_) \
  SEC("?.struct_ops.link")   \
  struct sched_ext_ops case_ = {.member_ = (void *)case_##_##member_, .name = #case_}

#define SPILL_ALL asm volatile("" ::: "r6", "r7", "r8", "r9")

// --- Arguments that may be NULL ---

void BPF_STRUCT_OPS(prev_checked_dispatch, s32 cpu, struct task_struct *prev) {
  if (prev) seen = prev->scx.dsq_vtime;
}
CASE(prev_checked, dispatch);

void BPF_STRUCT_OPS(prev_unchecked_dispatch, s32 cpu, struct task_struct *prev) { seen = prev->scx.dsq_vtime; }
CASE(prev_unchecked, dispatch);

void BPF_STRUCT_OPS(prev_spilled_unchecked_dispatch, s32 cpu, struct task_struct *prev) {
  seen = scx_bpf_nr_cpu_ids();
  SPILL_ALL;
  seen += prev->pid;
}
CASE(prev_spilled_unchecked, dispatch);

void BPF_STRUCT_OPS(prev_spilled_checked_dispatch, s32 cpu, struct task_struct *prev) {
  seen = scx_bpf_nr_cpu_ids();
  SPILL_ALL;
  if (prev) seen += prev->pid;
}
CASE(prev_spilled_checked, dispatch);

static __noinline u64 vtime_of(struct task_struct *p) { return p ? p->scx.dsq_vtime : 0; }
static __noinline u64 weight_of(struct task_struct *p) { return p->scx.weight; }

void BPF_STRUCT_OPS(callee_checks_dispatch, s32 cpu, struct task_struct *prev) { seen = vtime_of(prev); }
CASE(callee_checks, dispatch);

void BPF_STRUCT_OPS(callee_does_not_dispatch, s32 cpu, struct task_struct *prev) { seen = weight_of(prev); }
CASE(callee_does_not, dispatch);

void BPF_STRUCT_OPS(caller_checks_dispatch, s32 cpu, struct task_struct *prev) {
  if (prev) seen = weight_of(prev) + vtime_of(prev);
}
CASE(caller_checks, dispatch);

void BPF_STRUCT_OPS(wrong_side_dispatch, s32 cpu, struct task_struct *prev) {
  struct task_struct *p = prev;
  barrier_var(p);
  if (!prev) seen = p->pid;
}
CASE(wrong_side, dispatch);

void BPF_STRUCT_OPS(loop_checked_dispatch, s32 cpu, struct task_struct *prev) {
  u32 i;
  bpf_for(i, 0, nr_rounds) {
    if (!prev) break;
    seen += prev->pid + i;
  }
}
CASE(loop_checked, dispatch);

void BPF_STRUCT_OPS(loop_unchecked_dispatch, s32 cpu, struct task_struct *prev) {
  u32 i;
  bpf_for(i, 0, nr_rounds) seen += prev->pid + i;
}
CASE(loop_unchecked, dispatch);

void BPF_STRUCT_OPS(unless_never_dispatch, s32 cpu, struct task_struct *prev) {
  if (never) seen = prev->pid;
}
CASE(unless_never, dispatch);

bool BPF_STRUCT_OPS(to_unchecked_yield, struct task_struct *from, struct task_struct *to) {
  seen = from->pid + to->pid;
  return false;
}
CASE(to_unchecked, yield);

bool BPF_STRUCT_OPS(from_alone_yield, struct task_struct *from, struct task_struct *to) {
  seen = from->pid;
  return false;
}
CASE(from_alone, yield);

void BPF_STRUCT_OPS(running_needs_none_running, struct task_struct *p) { seen = p->pid; }
CASE(running_needs_none, running);

void BPF_STRUCT_OPS(curr_unchecked_running, struct task_struct *p) {
  struct task_struct *curr = scx_bpf_cpu_curr(0);
  seen = curr->pid;
}
CASE(curr_unchecked, running);

void BPF_STRUCT_OPS(prev_into_kfunc_dispatch, s32 cpu, struct task_struct *prev) { seen = scx_bpf_task_cpu(prev); }
CASE(prev_into_kfunc, dispatch);

// --- The same through memory, branches and functions ---

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 8);
} numbers SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, u64);
} per_task SEC(".maps");

struct pair {
  struct task_struct *first;
  struct task_struct *second;
};

static __noinline u64 both(struct pair *tasks) { return tasks->first->pid + (u64)tasks->second; }
static __noinline u64 *number_of(u32 key) { return bpf_map_lookup_elem(&numbers, &key); }
static __noinline bool is_there(struct task_struct *p) { return p != NULL; }

// In memory of its own and passed by address.
void BPF_STRUCT_OPS(in_struct_unchecked_dispatch, s32 cpu, struct task_struct *prev) {
  struct pair tasks = {prev, prev};
  seen = both(&tasks);
}
CASE(in_struct_unchecked, dispatch);

void BPF_STRUCT_OPS(in_struct_checked_dispatch, s32 cpu, struct task_struct *prev) {
  struct pair tasks = {prev, prev};
  if (prev) seen = both(&tasks);
}
CASE(in_struct_checked, dispatch);

// What is found out of a copy is known of what was spilled before.
void BPF_STRUCT_OPS(copy_checked_dispatch, s32 cpu, struct task_struct *prev) {
  struct task_struct *volatile kept = prev;
  if (!prev) return;
  seen = scx_bpf_nr_cpu_ids();
  seen += kept->pid;
}
CASE(copy_checked, dispatch);

// One side of the branch has a pointer that is never NULL, the other has not.
void BPF_STRUCT_OPS(one_side_checked_dispatch, s32 cpu, struct task_struct *prev) {
  struct task_struct *p = bpf_get_current_task_btf();
  if (seen & 1) p = prev;
  barrier_var(p);
  seen = p->pid;
}
CASE(one_side_checked, dispatch);

void BPF_STRUCT_OPS(both_sides_checked_dispatch, s32 cpu, struct task_struct *prev) {
  struct task_struct *p = bpf_get_current_task_btf();
  if ((seen & 1) && prev) p = prev;
  barrier_var(p);
  seen = p->pid;
}
CASE(both_sides_checked, dispatch);

void BPF_STRUCT_OPS(checked_too_late_dispatch, s32 cpu, struct task_struct *prev) {
  u64 vtime = prev->scx.dsq_vtime;
  asm volatile("" : "+r"(vtime));
  if (prev) seen = vtime;
}
CASE(checked_too_late, dispatch);

// A function that says whether there is one; one that gives what may be none.
void BPF_STRUCT_OPS(function_asked_dispatch, s32 cpu, struct task_struct *prev) {
  if (is_there(prev)) seen = prev->pid;
}
CASE(function_asked, dispatch);

void BPF_STRUCT_OPS(returned_unchecked_running, struct task_struct *p) { seen = *number_of(p->pid); }
CASE(returned_unchecked, running);

void BPF_STRUCT_OPS(returned_checked_running, struct task_struct *p) {
  u64 *number = number_of(p->pid);
  if (number) seen = *number;
}
CASE(returned_checked, running);

void BPF_STRUCT_OPS(storage_unchecked_running, struct task_struct *p) {
  u64 *value = bpf_task_storage_get(&per_task, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
  *value += 1;
}
CASE(storage_unchecked, running);

void BPF_STRUCT_OPS(released_unchecked_running, struct task_struct *p) {
  bpf_task_release(bpf_task_from_pid(p->pid + 1));
}
CASE(released_unchecked, running);

// A pointer that is NULL moves nowhere.
void BPF_STRUCT_OPS(added_unchecked_running, struct task_struct *p) {
  u32 key = p->pid;
  u64 *number = bpf_map_lookup_elem(&numbers, &key);
  asm volatile("%0 += 8" : "+r"(number));
  if (number) seen = *number;
}
CASE(added_unchecked, running);

// --- Kfuncs and their callers ---

void BPF_STRUCT_OPS(insert_in_tick_tick, struct task_struct *p) { scx_bpf_dsq_insert(p, 0, 0, 0); }
CASE(insert_in_tick, tick);

static __noinline void insert(struct task_struct *p) { scx_bpf_dsq_insert(p, 0, 0, 0); }
void BPF_STRUCT_OPS(insert_below_running_running, struct task_struct *p) { insert(p); }
CASE(insert_below_running, running);

void BPF_STRUCT_OPS(insert_in_enqueue_enqueue, struct task_struct *p, u64 enq_flags) { insert(p); }
CASE(insert_in_enqueue, enqueue);

static int insert_each(u64 i, struct task_struct **p) {
  scx_bpf_dsq_move_to_local(i);
  return 0;
}
void BPF_STRUCT_OPS(move_in_callback_enqueue, struct task_struct *p, u64 enq_flags) {
  bpf_loop(nr_rounds, insert_each, &p, 0);
}
CASE(move_in_callback, enqueue);

void BPF_STRUCT_OPS(move_in_dispatch_dispatch, s32 cpu, struct task_struct *prev) { scx_bpf_dsq_move_to_local(0); }
CASE(move_in_dispatch, dispatch);

void BPF_STRUCT_OPS(unreached_move_tick, struct task_struct *p) {
  if (never) scx_bpf_dsq_move_to_local(0);
}
CASE(unreached_move, tick);

s32 BPF_STRUCT_OPS_SLEEPABLE(create_in_init_init) { return scx_bpf_create_dsq(1, -1); }
CASE(create_in_init, init);

s32 BPF_STRUCT_OPS(create_without_sleep_init) { return scx_bpf_create_dsq(1, -1); }
CASE(create_without_sleep, init);

// --- Another table ---

SEC("struct_ops/ssthresh")
u32 BPF_PROG(kick_ssthresh, struct sock *sk) {
  scx_bpf_kick_cpu(0, 0);
  return 2;
}
SEC("struct_ops/undo_cwnd")
u32 BPF_PROG(plain_undo_cwnd, struct sock *sk) { return 2; }

SEC("?.struct_ops")
struct tcp_congestion_ops kicks_from_tcp = {
    .ssthresh = (void *)kick_ssthresh, .undo_cwnd = (void *)plain_undo_cwnd, .name = "kicks"};

// --- Flags and many branches ---

static __noinline bool is_busy(void) { return bpf_get_prandom_u32() & 1; }

// A flag in one bit of a word of which nothing else is known.
void BPF_STRUCT_OPS(flag_bit_dispatch, s32 cpu, struct task_struct *prev) {
  u32 no_task = prev ? 0 : 1, word = bpf_get_prandom_u32();
  barrier_var(word);
  word = (word | no_task) & 1;
  barrier_var(word);
  if (!word) seen = prev->pid;
}
CASE(flag_bit, dispatch);

void BPF_STRUCT_OPS(flag_bit_inverted_dispatch, s32 cpu, struct task_struct *prev) {
  u32 no_task = prev ? 0 : 1, word = bpf_get_prandom_u32();
  barrier_var(word);
  word = (word | no_task) & 1;
  barrier_var(word);
  if (word) seen = prev->pid;
}
CASE(flag_bit_inverted, dispatch);

void BPF_STRUCT_OPS(flag_of_three_dispatch, s32 cpu, struct task_struct *prev) {
  bool keep = prev && (prev->scx.flags & 1) && !is_busy();
  seen = scx_bpf_nr_cpu_ids();
  if (keep) seen = prev->pid;
}
CASE(flag_of_three, dispatch);

// A lock that is given back where a word on the stack says so, behind many branches whose outcomes are all kept.
struct guard {
  u64 locked;
};
static void unlock(struct guard *guard) {
  if (guard->locked) bpf_rcu_read_unlock();
}
volatile int words[40];

static __always_inline s32 under_guard(u64 locked) {
  s32 err = 0;
  u32 i;
  bpf_for(i, 0, nr_rounds) {
    struct guard guard = {locked};
    struct guard *at = &guard;
    bpf_rcu_read_lock();
    asm volatile("" : "+r"(at)::"memory");
    u32 kept[8];
#pragma unroll
    for (int k = 0; k < 8; k++) kept[k] = words[k] ? 10 + k : 0;
#pragma unroll
    for (int k = 0; k < 6; k++)
      if (words[8 + k]) words[16 + k] = kept[k];
#pragma unroll
    for (int k = 0; k < 8; k++) words[24 + k] = kept[k];
    unlock(at);
    err = scx_bpf_create_dsq(i + 1, -1);
    if (err) break;
  }
  return err;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(many_branches_init) { return under_guard(1); }
CASE(many_branches, init);

s32 BPF_STRUCT_OPS_SLEEPABLE(many_branches_locked_init) { return under_guard(0); }
CASE(many_branches_locked, init);
