// SPDX-License-Identifier: GPL-2.0-only
// Tracing programs on points of the kernel, beside a scheduler: each counts, and looks at its arguments.
#include "uscx_scx.bpf.h"

// Our types have none.
struct bpf_link;

struct count {
  u64 calls;
  u64 wrong;
};
struct count on_switch, on_waking, on_wakeup, on_wakeup_new, on_migrate, on_exit, on_new, on_tick, on_tick_exit, on_reg,
    on_reg_exit, on_unreg, on_raw_switch, on_futex, on_rename, on_mkdir, on_rmdir, on_attach, on_record, on_move_record,
    on_probe, on_probe_exit, on_kick_probe, on_futex_record, on_rename_record;
u32 groups_seen;
u64 last_next_pid, tick_cpus, tick_kicks, nested;
u32 llc_of[64], preempt_count, rq_cpu[64];
bool has_core_priority;

extern const struct rq runqueues __ksym;
extern int sd_llc_id __ksym __weak;
extern int __preempt_count __ksym __weak;
extern int sched_core_priority __ksym __weak;
extern const unsigned long hw_pressure __ksym __weak;
extern unsigned long CONFIG_HZ __kconfig;
extern bool CONFIG_PREEMPT_RCU __kconfig __weak;
extern unsigned long CONFIG_NR_CPUS __kconfig __weak;
u64 config_hz, config_nr_cpus;
bool preempt_rcu;

#define COUNT(where, right)                                \
  do {                                                     \
    __sync_fetch_and_add(&(where).calls, 1);               \
    if (!(right)) __sync_fetch_and_add(&(where).wrong, 1); \
  } while (0)

SEC("tp_btf/sched_switch")
int BPF_PROG(see_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state) {
  struct task_struct *current = bpf_get_current_task_btf();
  COUNT(on_switch, prev != next && current == prev && !(preempt && prev_state));
  last_next_pid = next->pid;
  return 0;
}

