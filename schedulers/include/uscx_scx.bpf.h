// SPDX-License-Identifier: GPL-2.0-only
// What the BPF half of our schedulers is written against: the kernel's types, the kfuncs they call, and the conventions
// that they share with their user halves (common/scx_user.h):
//   - enumerators: `__SCX_NAME` is a read-only variable, which the user half fills from the running kernel's BTF before
//   the
//     object is loaded (0 if the kernel has no such enumerator), and SCX_NAME stands for it in the program;
//   - user exit info: UEI_DEFINE(uei) makes the record that ops.exit() fills through UEI_RECORD() and the user half
//   reads;
//     the debug dump goes to an array in .data.uei_dump, which the user half makes as long as the kernel's buffer.
//
// Names are those of Linux 7.2. A kfunc that an older sched_ext kernel lacks is weak, and the wrapper of the same
// purpose falls back to what that kernel has.
#ifndef USCX_SCHEDULERS_INCLUDE_USCX_SCX_BPF_H_
#define USCX_SCHEDULERS_INCLUDE_USCX_SCX_BPF_H_

// Some vmlinux.h declare the kfuncs too, each kernel with its own prototypes.
#define BPF_NO_KFUNC_PROTOTYPES
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

// Macros of the kernel, which no BTF has.
#define PF_KTHREAD 0x00200000
#define ENOENT 2
#define ESRCH 3
#define ENOMEM 12
#define EOPNOTSUPP 95

// ---- Operations ----

// A callback: void BPF_STRUCT_OPS(name, arguments...) { }. The second form may sleep.
#define BPF_STRUCT_OPS(name, args...) SEC("struct_ops/" #name) BPF_PROG(name, ##args)
#define BPF_STRUCT_OPS_SLEEPABLE(name, args...) SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)

// The scheduler's table: SCX_OPS_DEFINE(simple_ops, .enqueue = (void *)simple_enqueue, .name = "simple").
#define SCX_OPS_DEFINE(ops, ...) SEC(".struct_ops.link") struct sched_ext_ops ops = {__VA_ARGS__}

// ---- Enumerators ----

#define USCX_ENUMERATOR(name) const volatile u64 __##name __weak

USCX_ENUMERATOR(SCX_SLICE_DFL);
USCX_ENUMERATOR(SCX_SLICE_INF);
USCX_ENUMERATOR(SCX_DSQ_GLOBAL);
USCX_ENUMERATOR(SCX_DSQ_LOCAL);
USCX_ENUMERATOR(SCX_DSQ_LOCAL_ON);
USCX_ENUMERATOR(SCX_ENQ_CPU_SELECTED);
USCX_ENUMERATOR(SCX_ENQ_PREEMPT);
USCX_ENUMERATOR(SCX_DEQ_CORE_SCHED_EXEC);
USCX_ENUMERATOR(SCX_KICK_IDLE);
USCX_ENUMERATOR(SCX_KICK_PREEMPT);
USCX_ENUMERATOR(SCX_CPUPERF_ONE);

#define SCX_SLICE_DFL __SCX_SLICE_DFL
#define SCX_SLICE_INF __SCX_SLICE_INF
#define SCX_DSQ_GLOBAL __SCX_DSQ_GLOBAL
#define SCX_DSQ_LOCAL __SCX_DSQ_LOCAL
#define SCX_DSQ_LOCAL_ON __SCX_DSQ_LOCAL_ON
#define SCX_ENQ_CPU_SELECTED __SCX_ENQ_CPU_SELECTED
#define SCX_ENQ_PREEMPT __SCX_ENQ_PREEMPT
#define SCX_DEQ_CORE_SCHED_EXEC __SCX_DEQ_CORE_SCHED_EXEC
#define SCX_KICK_IDLE __SCX_KICK_IDLE
#define SCX_KICK_PREEMPT __SCX_KICK_PREEMPT
#define SCX_CPUPERF_ONE __SCX_CPUPERF_ONE

// ---- Kfuncs ----

