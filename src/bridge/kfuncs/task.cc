// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs of tasks and cgroups: sched_ext's own, and the generic ones that schedulers use to hold references.
#include "bridge/kfuncs/context.h"
#include "sched/cgroup.h"

namespace uscx::bridge {

using namespace bpf;  // The registry's words.

USCX_KFUNC(kAny, KF_RCU | KF_IMPLICIT_ARGS, bool, scx_bpf_task_set_slice, (struct task_struct * p, u64 slice)) {
  const Caller c = caller();
  return c.sched && c.ext().task_set_slice(*c.sched, task(p), slice);
}

USCX_KFUNC(kAny, KF_RCU | KF_IMPLICIT_ARGS, bool, scx_bpf_task_set_dsq_vtime, (struct task_struct * p, u64 vtime)) {
  const Caller c = caller();
  return c.sched && c.ext().task_set_dsq_vtime(*c.sched, task(p), vtime);
}

USCX_KFUNC(kAny, KF_RCU, bool, scx_bpf_task_running, (const struct task_struct *p)) {
  return caller_host().kernel().task_rq(task(p)).curr == &task(p);
}

USCX_KFUNC(kAny | kCpuForm, KF_RCU, s32, scx_bpf_task_cpu, (const struct task_struct *p)) {
  return static_cast<s32>(task(p).cpu);
}

USCX_KFUNC(kAny, KF_RCU_PROTECTED | KF_RET_NULL, struct task_struct *, scx_bpf_tid_to_task, (u64 tid)) {
  sched::Task *p = caller_host().ext().tid_to_task(tid);
  return p ? &p->ts : nullptr;
}

USCX_KFUNC(kAny, KF_ACQUIRE | KF_RCU | KF_IMPLICIT_ARGS, struct cgroup *, scx_bpf_task_cgroup,
           (struct task_struct * p)) {
  const Caller c = caller();
  if (c.sched) return c.ext().task_cgroup(*c.sched, task(p));
  sched::CgroupTree &tree = c.kernel().cgroups();
  tree.get(tree.root());
  return tree.root().abi;
}

USCX_KFUNC(kAny, 0, void, scx_bpf_events, (struct scx_event_stats * events, size_t events__sz)) {
  scx_event_stats all = {};
  caller_host().ext().events(&all);
  std::memcpy(events, &all, std::min(events__sz, sizeof(all)));
}

// --- references ---

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct task_struct *, bpf_task_from_pid, (s32 pid)) {
  Host &host = caller_host();
  sched::Task *p = host.kernel().find_task(pid);
  if (!p) return nullptr;
  host.kernel().get_task(*p);
  return &p->ts;
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct task_struct *, bpf_task_from_vpid, (s32 vpid)) {
  return bpf_task_from_pid_body(vpid);  // One pid namespace.
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RCU | KF_RET_NULL, struct task_struct *, bpf_task_acquire,
           (struct task_struct * p)) {
  caller_host().kernel().get_task(task(p));
  return p;
}

USCX_KFUNC(kGeneric, KF_RELEASE, void, bpf_task_release, (struct task_struct * p)) {
  caller_host().kernel().put_task(task(p));
}

namespace {
// With a reference, or null if the last one is gone.
struct cgroup *acquired(struct cgroup *cgrp) {
  return cgrp && caller_host().kernel().cgroups().try_get(sched::CgroupTree::of(cgrp)) ? cgrp : nullptr;
}
}  // namespace

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RCU | KF_RET_NULL, struct cgroup *, bpf_cgroup_acquire, (struct cgroup * cgrp)) {
  return acquired(cgrp);
}

USCX_KFUNC(kGeneric, KF_RELEASE, void, bpf_cgroup_release, (struct cgroup * cgrp)) {
  caller_host().kernel().cgroups().put(sched::CgroupTree::of(cgrp));
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RCU | KF_RET_NULL, struct cgroup *, bpf_cgroup_ancestor,
           (struct cgroup * cgrp, int level)) {
  return level < 0 || level > cgrp->level ? nullptr : acquired(cgrp->ancestors[level]);
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct cgroup *, bpf_cgroup_from_id, (u64 cgid)) {
  sched::Cgroup *found = caller_host().kernel().cgroups().find_id(cgid);
  return found ? acquired(found->abi) : nullptr;
}

}  // namespace uscx::bridge
