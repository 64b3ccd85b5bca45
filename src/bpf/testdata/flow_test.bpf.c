// SPDX-License-Identifier: GPL-2.0-only
// Ways out of a program that are no return: tail calls and exceptions.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

__attribute__((noreturn)) extern void bpf_throw(u64 cookie) __ksym;

int nr_runs;
u64 seen_ctx, after;

int goes_on(u64 *ctx);
int ends(u64 *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 4);
  __type(key, u32);
  __array(values, int(void *));
} programs SEC(".maps") = {.values = {[0] = (void *)&goes_on, [1] = (void *)&ends}};

SEC("syscall")
int goes_on(u64 *ctx) {
  nr_runs++;
  bpf_tail_call(ctx, &programs, 0);
  after++;
  return nr_runs;
}

SEC("syscall")
int ends(u64 *ctx) {
  seen_ctx = *ctx;
  return 7;
}

static __noinline int in_place(u64 *ctx, u32 slot) {
  int result = 500;

  bpf_tail_call(ctx, &programs, slot);
  // As a constant it would be the caller's to know.
  asm volatile("" : "+r"(result));
  return result;
}

SEC("syscall")
int from_function(u64 *ctx) {
  // The function that calls ends, not the program.
  return in_place(ctx, 1) + 1000 * in_place(ctx, 2);
}

SEC("syscall")
int beyond(u64 *ctx) {
  bpf_tail_call(ctx, &programs, 4);
  bpf_tail_call(ctx, &programs, 3);
  return 9;
}

static __noinline int throws(u64 cookie) {
  if (cookie == 3) bpf_throw(cookie + 40);
  return 1;
}

static int each(u32 index, void *context) {
  after = index;
  return throws(index) - 1;
}

SEC("syscall")
int thrown(u64 *ctx) {
  bpf_loop(10, each, NULL, 0);
  return 1;
}

__noinline int caught(u64 cookie) { return cookie * 2; }

SEC("syscall")
__attribute__((btf_decl_tag("exception_callback:caught"))) int catches(u64 *ctx) {
  throws(*ctx);
  return 5;
}
