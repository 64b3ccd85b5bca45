// SPDX-License-Identifier: GPL-2.0-only
// The kernel objects that BPF schedulers read: tasks, run queues, cgroups and what hangs off them. C for
// `clang -target bpf` and C++20, global namespace.
//
// A field exists here only if the project models it, or if null or zero in it is the truth. CO-RE then moves every
// access to our offsets, and an access to a field that is not here fails at load time with the field's name, which is
// better than a plausible zero. Offsets are ours (only sched_ext_entity keeps the kernel's); names and types are not.
#ifndef USCX_ABI_KERNEL_H_
#define USCX_ABI_KERNEL_H_

#include "abi/kernel_types.h"
#include "abi/scx.h"

// task_struct.flags and friends are macros in the kernel, so they are in no BTF and schedulers define them themselves.
// These definitions are for our own code; enumerators would clash with the schedulers' macros.
#define PF_IDLE 0x00000002
#define PF_EXITING 0x00000004
#define PF_WQ_WORKER 0x00000020
#define PF_FORKNOEXEC 0x00000040
#define PF_KTHREAD 0x00200000
#define PF_NO_SETAFFINITY 0x04000000

// task_struct.__state.
#define TASK_RUNNING 0x00000000
#define TASK_INTERRUPTIBLE 0x00000001
#define TASK_UNINTERRUPTIBLE 0x00000002
#define TASK_DEAD 0x00000080
#define TASK_WAKEKILL 0x00000100
#define TASK_NEW 0x00000800

// task_struct.on_rq.
#define TASK_ON_RQ_QUEUED 1
#define TASK_ON_RQ_MIGRATING 2

// task_struct.policy. libc has some of these as macros of the same value.
#ifndef SCHED_NORMAL
#define SCHED_NORMAL 0
#endif
#ifndef SCHED_FIFO
#define SCHED_FIFO 1
#endif
#ifndef SCHED_RR
#define SCHED_RR 2
#endif
#ifndef SCHED_BATCH
#define SCHED_BATCH 3
#endif
#ifndef SCHED_IDLE
#define SCHED_IDLE 5
#endif
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif
#ifndef SCHED_EXT
#define SCHED_EXT 7
#endif

#define MAX_RT_PRIO 100
#define MAX_PRIO 140
#define DEFAULT_PRIO 120
#define TASK_COMM_LEN 16

enum pid_type {
  PIDTYPE_PID = 0,
  PIDTYPE_TGID = 1,
  PIDTYPE_PGID = 2,
  PIDTYPE_SID = 3,
  PIDTYPE_MAX = 4,
};

// Identity of a process.

struct ns_common {
  unsigned int inum;
};

struct pid_namespace {
  unsigned int level;
  struct pid_namespace *parent;
  struct ns_common ns;
};

struct upid {
  int nr;
  struct pid_namespace *ns;
};

// numbers has one entry for each namespace level, 0..level.
struct pid {
  refcount_t count;
  unsigned int level;
  struct upid numbers[];
};

struct signal_struct {
  int nr_threads;
  struct list_head thread_head;
  struct pid *pids[PIDTYPE_MAX];
};

struct cred {
  kuid_t uid;
  kgid_t gid;
  kuid_t euid;
  kgid_t egid;
};

// An address space; schedulers test the pointer to it for null, which marks a kernel thread, and compare it.
struct mm_struct {
  atomic_t mm_users;
};

struct mempolicy {
  unsigned short mode;
  unsigned short flags;
  nodemask_t nodes;
  int home_node;
};

// Control groups.

struct kernfs_node {
  struct kernfs_node *__parent;
  const char *name;
  u64 id;
};

struct percpu_ref {
  unsigned long percpu_count_ptr;
};

struct cgroup_subsys_state {
  struct cgroup *cgroup;
  struct percpu_ref refcnt;
  struct list_head sibling;
  struct list_head children;
  int id;
  unsigned int flags;
  struct cgroup_subsys_state *parent;
};

