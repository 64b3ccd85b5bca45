// SPDX-License-Identifier: GPL-2.0-only
// What a scheduler hears of control groups (docs/reference/core.md, section 20; docs/reference/ops.md). Groups keep
// their settings without one, and every group that a scheduler is told of with cgroup_init it is told of with
// cgroup_exit.
//
// Threading: CgroupTree's lock is held where groups come and go and tasks move, its ops_lock() where settings change;
// whoever loads or unloads a scheduler holds both.
#include "sched/cgroup.h"

#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

// The flags change with the tree's lock held.
void set_flags(TaskGroup &group, u32 flags) { machine::racy_store(group.ts.scx.flags, flags); }

}  // namespace

// --- loading and unloading ---

int Ext::Impl::cgroup_init(ExtSched &s, TaskGroup &group) {
  if (!s.has(Op::cgroup_init)) return 0;
  const scx_task_group &scx = group.ts.scx;
  args().cgroup_init = {.weight = scx.weight,
                        .bw_period_us = scx.bw_period_us,
                        .bw_quota_us = scx.bw_quota_us,
                        .bw_burst_us = scx.bw_burst_us};
  return call(Op::cgroup_init, nullptr, nullptr,
              [&] { return s.ops.cgroup_init(group.cgroup->abi, &args().cgroup_init); });
}

// Every group, parents first. What has been initialised when one fails is undone when the scheduler goes.
bool Ext::Impl::init_cgroups(ExtSched &s) {
  CgroupTree &tree = kernel.cgroups();
  for (Cgroup *at = &tree.root(); at; at = tree.next(tree.root(), at, CssOrder::kPre)) {
    TaskGroup *group = at->own_group;
    if (!group) continue;
    if (const s32 ret = cgroup_init(s, *group)) {
      error(s, fmt::format("ops.cgroup_init() failed ({})", sanitize_errno(s, "cgroup_init", ret)));
      return false;
    }
    set_flags(*group, SCX_TG_ONLINE | SCX_TG_INITED);
  }
  cgroups_on = true;
  return true;
}

// Children first.
void Ext::Impl::exit_cgroups(ExtSched &s) {
  CgroupTree &tree = kernel.cgroups();
  machine::SpinGuard guard(tree.lock());
  machine::WriteGuard writer(tree.ops_lock());
  cgroups_on = false;
  for (Cgroup *at = tree.next(tree.root(), nullptr, CssOrder::kPost); at;
       at = tree.next(tree.root(), at, CssOrder::kPost)) {
    TaskGroup *group = at->own_group;
    if (!group || !(group->ts.scx.flags & SCX_TG_INITED)) continue;
    set_flags(*group, SCX_TG_ONLINE);
    if (s.has(Op::cgroup_exit)) call(Op::cgroup_exit, nullptr, nullptr, [&] { s.ops.cgroup_exit(at->abi); });
  }
}

// --- groups that come and go ---

int Ext::cgroup_online(TaskGroup &group) {
  u32 flags = SCX_TG_ONLINE;
  if (impl_->cgroups_on) {
    ExtSched &s = *impl_->root;
    if (const s32 ret = impl_->cgroup_init(s, group)) return impl_->sanitize_errno(s, "cgroup_init", ret);
    flags |= SCX_TG_INITED;
  }
  set_flags(group, flags);
  return 0;
}

void Ext::cgroup_offline(TaskGroup &group) {
  const bool inited = group.ts.scx.flags & SCX_TG_INITED;
  if (impl_->cgroups_on && inited) {
    ExtSched &s = *impl_->root;
    if (s.has(Op::cgroup_exit))
      impl_->call(Op::cgroup_exit, nullptr, nullptr, [&] { s.ops.cgroup_exit(group.cgroup->abi); });
  }
  set_flags(group, 0);
}

// --- moves ---