s32 scx_bpf_create_dsq(u64 dsq_id, s32 node) __ksym;
s32 scx_bpf_dsq_nr_queued(u64 dsq_id) __ksym;
s32 scx_bpf_select_cpu_dfl(struct task_struct *p, s32 prev_cpu, u64 wake_flags, bool *is_idle) __ksym;
bool scx_bpf_test_and_clear_cpu_idle(s32 cpu) __ksym;
s32 scx_bpf_pick_idle_cpu(const struct cpumask *cpus_allowed, u64 flags) __ksym;
s32 scx_bpf_pick_any_cpu(const struct cpumask *cpus_allowed, u64 flags) __ksym;
u32 scx_bpf_dispatch_nr_slots(void) __ksym;
void scx_bpf_kick_cpu(s32 cpu, u64 flags) __ksym;
s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
bool scx_bpf_task_running(const struct task_struct *p) __ksym;
u32 scx_bpf_nr_cpu_ids(void) __ksym;
bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *cpumask) __ksym;
void scx_bpf_cpuperf_set(s32 cpu, u32 perf) __ksym __weak;
u64 scx_bpf_now(void) __ksym __weak;
void scx_bpf_events(struct scx_event_stats *events, size_t events__sz) __ksym __weak;
void scx_bpf_error_bstr(char *fmt, unsigned long long *data, u32 data__sz) __ksym;
void scx_bpf_exit_bstr(s64 exit_code, char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;
void scx_bpf_dump_bstr(char *fmt, unsigned long long *data, u32 data__sz) __ksym __weak;
bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_move_set_slice(struct bpf_iter_scx_dsq *it, u64 slice) __ksym __weak;
int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 dsq_id, u64 flags) __ksym __weak;
struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym __weak;
void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym __weak;
struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
void bpf_task_release(struct task_struct *p) __ksym;

// Kfuncs that changed: 7.2's form, and the one before. libbpf drops the last ___suffix when it looks for the kernel's
// name, so each declaration here has a name of its own.
bool scx_bpf_dsq_insert___v2___now(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
void scx_bpf_dsq_insert___before(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
bool __scx_bpf_dsq_insert_vtime___now(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym __weak;
void scx_bpf_dsq_insert_vtime___before(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime,
                                       u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___v2___now(u64 dsq_id, u64 enq_flags) __ksym __weak;
bool scx_bpf_dsq_move_to_local___before(u64 dsq_id) __ksym __weak;
bool scx_bpf_task_set_dsq_vtime___now(struct task_struct *p, u64 vtime) __ksym __weak;
bool scx_bpf_task_set_slice___now(struct task_struct *p, u64 slice) __ksym __weak;

static __always_inline void scx_bpf_dsq_insert(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) {
  if (bpf_ksym_exists(scx_bpf_dsq_insert___v2___now))
    scx_bpf_dsq_insert___v2___now(p, dsq_id, slice, enq_flags);
  else
    scx_bpf_dsq_insert___before(p, dsq_id, slice, enq_flags);
}

static __always_inline void scx_bpf_dsq_insert_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime,
                                                     u64 enq_flags) {
  if (bpf_ksym_exists(__scx_bpf_dsq_insert_vtime___now)) {
    struct scx_bpf_dsq_insert_vtime_args args = {
        .dsq_id = dsq_id, .slice = slice, .vtime = vtime, .enq_flags = enq_flags};
    __scx_bpf_dsq_insert_vtime___now(p, &args);
  } else {
    scx_bpf_dsq_insert_vtime___before(p, dsq_id, slice, vtime, enq_flags);
  }
}

static __always_inline bool scx_bpf_dsq_move_to_local(u64 dsq_id) {
  if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2___now)) return scx_bpf_dsq_move_to_local___v2___now(dsq_id, 0);
  return scx_bpf_dsq_move_to_local___before(dsq_id);
}

static __always_inline void scx_bpf_task_set_slice(struct task_struct *p, u64 slice) {
  if (bpf_ksym_exists(scx_bpf_task_set_slice___now))
    scx_bpf_task_set_slice___now(p, slice);
  else
    p->scx.slice = slice;
}

// Storing to the field itself is deprecated in 7.2, and the only way before.
static __always_inline void scx_bpf_task_set_dsq_vtime(struct task_struct *p, u64 vtime) {
  if (bpf_ksym_exists(scx_bpf_task_set_dsq_vtime___now))
    scx_bpf_task_set_dsq_vtime___now(p, vtime);
  else
    p->scx.dsq_vtime = vtime;
}

// The iterator of the bpf_for_each() loop around, by the name that libbpf's macro gives it.
#define BPF_FOR_EACH_ITER (&___it)

// ---- Messages ----

// Declares a message's format and values. The verifier wants the format in memory that a kfunc may write to, which
// .rodata is not: hence no const.
#define USCX_BSTR(fmt, args...)                                                                                       \
  static char uscx_fmt[] = fmt;                                                                                       \
  unsigned long long uscx_args[___bpf_narg(args) > 0 ? ___bpf_narg(args) : 1] = {0};                                  \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"") ___bpf_fill(uscx_args, args); \
  _Pragma("GCC diagnostic pop")

