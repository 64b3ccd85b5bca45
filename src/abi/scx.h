// SPDX-License-Identifier: GPL-2.0-only
// The types that sched_ext programs and their user halves share with the kernel: enums, argument structs, the tables of
// operations, with the names, values and layouts of Linux 7.2. The BTF that is served as the kernel's is compiled from
// this header (vmlinux.c), so what C++ computes with and what CO-RE relocates against cannot drift apart.
//
// The header is C for `clang -target bpf` and C++20 alike, in the global namespace. Enum type names matter as much as
// the enumerators: schedulers read values through CO-RE enum relocations that name both. 64-bit enums must come
// out as BTF_KIND_ENUM64; clang's bpf backend does that when their fixed type is written out, but truncates the values
// when it is a typedef such as u64.
#ifndef USCX_ABI_SCX_H_
#define USCX_ABI_SCX_H_

#include "abi/kernel_types.h"

// Constants that the kernel promises to schedulers.
enum scx_public_consts : unsigned long long {
  SCX_OPS_NAME_LEN = 128,
  SCX_SLICE_DFL = 20 * 1000000ULL,
  SCX_SLICE_BYPASS = 5 * 1000000ULL,
  SCX_SLICE_INF = ~0ULL,
};

enum scx_consts {
  SCX_DSP_DFL_MAX_BATCH = 32,
  SCX_DSP_MAX_LOOPS = 32,
  // In jiffies: 30 s at the 250 Hz of the kernel whose constants these are. The simulated machine's --hz may differ, so
  // the core computes its limit from the machine's own rate.
  SCX_WATCHDOG_MAX_TIMEOUT = 30 * 250,
  SCX_TID_CHUNK = 1024,
  SCX_EXIT_BT_LEN = 64,
  SCX_EXIT_MSG_LEN = 1024,
  SCX_EXIT_DUMP_DFL_LEN = 32768,
  SCX_CPUPERF_ONE = 1024,
  SCX_TASK_ITER_BATCH = 32,
  SCX_BYPASS_HOST_NTH = 2,
  SCX_BYPASS_LB_DFL_INTV_US = 500000,
  SCX_BYPASS_LB_DONOR_PCT = 125,
  SCX_BYPASS_LB_MIN_DELTA_DIV = 4,
  SCX_BYPASS_LB_BATCH = 256,
  SCX_REENQ_LOCAL_MAX_REPEAT = 256,
  SCX_SUB_MAX_DEPTH = 4,
};

enum scx_arena_consts {
  SCX_ARENA_MIN_ORDER = 3,
  SCX_ARENA_GROW_PAGES = 4,
};

// A DSQ id with bit 63 clear belongs to the BPF scheduler; the rest is named here.
enum scx_dsq_id_flags : unsigned long long {
  SCX_DSQ_FLAG_BUILTIN = 1ULL << 63,
  SCX_DSQ_FLAG_LOCAL_ON = 1ULL << 62,
  SCX_DSQ_INVALID = SCX_DSQ_FLAG_BUILTIN | 0,
  SCX_DSQ_GLOBAL = SCX_DSQ_FLAG_BUILTIN | 1,
  SCX_DSQ_LOCAL = SCX_DSQ_FLAG_BUILTIN | 2,
  SCX_DSQ_BYPASS = SCX_DSQ_FLAG_BUILTIN | 3,
  SCX_DSQ_LOCAL_ON = SCX_DSQ_FLAG_BUILTIN | SCX_DSQ_FLAG_LOCAL_ON,
  SCX_DSQ_LOCAL_CPU_MASK = 0xffffffffULL,
};

