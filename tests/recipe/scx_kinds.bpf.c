// SPDX-License-Identifier: GPL-2.0-only
// What a recipe can say, each kind once: syscall programs tell what globals and maps hold, where they run and how often
// they ran. One callback needs a kfunc that no kernel has, so that the object runs only without it.
#include "uscx_scx.bpf.h"

enum kinds_mode { KINDS_OFF, KINDS_SLOW = 7, KINDS_FAST };
volatile enum kinds_mode kinds_mode;  // So that the type is in the BTF.

struct kinds_ctx {
  u64 pointer;
  void *typed;
  s32 i, j;
};

const volatile s64 number;
const volatile u64 wide;
const volatile s32 numbers[8];
const volatile s32 table[4][8];
u64 nr_ticks;

UEI_DEFINE(uei);

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, u32);
  __type(value, s32);
  __uint(max_entries, 64);
} entries SEC(".maps");

SEC("syscall")
int get_number(void *ctx) { return number; }

SEC("syscall")
int get_high(void *ctx) { return wide >> 32; }

SEC("syscall")
int get_element(struct kinds_ctx *ctx) { return numbers[ctx->i & 7]; }

SEC("syscall")
int get_cell(struct kinds_ctx *ctx) { return table[ctx->i & 3][ctx->j & 7]; }

SEC("syscall")
int get_entry(struct kinds_ctx *ctx) {
  u32 key = ctx->i;
  s32 *value = bpf_map_lookup_elem(&entries, &key);
  return value ? *value : -1;
}

SEC("syscall")
int get_cpu(void *ctx) { return bpf_get_smp_processor_id(); }

#define MADE 0xffff800000001000ULL

// Two programs of which the second needs what the first made.
SEC("syscall")
int make(struct kinds_ctx *ctx) {
  ctx->pointer = MADE + ctx->i;
  ctx->typed = (void *)ctx->pointer;
  ctx->j = -5;
  return 0;
}

SEC("syscall")
int take(struct kinds_ctx *ctx) {
  return ctx->pointer == MADE + ctx->i && (u64)ctx->typed == ctx->pointer ? ctx->j : 1;
}

SEC("syscall")
int tick(void *ctx) { return ++nr_ticks; }

SEC("syscall")
int get_ticks(void *ctx) { return nr_ticks; }

extern void scx_bpf_that_no_kernel_has(struct task_struct *p) __ksym;

void BPF_STRUCT_OPS(kinds_enable, struct task_struct *p) { scx_bpf_that_no_kernel_has(p); }

SEC("?struct_ops/kinds_quiet")
void BPF_PROG(kinds_quiet, struct task_struct *p) {}

SEC("?struct_ops/kinds_loud")
void BPF_PROG(kinds_loud, struct task_struct *p) { scx_bpf_error("the loud one was called"); }

void BPF_STRUCT_OPS(kinds_exit, struct scx_exit_info *info) { UEI_RECORD(uei, info); }

SCX_OPS_DEFINE(kinds_ops, .enable = (void *)kinds_enable, .exit = (void *)kinds_exit, .flags = SCX_OPS_ENQ_LAST,
               .name = "kinds");