#define USCX_STRING_OF(x) #x
#define USCX_STRING(x) USCX_STRING_OF(x)

// Ejects the scheduler as faulty; the message begins with the place of the call.
#define scx_bpf_error(fmt, args...)                                     \
  ({                                                                    \
    USCX_BSTR(__FILE_NAME__ ":" USCX_STRING(__LINE__) ": " fmt, ##args) \
    scx_bpf_error_bstr(uscx_fmt, uscx_args, sizeof(uscx_args));         \
  })

// Ends the scheduler in good order, with a code for its user half.
#define scx_bpf_exit(code, fmt, args...)                             \
  ({                                                                 \
    USCX_BSTR(fmt, ##args)                                           \
    scx_bpf_exit_bstr(code, uscx_fmt, uscx_args, sizeof(uscx_args)); \
  })

// Adds to the debug dump, in ops.dump() and its like alone.
#define scx_bpf_dump(fmt, args...)                                                                     \
  ({                                                                                                   \
    USCX_BSTR(fmt, ##args)                                                                             \
    if (bpf_ksym_exists(scx_bpf_dump_bstr)) scx_bpf_dump_bstr(uscx_fmt, uscx_args, sizeof(uscx_args)); \
  })

// ---- User exit info ----

#define UEI_REASON_LEN 128
#define UEI_MSG_LEN 1024

struct user_exit_info {
  s32 kind;      // written last: what is not 0 means that the rest is there
  s32 exit_cpu;  // -1 if the kernel did not say
  s64 exit_code;
  char reason[UEI_REASON_LEN];
  char msg[UEI_MSG_LEN];
};

// Fields of scx_exit_info that not every kernel has.
struct scx_exit_info___uscx {
  s32 exit_cpu;
} __attribute__((preserve_access_index));

#define UEI_DEFINE(name)                           \
  char name##_dump[1] SEC(".data." #name "_dump"); \
  const volatile u32 name##_dump_len;              \
  struct user_exit_info name SEC(".data")

#define UEI_RECORD(name, info)                                                               \
  ({                                                                                         \
    struct scx_exit_info___uscx *uscx_newer = (void *)(info);                                \
    bpf_probe_read_kernel_str(name.reason, sizeof(name.reason), (info)->reason);             \
    bpf_probe_read_kernel_str(name.msg, sizeof(name.msg), (info)->msg);                      \
    bpf_probe_read_kernel_str(name##_dump, name##_dump_len, (info)->dump);                   \
    name.exit_code = (info)->exit_code;                                                      \
    name.exit_cpu = bpf_core_field_exists(uscx_newer->exit_cpu) ? uscx_newer->exit_cpu : -1; \
    __sync_val_compare_and_swap(&name.kind, 0, (info)->kind);                                \
  })

// ---- Time ----

// Virtual times wrap around: what counts is the sign of their difference.
static __always_inline bool time_before(u64 a, u64 b) { return (s64)(a - b) < 0; }

static __always_inline u64 scx_now(void) { return bpf_ksym_exists(scx_bpf_now) ? scx_bpf_now() : bpf_ktime_get_ns(); }

#endif  // USCX_SCHEDULERS_INCLUDE_USCX_SCX_BPF_H_