enum scx_enq_flags : unsigned long long {
  SCX_ENQ_WAKEUP = 0x1,
  SCX_ENQ_HEAD = 0x10000,
  SCX_ENQ_CPU_SELECTED = 0x100000,
  SCX_ENQ_PREEMPT = 1ULL << 32,
  SCX_ENQ_IMMED = 1ULL << 33,
  SCX_ENQ_REENQ = 1ULL << 40,
  SCX_ENQ_LAST = 1ULL << 41,
  __SCX_ENQ_INTERNAL_MASK = 0xffULL << 56,
  SCX_ENQ_CLEAR_OPSS = 1ULL << 56,
  SCX_ENQ_DSQ_PRIQ = 1ULL << 57,
  SCX_ENQ_NESTED = 1ULL << 58,
  SCX_ENQ_GDSQ_FALLBACK = 1ULL << 59,
};

enum scx_deq_flags : unsigned long long {
  SCX_DEQ_SLEEP = 0x1,
  SCX_DEQ_CORE_SCHED_EXEC = 1ULL << 32,
  SCX_DEQ_SCHED_CHANGE = 1ULL << 33,
};

enum scx_wake_flags {
  SCX_WAKE_FORK = 0x4,
  SCX_WAKE_TTWU = 0x8,
  SCX_WAKE_SYNC = 0x10,
};

enum scx_kick_flags {
  SCX_KICK_IDLE = 1 << 0,
  SCX_KICK_PREEMPT = 1 << 1,
  SCX_KICK_WAIT = 1 << 2,
};

enum scx_pick_idle_cpu_flags {
  SCX_PICK_IDLE_CORE = 1 << 0,
  SCX_PICK_IDLE_IN_NODE = 1 << 1,
};

enum scx_reenq_flags : unsigned long long {
  SCX_REENQ_ANY = 1ULL << 0,
  __SCX_REENQ_FILTER_MASK = 0xffffULL,
  __SCX_REENQ_USER_MASK = SCX_REENQ_ANY,
  SCX_REENQ_TSR_RQ_OPEN = 1ULL << 32,
  SCX_REENQ_TSR_NOT_FIRST = 1ULL << 33,
  __SCX_REENQ_TSR_MASK = 0xfULL << 32,
};

enum scx_dsq_iter_flags {
  SCX_DSQ_ITER_REV = 1U << 16,
  __SCX_DSQ_ITER_HAS_SLICE = 1U << 30,
  __SCX_DSQ_ITER_HAS_VTIME = 1U << 31,
  __SCX_DSQ_ITER_USER_FLAGS = SCX_DSQ_ITER_REV,
  __SCX_DSQ_ITER_ALL_FLAGS = 0xc0010000U,
};

enum scx_dsq_lnode_flags {
  SCX_DSQ_LNODE_ITER_CURSOR = 1 << 0,
  __SCX_DSQ_LNODE_PRIV_SHIFT = 16,
};

enum scx_cpu_preempt_reason {
  SCX_CPU_PREEMPT_RT = 0,
  SCX_CPU_PREEMPT_DL = 1,
  SCX_CPU_PREEMPT_STOP = 2,
  SCX_CPU_PREEMPT_UNKNOWN = 3,
};

enum scx_ops_flags : unsigned long long {
  SCX_OPS_KEEP_BUILTIN_IDLE = 1ULL << 0,
  SCX_OPS_ENQ_LAST = 1ULL << 1,
  SCX_OPS_ENQ_EXITING = 1ULL << 2,
  SCX_OPS_SWITCH_PARTIAL = 1ULL << 3,
  SCX_OPS_ENQ_MIGRATION_DISABLED = 1ULL << 4,
  SCX_OPS_ALLOW_QUEUED_WAKEUP = 1ULL << 5,
  SCX_OPS_BUILTIN_IDLE_PER_NODE = 1ULL << 6,
  SCX_OPS_ALWAYS_ENQ_IMMED = 1ULL << 7,
  SCX_OPS_TID_TO_TASK = 1ULL << 8,
  SCX_OPS_ALL_FLAGS = 0x1ffULL,
  __SCX_OPS_INTERNAL_MASK = 0xffULL << 56,
  SCX_OPS_HAS_CPU_PREEMPT = 1ULL << 56,
};

