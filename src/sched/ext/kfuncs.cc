// SPDX-License-Identifier: GPL-2.0-only
// What the kfuncs of CPU selection, idle masks, kicks and the rest do (docs/reference/kfuncs.md).
#include <cerrno>

#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

constexpr const char *kIdleOff = "built-in idle tracking is disabled";
constexpr const char *kPerNodeOn = "SCX_OPS_BUILTIN_IDLE_PER_NODE enabled";

}  // namespace

// --- tasks ---

bool Ext::task_set_slice(ExtSched &s, Task &p, u64 slice) {
  if (p.ext_sched != &s) return false;
  p.set_slice(slice);
  return true;
}

bool Ext::task_set_dsq_vtime(ExtSched &s, Task &p, u64 vtime) {
  if (p.ext_sched != &s) return false;
  machine::racy_store(p.ts.scx.dsq_vtime, vtime);
  return true;
}

Task *Ext::tid_to_task(u64 tid) {
  Impl &impl = *impl_;
  ExtSched *s = impl.root;
  if (!s) return nullptr;
  if (!s->flag(SCX_OPS_TID_TO_TASK)) {
    impl.error(*s, "scx_bpf_tid_to_task() called without SCX_OPS_TID_TO_TASK");
    return nullptr;
  }
  machine::SpinGuard guard(impl.tid_lock);
  auto it = impl.by_tid.find(tid);
  return it == impl.by_tid.end() ? nullptr : it->second;
}

// --- CPUs ---

bool Ext::cpu_valid(ExtSched &s, s32 cpu) { return impl_->cpu_ok(s, cpu); }

const Cids &Ext::cids() const { return impl_->cids; }

bool Ext::cid_valid(ExtSched &s, s32 cid) { return impl_->cid_ok(s, cid); }

s32 Ext::cid_to_cpu(ExtSched &s, s32 cid) {
  return impl_->cid_ok(s, cid) ? impl_->cids.cpu_of(static_cast<u32>(cid)) : -EINVAL;
}

s32 Ext::cpu_to_cid(ExtSched &s, s32 cpu) {
  return impl_->cpu_ok(s, cpu) ? impl_->cids.cid_of(static_cast<u32>(cpu)) : -EINVAL;
}

void Ext::cid_override(ExtSched &s, const s32 *cpu_to_cid, u32 bytes) {
  Impl &impl = *impl_;
  const size_t expected = impl.cids.nr() * sizeof(s32);
  if (impl.root != &s) return impl.error(s, "scx_bpf_cid_override() only allowed from root sched");
  if (bytes != expected)
    return impl.error(s, fmt::format("scx_bpf_cid_override: expected {} bytes, got {}", expected, bytes));
  const std::string problem = impl.cids.override_order(cpu_to_cid);
  if (!problem.empty()) impl.error(s, problem);
}

void Ext::kick_cpu(ExtSched &s, s32 cpu, u64 flags) {
  if (impl_->cpu_ok(s, cpu)) impl_->kick(&s, static_cast<u32>(cpu), flags);
}

u64 Ext::scx_now() {
  const Rq &rq = impl_->kernel.this_rq();
  return rq.lock.held_here() && rq.clock_valid ? rq.clock_ns : now_ns();
}

// FIDELITY: one-frequency.
u32 Ext::cpuperf_cap(ExtSched &s, s32 cpu) { return impl_->cpu_ok(s, cpu), u32{SCX_CPUPERF_ONE}; }
u32 Ext::cpuperf_cur(ExtSched &s, s32 cpu) { return impl_->cpu_ok(s, cpu), u32{SCX_CPUPERF_ONE}; }

void Ext::cpuperf_set(ExtSched &s, s32 cpu, u32 perf) {
  Impl &impl = *impl_;
  if (perf > SCX_CPUPERF_ONE) return impl.error(s, fmt::format("Invalid cpuperf target {} for CPU {}", perf, cpu));
  if (!impl.cpu_ok(s, cpu)) return;
  Rq &rq = impl.kernel.rq(static_cast<u32>(cpu));
  CallContext *here = context();
  if (here && here->locked_rq && here->locked_rq != &rq)
    return impl.error(s, fmt::format("Invalid target CPU {}", cpu));
  machine::racy_store(rq.shared->scx.cpuperf_target, perf);
}

void Ext::events(scx_event_stats *out) {
  *out = {};
  if (const ExtSched *s = impl_->root) impl_->sum_events(*s, out);
}

// --- idle CPUs ---

