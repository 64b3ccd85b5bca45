// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of sub-schedulers: tasks change hands while they run, wait, wake up, fork and exit.
#include <cerrno>

#include "scenario/scenario.h"
#include "sched/cgroup.h"
#include "sched/native/tree.h"

namespace uscx::scenario {

using machine::Failure;
using sched::Cgroup;
using sched::Ext;
using sched::Kernel;
using sched::KthreadApi;
using sched::Step;
using sched::Task;
using sched::TaskSpec;
using sched::TreeFifo;

namespace {

constexpr u64 kPollNs = 4000;
constexpr u64 kLimitNs = 400000000;
constexpr u64 kSliceNs = 20000;

Cgroup &group(Stage &stage, const std::string &path) {
  int error = 0;
  Cgroup *made = stage.kernel.cgroups().make_path(path, &error);
  CHECK(made, "cgroup {}: error {}", path, error);
  return *made;
}

void start(Stage &stage, const std::string &comm, Task *parent, Cgroup *cgroup, sched::Script::Fn steps) {
  stage.kernel.create_task(TaskSpec{
      .comm = comm, .behavior = std::make_unique<sched::Script>(std::move(steps)), .parent = parent, .cgroup = cgroup});
}

// Tasks of a group that come and go until `over`.
void add_restless(Stage &stage, Cgroup *cgroup, const bool &over) {
  start(stage, "parent", nullptr, cgroup, [&stage, &over, n = 0](Kernel &, Task &self) mutable {
    if (over) return Step::exit();
    if (n++ % 3) return n % 2 ? Step::run(9000) : Step::yield();
    start(stage, "child", &self, nullptr,
          [left = 2](Kernel &, Task &) mutable { return left-- ? Step::run(5000) : Step::exit(); });
    return Step::run(3000);
  });
  start(stage, "work", nullptr, cgroup, [&over, n = 0](Kernel &, Task &) mutable {
    if (over) return Step::exit();
    if (n % 4 == 1) return n++, Step::yield();
    return n++ % 4 ? Step::run(12000) : Step::sleep_until(machine::now_ns() + 7000);
  });
}

// A program that loads a sub-scheduler, leaves it there for a moment, and unloads it.
struct SubLoader {
  TreeFifo &scheduler;
  u32 rounds;
  u32 loads = 0;
  bool done = false;

  void round(Stage &stage, KthreadApi &self) {
    Ext::Load load(scheduler);
    stage.ext().begin_attach(load);
    while (!load.done.load_acquire()) self.sleep(kPollNs);
    // Its parent may be gone, or going; and a place above another's may not be taken.
    if (load.result == -ENODEV || load.result == -EBUSY) return self.sleep(kPollNs);
    if (load.result) stage.run.fail(Failure::kScheduler, fmt::format("a load ends with {}", load.result));
    loads++;
    self.sleep(10 * kPollNs);
    stage.ext().begin_detach(scheduler);
    while (!stage.ext().detached(scheduler)) self.sleep(kPollNs);
    stage.ext().release(scheduler);
    if (scheduler.exit_kind != SCX_EXIT_UNREG && scheduler.exit_kind != SCX_EXIT_PARENT)
      stage.run.fail(Failure::kScheduler, "a sub-scheduler was ejected: " + scheduler.exit_msg);
  }
  void start(Stage &stage) {
    stage.kernel.create_kthread("loader", [this, &stage](KthreadApi &self) {
      for (u32 i = 0; i < rounds; i++) round(stage, self);
      done = true;
    });
  }
};

void expect_in_order(Stage &stage, std::initializer_list<TreeFifo *> schedulers) {
  for (TreeFifo *s : schedulers)
    if (!s->faults().empty())
      stage.run.fail(Failure::kScheduler, s->config().name + ": callbacks out of order: " + s->faults().front());
}

// Three schedulers in a row, the lower two of which come and go.
struct Family {
  explicit Family(Stage &stage)
      : a(group(stage, "/a")),
        b(group(stage, "/a/b")),
        root(stage, "root"),
        child(stage, "child", a.id()),
        grandchild(stage, "grandchild", b.id()) {
    for (TreeFifo *s : {&root, &child, &grandchild}) s->slice_ns = kSliceNs;
    stage.load(root);
    for (Cgroup *cgroup : {static_cast<Cgroup *>(nullptr), &a, &b}) add_restless(stage, cgroup, over);
  }
  void run(Stage &stage, const std::function<void()> &midway) {
    machine::Explorer explorer(stage.machine, stage.run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    for (SubLoader *loader : {&loaders[0], &loaders[1]}) loader->start(stage);
    midway();
    const u64 limit_ns = stage.machine.loop_now_ns() + kLimitNs;
    auto done = [&] { return loaders[0].done && loaders[1].done; };
    while (!done() && stage.machine.loop_now_ns() < limit_ns) stage.run_for(20000);
    if (!done()) stage.run.fail(Failure::kScheduler, "loading and unloading does not come to an end");
    over = true;
    stage.run_for(400000);
  }
  Cgroup &a, &b;
  TreeFifo root, child, grandchild;
  SubLoader loaders[2] = {{child, 2}, {grandchild, 3}};
  bool over = false;
};

}  // namespace

void run_sub_load(machine::ExploreRun &run) {
  Stage stage(run, 2);
  Family family(stage);
  family.run(stage, [] {});
  if (family.loaders[0].loads + family.loaders[1].loads == 0) run.fail(Failure::kScheduler, "no load succeeds");
  expect_in_order(stage, {&family.root, &family.child, &family.grandchild});
  if (const sched::ExitRecord *exit = stage.ext().exit_of(family.root))
    run.fail(Failure::kScheduler, fmt::format("the scheduler was ejected: {} ({})", exit->reason, exit->msg));
  stage.detach(family.root);
}

void run_sub_exit(machine::ExploreRun &run) {
  Stage stage(run, 2);
  Family family(stage);
  family.run(stage, [&] {
    stage.run_for(60000);
    stage.detach(family.root);
  });
  if (stage.ext().state() != SCX_DISABLED) run.fail(Failure::kScheduler, "the root scheduler is still there");
  expect_in_order(stage, {&family.root, &family.child, &family.grandchild});
}

}  // namespace uscx::scenario