enum scx_tg_flags {
  SCX_TG_ONLINE = 1 << 0,
  SCX_TG_INITED = 1 << 1,
};

// Kinds below 1024 are orderly ends, those from 1024 on are errors.
enum scx_exit_kind {
  SCX_EXIT_NONE = 0,
  SCX_EXIT_DONE = 1,
  SCX_EXIT_UNREG = 64,
  SCX_EXIT_UNREG_BPF = 65,
  SCX_EXIT_UNREG_KERN = 66,
  SCX_EXIT_SYSRQ = 67,
  SCX_EXIT_PARENT = 68,
  SCX_EXIT_ERROR = 1024,
  SCX_EXIT_ERROR_BPF = 1025,
  SCX_EXIT_ERROR_STALL = 1026,
};

// Bits 63..48 ask for an action, 47..32 give a reason, 31..0 belong to the scheduler.
enum scx_exit_code : unsigned long long {
  SCX_ECODE_RSN_HOTPLUG = 1ULL << 32,
  SCX_ECODE_RSN_CGROUP_OFFLINE = 2ULL << 32,
  SCX_ECODE_ACT_RESTART = 1ULL << 48,
};

enum scx_exit_flags {
  SCX_EFLAG_INITIALIZED = 1 << 0,
};

// sched_ext_entity.flags. States and re-enqueue reasons are already shifted into place. The enum is signed: CURSOR is
// the sign bit.
enum scx_ent_flags {
  SCX_TASK_QUEUED = 1 << 0,
  SCX_TASK_IN_CUSTODY = 1 << 1,
  SCX_TASK_RESET_RUNNABLE_AT = 1 << 2,
  SCX_TASK_DEQD_FOR_SLEEP = 1 << 3,
  SCX_TASK_SUB_INIT = 1 << 4,
  SCX_TASK_IMMED = 1 << 5,
  SCX_TASK_STATE_SHIFT = 8,
  SCX_TASK_STATE_BITS = 3,
  SCX_TASK_STATE_MASK = 0x700,
  SCX_TASK_NONE = 0x000,
  SCX_TASK_INIT_BEGIN = 0x100,
  SCX_TASK_INIT = 0x200,
  SCX_TASK_READY = 0x300,
  SCX_TASK_ENABLED = 0x400,
  SCX_TASK_DEAD = 0x500,
  SCX_TASK_REENQ_REASON_SHIFT = 12,
  SCX_TASK_REENQ_REASON_BITS = 2,
  SCX_TASK_REENQ_REASON_MASK = 0x3000,
  SCX_TASK_REENQ_NONE = 0x0000,
  SCX_TASK_REENQ_KFUNC = 0x1000,
  SCX_TASK_REENQ_IMMED = 0x2000,
  SCX_TASK_REENQ_PREEMPTED = 0x3000,
  SCX_TASK_CURSOR = -2147483647 - 1,
};

enum scx_ent_dsq_flags {
  SCX_TASK_DSQ_ON_PRIQ = 1 << 0,
};

// sched_ext_entity.ops_state: the state is in the low two bits, the queueing sequence number above them.
enum scx_ops_state {
  SCX_OPSS_NONE = 0,
  SCX_OPSS_QUEUEING = 1,
  SCX_OPSS_QUEUED = 2,
  SCX_OPSS_DISPATCHING = 3,
  SCX_OPSS_QSEQ_SHIFT = 2,
};

enum scx_enable_state {
  SCX_ENABLING = 0,
  SCX_ENABLED = 1,
  SCX_DISABLING = 2,
  SCX_DISABLED = 3,
};

enum scx_rq_flags {
  SCX_RQ_ONLINE = 1 << 0,
  SCX_RQ_CAN_STOP_TICK = 1 << 1,
  SCX_RQ_CLK_VALID = 1 << 5,
  SCX_RQ_BAL_CB_PENDING = 1 << 6,
  SCX_RQ_IN_WAKEUP = 1 << 16,
  SCX_RQ_IN_BALANCE = 1 << 17,
};

