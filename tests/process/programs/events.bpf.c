// SPDX-License-Identifier: GPL-2.0-only
// Tells user space of each time that the thread "events-2" gets a CPU, by a ring buffer and by perf buffers.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

struct seen {
  u32 pid, tgid, leader, parent, threads;
  char comm[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
} perf SEC(".maps");

// Where user space maps it is not said.
struct {
  __uint(type, BPF_MAP_TYPE_ARENA);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 16);
} arena SEC(".maps");

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next) {
  if (next->comm[0] != 'e' || next->comm[6] != '-' || next->comm[7] != '2') return 0;
  struct seen seen = {next->pid, next->tgid, next->group_leader->pid, next->real_parent->pid, next->signal->nr_threads};
  for (int i = 0; i < 16; i++) seen.comm[i] = next->comm[i];
  bpf_ringbuf_output(&ring, &seen, sizeof seen, 0);
  bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &seen, sizeof seen);
  return 0;
}
