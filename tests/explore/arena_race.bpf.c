// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that counts in a variable of its arena without order.
#include "uscx_scx.bpf.h"

#define __arena __attribute__((address_space(1)))
struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 16);
} arena SEC(".maps");

struct stats {
  u64 skipped;
  u64 nr_enqueued[4];
};
struct stats __arena stats;

UEI_DEFINE(uei);

void BPF_STRUCT_OPS(arena_race_enqueue, struct task_struct *p, u64 enq_flags) {
  (*(volatile u64 __arena *)&stats.nr_enqueued[2])++;  // MARK arena counter
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void BPF_STRUCT_OPS(arena_race_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(arena_race_ops, .enqueue = (void *)arena_race_enqueue, .exit = (void *)arena_race_exit,
               .name = "arena_race");
