// SPDX-License-Identifier: GPL-2.0-only
// Schedulers that are told of control groups, and one that takes sub-schedulers and can be one.
#include <algorithm>
#include <cerrno>
#include <set>

#include "fifo.h"
#include "sched/cgroup.h"

namespace uscx::torture {
namespace {

using sched::Op;
using sched::Task;
using sched::task_of;

// Checks that a group is there from its cgroup_init to its cgroup_exit, and that moves come in pairs.
class GroupFifo final : public Fifo {
 public:
  explicit GroupFifo(sched::Kernel &kernel) : Fifo(kernel, "groups") {
    for (Op op : {Op::cgroup_init, Op::cgroup_exit, Op::cgroup_prep_move, Op::cgroup_move, Op::cgroup_cancel_move,
                  Op::cgroup_set_weight, Op::cgroup_set_bandwidth, Op::cgroup_set_idle})
      implement(op);
  }
  ~GroupFifo() override { CHECK(groups_.empty() && moving_.empty(), "{} groups are left", groups_.size()); }
  s32 cgroup_init(cgroup *cgrp, scx_cgroup_init_args *) override {
    machine::SpinGuard guard(lock_);
    CHECK(groups_.insert(cgrp->kn->id).second, "cgroup {}", cgrp->kn->id);
    return 0;
  }
  void cgroup_exit(cgroup *cgrp) override {
    machine::SpinGuard guard(lock_);
    CHECK(groups_.erase(cgrp->kn->id) == 1, "cgroup {}", cgrp->kn->id);
  }
  // Every fourth is refused, and that one is not cancelled.
  s32 cgroup_prep_move(task_struct *p, cgroup *from, cgroup *to) override {
    machine::SpinGuard guard(lock_);
    CHECK(groups_.contains(from->kn->id) && groups_.contains(to->kn->id));
    if (nr_moves_++ % 4 == 3) return -EBUSY;
    CHECK(moving_.insert(p->pid).second, "{} moves already", p->pid);
    return 0;
  }
  void cgroup_move(task_struct *p, cgroup *, cgroup *to) override {
    machine::SpinGuard guard(lock_);
    CHECK(moving_.erase(p->pid) == 1, "{} was not to move", p->pid);
    CHECK(groups_.contains(to->kn->id) && task_of(p)->group->cgroup->abi == to);
  }
  void cgroup_cancel_move(task_struct *p, cgroup *, cgroup *) override {
    machine::SpinGuard guard(lock_);
    CHECK(moving_.erase(p->pid) == 1, "{} was not to move", p->pid);
  }
  void cgroup_set_weight(cgroup *cgrp, u32) override { expect_there(cgrp); }
  void cgroup_set_bandwidth(cgroup *cgrp, u64, u64, u64) override { expect_there(cgrp); }
  void cgroup_set_idle(cgroup *cgrp, bool) override { expect_there(cgrp); }
  // Which group a task is in is asked where programs ask it.
  void enqueue(task_struct *p, u64 enq_flags) override {
    cgroup *cgrp = ext().task_cgroup(sched(), *task_of(p));
    const bool root = cgrp->level == 0;
    kernel_.cgroups().put(sched::CgroupTree::of(cgrp));
    if (root && nr_enqueues_++ % 2)
      ext().dsq_insert(sched(), *task_of(p), SCX_DSQ_GLOBAL, kSliceNs, enq_flags);
    else
      Fifo::enqueue(p, enq_flags);
  }

 private:
  void expect_there(cgroup *cgrp) {
    machine::SpinGuard guard(lock_);
    CHECK(groups_.contains(cgrp->kn->id), "cgroup {}", cgrp->kn->id);
  }
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "torture groups"};
  std::set<u64> groups_;
  std::set<int> moving_;
  u32 nr_moves_ = 0;
  std::atomic<u32> nr_enqueues_ = 0;
};

class TreeFifo final : public Fifo {
 public:
  TreeFifo(sched::Kernel &kernel, u64 cgroup_id) : Fifo(kernel, cgroup_id ? "child" : "tree") {
    config_.cid_form = true;
    config_.sub_cgroup_id = cgroup_id;
    implement(Op::sub_attach);
    implement(Op::sub_detach);
  }
  s32 select_cpu(task_struct *, s32 prev_cpu, u64) override { return prev_cpu; }
  void enqueue(task_struct *p, u64 enq_flags) override {
    ext().dsq_insert(sched(), *task_of(p), kDsq, kSliceNs, enq_flags);
    ext().kick_cpu(sched(), static_cast<s32>(task_of(p)->cpu), SCX_KICK_IDLE);
  }
  void dispatch(s32, task_struct *) override {
    nr_dispatches_++;
    // Now and then a child goes first.
    if (nr_dispatches_ % 4 && ext().dsq_move_to_local(sched(), kDsq, 0)) return;
    for (std::atomic<u64> &child : children_)
      if (const u64 id = child; id && ext().sub_dispatch(sched(), id)) return;
    ext().dsq_move_to_local(sched(), kDsq, 0);
  }
  s32 sub_attach(const sched::OpsConfig &child, const std::string &) override {
    for (std::atomic<u64> &slot : children_) {
      u64 none = 0;
      if (slot.compare_exchange_strong(none, child.sub_cgroup_id)) return 0;
    }
    return -EBUSY;
  }
  void sub_detach(const sched::OpsConfig &child, const std::string &) override {
    for (std::atomic<u64> &slot : children_) {
      u64 id = child.sub_cgroup_id;
      slot.compare_exchange_strong(id, 0);
    }
  }

 private:
  std::array<std::atomic<u64>, 4> children_{};
};

}  // namespace

std::unique_ptr<TortureScheduler> make_group_scheduler(sched::Kernel &kernel) {
  return std::make_unique<GroupFifo>(kernel);
}

std::unique_ptr<TortureScheduler> make_tree_scheduler(sched::Kernel &kernel, u64 cgroup_id) {
  return std::make_unique<TreeFifo>(kernel, cgroup_id);
}

}  // namespace uscx::torture