enum scx_sched_pcpu_flags {
  SCX_SCHED_PCPU_BYPASSING = 1 << 0,
};

enum scx_dsp_verdict {
  SCX_DSP_NONE = 0,
  SCX_DSP_LOCAL = 1,
  SCX_DSP_PREV = 2,
  SCX_DSP_RETRY = 3,
};

enum scx_kf_allow_flags {
  SCX_KF_ALLOW_UNLOCKED = 1 << 0,
  SCX_KF_ALLOW_INIT = 1 << 1,
  SCX_KF_ALLOW_CPU_RELEASE = 1 << 2,
  SCX_KF_ALLOW_DISPATCH = 1 << 3,
  SCX_KF_ALLOW_ENQUEUE = 1 << 4,
  SCX_KF_ALLOW_SELECT_CPU = 1 << 5,
};

// Indices of operations in the table: slot = byte offset / 8.
enum scx_opi {
  SCX_OPI_BEGIN = 0,
  SCX_OPI_NORMAL_BEGIN = 0,
  SCX_OPI_NORMAL_END = 31,
  SCX_OPI_CPU_HOTPLUG_BEGIN = 31,
  SCX_OPI_CPU_HOTPLUG_END = 33,
  SCX_OPI_END = 33,
};

// Arguments of operations and kfuncs.

struct scx_init_task_args {
  bool fork;
  struct cgroup *cgroup;
};

struct scx_exit_task_args {
  bool cancelled;
};

struct scx_cgroup_init_args {
  u32 weight;
  u64 bw_period_us;
  u64 bw_quota_us;
  u64 bw_burst_us;
};

struct scx_cpu_acquire_args {};

struct scx_cpu_release_args {
  enum scx_cpu_preempt_reason reason;
  struct task_struct *task;
};

struct scx_dump_ctx {
  enum scx_exit_kind kind;
  s64 exit_code;
  const char *reason;
  u64 at_ns;
  u64 at_jiffies;
};

struct scx_exit_info {
  enum scx_exit_kind kind;
  s32 exit_cpu;
  s64 exit_code;
  u64 flags;
  const char *reason;
  unsigned long *bt;
  u32 bt_len;
  char *msg;
  char *dump;
};

struct scx_sub_attach_args {
  struct sched_ext_ops *ops;
  char *cgroup_path;
};

struct scx_sub_detach_args {
  struct sched_ext_ops *ops;
  char *cgroup_path;
};

struct scx_bpf_dsq_insert_vtime_args {
  u64 dsq_id;
  u64 slice;
  u64 vtime;
  u64 enq_flags;
};

struct scx_bpf_select_cpu_and_args {
  s32 prev_cpu;
  u64 wake_flags;
  u64 flags;
};

struct scx_cid_topo {
  s32 core_cid;
  s32 core_idx;
  s32 llc_cid;
  s32 llc_idx;
  s32 node_cid;
  s32 node_idx;
};

// A bitmap over the cids [base, base + nr_cids).
struct scx_cmask {
  u32 base;
  u32 nr_cids;
  u32 alloc_words;
  u64 bits[];
};

struct bpf_iter_scx_dsq {
  u64 __opaque[6];
} __attribute__((aligned(8)));

struct scx_event_stats {
  s64 SCX_EV_SELECT_CPU_FALLBACK;
  s64 SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE;
  s64 SCX_EV_DISPATCH_KEEP_LAST;
  s64 SCX_EV_ENQ_SKIP_EXITING;
  s64 SCX_EV_ENQ_SKIP_MIGRATION_DISABLED;
  s64 SCX_EV_REENQ_IMMED;
  s64 SCX_EV_REENQ_LOCAL_REPEAT;
  s64 SCX_EV_REFILL_SLICE_DFL;
  s64 SCX_EV_BYPASS_DURATION;
  s64 SCX_EV_BYPASS_DISPATCH;
  s64 SCX_EV_BYPASS_ACTIVATE;
  s64 SCX_EV_INSERT_NOT_OWNED;
  s64 SCX_EV_SUB_BYPASS_DISPATCH;
};

