// SPDX-License-Identifier: GPL-2.0-only
// The contexts of programs that are attached to iterators, to events of the trace file system, and to functions, as in
// Linux 7.2 on x86-64. C for `clang -target bpf` and C++20, global namespace.
#ifndef USCX_ABI_TRACE_H_
#define USCX_ABI_TRACE_H_

#include "abi/kernel.h"

struct seq_file;
struct bpf_map;

struct bpf_iter_meta {
  struct seq_file *seq;
  u64 session_id;
  u64 seq_num;
};

struct bpf_iter__task {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
};

struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta *meta;
  struct bpf_map *map;
  void *key;
  void *value;
};

// The head of all records, and the records themselves.
struct trace_entry {
  unsigned short type;
  unsigned char flags;
  unsigned char preempt_count;
  int pid;
};

struct trace_event_raw_sched_switch {
  struct trace_entry ent;
  char prev_comm[TASK_COMM_LEN];
  pid_t prev_pid;
  int prev_prio;
  long prev_state;
  char next_comm[TASK_COMM_LEN];
  pid_t next_pid;
  int next_prio;
};

struct trace_event_raw_sched_wakeup_template {
  struct trace_entry ent;
  char comm[TASK_COMM_LEN];
  pid_t pid;
  int prio;
  int target_cpu;
};

// Its comm is behind it: __data_loc_comm says how long it is, and where, in its upper and lower half.
struct trace_event_raw_sched_migrate_task {
  struct trace_entry ent;
  u32 __data_loc_comm;
  pid_t pid;
  int prio;
  int orig_cpu;
  int dest_cpu;
};

struct trace_event_raw_sched_process_exit {
  struct trace_entry ent;
  char comm[TASK_COMM_LEN];
  pid_t pid;
  int prio;
  bool group_dead;
};

struct trace_event_raw_task_newtask {
  struct trace_entry ent;
  pid_t pid;
  char comm[TASK_COMM_LEN];
  u64 clone_flags;
  short oom_score_adj;
};

struct trace_event_raw_task_rename {
  struct trace_entry ent;
  pid_t pid;
  char oldcomm[TASK_COMM_LEN];
  char newcomm[TASK_COMM_LEN];
  short oom_score_adj;
};

// Paths and names are behind these, as above.
struct trace_event_raw_cgroup {
  struct trace_entry ent;
  int root;
  int level;
  u64 id;
  u32 __data_loc_path;
};

struct trace_event_raw_cgroup_migrate {
  struct trace_entry ent;
  int dst_root;
  int dst_level;
  u64 dst_id;
  int pid;
  u32 __data_loc_dst_path;
  u32 __data_loc_comm;
};

struct trace_event_raw_sys_enter {
  struct trace_entry ent;
  long id;
  unsigned long args[6];
};

struct trace_event_raw_sys_exit {
  struct trace_entry ent;
  long id;
  long ret;
};

struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx;
  unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
  unsigned long orig_ax, ip, cs, flags, sp, ss;
};

#endif  // USCX_ABI_TRACE_H_
