// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that does one wrong thing, chosen by `fault`, after it has enqueued some tasks. No verifier would let it
// pass; uscx must eject it with the source line (or, for wild loads and missing pages of an arena, go on and count
// them).
#include "uscx_scx.bpf.h"

const volatile u32 fault;
const volatile u64 zero;  // So that the compiler cannot see through an address.

#define AFTER 20

static u64 nr_enqueued;
u64 loaded = 1;

UEI_DEFINE(uei);

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 3);
} values SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 3);
} percpu_values SEC(".maps");

#define __arena __attribute__((address_space(1)))
#define ARENA_AT (1ull << 44)

struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 64);
  __ulong(map_extra, ARENA_AT);
} arena SEC(".maps");

struct timer_value {
  struct bpf_timer timer;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, u32);
  __type(value, struct timer_value);
  __uint(max_entries, 1);
} timers SEC(".maps");

#define KFUNC_WITHOUT_TASK ((struct task_struct *)(zero + 0x123456789abcull))

static __noinline u64 descend(u64 depth, u64 seed) {
  volatile u64 here = seed;
  if (depth == 0) return here;
  return descend(depth - 1, here * 3 + 1) + here;
}

// One line a fault, because the test looks for each by its line.
// clang-format off
static __noinline void misbehave(struct task_struct *p) {
  u32 key = 0;
  u64 *value;

  switch (fault) {
    case 1: *(volatile u32 *)(zero + 0x555500001000ull) = 2; break;                  // MARK wild store
    case 2: *(volatile u64 *)zero = 1; break;                                        // MARK NULL store
    case 3: p->pid = 1; break;                                                       // MARK read-only task field
    case 4:
      value = bpf_map_lookup_elem(&values, &key);
      if (value) value[zero + 3] = 1;                                                // MARK store past a map
      break;
    case 5:
      for (volatile u64 i = 0; i + 1; i++)                                           // MARK endless loop
        ;
      break;
    case 6: loaded = descend(20, zero); break;                                       // MARK call depth
    case 7: bpf_probe_read_kernel((void *)(zero + 0x1000), 8, p); break;             // MARK bad pointer into a helper
    case 8: scx_bpf_dsq_insert(KFUNC_WITHOUT_TASK, 0, 0, 0); break;                  // MARK bad pointer into a kfunc
    case 9:
      loaded = *(volatile u64 *)(zero + 0x1000);                                     // MARK wild load
      loaded += *(volatile u64 *)(zero + 0x7fff12345678ull);                         // MARK second wild load
      break;
    case 10: p->scx.slice = 1000000; break;                                          // Allowed.
    case 11: *(volatile u64 *)((char *)&percpu_values + zero) = 1; break;            // MARK store to a map itself
    case 12: __sync_fetch_and_add((u64 *)(zero + 0x1000), 1); break;                 // MARK wild atomic
    case 13:
      value = bpf_map_lookup_elem(&values, (void *)(zero + 8));                      // MARK bad key pointer
      if (value) *value = 1;
      break;
  }
}

// clang-format on
static int timer_fired(void *map, int *key, struct bpf_timer *timer) {
  if (fault == 14) *(volatile u32 *)(zero + 0x555500001000ull) = 2;  // MARK store in a timer
  for (volatile u64 i = 0; i + 1; i++)                               // MARK endless timer
    ;
  return 0;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(misbehave_init) {
  struct timer_value *value;
  u32 key = 0;

  if (fault != 14 && fault != 15) return 0;
  value = bpf_map_lookup_elem(&timers, &key);
  if (!value) return -ENOENT;
  bpf_timer_init(&value->timer, &timers, 1);
  bpf_timer_set_callback(&value->timer, timer_fired);
  return bpf_timer_start(&value->timer, 5000000, 0);
}

void BPF_STRUCT_OPS(misbehave_enqueue, struct task_struct *p, u64 enq_flags) {
  if (++nr_enqueued >= AFTER) misbehave(p);
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

// In a program of its own: one that has an arena may store to NULL.
void BPF_STRUCT_OPS(misbehave_running, struct task_struct *p) {
  if (fault == 16) *(u64 __arena *)(zero + ARENA_AT + 20 * 4096) = (u64)&arena;  // MARK missing arena page
}

void BPF_STRUCT_OPS(misbehave_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(misbehave_ops, .enqueue = (void *)misbehave_enqueue, .running = (void *)misbehave_running,
               .init = (void *)misbehave_init, .exit = (void *)misbehave_exit, .name = "misbehave");
