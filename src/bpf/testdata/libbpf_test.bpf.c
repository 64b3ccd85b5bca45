// SPDX-License-Identifier: GPL-2.0-only
// What libbpf_test.cc loads: one of everything that a scheduler's object has.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

extern int LINUX_KERNEL_VERSION __kconfig;
extern unsigned long CONFIG_HZ __kconfig;
extern char CONFIG_LOCALVERSION[8] __kconfig __weak;
extern bool CONFIG_SCHED_CLASS_EXT __kconfig __weak;

extern struct bpf_cpumask *bpf_cpumask_create(void) __ksym;
extern void bpf_cpumask_release(struct bpf_cpumask *cpumask) __ksym;
extern void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *cpumask) __ksym;
extern u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;
extern void scx_bpf_of_another_kernel(u64 dsq_id) __ksym __weak;

const volatile u64 step = 1;
u64 nr_enqueued;
u64 seen_weight;
u64 version, hz, flags;
u32 last_pid;

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, u64);
} stats SEC(".maps");

struct task_ctx {
  u64 enqueued;
  u32 pid;
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_ctx);
} task_ctxs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 8);
  __type(value, s32);
} pids SEC(".maps");

static __noinline void count(u32 which) {
  u64 *counter = bpf_map_lookup_elem(&stats, &which);

  if (counter) (*counter) += step;
}

SEC("struct_ops/enqueue")
int BPF_PROG(test_enqueue, struct task_struct *p, u64 enq_flags) {
  struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  s32 pid = p->pid;

  if (tctx) {
    tctx->enqueued++;
    tctx->pid = pid;
  }
  bpf_map_push_elem(&pids, &pid, 0);
  count(enq_flags & 1);
  __sync_fetch_and_add(&nr_enqueued, 1);
  last_pid = pid;
  if (bpf_ksym_exists(scx_bpf_of_another_kernel)) scx_bpf_of_another_kernel(1);
  return 0;
}

SEC("struct_ops.s/init")
int BPF_PROG(test_init) {
  struct bpf_cpumask *mask = bpf_cpumask_create();

  if (!mask) return -12;
  bpf_cpumask_set_cpu(1, mask);
  bpf_cpumask_set_cpu(3, mask);
  seen_weight = bpf_cpumask_weight((const struct cpumask *)mask);
  bpf_cpumask_release(mask);
  version = LINUX_KERNEL_VERSION;
  hz = CONFIG_HZ;
  flags = CONFIG_SCHED_CLASS_EXT && !CONFIG_LOCALVERSION[0];
  return 0;
}

struct args {
  u64 in;
  u64 out;
};

SEC("syscall")
int double_it(struct args *args) {
  args->out = args->in * 2;
  bpf_printk("doubled %llu", args->in);
  return 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops test_ops = {
    .enqueue = (void *)test_enqueue,
    .init = (void *)test_init,
    .timeout_ms = 20,
    .name = "libbpf_test",
};