// Tasks that stay in their group are not moved for the scheduler: prep_move and move are called for the same ones.
int Ext::cgroup_can_attach(const std::vector<CgroupMove> &moves) {
  if (!impl_->cgroups_on) return 0;
  ExtSched &s = *impl_->root;
  for (const CgroupMove &move : moves) {
    task_struct &ts = move.task->ts;
    cgroup *from = move.task->group->cgroup->abi, *to = move.group->cgroup->abi;
    if (from == to) continue;
    s32 ret = 0;
    if (s.has(Op::cgroup_prep_move))
      ret = impl_->call(Op::cgroup_prep_move, nullptr, nullptr, [&] { return s.ops.cgroup_prep_move(&ts, from, to); });
    if (ret) {
      impl_->cancel_moves(s, moves);
      return impl_->sanitize_errno(s, "cgroup_prep_move", ret);
    }
    ts.scx.cgrp_moving_from = from;
  }
  return 0;
}

void Ext::Impl::cancel_moves(ExtSched &s, const std::vector<CgroupMove> &moves) {
  for (const CgroupMove &move : moves) {
    task_struct &ts = move.task->ts;
    if (ts.scx.cgrp_moving_from && s.has(Op::cgroup_cancel_move))
      call(Op::cgroup_cancel_move, nullptr, nullptr,
           [&] { s.ops.cgroup_cancel_move(&ts, ts.scx.cgrp_moving_from, move.group->cgroup->abi); });
    ts.scx.cgrp_moving_from = nullptr;
  }
}

void Ext::cgroup_move(Rq &rq, Task &p) {
  cgroup *from = p.ts.scx.cgrp_moving_from;
  if (!from) return;
  ExtSched &s = *impl_->root;
  if (s.has(Op::cgroup_move))
    impl_->call(Op::cgroup_move, &rq, &p, [&] { s.ops.cgroup_move(&p.ts, from, p.group->cgroup->abi); });
  p.ts.scx.cgrp_moving_from = nullptr;
}

// --- settings ---

void Ext::cgroup_set_weight(TaskGroup &group, u32 weight) {
  scx_task_group &scx = group.ts.scx;
  if (impl_->cgroups_on && machine::racy_load(scx.weight) != weight) {
    ExtSched &s = *impl_->root;
    if (s.has(Op::cgroup_set_weight))
      impl_->call(Op::cgroup_set_weight, nullptr, nullptr, [&] { s.ops.cgroup_set_weight(group.cgroup->abi, weight); });
  }
  machine::racy_store(scx.weight, weight);
}

void Ext::cgroup_set_idle(TaskGroup &group, bool idle) {
  if (impl_->cgroups_on) {
    ExtSched &s = *impl_->root;
    if (s.has(Op::cgroup_set_idle))
      impl_->call(Op::cgroup_set_idle, nullptr, nullptr, [&] { s.ops.cgroup_set_idle(group.cgroup->abi, idle); });
  }
  machine::racy_store(group.ts.scx.idle, idle);
}

void Ext::cgroup_set_bandwidth(TaskGroup &group, u64 period_us, u64 quota_us, u64 burst_us) {
  scx_task_group &scx = group.ts.scx;
  const bool same = machine::racy_load(scx.bw_period_us) == period_us &&
                    machine::racy_load(scx.bw_quota_us) == quota_us && machine::racy_load(scx.bw_burst_us) == burst_us;
  if (impl_->cgroups_on && !same) {
    ExtSched &s = *impl_->root;
    if (s.has(Op::cgroup_set_bandwidth))
      impl_->call(Op::cgroup_set_bandwidth, nullptr, nullptr,
                  [&] { s.ops.cgroup_set_bandwidth(group.cgroup->abi, period_us, quota_us, burst_us); });
  }
  machine::racy_store(scx.bw_period_us, period_us);
  machine::racy_store(scx.bw_quota_us, quota_us);
  machine::racy_store(scx.bw_burst_us, burst_us);
}

// --- kfuncs ---

cgroup *Ext::task_cgroup(ExtSched &s, Task &p) {
  CgroupTree &tree = impl_->kernel.cgroups();
  CallContext *here = context();
  const bool subject = here && (here->subject[0] == &p || here->subject[1] == &p);
  if (!subject) impl_->error(s, "called on a task not being operated on");
  Cgroup &cgroup = subject ? *p.group->cgroup : tree.root();
  tree.get(cgroup);
  return cgroup.abi;
}

}  // namespace uscx::sched
