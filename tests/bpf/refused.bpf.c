// SPDX-License-Identifier: GPL-2.0-only
// A scheduler that needs two things or more of each sort that uscx has not: tests/cli looks for each by its name.
#include "scan_test.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, u32);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1);
  __uint(map_flags, 1);
  __type(key, u64);
  __type(value, u32);
} prefixes SEC(".maps");

extern void scx_bpf_not_there(u32 cpu) __ksym;
extern void bpf_not_there_either(void) __ksym;
extern const void no_such_variable __ksym;
extern const void nor_this_one __ksym;
extern u32 CONFIG_NO_SUCH_THING __kconfig;
extern u32 CONFIG_NOR_THIS_ONE __kconfig;

struct task_struct___more {
  int no_such_field;
  int nor_this_one;
} __attribute__((preserve_access_index));
enum scx_enq_flags___more { SCX_ENQ_NO_SUCH___more = 77, SCX_ENQ_NOR_THIS___more = 78 };

static __attribute__((noinline)) int deep(struct task_struct___more *more) { return more->nor_this_one; }

SEC("struct_ops/refused_enqueue")
int refused_enqueue(u64 *ctx) {
  struct task_struct___more *more = (void *)ctx[0];

  scx_bpf_not_there(1);
  USE(more->no_such_field);
  USE(deep(more));
  USE(bpf_core_enum_value(enum scx_enq_flags___more, SCX_ENQ_NO_SUCH___more));
  USE(bpf_core_enum_value(enum scx_enq_flags___more, SCX_ENQ_NOR_THIS___more));
  USE(&no_such_variable);
  USE(CONFIG_NO_SUCH_THING + CONFIG_NOR_THIS_ONE);
  USE(bpf_redirect_map(&sockets, 0, 0));
  return 0;
}

SEC("struct_ops/refused_dispatch")
int refused_dispatch(u64 *ctx) {
  bpf_not_there_either();
  USE(&nor_this_one);
  USE(bpf_get_stackid(ctx, &prefixes, 0));
  return 0;
}

SEC("xdp")
int refused_xdp(void *ctx) { return 0; }

SEC("lsm/file_open")
int refused_lsm(u64 *ctx) { return 0; }

SEC("fentry/no_such_function")
int refused_fentry(u64 *ctx) { return 0; }

SEC("tp_btf/no_such_event")
int refused_tracepoint(u64 *ctx) { return 0; }

SEC("iter/no_such_things")
int refused_iterator(u64 *ctx) { return 0; }

// What is not loaded unless user space asks for it is not missing.
SEC("?tc")
int optional_program(void *ctx) { return 0; }

SEC(".struct_ops.link")
struct sched_ext_ops refused_ops = {
    .enqueue = (void *)refused_enqueue,
    .dispatch = (void *)refused_dispatch,
    .name = "refused",
};