// The wrapper of both select_cpu kfuncs: who may be asked about, and tasks that have no choice.
s32 Ext::Impl::select_cpu_kfunc(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags) {
  if (!cpu_ok(s, prev_cpu)) return -EINVAL;
  if (!idle.enabled()) {
    error(s, kIdleOff);
    return -EBUSY;
  }
  CallContext *here = ext.context();
  const bool in_select_cpu = here && here->op == Op::select_cpu;
  const bool foreign =
      in_select_cpu ? here->subject[0] != &p : here && here->locked_rq && here->locked_rq != &kernel.task_rq(p);
  if (foreign) {
    error(s, fmt::format("select_cpu kfunc called cross-task on {}", task_label(p)));
    return -EINVAL;
  }
  if (p.nr_cpus_allowed() == 1 || p.migration_disabled()) {
    const u32 prev = static_cast<u32>(prev_cpu);
    const bool in_mask = !allowed || machine::MaskView(allowed->bits, kernel.nr_cpus()).test(prev);
    return in_mask && p.allowed_on(prev) && idle.test_and_clear(prev) ? prev_cpu : -EBUSY;
  }
  return idle.select_cpu_dfl(p, prev_cpu, wake_flags, allowed, flags);
}

s32 Ext::select_cpu_dfl(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, bool *is_idle) {
  const s32 cpu = impl_->select_cpu_kfunc(s, p, prev_cpu, wake_flags, nullptr, 0);
  *is_idle = cpu >= 0;
  return cpu >= 0 ? cpu : prev_cpu;
}

s32 Ext::select_cpu_and(ExtSched &s, Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags) {
  return impl_->select_cpu_kfunc(s, p, prev_cpu, wake_flags, allowed, flags);
}

bool Ext::test_and_clear_cpu_idle(ExtSched &s, s32 cpu) {
  Impl &impl = *impl_;
  if (!impl.idle.enabled()) return impl.error(s, kIdleOff), false;
  return impl.cpu_ok(s, cpu) && impl.idle.test_and_clear(static_cast<u32>(cpu));
}

s32 Ext::pick_idle_cpu(ExtSched &s, const cpumask *mask, u64 flags) {
  Impl &impl = *impl_;
  if (impl.idle.per_node()) return impl.error(s, "per-node idle tracking is enabled"), -EBUSY;
  if (!impl.idle.enabled()) return impl.error(s, kIdleOff), -EBUSY;
  return impl.idle.pick_idle(mask, IdleTracker::kNoNode, flags);
}

s32 Ext::pick_any_cpu(ExtSched &s, const cpumask *mask, u64 flags) {
  Impl &impl = *impl_;
  if (impl.idle.per_node()) return impl.error(s, "per-node idle tracking is enabled"), -EBUSY;
  return impl.idle.pick_any(mask, IdleTracker::kNoNode, flags);
}

// 0, or why the node cannot be used. -1 is "no node" and no error of the scheduler's.
s32 Ext::Impl::check_node(ExtSched &s, s32 node) {
  if (!idle.per_node()) return error(s, "per-node idle tracking is disabled"), -EOPNOTSUPP;
  if (node == -1) return -ENOENT;
  if (node >= 0 && static_cast<u32>(node) < machine.topology().nr_nodes()) return 0;
  error(s, fmt::format("invalid node {}", node));
  return -EINVAL;
}

s32 Ext::pick_idle_cpu_node(ExtSched &s, const cpumask *mask, s32 node, u64 flags) {
  if (const s32 bad = impl_->check_node(s, node)) return bad;
  return impl_->idle.pick_idle(mask, node, flags);
}

s32 Ext::pick_any_cpu_node(ExtSched &s, const cpumask *mask, s32 node, u64 flags) {
  if (const s32 bad = impl_->check_node(s, node)) return bad;
  return impl_->idle.pick_any(mask, node, flags);
}

const cpumask *Ext::idle_cpumask(ExtSched &s, bool smt, s32 node) {
  Impl &impl = *impl_;
  const IdleTracker &idle = impl.idle;
  if (node == kGlobalMask) {
    if (idle.per_node()) return impl.error(s, kPerNodeOn), idle.empty_mask();
    if (!idle.enabled()) return impl.error(s, kIdleOff), idle.empty_mask();
    return idle.mask(smt, IdleTracker::kNoNode);
  }
  return impl.check_node(s, node) ? idle.empty_mask() : idle.mask(smt, node);
}

}  // namespace uscx::sched
