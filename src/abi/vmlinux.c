// SPDX-License-Identifier: GPL-2.0-only
// The types of our kernel BTF. Compiled for the bpf target only to have clang describe them: it describes what a
// variable has as its type, so each type gets one. tools/btf_base.cc drops the variables again.
//
// A type that a BPF program may see belongs here, by name; what it refers to by value comes with it.
#include <linux/bpf.h>

#include "abi/kernel.h"
#include "abi/tcp.h"
#include "abi/trace.h"

// A variable of the type itself and not a pointer to it: clang only forward-declares what is reached through a pointer
// from inside a struct.
#define DESCRIBE_(type, number) static type described_##number __attribute__((used))
#define DESCRIBE_AT(type, number) DESCRIBE_(type, number)
#define DESCRIBE(type) DESCRIBE_AT(type, __COUNTER__)

// Names of integers that program headers rely on.
DESCRIBE(u8);
DESCRIBE(u16);
DESCRIBE(u32);
DESCRIBE(u64);
DESCRIBE(s8);
DESCRIBE(s16);
DESCRIBE(s32);
DESCRIBE(s64);
DESCRIBE(__u8);
DESCRIBE(__u16);
DESCRIBE(__u32);
DESCRIBE(__u64);
DESCRIBE(__s8);
DESCRIBE(__s16);
DESCRIBE(__s32);
DESCRIBE(__s64);
DESCRIBE(__be16);
DESCRIBE(__be32);
DESCRIBE(__be64);
DESCRIBE(__le16);
DESCRIBE(__le32);
DESCRIBE(__le64);
DESCRIBE(__sum16);
DESCRIBE(__wsum);
DESCRIBE(bool);
static enum { false = 0, true = 1 } described_truth __attribute__((used));
DESCRIBE(pid_t);
DESCRIBE(uid_t);
DESCRIBE(gid_t);
typedef unsigned long size_t;
DESCRIBE(size_t);
typedef long ssize_t;
DESCRIBE(ssize_t);
typedef unsigned long uintptr_t;
DESCRIBE(uintptr_t);

// Small kernel types.
DESCRIBE(atomic_t);
DESCRIBE(atomic64_t);
DESCRIBE(atomic_long_t);
DESCRIBE(refcount_t);
DESCRIBE(cpumask_t);
typedef struct cpumask *cpumask_var_t;
DESCRIBE(cpumask_var_t);
DESCRIBE(nodemask_t);
DESCRIBE(kuid_t);
DESCRIBE(kgid_t);
DESCRIBE(struct list_head);
DESCRIBE(struct rb_node);
DESCRIBE(struct rhash_head);
DESCRIBE(struct bpf_cpumask);
// The guard that programs declare to hold an RCU read section.
typedef struct {
  void *lock;
} class_rcu_t;
DESCRIBE(class_rcu_t);

// Another struct_ops, for programs that are not a scheduler's.
DESCRIBE(struct tcp_congestion_ops);

// sched_ext.
DESCRIBE(enum scx_public_consts);
DESCRIBE(enum scx_consts);
DESCRIBE(enum scx_arena_consts);
DESCRIBE(enum scx_dsq_id_flags);
DESCRIBE(enum scx_enq_flags);
DESCRIBE(enum scx_deq_flags);
DESCRIBE(enum scx_wake_flags);
DESCRIBE(enum scx_kick_flags);
DESCRIBE(enum scx_pick_idle_cpu_flags);
DESCRIBE(enum scx_reenq_flags);
DESCRIBE(enum scx_dsq_iter_flags);
DESCRIBE(enum scx_dsq_lnode_flags);
DESCRIBE(enum scx_cpu_preempt_reason);
DESCRIBE(enum scx_ops_flags);
DESCRIBE(enum scx_tg_flags);
DESCRIBE(enum scx_exit_kind);
DESCRIBE(enum scx_exit_code);
DESCRIBE(enum scx_exit_flags);
DESCRIBE(enum scx_ent_flags);
DESCRIBE(enum scx_ent_dsq_flags);
DESCRIBE(enum scx_ops_state);
DESCRIBE(enum scx_enable_state);
DESCRIBE(enum scx_rq_flags);
DESCRIBE(enum scx_sched_pcpu_flags);
DESCRIBE(enum scx_dsp_verdict);
DESCRIBE(enum scx_kf_allow_flags);
DESCRIBE(enum scx_opi);
DESCRIBE(struct scx_init_task_args);
DESCRIBE(struct scx_exit_task_args);
DESCRIBE(struct scx_cgroup_init_args);
DESCRIBE(struct scx_cpu_acquire_args);
DESCRIBE(struct scx_cpu_release_args);
DESCRIBE(struct scx_dump_ctx);
DESCRIBE(struct scx_exit_info);
DESCRIBE(struct scx_sub_attach_args);
DESCRIBE(struct scx_sub_detach_args);
DESCRIBE(struct scx_bpf_dsq_insert_vtime_args);
DESCRIBE(struct scx_bpf_select_cpu_and_args);
DESCRIBE(struct scx_cid_topo);
DESCRIBE(struct scx_cmask);
DESCRIBE(struct scx_event_stats);
DESCRIBE(struct bpf_struct_ops_sched_ext_ops);
DESCRIBE(struct bpf_struct_ops_sched_ext_ops_cid);
DESCRIBE(struct sched_ext_entity);

