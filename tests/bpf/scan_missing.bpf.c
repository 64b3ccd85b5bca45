// SPDX-License-Identifier: GPL-2.0-only
// Needs one of each thing that there is not, in reachable code.
#include "scan_test.h"

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

struct holder {
  struct bpf_wq work;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct holder);
} holders SEC(".maps");

extern void scx_bpf_not_there(u32 cpu) __ksym;
extern void scx_bpf_not_there_in_callback(void) __ksym;
extern void scx_bpf_not_there_in_function(void) __ksym;
extern void scx_bpf_weak_call(void) __ksym __weak;
extern const void no_such_variable __ksym;
extern u32 CONFIG_NO_SUCH_THING __kconfig;

struct task_struct___more {
  int no_such_field;
  struct {
    struct sched_ext_entity___more {
      int no_such_inner_field;
    } scx;
  };
} __attribute__((preserve_access_index));
struct task_struct___other {
  struct cgroup *pid;
} __attribute__((preserve_access_index));
struct no_such_struct {
  int field;
} __attribute__((preserve_access_index));
enum scx_enq_flags___more { SCX_ENQ_NO_SUCH___more = 77 };

static int in_callback(u32 index, void *context) {
  scx_bpf_not_there_in_callback();
  return 0;
}

__attribute__((noinline)) int shared(int choice) {
  if (choice == 3) scx_bpf_not_there_in_function();
  return choice;
}

SEC("struct_ops/missing_enqueue")
int missing_enqueue(u64 *ctx) {
  struct task_struct *p = (void *)ctx[0];
  struct task_struct___more *more = (void *)p;
  u32 key = 0;

  USE(more->no_such_field);
  USE(more->scx.no_such_inner_field);
  USE(((struct task_struct___other *)p)->pid);
  USE(((struct no_such_struct *)p)->field);
  USE(p->scx.weight);
  USE(bpf_core_enum_value(enum scx_enq_flags___more, SCX_ENQ_NO_SUCH___more));
  USE(bpf_core_type_size(struct no_such_struct));
  USE(bpf_map_lookup_elem(&holders, &key));
  scx_bpf_not_there(1);
  scx_bpf_weak_call();
  USE(&no_such_variable);
  USE(CONFIG_NO_SUCH_THING);
  bpf_loop(2, in_callback, NULL, 0);
  return 0;
}

SEC("struct_ops/missing_dispatch")
int missing_dispatch(u64 *ctx) {
  void *event = bpf_ringbuf_reserve(&events, 8, 0);

  if (event) bpf_ringbuf_submit(event, 0);
  return shared(3);
}

SEC("fentry/bpf_scx_reg")
int missing_fentry(u64 *ctx) { return 0; }

SEC("?tp_btf/sched_switch")
int optional_tracing(u64 *ctx) {
  bpf_printk("not loaded unless asked for");
  return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops missing_ops = {
    .enqueue = (void *)missing_enqueue,
    .dispatch = (void *)missing_dispatch,
    .exit_dump_len = 7,
    .name = "missing",
};
