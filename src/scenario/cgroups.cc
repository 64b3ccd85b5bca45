// SPDX-License-Identifier: GPL-2.0-only
// A scenario of control groups that come and go, change, and get and lose tasks, all at once.
#include "sched/cgroup.h"

#include <set>

#include "scenario/scenario.h"

namespace uscx::scenario {

using machine::Failure;
using sched::Cgroup;
using sched::CgroupTree;
using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

// Checks that groups are told of before anything else is of them, and that moves come in pairs.
class GroupScheduler final : public sched::TestScheduler {
 public:
  explicit GroupScheduler(machine::ExploreRun &run) : TestScheduler("groups"), run_(run) {
    using sched::Op;
    for (Op op : {Op::cgroup_init, Op::cgroup_exit, Op::cgroup_prep_move, Op::cgroup_move, Op::cgroup_cancel_move,
                  Op::cgroup_set_weight})
      implement(op);
  }
  s32 cgroup_init(cgroup *cgrp, scx_cgroup_init_args *) override {
    machine::explore_point();
    expect(groups_.insert(cgrp->kn->id).second, "a group is initialised twice");
    return 0;
  }
  void cgroup_exit(cgroup *cgrp) override {
    machine::explore_point();
    expect(groups_.erase(cgrp->kn->id) == 1, "a group that was not initialised is exited");
  }
  s32 cgroup_prep_move(task_struct *p, cgroup *from, cgroup *to) override {
    machine::explore_point();
    expect(groups_.contains(from->kn->id) && groups_.contains(to->kn->id), "a move between groups that are not there");
    expect(moving_.insert(p).second, "a task moves twice at once");
    return ++moves_ % 4 ? 0 : cancel(p);
  }
  void cgroup_move(task_struct *p, cgroup *, cgroup *to) override {
    machine::explore_point();
    expect(moving_.erase(p) == 1, "a move without its preparation");
    expect(p->sched_task_group->css.cgroup == to, "a task is not where it was moved");
  }
  void cgroup_cancel_move(task_struct *p, cgroup *, cgroup *) override {
    expect(moving_.erase(p) == 1, "a cancelled move without its preparation");
  }
  void cgroup_set_weight(cgroup *cgrp, u32) override {
    machine::explore_point();
    expect(groups_.contains(cgrp->kn->id), "a setting of a group that is not there");
  }
  bool empty() const { return groups_.empty() && moving_.empty(); }

 private:
  // The one that refuses hears of no cancellation.
  s32 cancel(task_struct *p) { return moving_.erase(p), -EBUSY; }
  void expect(bool ok, const char *what) {
    if (!ok) run_.fail(Failure::kScheduler, what);
  }
  machine::ExploreRun &run_;
  std::set<u64> groups_;
  std::set<task_struct *> moving_;
  u32 moves_ = 0;
};

}  // namespace

// Three tasks on three CPUs: one moves a worker to and fro, one makes and removes a group, one changes weights; workers
// fork and exit in their groups. Then the scheduler goes, and has been told of the end of each group.
void run_cgroups(machine::ExploreRun &run) {
  Stage stage(run, 3);
  CgroupTree &tree = stage.kernel.cgroups();
  GroupScheduler scheduler(run);
  Cgroup *groups[2] = {};
  stage.machine.run_on(0, [&] {
    int error = 0;
    groups[0] = tree.make_path("/a/x", &error);
    groups[1] = tree.make_path("/b", &error);
  });
  CHECK(groups[0] && groups[1], "no groups");
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    stage.ext().dsq_insert(*stage.ext().sched_of(scheduler), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  stage.load(scheduler);
  auto busy = [n = 0](Kernel &, Task &) mutable {
    return n++ % 2 ? Step::run(9000) : Step::sleep_until(machine::now_ns() + 3000);
  };
  Task &worker = stage.script("worker", busy);
  stage.script("mover", [&, n = 0](Kernel &, Task &) mutable {
    tree.attach(*groups[n++ % 2], worker);
    return Step::run(5000);
  });
  stage.script("maker", [&, made = static_cast<Cgroup *>(nullptr)](Kernel &, Task &) mutable {
    if (made && tree.remove(*made) == 0)
      made = nullptr;
    else if (!made)
      tree.make(*groups[1]->parent, "c", &made);
    return Step::run(6000);
  });
  stage.script("setter", [&, n = 0u](Kernel &kernel, Task &self) mutable {
    if (Cgroup *c = tree.find("/c")) tree.set_weight(*c, 100 + n);
    tree.set_weight(*groups[n % 2], 100 + n);
    n++;
    if (n % 3 == 0)
      kernel.create_task({.comm = "child",
                          .behavior = std::make_unique<sched::Script>(
                              [runs = 0](Kernel &, Task &) mutable { return runs++ ? Step::exit() : Step::run(2000); }),
                          .parent = &self,
                          .cgroup = groups[n % 2]});
    return Step::run(4000);
  });
  stage.explore(scheduler, 300000);
  stage.detach(scheduler);
  if (!scheduler.empty()) run.fail(Failure::kScheduler, "a group is left that the scheduler was not told the end of");
}

}  // namespace uscx::scenario
