// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs of dispatch queues: inserting, dispatching, moving, inspecting (docs/reference/kfuncs.md).
#include "bridge/kfuncs/context.h"

namespace uscx::bridge {

using namespace bpf;  // The registry's words.

USCX_KFUNC(kEnqueue, KF_RCU | KF_IMPLICIT_ARGS, bool, scx_bpf_dsq_insert___v2,
           (struct task_struct * p__nullable, u64 dsq_id, u64 slice, u64 enq_flags)) {
  const Caller c = caller();
  if (!c.sched) return false;
  if (!p__nullable) {
    c.ext().error(*c.sched, "called with NULL task");
    return false;
  }
  return c.ext().dsq_insert(*c.sched, task(p__nullable), dsq_id, slice, enq_flags);
}

USCX_KFUNC(kEnqueue, KF_RCU | KF_IMPLICIT_ARGS, void, scx_bpf_dsq_insert,
           (struct task_struct * p__nullable, u64 dsq_id, u64 slice, u64 enq_flags)) {
  scx_bpf_dsq_insert___v2_body(p__nullable, dsq_id, slice, enq_flags);
}

USCX_KFUNC(kEnqueue, KF_RCU | KF_IMPLICIT_ARGS, bool, __scx_bpf_dsq_insert_vtime,
           (struct task_struct * p__nullable, struct scx_bpf_dsq_insert_vtime_args *args)) {
  const Caller c = caller();
  if (!c.sched) return false;
  if (!p__nullable) {
    c.ext().error(*c.sched, "called with NULL task");
    return false;
  }
  return c.ext().dsq_insert_vtime(*c.sched, task(p__nullable), args->dsq_id, args->slice, args->vtime, args->enq_flags);
}

USCX_KFUNC(kEnqueue, KF_RCU, void, scx_bpf_dsq_insert_vtime,
           (struct task_struct * p__nullable, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags)) {
  if (!only_root(p__nullable, "__scx_bpf_dsq_insert_vtime")) return;
  scx_bpf_dsq_insert_vtime_args args = {dsq_id, slice, vtime, enq_flags};
  __scx_bpf_dsq_insert_vtime_body(p__nullable, &args);
}

USCX_KFUNC(kDispatch, KF_IMPLICIT_ARGS, u32, scx_bpf_dispatch_nr_slots, (void)) {
  const Caller c = caller();
  return c.sched ? c.ext().dispatch_nr_slots(*c.sched) : 0;
}

USCX_KFUNC(kDispatch, KF_IMPLICIT_ARGS, void, scx_bpf_dispatch_cancel, (void)) {
  const Caller c = caller();
  if (c.sched) c.ext().dispatch_cancel(*c.sched);
}

USCX_KFUNC(kDispatch, KF_IMPLICIT_ARGS, bool, scx_bpf_dsq_move_to_local___v2, (u64 dsq_id, u64 enq_flags)) {
  const Caller c = caller();
  return c.sched && c.ext().dsq_move_to_local(*c.sched, dsq_id, enq_flags);
}

USCX_KFUNC(kDispatch, KF_IMPLICIT_ARGS, bool, scx_bpf_dsq_move_to_local, (u64 dsq_id)) {
  return scx_bpf_dsq_move_to_local___v2_body(dsq_id, 0);
}

USCX_KFUNC(kDispatch, KF_IMPLICIT_ARGS, bool, scx_bpf_sub_dispatch, (u64 cgroup_id)) {
  const Caller c = caller();
  return c.sched && c.ext().sub_dispatch(*c.sched, cgroup_id);
}

USCX_KFUNC(kUnlocked, KF_SLEEPABLE | KF_IMPLICIT_ARGS, s32, scx_bpf_create_dsq, (u64 dsq_id, s32 node)) {
  const Caller c = caller();
  return c.sched ? c.ext().create_dsq(*c.sched, dsq_id, node) : -ENODEV;
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_destroy_dsq, (u64 dsq_id)) {
  const Caller c = caller();
  if (c.sched) c.ext().destroy_dsq(*c.sched, dsq_id);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, s32, scx_bpf_dsq_nr_queued, (u64 dsq_id)) {
  const Caller c = caller();
  return c.sched ? c.ext().dsq_nr_queued(*c.sched, dsq_id) : -ENODEV;
}

USCX_KFUNC(kAny, KF_RCU_PROTECTED | KF_RET_NULL | KF_IMPLICIT_ARGS, struct task_struct *, scx_bpf_dsq_peek,
           (u64 dsq_id)) {
  const Caller c = caller();
  sched::Task *p = c.sched ? c.ext().dsq_peek(*c.sched, dsq_id) : nullptr;
  return p ? &p->ts : nullptr;
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_dsq_reenq, (u64 dsq_id, u64 reenq_flags)) {
  const Caller c = caller();
  if (c.sched) c.ext().dsq_reenq(*c.sched, dsq_id, reenq_flags);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_reenqueue_local___v2, (void)) {
  const Caller c = caller();
  if (c.sched) c.ext().dsq_reenq(*c.sched, SCX_DSQ_LOCAL, 0);
}

USCX_KFUNC(kCpuRelease, KF_IMPLICIT_ARGS, u32, scx_bpf_reenqueue_local, (void)) {
  const Caller c = caller();
  return c.sched ? c.ext().reenqueue_local() : 0;
}

// Iterators over user DSQs, and moving what they find.

USCX_KFUNC(kAny, KF_ITER_NEW | KF_RCU_PROTECTED | KF_IMPLICIT_ARGS, int, bpf_iter_scx_dsq_new,
           (struct bpf_iter_scx_dsq * it, u64 dsq_id, u64 flags)) {
  const Caller c = caller();
  return c.ext().iter_new(c.sched, it, dsq_id, flags);
}

USCX_KFUNC(kAny, KF_ITER_NEXT | KF_RET_NULL, struct task_struct *, bpf_iter_scx_dsq_next,
           (struct bpf_iter_scx_dsq * it)) {
  const Caller c = caller();
  sched::Task *p = c.ext().iter_next(it);
  return p ? &p->ts : nullptr;
}

USCX_KFUNC(kAny, KF_ITER_DESTROY, void, bpf_iter_scx_dsq_destroy, (struct bpf_iter_scx_dsq * it)) {
  caller().ext().iter_destroy(it);
}

USCX_KFUNC(kDispatch | kUnlocked, KF_RCU, void, scx_bpf_dsq_move_set_slice,
           (struct bpf_iter_scx_dsq * it__iter, u64 slice)) {
  caller().ext().move_set_slice(it__iter, slice);
}

USCX_KFUNC(kDispatch | kUnlocked, KF_RCU, void, scx_bpf_dsq_move_set_vtime,
           (struct bpf_iter_scx_dsq * it__iter, u64 vtime)) {
  caller().ext().move_set_vtime(it__iter, vtime);
}

USCX_KFUNC(kDispatch | kUnlocked, KF_RCU, bool, scx_bpf_dsq_move,
           (struct bpf_iter_scx_dsq * it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags)) {
  const Caller c = caller();
  return c.sched && c.ext().dsq_move(*c.sched, it__iter, task(p), dsq_id, enq_flags, false);
}

USCX_KFUNC(kDispatch | kUnlocked, KF_RCU, bool, scx_bpf_dsq_move_vtime,
           (struct bpf_iter_scx_dsq * it__iter, struct task_struct *p, u64 dsq_id, u64 enq_flags)) {
  const Caller c = caller();
  return c.sched && c.ext().dsq_move(*c.sched, it__iter, task(p), dsq_id, enq_flags, true);
}

// Names of 6.12, with the behaviour of 7.2.
USCX_KFUNC_ALIAS(scx_bpf_dispatch, scx_bpf_dsq_insert)
USCX_KFUNC_ALIAS(scx_bpf_dispatch_vtime, scx_bpf_dsq_insert_vtime)
USCX_KFUNC_ALIAS(scx_bpf_consume, scx_bpf_dsq_move_to_local)
USCX_KFUNC_ALIAS(scx_bpf_dispatch_from_dsq, scx_bpf_dsq_move)
USCX_KFUNC_ALIAS(scx_bpf_dispatch_vtime_from_dsq, scx_bpf_dsq_move_vtime)
USCX_KFUNC_ALIAS(scx_bpf_dispatch_from_dsq_set_slice, scx_bpf_dsq_move_set_slice)
USCX_KFUNC_ALIAS(scx_bpf_dispatch_from_dsq_set_vtime, scx_bpf_dsq_move_set_vtime)

}  // namespace uscx::bridge