// The table of operations, CPU form. Its first 33 slots are callbacks; cpu_acquire and cpu_release are deprecated and
// stand behind priv so that the cid form can end there.
struct sched_ext_ops {
  s32 (*select_cpu)(struct task_struct *p, s32 prev_cpu, u64 wake_flags);
  void (*enqueue)(struct task_struct *p, u64 enq_flags);
  void (*dequeue)(struct task_struct *p, u64 deq_flags);
  void (*dispatch)(s32 cpu, struct task_struct *prev);
  void (*tick)(struct task_struct *p);
  void (*runnable)(struct task_struct *p, u64 enq_flags);
  void (*running)(struct task_struct *p);
  void (*stopping)(struct task_struct *p, bool runnable);
  void (*quiescent)(struct task_struct *p, u64 deq_flags);
  bool (*yield)(struct task_struct *from, struct task_struct *to);
  bool (*core_sched_before)(struct task_struct *a, struct task_struct *b);
  void (*set_weight)(struct task_struct *p, u32 weight);
  void (*set_cpumask)(struct task_struct *p, const struct cpumask *cpumask);
  void (*update_idle)(s32 cpu, bool idle);
  s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
  void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
  void (*enable)(struct task_struct *p);
  void (*disable)(struct task_struct *p);
  void (*dump)(struct scx_dump_ctx *ctx);
  void (*dump_cpu)(struct scx_dump_ctx *ctx, s32 cpu, bool idle);
  void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
  s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
  void (*cgroup_exit)(struct cgroup *cgrp);
  s32 (*cgroup_prep_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_cancel_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight);
  void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us);
  void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle);
  s32 (*sub_attach)(struct scx_sub_attach_args *args);
  void (*sub_detach)(struct scx_sub_detach_args *args);
  void (*cpu_online)(s32 cpu);
  void (*cpu_offline)(s32 cpu);
  s32 (*init)(void);
  void (*exit)(struct scx_exit_info *info);
  u32 dispatch_max_batch;
  u64 flags;
  u32 timeout_ms;
  u32 exit_dump_len;
  u64 hotplug_seq;
  u64 sub_cgroup_id;
  char name[SCX_OPS_NAME_LEN];
  void *priv;
  void (*cpu_acquire)(s32 cpu, struct scx_cpu_acquire_args *args);
  void (*cpu_release)(s32 cpu, struct scx_cpu_release_args *args);
};