// Kernel objects.
DESCRIBE(enum pid_type);
DESCRIBE(struct task_struct);
DESCRIBE(struct rq);
DESCRIBE(struct cgroup);
DESCRIBE(struct css_set);
DESCRIBE(struct kernfs_node);
DESCRIBE(struct task_group);
DESCRIBE(struct mm_struct);
DESCRIBE(struct cred);
DESCRIBE(struct pid);
DESCRIBE(struct pid_namespace);
DESCRIBE(struct signal_struct);
DESCRIBE(struct mempolicy);
DESCRIBE(struct cpufreq_policy);

// What tracing programs get.
DESCRIBE(struct bpf_iter_meta);
DESCRIBE(struct bpf_iter__task);
DESCRIBE(struct bpf_iter__bpf_map_elem);
DESCRIBE(struct trace_entry);
DESCRIBE(struct trace_event_raw_sched_switch);
DESCRIBE(struct trace_event_raw_sched_wakeup_template);
DESCRIBE(struct trace_event_raw_sched_migrate_task);
DESCRIBE(struct trace_event_raw_sched_process_exit);
DESCRIBE(struct trace_event_raw_task_newtask);
DESCRIBE(struct trace_event_raw_task_rename);
DESCRIBE(struct trace_event_raw_cgroup);
DESCRIBE(struct trace_event_raw_cgroup_migrate);
DESCRIBE(struct trace_event_raw_sys_enter);
DESCRIBE(struct trace_event_raw_sys_exit);
DESCRIBE(struct pt_regs);

// BPF itself: what lives in map values, on a program's stack, and behind the names of the user API.
// bpftool describes a struct_ops map with the first.
DESCRIBE(struct bpf_map_info);
DESCRIBE(struct bpf_spin_lock);
DESCRIBE(struct bpf_timer);
DESCRIBE(struct bpf_wq);
DESCRIBE(struct bpf_dynptr);
DESCRIBE(struct bpf_list_head);
DESCRIBE(struct bpf_list_node);
DESCRIBE(struct bpf_rb_root);
DESCRIBE(struct bpf_rb_node);
DESCRIBE(struct bpf_refcount);
DESCRIBE(struct bpf_perf_event_value);
struct bpf_res_spin_lock {
  u32 val;
};
DESCRIBE(struct bpf_res_spin_lock);
DESCRIBE(struct bpf_iter_scx_dsq);
DESCRIBE(struct bpf_iter_num);
struct bpf_iter_bits {
  __u64 __opaque[2];
} __attribute__((aligned(8)));
DESCRIBE(struct bpf_iter_bits);
struct bpf_iter_task {
  __u64 __opaque[3];
} __attribute__((aligned(8)));
DESCRIBE(struct bpf_iter_task);
struct bpf_iter_css {
  __u64 __opaque[3];
} __attribute__((aligned(8)));
DESCRIBE(struct bpf_iter_css);
struct bpf_iter_css_task {
  __u64 __opaque[1];
} __attribute__((aligned(8)));
DESCRIBE(struct bpf_iter_css_task);
DESCRIBE(enum bpf_map_type);
DESCRIBE(enum bpf_prog_type);
DESCRIBE(enum bpf_attach_type);
DESCRIBE(enum bpf_func_id);
enum page_size_enum {
  __PAGE_SIZE = 4096,
};
DESCRIBE(enum page_size_enum);
static enum { BPF_MAX_LOOPS = 8 * 1024 * 1024, BPF_MAX_TIMED_LOOPS = 0xffff } described_loops __attribute__((used));