// ancestors has one entry for each level, 0..level, the last being the group itself.
struct cgroup {
  struct cgroup_subsys_state self;
  int level;
  struct kernfs_node *kn;
  struct cgroup *dom_cgrp;
  struct cgroup *ancestors[];
};

struct css_set {
  struct cgroup *dfl_cgrp;
};

struct scx_task_group {
  u32 flags;  // enum scx_tg_flags
  u32 weight;
  u64 bw_period_us;
  u64 bw_quota_us;
  u64 bw_burst_us;
  bool idle;
};

struct task_group {
  struct cgroup_subsys_state css;
  struct scx_task_group scx;
};

// Scheduling.

struct load_weight {
  unsigned long weight;
  u32 inv_weight;
};

struct sched_avg {
  unsigned long util_avg;
};

struct sched_entity {
  struct load_weight load;
  u64 exec_start;
  u64 sum_exec_runtime;
  u64 vruntime;
  struct sched_avg avg;
};

// The deadline servers that keep the fair and ext classes from being starved.
struct sched_dl_entity {
  u64 dl_runtime;
  u64 dl_deadline;
  u64 dl_period;
};

// Of a task, what is the core's own (sched/task.h). It lies in front of cpus_mask, which comes last so that a task has
// no more of it than the machine has CPUs: the whole type would cost 1 KiB a task.
// FIDELITY: mask-tail. The rest of the mask is not there, and reads as whatever lies behind.
#define TASK_CORE_BYTES 440

// Ordered so that what a scheduling decision touches comes first; the rest is identity.
struct task_struct {
  unsigned int __state;
  unsigned int flags;
  u8 on_cpu;
  u8 on_rq;
  unsigned short migration_disabled;
  int nr_cpus_allowed;
  int prio;
  int static_prio;
  int normal_prio;
  unsigned int policy;
  const cpumask_t *cpus_ptr;
  const struct sched_class *sched_class;
  struct sched_ext_entity scx;
  struct sched_entity se;
  struct task_group *sched_task_group;
  struct css_set *cgroups;
  struct mm_struct *mm;
  pid_t pid;
  pid_t tgid;
  char comm[TASK_COMM_LEN];
  unsigned long nvcsw;
  unsigned long nivcsw;
  u64 utime;
  u64 stime;
  u64 start_time;
  int exit_code;
  int numa_preferred_nid;
  struct mempolicy *mempolicy;
  struct task_struct *real_parent;
  struct task_struct *group_leader;
  struct signal_struct *signal;
  struct list_head thread_node;
  struct pid *thread_pid;
  const struct cred *real_cred;
#ifndef __cplusplus
  u8 __core[TASK_CORE_BYTES];
  cpumask_t cpus_mask;
#endif
};
#ifdef __cplusplus
inline constexpr unsigned long kCpusMaskOffset = sizeof(task_struct) + TASK_CORE_BYTES;
#endif

// sched_ext's part of a run queue, as far as programs read it.
struct scx_rq {
  u64 extra_enq_flags;
  u32 nr_running;
  u32 cpuperf_target;
  bool in_select_cpu;
  bool cpu_released;
  u32 flags;  // enum scx_rq_flags
  u32 nr_immed;
  u64 clock;
  unsigned long kick_sync;
};

struct rq {
  unsigned int nr_running;
  int cpu;
  int online;
  struct task_struct *curr;
  struct task_struct *idle;
  u64 nr_switches;
  u64 clock;
  u64 clock_task;
  u64 clock_pelt;
  unsigned long lost_idle_time;
  struct scx_rq scx;
  struct sched_dl_entity ext_server;
  struct sched_dl_entity fair_server;
};

struct cpufreq_cpuinfo {
  unsigned int max_freq;
  unsigned int min_freq;
};

struct cpufreq_policy {
  unsigned int cpu;
  struct cpufreq_cpuinfo cpuinfo;
  unsigned int min;
  unsigned int max;
  unsigned int cur;
};

#endif  // USCX_ABI_KERNEL_H_
