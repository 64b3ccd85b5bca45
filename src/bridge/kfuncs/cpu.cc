// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs of CPUs, clocks, performance levels and idle tracking (docs/reference/kfuncs.md, docs/reference/idle.md).
#include "bridge/kfuncs/context.h"

namespace uscx::bridge {

using namespace bpf;  // The registry's words.

USCX_KFUNC(kAny | kCpuForm, KF_IMPLICIT_ARGS, void, scx_bpf_kick_cpu, (s32 cpu, u64 flags)) {
  const Caller c = caller();
  if (c.sched) c.ext().kick_cpu(*c.sched, cpu, flags);
}

USCX_KFUNC(kAny | kCpuForm, KF_RCU_PROTECTED | KF_RET_NULL | KF_IMPLICIT_ARGS, struct task_struct *, scx_bpf_cpu_curr,
           (s32 cpu)) {
  const Caller c = caller();
  if (!c.sched || !c.ext().cpu_valid(*c.sched, cpu)) return nullptr;
  return &c.kernel().rq(cpu).curr->ts;
}

USCX_KFUNC(kAny | kCpuForm, KF_IMPLICIT_ARGS, struct rq *, scx_bpf_cpu_rq, (s32 cpu)) {
  const Caller c = caller();
  if (!c.sched || !c.ext().cpu_valid(*c.sched, cpu)) return nullptr;
  return c.kernel().rq(cpu).shared;
}

USCX_KFUNC(kAny, KF_RET_NULL | KF_IMPLICIT_ARGS, struct rq *, scx_bpf_locked_rq, (void)) {
  const Caller c = caller();
  if (!c.sched) return nullptr;
  const sched::CallContext *context = c.ext().context();
  if (context && context->locked_rq) return context->locked_rq->shared;
  c.ext().error(*c.sched, "accessing rq without holding rq lock");
  return nullptr;
}

USCX_KFUNC(kAny | kCpuForm, KF_IMPLICIT_ARGS, u32, scx_bpf_cpuperf_cap, (s32 cpu)) {
  const Caller c = caller();
  return c.sched ? c.ext().cpuperf_cap(*c.sched, cpu) : static_cast<u32>(SCX_CPUPERF_ONE);
}

USCX_KFUNC(kAny | kCpuForm, KF_IMPLICIT_ARGS, u32, scx_bpf_cpuperf_cur, (s32 cpu)) {
  const Caller c = caller();
  return c.sched ? c.ext().cpuperf_cur(*c.sched, cpu) : static_cast<u32>(SCX_CPUPERF_ONE);
}

USCX_KFUNC(kAny | kCpuForm, KF_IMPLICIT_ARGS, void, scx_bpf_cpuperf_set, (s32 cpu, u32 perf)) {
  const Caller c = caller();
  if (c.sched) c.ext().cpuperf_set(*c.sched, cpu, perf);
}

USCX_KFUNC(kAny, 0, u64, scx_bpf_now, (void)) { return caller_host().ext().scx_now(); }

USCX_KFUNC(kAny, 0, u32, scx_bpf_nr_cpu_ids, (void)) { return caller_host().kernel().nr_cpus(); }

USCX_KFUNC(kAny, 0, u32, scx_bpf_nr_node_ids, (void)) { return caller_host().machine().topology().nr_nodes(); }

USCX_KFUNC(kAny | kCpuForm, KF_ACQUIRE, const struct cpumask *, scx_bpf_get_possible_cpumask, (void)) {
  sched::Kernel &kernel = caller_host().kernel();
  return kernel.kernel_mask(kernel.possible_mask());
}

USCX_KFUNC(kAny | kCpuForm, KF_ACQUIRE, const struct cpumask *, scx_bpf_get_online_cpumask, (void)) {
  return caller_host().kernel().online_kernel_mask();
}

USCX_KFUNC(kAny | kCpuForm, KF_RELEASE, void, scx_bpf_put_cpumask, (const struct cpumask *cpumask)) { (void)cpumask; }

USCX_KFUNC(kIdle | kCpuForm, KF_IMPLICIT_ARGS, int, scx_bpf_cpu_node, (s32 cpu)) {
  const Caller c = caller();
  if (!c.sched || !c.ext().cpu_valid(*c.sched, cpu)) return -1;
  return static_cast<int>(c.host.machine().topology().node_of(cpu));
}

// --- idle tracking ---

USCX_KFUNC(kSelectCpu | kUnlocked | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, scx_bpf_select_cpu_dfl,
           (struct task_struct * p, s32 prev_cpu, u64 wake_flags, bool *is_idle)) {
  const Caller c = caller();
  if (!c.sched) return -ENODEV;
  return c.ext().select_cpu_dfl(*c.sched, task(p), prev_cpu, wake_flags, is_idle);
}

USCX_KFUNC(kSelectCpu | kUnlocked | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, __scx_bpf_select_cpu_and,
           (struct task_struct * p, const struct cpumask *cpus_allowed, struct scx_bpf_select_cpu_and_args *args)) {
  const Caller c = caller();
  if (!c.sched) return -ENODEV;
  return c.ext().select_cpu_and(*c.sched, task(p), args->prev_cpu, args->wake_flags, cpus_allowed, args->flags);
}

USCX_KFUNC(kSelectCpu | kUnlocked | kCpuForm, KF_RCU, s32, scx_bpf_select_cpu_and,
           (struct task_struct * p, s32 prev_cpu, u64 wake_flags, const struct cpumask *cpus_allowed, u64 flags)) {
  if (!only_root(p, "__scx_bpf_select_cpu_and")) return -EINVAL;
  scx_bpf_select_cpu_and_args args = {prev_cpu, wake_flags, flags};
  return __scx_bpf_select_cpu_and_body(p, cpus_allowed, &args);
}

USCX_KFUNC(kIdle | kCpuForm, KF_IMPLICIT_ARGS, bool, scx_bpf_test_and_clear_cpu_idle, (s32 cpu)) {
  const Caller c = caller();
  return c.sched && c.ext().test_and_clear_cpu_idle(*c.sched, cpu);
}

USCX_KFUNC(kIdle | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, scx_bpf_pick_idle_cpu,
           (const struct cpumask *cpus_allowed, u64 flags)) {
  const Caller c = caller();
  return c.sched ? c.ext().pick_idle_cpu(*c.sched, cpus_allowed, flags) : -ENODEV;
}

USCX_KFUNC(kIdle | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, scx_bpf_pick_idle_cpu_node,
           (const struct cpumask *cpus_allowed, int node, u64 flags)) {
  const Caller c = caller();
  return c.sched ? c.ext().pick_idle_cpu_node(*c.sched, cpus_allowed, node, flags) : -ENODEV;
}

USCX_KFUNC(kIdle | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, scx_bpf_pick_any_cpu,
           (const struct cpumask *cpus_allowed, u64 flags)) {
  const Caller c = caller();
  return c.sched ? c.ext().pick_any_cpu(*c.sched, cpus_allowed, flags) : -ENODEV;
}

USCX_KFUNC(kIdle | kCpuForm, KF_RCU | KF_IMPLICIT_ARGS, s32, scx_bpf_pick_any_cpu_node,
           (const struct cpumask *cpus_allowed, int node, u64 flags)) {
  const Caller c = caller();
  return c.sched ? c.ext().pick_any_cpu_node(*c.sched, cpus_allowed, node, flags) : -ENODEV;
}

namespace {
// node < 0: the form without a node argument.
const cpumask *idle_mask(bool smt, s32 node) {
  const Caller c = caller();
  if (!c.sched) return c.kernel().kernel_mask(c.kernel().intern_mask(machine::CpuMask(c.kernel().nr_cpus())));
  return c.ext().idle_cpumask(*c.sched, smt, node);
}
}  // namespace

USCX_KFUNC(kIdle | kCpuForm, KF_ACQUIRE | KF_IMPLICIT_ARGS, const struct cpumask *, scx_bpf_get_idle_cpumask, (void)) {
  return idle_mask(false, sched::Ext::kGlobalMask);
}

USCX_KFUNC(kIdle | kCpuForm, KF_ACQUIRE | KF_IMPLICIT_ARGS, const struct cpumask *, scx_bpf_get_idle_smtmask, (void)) {
  return idle_mask(true, sched::Ext::kGlobalMask);
}

USCX_KFUNC(kIdle | kCpuForm, KF_ACQUIRE | KF_IMPLICIT_ARGS, const struct cpumask *, scx_bpf_get_idle_cpumask_node,
           (int node)) {
  return idle_mask(false, node);
}

USCX_KFUNC(kIdle | kCpuForm, KF_ACQUIRE | KF_IMPLICIT_ARGS, const struct cpumask *, scx_bpf_get_idle_smtmask_node,
           (int node)) {
  return idle_mask(true, node);
}

USCX_KFUNC(kIdle | kCpuForm, KF_RELEASE, void, scx_bpf_put_idle_cpumask, (const struct cpumask *idle_mask)) {
  (void)idle_mask;
}

}  // namespace uscx::bridge