SEC("raw_tp/sched_switch")
int see_raw_switch(u64 *ctx) {
  COUNT(on_raw_switch, ctx[1] != ctx[2]);
  return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(see_waking, struct task_struct *p) {
  COUNT(on_waking, p->pid > 0);
  return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(see_wakeup, struct task_struct *p) {
  COUNT(on_wakeup, p->__state == 0);
  return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(see_wakeup_new, struct task_struct *p) {
  COUNT(on_wakeup_new, p->pid > 0);
  return 0;
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(see_migrate, struct task_struct *p, int dest_cpu) {
  COUNT(on_migrate, scx_bpf_task_cpu(p) != dest_cpu);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(see_exit, struct task_struct *p) {
  COUNT(on_exit, p->pid > 0);
  return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(see_new, struct task_struct *p, u64 clone_flags) {
  COUNT(on_new, p->pid > 0 && clone_flags == 0);
  return 0;
}

struct cgroup *bpf_cgroup_from_id(u64 id) __ksym;
struct cgroup *bpf_cgroup_ancestor(struct cgroup *cgroup, int level) __ksym;
void bpf_cgroup_release(struct cgroup *cgroup) __ksym;
struct bpf_iter_css;
#define DESCENDANTS_PRE 2  // BPF_CGROUP_ITER_DESCENDANTS_PRE, which our types do not have.
int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start, unsigned int flags) __ksym __weak;
struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __ksym __weak;
void bpf_iter_css_destroy(struct bpf_iter_css *it) __ksym __weak;

// How many groups there are from the root down, told by the numbers of their parents.
static u32 count_groups(struct cgroup *root, bool *right) {
  u32 count = 0;
  struct cgroup_subsys_state *pos;
  bpf_for_each(css, pos, &root->self, DESCENDANTS_PRE) {
    *right &= pos->cgroup->level == 0 || pos->cgroup->kn->__parent->id < pos->cgroup->kn->id;
    count++;
  }
  return count;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(see_mkdir, struct cgroup *cgrp, const char *path) {
  char text[3] = {};
  bpf_probe_read_kernel_str(text, sizeof(text), path);
  bool right = text[0] == '/' && text[1] == 'a';
  struct cgroup *found = bpf_cgroup_from_id(cgrp->kn->id);
  struct cgroup *root = bpf_cgroup_ancestor(cgrp, 0);
  right &= found == cgrp && root && root->kn->id == 1;
  if (root) groups_seen = count_groups(root, &right);
  if (found) bpf_cgroup_release(found);
  if (root) bpf_cgroup_release(root);
  COUNT(on_mkdir, right);
  return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(see_rmdir, struct cgroup *cgrp, const char *path) {
  COUNT(on_rmdir, cgrp->level == 1);
  return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(see_attach, struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup) {
  COUNT(on_attach, task->cgroups->dfl_cgrp == dst_cgrp && threadgroup && dst_cgrp->level == 2);
  return 0;
}

SEC("fentry/scx_tick")
int BPF_PROG(see_tick, struct rq *rq) {
  s32 cpu = bpf_get_smp_processor_id();
  COUNT(on_tick, rq->cpu == cpu);
  __sync_fetch_and_or(&tick_cpus, 1ULL << (cpu & 63));
  // Kfuncs for all programs act for the scheduler that this program is associated with.
  if (scx_bpf_nr_cpu_ids() > 1) scx_bpf_kick_cpu(0, 0);
  return 0;
}

SEC("fexit/scx_tick")
int BPF_PROG(see_tick_exit, struct rq *rq) {
  COUNT(on_tick_exit, on_tick.calls >= on_tick_exit.calls);
  return 0;
}

SEC("fentry/bpf_scx_reg")
int BPF_PROG(see_reg, void *kdata, struct bpf_link *link) {
  struct sched_ext_ops *ops = kdata;
  char name[4] = {};
  bpf_core_read(name, sizeof(name), &ops->name);
  COUNT(on_reg, name[0] == 'h' && name[1] == 'o');
  return 0;
}

SEC("fexit/bpf_scx_reg")
int BPF_PROG(see_reg_exit, void *kdata, struct bpf_link *link, int ret) {
  COUNT(on_reg_exit, ret == 0);
  return 0;
}

SEC("fentry/bpf_scx_unreg")
int BPF_PROG(see_unreg, void *kdata, struct bpf_link *link) {
  COUNT(on_unreg, true);
  return 0;
}

SEC("fexit/futex_wake")
int BPF_PROG(see_futex, u32 *uaddr, unsigned int flags, int nr_wake, u32 bitset, int ret) {
  COUNT(on_futex, false);
  return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(see_rename, struct task_struct *task, const char *comm) {
  char name[16] = {}, old[16] = {};
  bpf_probe_read_kernel_str(name, sizeof(name), comm);
  bpf_probe_read_kernel_str(old, sizeof(old), task->comm);
  COUNT(on_rename, !bpf_strncmp(name, sizeof(name), "a new name, qui") && !bpf_strncmp(old, sizeof(old), "hog"));
  return 0;
}

SEC("tracepoint/task/task_rename")
int see_rename_record(struct trace_event_raw_task_rename *ctx) {
  COUNT(on_rename_record, ctx->pid > 0 && !bpf_strncmp(ctx->oldcomm, sizeof(ctx->oldcomm), "hog") &&
                              !bpf_strncmp(ctx->newcomm, sizeof(ctx->newcomm), "a new name, qui"));
  return 0;
}

// --- Records and registers ---

SEC("tracepoint/sched/sched_switch")
int see_record(struct trace_event_raw_sched_switch *ctx) {
  struct task_struct *current = bpf_get_current_task_btf();
  COUNT(on_record, ctx->prev_pid != ctx->next_pid && ctx->prev_pid == current->pid && ctx->ent.pid == current->pid &&
                       ctx->prev_comm[0] == current->comm[0] && ctx->next_prio > 0);
  return 0;
}

SEC("tp/sched/sched_migrate_task")
int see_move_record(struct trace_event_raw_sched_migrate_task *ctx) {
  const char *comm = (const char *)ctx + (ctx->__data_loc_comm & 0xffff);
  COUNT(on_move_record, ctx->orig_cpu != ctx->dest_cpu && comm[0] && ctx->__data_loc_comm >> 16 > 1);
  return 0;
}

SEC("kprobe/scx_tick")
int BPF_KPROBE(see_probe, struct rq *rq) {
  COUNT(on_probe, BPF_CORE_READ(rq, cpu) == bpf_get_smp_processor_id());
  return 0;
}

SEC("kretprobe/bpf_scx_reg")
int BPF_KRETPROBE(see_probe_exit, int ret) {
  COUNT(on_probe_exit, ret == 0);
  return 0;
}

SEC("kprobe/scx_bpf_kick_cpu")
int see_kick_probe(struct pt_regs *ctx) {
  COUNT(on_kick_probe, false);
  return 0;
}

SEC("tracepoint/syscalls/sys_enter_futex")
int see_futex_record(void *ctx) {
  COUNT(on_futex_record, false);
  return 0;
}

u64 cookie;

// Attached by hand.
SEC("tracepoint")
int see_cookie(void *ctx) {
  cookie = bpf_get_attach_cookie(ctx);
  return 0;
}

SEC("perf_event")
int see_sample(void *ctx) { return 0; }

// --- Iterators ---

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, u32);
  __type(value, u64);
  __uint(max_entries, 8);
} squares SEC(".maps");

u64 nr_tasks;

SEC("iter/task")
int list_tasks(struct bpf_iter__task *ctx) {
  struct seq_file *seq = ctx->meta->seq;
  struct task_struct *task = ctx->task;

  if (!task) {
    BPF_SEQ_PRINTF(seq, "%llu tasks\n", ctx->meta->seq_num);
    return 0;
  }
  BPF_SEQ_PRINTF(seq, "%d %s\n", task->pid, task->comm);
  return 0;
}

SEC("?iter/task")
int unchecked_task(struct bpf_iter__task *ctx) { return ctx->task->pid; }

SEC("iter/bpf_map_elem")
int list_squares(struct bpf_iter__bpf_map_elem *ctx) {
  u32 *key = ctx->key;
  u64 *value = ctx->value;

  if (!key || !value) return 0;
  BPF_SEQ_PRINTF(ctx->meta->seq, "%u:%llu ", *key, *value);
  *value += 1;
  return 0;
}

// --- Kernel variables ---

SEC("syscall")
int read_variables(void *ctx) {
  u32 i, nr = scx_bpf_nr_cpu_ids();
  bpf_for(i, 0, nr) {
    const struct rq *rq = bpf_per_cpu_ptr(&runqueues, i);
    const int *llc = &sd_llc_id ? bpf_per_cpu_ptr(&sd_llc_id, i) : NULL;
    if (i >= 64) break;
    if (rq) rq_cpu[i & 63] = rq->cpu + 1;
    if (llc) llc_of[i & 63] = *llc + 1;
  }
  if (&__preempt_count) preempt_count = *(int *)bpf_this_cpu_ptr(&__preempt_count);
  has_core_priority = &sched_core_priority != NULL;
  config_hz = CONFIG_HZ;
  config_nr_cpus = CONFIG_NR_CPUS;
  preempt_rcu = CONFIG_PREEMPT_RCU;
  return 0;
}

// --- What other kernels have, and we have not: asked for, or behind what this one is not configured for ---

struct pcpu_hot___old {
  int preempt_count;
} __attribute__((preserve_access_index));
extern struct pcpu_hot___old pcpu_hot __ksym __weak;
struct task_struct___realtime {
  int softirq_disable_cnt;
} __attribute__((preserve_access_index));
extern bool CONFIG_PREEMPT_RT __kconfig __weak;
bool has_pcpu_hot;
int softirq_count = -1;

SEC("syscall")
int read_other_kernels(void *ctx) {
  has_pcpu_hot = bpf_core_field_exists(((struct pcpu_hot___old *)0)->preempt_count);
  if (has_pcpu_hot) preempt_count = ((struct pcpu_hot___old *)bpf_this_cpu_ptr(&pcpu_hot))->preempt_count;
  if (CONFIG_PREEMPT_RT)
    softirq_count = ((struct task_struct___realtime *)bpf_get_current_task_btf())->softirq_disable_cnt;
  return 0;
}

// --- A task's masks ---

u32 bpf_cpumask_weight(const struct cpumask *cpumask) __ksym;
bool bpf_cpumask_subset(const struct cpumask *src1, const struct cpumask *src2) __ksym;

u64 mask_word, mask_probed, mask_cpus;
u32 mask_weight;
bool mask_is_in_force, mask_subset;

SEC("syscall")
int read_masks(int *pid) {
  struct task_struct *p = bpf_task_from_pid(*pid);
  u32 i;

  if (!p) return 1;
  mask_is_in_force = p->cpus_ptr == &p->cpus_mask;
  mask_word = p->cpus_mask.bits[0];
  bpf_probe_read_kernel(&mask_probed, sizeof(mask_probed), __builtin_preserve_access_index(&p->cpus_mask));
  mask_weight = bpf_cpumask_weight(&p->cpus_mask);
  mask_subset = bpf_cpumask_subset(p->cpus_ptr, &p->cpus_mask);
  mask_cpus = 0;
  bpf_for(i, 0, 64) {
    if (bpf_cpumask_test_cpu(i, &p->cpus_mask)) mask_cpus |= 1ull << i;
  }
  bpf_task_release(p);
  return 0;
}

void BPF_STRUCT_OPS(hooks_enqueue, struct task_struct *p, u64 enq_flags) {
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SCX_OPS_DEFINE(hooks_ops, .enqueue = (void *)hooks_enqueue, .name = "hooks");
