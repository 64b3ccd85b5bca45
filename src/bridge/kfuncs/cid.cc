// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs of cids (docs/reference/kfuncs.md): the numbers that schedulers of the cid form know CPUs by.
#include "bridge/kfuncs/context.h"

namespace uscx::bridge {

using namespace bpf;  // The registry's words.

namespace {

// Negative, with an error, if the cid is none.
s32 cpu_of(const Caller &c, s32 cid) { return c.sched ? c.ext().cid_to_cpu(*c.sched, cid) : -EINVAL; }

}  // namespace

USCX_KFUNC(kCid, KF_IMPLICIT_ARGS, s32, scx_bpf_cid_to_cpu, (s32 cid)) { return cpu_of(caller(), cid); }

USCX_KFUNC(kCid, KF_IMPLICIT_ARGS, s32, scx_bpf_cpu_to_cid, (s32 cpu)) {
  const Caller c = caller();
  return c.sched ? c.ext().cpu_to_cid(*c.sched, cpu) : -EINVAL;
}

USCX_KFUNC(kCid, KF_IMPLICIT_ARGS, void, scx_bpf_cid_topo, (s32 cid, struct scx_cid_topo *out, size_t out__sz)) {
  const Caller c = caller();
  scx_cid_topo topo = {-1, -1, -1, -1, -1, -1};
  if (c.sched && c.ext().cid_valid(*c.sched, cid)) topo = c.ext().cids().topo(static_cast<u32>(cid));
  std::memset(out, 0xff, out__sz);
  std::memcpy(out, &topo, std::min(out__sz, sizeof(topo)));
}

USCX_KFUNC(kInit, KF_SLEEPABLE | KF_IMPLICIT_ARGS, void, scx_bpf_cid_override,
           (const s32 *cpu_to_cid, u32 cpu_to_cid__sz)) {
  const Caller c = caller();
  if (c.sched) c.ext().cid_override(*c.sched, cpu_to_cid, cpu_to_cid__sz);
}

USCX_KFUNC(kAny, 0, u32, scx_bpf_nr_cids, (void)) { return caller_host().ext().cids().nr(); }

USCX_KFUNC(kAny, 0, u32, scx_bpf_nr_online_cids, (void)) {
  return caller_host().kernel().online_mask().view().weight();
}

USCX_KFUNC(kAny, 0, s32, scx_bpf_this_cid, (void)) {
  return caller_host().ext().cids().cid_of(caller_host().system().env().cpu());
}

USCX_KFUNC(kAny, KF_RCU, s32, scx_bpf_task_cid, (const struct task_struct *p)) {
  return caller_host().ext().cids().cid_of(task(p).cpu);
}

USCX_KFUNC(kAny, KF_RCU_PROTECTED | KF_RET_NULL | KF_IMPLICIT_ARGS, struct task_struct *, scx_bpf_cid_curr, (s32 cid)) {
  const Caller c = caller();
  const s32 cpu = cpu_of(c, cid);
  return cpu < 0 ? nullptr : &c.kernel().rq(static_cast<u32>(cpu)).curr->ts;
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_kick_cid, (s32 cid, u64 flags)) {
  const Caller c = caller();
  const s32 cpu = cpu_of(c, cid);
  if (cpu >= 0) c.ext().kick_cpu(*c.sched, cpu, flags);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, u32, scx_bpf_cidperf_cap, (s32 cid)) {
  const Caller c = caller();
  const s32 cpu = cpu_of(c, cid);
  return cpu < 0 ? static_cast<u32>(SCX_CPUPERF_ONE) : c.ext().cpuperf_cap(*c.sched, cpu);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, u32, scx_bpf_cidperf_cur, (s32 cid)) {
  const Caller c = caller();
  const s32 cpu = cpu_of(c, cid);
  return cpu < 0 ? static_cast<u32>(SCX_CPUPERF_ONE) : c.ext().cpuperf_cur(*c.sched, cpu);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_cidperf_set, (s32 cid, u32 perf)) {
  const Caller c = caller();
  const s32 cpu = cpu_of(c, cid);
  if (cpu >= 0) c.ext().cpuperf_set(*c.sched, cpu, perf);
}

}  // namespace uscx::bridge