// The table of operations, cid form: the same layout up to priv, with cids and cmasks for CPUs and cpumasks.
struct sched_ext_ops_cid {
  s32 (*select_cid)(struct task_struct *p, s32 prev_cid, u64 wake_flags);
  void (*enqueue)(struct task_struct *p, u64 enq_flags);
  void (*dequeue)(struct task_struct *p, u64 deq_flags);
  void (*dispatch)(s32 cid, struct task_struct *prev);
  void (*tick)(struct task_struct *p);
  void (*runnable)(struct task_struct *p, u64 enq_flags);
  void (*running)(struct task_struct *p);
  void (*stopping)(struct task_struct *p, bool runnable);
  void (*quiescent)(struct task_struct *p, u64 deq_flags);
  bool (*yield)(struct task_struct *from, struct task_struct *to);
  bool (*core_sched_before)(struct task_struct *a, struct task_struct *b);
  void (*set_weight)(struct task_struct *p, u32 weight);
  void (*set_cmask)(struct task_struct *p, const struct scx_cmask *cmask);
  void (*update_idle)(s32 cid, bool idle);
  s32 (*init_task)(struct task_struct *p, struct scx_init_task_args *args);
  void (*exit_task)(struct task_struct *p, struct scx_exit_task_args *args);
  void (*enable)(struct task_struct *p);
  void (*disable)(struct task_struct *p);
  void (*dump)(struct scx_dump_ctx *ctx);
  void (*dump_cid)(struct scx_dump_ctx *ctx, s32 cid, bool idle);
  void (*dump_task)(struct scx_dump_ctx *ctx, struct task_struct *p);
  s32 (*cgroup_init)(struct cgroup *cgrp, struct scx_cgroup_init_args *args);
  void (*cgroup_exit)(struct cgroup *cgrp);
  s32 (*cgroup_prep_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_cancel_move)(struct task_struct *p, struct cgroup *from, struct cgroup *to);
  void (*cgroup_set_weight)(struct cgroup *cgrp, u32 weight);
  void (*cgroup_set_bandwidth)(struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us);
  void (*cgroup_set_idle)(struct cgroup *cgrp, bool idle);
  s32 (*sub_attach)(struct scx_sub_attach_args *args);
  void (*sub_detach)(struct scx_sub_detach_args *args);
  void (*cid_online)(s32 cid);
  void (*cid_offline)(s32 cid);
  s32 (*init)(void);
  void (*exit)(struct scx_exit_info *info);
  u32 dispatch_max_batch;
  u64 flags;
  u32 timeout_ms;
  u32 exit_dump_len;
  u64 hotplug_seq;
  u64 sub_cgroup_id;
  char name[SCX_OPS_NAME_LEN];
  void *priv;
  char __end[0];
};

// A value of a struct_ops map as bpf(2) sees it. libbpf finds the table in the map through the name
// bpf_struct_ops_<type> and the member whose type it is; data starts on a cache line of its own.
enum bpf_struct_ops_state {
  BPF_STRUCT_OPS_STATE_INIT = 0,
  BPF_STRUCT_OPS_STATE_INUSE = 1,
  BPF_STRUCT_OPS_STATE_TOBEFREE = 2,
  BPF_STRUCT_OPS_STATE_READY = 3,
};

struct bpf_struct_ops_common_value {
  refcount_t refcnt;
  enum bpf_struct_ops_state state;
};

struct bpf_struct_ops_sched_ext_ops {
  struct bpf_struct_ops_common_value common;
  struct sched_ext_ops data __attribute__((aligned(64)));
};

struct bpf_struct_ops_sched_ext_ops_cid {
  struct bpf_struct_ops_common_value common;
  struct sched_ext_ops_cid data __attribute__((aligned(64)));
};

// Links of a task in DSQ lists; an iterator's cursor is such a node with SCX_DSQ_LNODE_ITER_CURSOR.
struct scx_dsq_list_node {
  struct list_head node;
  u32 flags;
  u32 priv;
};

// task_struct.scx. Of all this a BPF program may write slice, dsq_vtime and disallow only. The list and tree nodes are
// the core's own: their place is the kernel's, what they hold is not for programs.
struct sched_ext_entity {
  struct scx_sched *sched;
  struct scx_dispatch_q *dsq;
  atomic_long_t ops_state;
  u64 ddsp_dsq_id;
  u64 ddsp_enq_flags;
  struct scx_dsq_list_node dsq_list;
  struct rb_node dsq_priq;
  u32 dsq_seq;
  u32 dsq_flags;
  u32 flags;
  u32 weight;
  s32 sticky_cpu;
  s32 holding_cpu;
  s32 selected_cpu;
  u32 ops_qseq;
  struct task_struct *kf_tasks[2];
  struct list_head runnable_node;
  unsigned long runnable_at;
  u64 tid;
  struct rhash_head tid_hash_node;
  u64 slice;
  u64 dsq_vtime;
  bool disallow;
  struct cgroup *cgrp_moving_from;
  struct list_head tasks_node;
};

#endif  // USCX_ABI_SCX_H_
