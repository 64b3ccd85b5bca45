// SPDX-License-Identifier: GPL-2.0-only
// Control groups: the tree, who is in it, and what schedulers hear of it.
#include "sched/cgroup.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

// Writes down what it is told of groups, by their paths.
class CgroupScheduler final : public TestScheduler {
 public:
  explicit CgroupScheduler(Kernel &kernel) : kernel_(kernel) {
    for (Op op : {Op::cgroup_init, Op::cgroup_exit, Op::cgroup_prep_move, Op::cgroup_move, Op::cgroup_cancel_move,
                  Op::cgroup_set_weight, Op::cgroup_set_bandwidth, Op::cgroup_set_idle})
      implement(op);
  }
  s32 cgroup_init(cgroup *cgrp, scx_cgroup_init_args *args) override {
    heard(fmt::format("init {} {}", path(cgrp), args->weight));
    return refuses == path(cgrp) ? refusal : 0;
  }
  void cgroup_exit(cgroup *cgrp) override { heard("exit " + path(cgrp)); }
  s32 cgroup_prep_move(task_struct *p, cgroup *from, cgroup *to) override {
    heard(fmt::format("prep {} {} {}", p->comm, path(from), path(to)));
    return refuses == p->comm ? refusal : 0;
  }
  void cgroup_move(task_struct *p, cgroup *from, cgroup *to) override {
    EXPECT_TRUE(kernel_.task_rq(*task_of(p)).lock.held_here());
    EXPECT_FALSE(life(*task_of(p)).runnable) << "a task is off its queue while it moves";
    heard(fmt::format("move {} {} {}", p->comm, path(from), path(to)));
  }
  void cgroup_cancel_move(task_struct *p, cgroup *from, cgroup *to) override {
    heard(fmt::format("cancel {} {} {}", p->comm, path(from), path(to)));
  }
  void cgroup_set_weight(cgroup *cgrp, u32 weight) override { heard(fmt::format("weight {} {}", path(cgrp), weight)); }
  void cgroup_set_bandwidth(cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) override {
    heard(fmt::format("bandwidth {} {} {} {}", path(cgrp), period_us, static_cast<s64>(quota_us), burst_us));
  }
  void cgroup_set_idle(cgroup *cgrp, bool idle) override { heard(fmt::format("idle {} {}", path(cgrp), idle)); }

  s32 init_task(task_struct *ts, scx_init_task_args *args) override {
    init_groups[ts->comm] = path(args->cgroup);
    return TestScheduler::init_task(ts, args);
  }

  // What it has heard since the last time.
  std::string said() { return std::exchange(said_, ""); }
  std::string refuses;
  s32 refusal = -ENOMEM;
  std::map<std::string, std::string> init_groups;

 private:
  std::string path(cgroup *cgrp) { return kernel_.cgroups().path(CgroupTree::of(cgrp)); }
  void heard(const std::string &line) { said_ += (said_.empty() ? "" : "; ") + line; }
  Kernel &kernel_;
  std::string said_;
};

struct CgroupMachine : ExtMachine {
  CgroupMachine() : ExtMachine(2) {}
  CgroupTree &tree() { return kernel.cgroups(); }
  // What user space does it does on a CPU.
  int on_cpu(const std::function<int()> &what) {
    int result = 0;
    machine.run_on(0, [&] { result = what(); });
    return result;
  }
  Cgroup &made(const std::string &path) {
    int error = 0;
    Cgroup *cgroup = nullptr;
    machine.run_on(0, [&] { cgroup = tree().make_path(path, &error); });
    CHECK(cgroup, "{}: error {}", path, error);
    return *cgroup;
  }
  int make(Cgroup &parent, const std::string &name) {
    return on_cpu([&] { return tree().make(parent, name); });
  }
  int remove(Cgroup &cgroup) {
    return on_cpu([&] { return tree().remove(cgroup); });
  }
  int attach_task(Cgroup &to, Task &p) {
    return on_cpu([&] { return tree().attach(to, p); });
  }
  Task &hog_in(Cgroup &cgroup, const std::string &comm) {
    Task *p = kernel.create_task(TaskSpec{.comm = comm, .behavior = std::make_unique<Hog>(), .cgroup = &cgroup});
    CHECK(p, "{}", comm);
    return *p;
  }
  std::string walk(CssOrder order, Cgroup &start) {
    std::string text;
    for (Cgroup *at = tree().next(start, nullptr, order); at; at = tree().next(start, at, order))
      text += tree().path(*at) + " ";
    return text;
  }
};

TEST(Cgroup, TheTreeIsAsItsDirectories) {
  CgroupMachine m;
  Cgroup &b = m.made("/a/b");
  Cgroup &a = *b.parent;
  EXPECT_EQ(m.tree().path(b), "/a/b");
  EXPECT_EQ(m.tree().find("/a/b"), &b);
  EXPECT_EQ(m.tree().find("a//b/"), &b);
  EXPECT_EQ(m.tree().find("/a/c"), nullptr);
  EXPECT_EQ(m.tree().find_id(b.id()), &b);
  EXPECT_EQ(m.tree().root().id(), 1u);
  EXPECT_LT(a.id(), b.id());
  EXPECT_EQ(m.make(a, "b"), -EEXIST);
  EXPECT_EQ(m.make(a, "b/c"), -EINVAL);
  EXPECT_EQ(m.make(a, std::string(256, 'x')), -ENAMETOOLONG);
  EXPECT_EQ(m.remove(a), -EBUSY) << "it has a child";
  EXPECT_EQ(m.remove(m.tree().root()), -EBUSY);
  const u64 id = b.id();
  EXPECT_EQ(m.remove(b), 0);
  EXPECT_EQ(m.tree().find("/a/b"), nullptr);
  EXPECT_EQ(m.tree().find_id(id), nullptr);
  EXPECT_EQ(m.remove(a), 0);
}

TEST(Cgroup, ProgramsSeeIt) {
  CgroupMachine m;
  Cgroup &b = m.made("/a/b");
  Task &p = m.hog_in(b, "p");
  const cgroup &abi = *p.ts.cgroups->dfl_cgrp;
  EXPECT_EQ(&abi, b.abi);
  EXPECT_EQ(abi.level, 2);
  EXPECT_STREQ(abi.kn->name, "b");
  EXPECT_STREQ(abi.kn->__parent->name, "a");
  EXPECT_STREQ(abi.kn->__parent->__parent->name, "");
  EXPECT_EQ(abi.ancestors[0], m.tree().root().abi);
  EXPECT_EQ(abi.ancestors[1], b.parent->abi);
  EXPECT_EQ(abi.ancestors[2], &abi);
  EXPECT_EQ(abi.self.parent, &b.parent->abi->self);
  EXPECT_EQ(p.ts.sched_task_group->css.cgroup, &abi);
  EXPECT_EQ(p.ts.sched_task_group->css.parent->cgroup, b.parent->abi);
  EXPECT_EQ(&CgroupTree::of(b.abi), &b);
}

TEST(Cgroup, Walks) {
  CgroupMachine m;
  m.made("/a/x");
  m.made("/a/y");
  m.made("/b");
  Cgroup &root = m.tree().root();
  EXPECT_EQ(m.walk(CssOrder::kPre, root), "/ /a /a/x /a/y /b ");
  EXPECT_EQ(m.walk(CssOrder::kPost, root), "/a/x /a/y /a /b / ");
  EXPECT_EQ(m.walk(CssOrder::kUp, *m.tree().find("/a/y")), "/a/y /a / ");
  EXPECT_EQ(m.walk(CssOrder::kPost, *m.tree().find("/a")), "/a/x /a/y /a ");
  // A group that somebody refers to is still met, and a walk that stands on one that has left the list goes on.
  Cgroup &x = *m.tree().find("/a/x");
  m.tree().get(x);
  EXPECT_EQ(m.remove(x), 0);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(m.walk(CssOrder::kPre, root), "/ /a /a/x /a/y /b ");
  m.machine.run_on(0, [&] { m.tree().put(x); });
  EXPECT_EQ(m.tree().next(root, &x, CssOrder::kPre), m.tree().find("/a/y")) << "before its memory is freed";
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(m.walk(CssOrder::kPre, root), "/ /a /a/y /b ");
}

TEST(Cgroup, TasksAreWhereTheirParentWas) {
  CgroupMachine m;
  Cgroup &a = m.made("/a");
  Cgroup &b = m.made("/b");
  Task *child = nullptr;
  Task *parent = m.kernel.create_task(TaskSpec{
      .comm = "parent",
      .behavior = std::make_unique<Script>([&](Kernel &kernel, Task &self) {
        if (!child)
          child = kernel.create_task(TaskSpec{.comm = "child", .behavior = std::make_unique<Hog>(), .parent = &self});
        return Step::run(kNsPerMs);
      }),
      .cgroup = &a});
  m.run_for(10 * kNsPerMs);
  ASSERT_NE(child, nullptr);
  EXPECT_EQ(child->cgroup, &a);
  EXPECT_EQ(m.remove(a), -EBUSY) << "it has tasks";
  EXPECT_EQ(m.attach_task(b, *child), 0);
  EXPECT_EQ(child->cgroup, &b);
  EXPECT_EQ(parent->cgroup, &a);
  EXPECT_EQ(m.kernel.init_task().cgroup, &m.tree().root());
  EXPECT_EQ(m.attach_task(a, *m.kernel.rq(0).stop), -EINVAL) << "a thread that is bound to its CPU";
  m.run_for(10 * kNsPerMs);
  EXPECT_GT(m.tree().usage(a).total_ns, 10 * kNsPerMs);
  EXPECT_GT(m.tree().usage(b).total_ns, 9 * kNsPerMs);
  EXPECT_GT(m.tree().usage(m.tree().root()).total_ns, 19 * kNsPerMs);
}

TEST(Cgroup, TasksLeaveWhenTheyDie) {
  CgroupMachine m;
  Cgroup &a = m.made("/a/b");
  m.kernel.create_task(TaskSpec{.comm = "short",
                                .behavior = std::make_unique<Script>([runs = 0](Kernel &, Task &) mutable {
                                  return runs++ ? Step::exit() : Step::run(3 * kNsPerMs);
                                }),
                                .cgroup = &a});
  EXPECT_TRUE(a.parent->populated());
  m.run_for(100 * kNsPerMs);
  EXPECT_FALSE(a.parent->populated());
  EXPECT_GE(m.tree().usage(*a.parent).total_ns, 3 * kNsPerMs);
  EXPECT_EQ(m.remove(a), 0);
  int error = 0;
  Task *late =
      m.kernel.create_task(TaskSpec{.comm = "late", .behavior = std::make_unique<Hog>(), .cgroup = &a}, &error);
  EXPECT_EQ(late, nullptr);
  EXPECT_EQ(error, -ENODEV);
}

TEST(Cgroup, SettingsHaveTheKernelsLimits) {
  CgroupMachine m;
  Cgroup &a = m.made("/a");
  CgroupTree &tree = m.tree();
  const auto set = [&](auto fn) { return m.on_cpu(fn); };
  EXPECT_EQ(set([&] { return tree.set_weight(a, 0); }), -ERANGE);
  EXPECT_EQ(set([&] { return tree.set_weight(a, 10001); }), -ERANGE);
  EXPECT_EQ(set([&] { return tree.set_weight(a, 10000); }), 0);
  EXPECT_EQ(set([&] { return tree.set_weight(tree.root(), 100); }), -EINVAL);
  EXPECT_EQ(set([&] { return tree.set_weight_nice(a, -21); }), -ERANGE);
  EXPECT_EQ(set([&] { return tree.set_weight_nice(a, -20); }), 0);
  EXPECT_EQ(a.group().ts.scx.weight, 8668u);
  for (s32 nice = -20; nice <= 19; nice++)
    EXPECT_EQ((set([&] { return tree.set_weight_nice(a, nice); }), tree.nice_of(a.group())), nice);
  EXPECT_EQ(set([&] { return tree.set_max(a, 999, 100000); }), -EINVAL);
  EXPECT_EQ(set([&] { return tree.set_max(a, 50000, 999); }), -EINVAL);
  EXPECT_EQ(set([&] { return tree.set_max(a, 50000, 1000001); }), -EINVAL);
  EXPECT_EQ(set([&] { return tree.set_max(a, 50000, 100000); }), 0);
  EXPECT_EQ(set([&] { return tree.set_burst(a, 50001); }), -EINVAL);
  EXPECT_EQ(set([&] { return tree.set_burst(a, 50000); }), 0);
  EXPECT_EQ(set([&] { return tree.set_idle(a, true); }), 0);
  EXPECT_EQ(set([&] { return tree.set_weight(a, 100); }), -EINVAL) << "an idle group has no weight";
  EXPECT_EQ(tree.weight_of(a.group()), 0u);
  EXPECT_EQ(set([&] { return tree.set_idle(a, false); }), 0);
  EXPECT_EQ(tree.weight_of(a.group()), 100u);
}

// --- what a scheduler hears ---

TEST(CgroupExt, GroupsAreThereFromLoadToUnload) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  Cgroup &b = m.made("/a/b");
  m.on_cpu([&] { return m.tree().set_weight(b, 250); });
  m.hog_in(b, "p");
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.said(), "init / 100; init /a 100; init /a/b 250");
  EXPECT_EQ(s.init_groups["p"], "/a/b");
  EXPECT_EQ(s.init_groups["init"], "/");
  Cgroup &c = m.made("/c");
  EXPECT_EQ(s.said(), "init /c 100");
  EXPECT_EQ(m.remove(c), 0);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.said(), "exit /c");
  m.detach(s);
  EXPECT_EQ(s.said(), "exit /a/b; exit /a; exit /");
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(CgroupExt, ALoadFailsWithAGroup) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  m.made("/a/b");
  s.refuses = "/a";
  s.ready();
  ASSERT_EQ(m.attach(s), 0) << "what fails is said by the exit";
  EXPECT_EQ(s.said(), "init / 100; init /a 100; exit /");
  EXPECT_EQ(s.exit_msg, "ops.cgroup_init() failed (-12)");
  m.detach(s);
}

TEST(CgroupExt, AGroupIsRefused) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  s.said();
  s.refuses = "/a";
  EXPECT_EQ(m.make(m.tree().root(), "a"), -ENOMEM);
  EXPECT_EQ(s.said(), "init /a 100");
  EXPECT_EQ(m.tree().find("/a"), nullptr);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.said(), "") << "what was not initialised is not exited";
  s.refusal = 5;
  EXPECT_EQ(m.make(m.tree().root(), "a"), -EPROTO);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.exit_msg, "ops.cgroup_init() returned an invalid errno 5");
  m.detach(s);
}

TEST(CgroupExt, MovesComeInPairs) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  Cgroup &a = m.made("/a"), &b = m.made("/b");
  Task &one = m.hog_in(a, "one"), &two = m.hog_in(a, "two");
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(10 * kNsPerMs);
  s.said();
  EXPECT_EQ(m.attach_task(a, one), 0);
  EXPECT_EQ(s.said(), "") << "it was there already";
  EXPECT_EQ(m.attach_task(b, one), 0);
  EXPECT_EQ(s.said(), "prep one /a /b; move one /a /b");
  EXPECT_EQ(one.ts.scx.cgrp_moving_from, nullptr);
  // A process moves as a whole, or not at all.
  one.ts.tgid = two.ts.tgid;
  EXPECT_EQ(m.attach_task(a, one), 0);
  s.said();
  s.refuses = "two";
  EXPECT_EQ(m.attach_task(b, one), -ENOMEM);
  EXPECT_EQ(s.said(), "prep one /a /b; prep two /a /b; cancel one /a /b");
  EXPECT_EQ(one.cgroup, &a);
  EXPECT_EQ(one.ts.scx.cgrp_moving_from, nullptr);
  s.refuses = "";
  EXPECT_EQ(m.attach_task(b, two), 0);
  EXPECT_EQ(s.said(), "prep one /a /b; prep two /a /b; move one /a /b; move two /a /b");
  one.ts.tgid = one.pid();
  m.run_checked(20 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(CgroupExt, SettingsAreToldWhenTheyChange) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  Cgroup &a = m.made("/a");
  CgroupTree &tree = m.tree();
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  s.said();
  m.on_cpu([&] { return tree.set_weight(a, 100); });
  m.on_cpu([&] { return tree.set_max(a, kNoQuota, 100000); });
  EXPECT_EQ(s.said(), "") << "nothing has changed";
  m.on_cpu([&] { return tree.set_weight(a, 42); });
  m.on_cpu([&] { return tree.set_weight_nice(a, 5); });
  EXPECT_EQ(s.said(), "weight /a 42; weight /a 33");
  m.on_cpu([&] { return tree.set_max(a, 20000, 50000); });
  m.on_cpu([&] { return tree.set_burst(a, 1000); });
  m.on_cpu([&] { return tree.set_max(a, kNoQuota, 50000); });
  EXPECT_EQ(s.said(), "bandwidth /a 50000 20000 0; bandwidth /a 50000 20000 1000; bandwidth /a 50000 -1 1000");
  m.on_cpu([&] { return tree.set_idle(a, true); });
  m.on_cpu([&] { return tree.set_idle(a, true); });
  EXPECT_EQ(s.said(), "idle /a true; idle /a true") << "of idle there is no check";
  m.detach(s);
}

TEST(CgroupExt, TheControllerComesAndGoes) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  CgroupTree &tree = m.tree();
  Cgroup &a = m.made("/a");
  ASSERT_EQ(m.make(a, "b"), 0);
  Cgroup &b = *tree.find("/a/b");
  EXPECT_EQ(b.own_group, nullptr) << "a does not pass the controller on";
  Task &p = m.hog_in(b, "p");
  EXPECT_EQ(p.group->cgroup, &a);
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.said(), "init / 100; init /a 100");
  EXPECT_EQ(s.init_groups["p"], "/a");
  EXPECT_EQ(m.on_cpu([&] { return tree.set_subtree_cpu(b, true); }), -ENOENT);
  EXPECT_EQ(m.on_cpu([&] { return tree.set_subtree_cpu(a, true); }), 0);
  EXPECT_EQ(s.said(), "init /a/b 100; prep p /a /a/b; move p /a /a/b");
  EXPECT_EQ(p.ts.sched_task_group->css.cgroup, b.abi);
  s.refuses = "p";
  EXPECT_EQ(m.on_cpu([&] { return tree.set_subtree_cpu(a, false); }), -ENOMEM);
  EXPECT_EQ(s.said(), "prep p /a/b /a");
  EXPECT_EQ(p.group->cgroup, &b);
  s.refuses = "";
  EXPECT_EQ(m.on_cpu([&] { return tree.set_subtree_cpu(a, false); }), 0);
  EXPECT_EQ(s.said(), "prep p /a/b /a; move p /a/b /a; exit /a/b");
  s.refuses = "p";
  EXPECT_EQ(m.on_cpu([&] { return tree.set_subtree_cpu(a, true); }), -ENOMEM);
  EXPECT_EQ(s.said(), "init /a/b 100; prep p /a /a/b; exit /a/b");
  EXPECT_EQ(b.own_group, nullptr);
  s.refuses = "";
  m.run_checked(20 * kNsPerMs);
  m.detach(s);
}

TEST(CgroupExt, InnerGroupsWithTasksDoNotCompeteWithTheirChildren) {
  CgroupMachine m;
  Cgroup &b = m.made("/a/b");
  Cgroup &a = *b.parent;
  Task &inner = m.hog_in(a, "inner");
  m.hog_in(b, "leaf");
  EXPECT_EQ(m.attach_task(m.tree().root(), inner), 0);
  EXPECT_EQ(m.attach_task(a, inner), -EBUSY);
  int error = 0;
  EXPECT_EQ(m.kernel.create_task(TaskSpec{.comm = "x", .behavior = std::make_unique<Hog>(), .cgroup = &a}, &error),
            nullptr);
  EXPECT_EQ(error, -EBUSY);
}

TEST(CgroupExt, TaskCgroupIsForTheSubjectOfTheCall) {
  CgroupMachine m;
  CgroupScheduler s(m.kernel);
  Cgroup &a = m.made("/a");
  Task &p = m.hog_in(a, "p"), &other = m.hog_in(a, "other");
  const u32 refs = a.refs;
  bool foreign = false;
  s.on_enqueue = [&](Task &task, u64 flags) {
    cgroup *mine = m.ext().task_cgroup(*m.ext().root(), task);
    EXPECT_EQ(mine, task.group->cgroup->abi);
    m.tree().put(CgroupTree::of(mine));
    if (&task == &p && foreign) {
      cgroup *wrong = m.ext().task_cgroup(*m.ext().root(), other);
      EXPECT_EQ(wrong, m.tree().root().abi);
      m.tree().put(CgroupTree::of(wrong));
    }
    m.ext().dsq_insert(*m.ext().root(), task, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.exit_kind, static_cast<u32>(SCX_EXIT_NONE));
  EXPECT_EQ(a.refs, refs);
  foreign = true;
  m.hog_in(a, "third");
  m.hog_in(a, "fourth");
  m.run_for(200 * kNsPerMs);
  EXPECT_EQ(s.exit_msg, "called on a task not being operated on");
  m.detach(s);
}

// Everything at once, and in the end nothing is left.
TEST(CgroupExt, RandomLifeLeavesNothingBehind) {
  CgroupMachine m;
  CgroupTree &tree = m.tree();
  CgroupScheduler s(m.kernel);
  s.ready();
  Rng rng(7, "cgroups");
  std::vector<Task *> tasks;
  for (int i = 0; i < 6; i++) tasks.push_back(&m.hog_in(tree.root(), fmt::format("t{}", i)));
  const auto some = [&] {
    std::vector<Cgroup *> all;
    for (Cgroup *at = &tree.root(); at; at = tree.next(tree.root(), at, CssOrder::kPre))
      if (!at->dead) all.push_back(at);
    return all[rng.below(all.size())];
  };
  bool loaded = false;
  for (int round = 0; round < 600; round++) {
    m.machine.run_on(static_cast<u32>(rng.below(2)), [&] {
      Cgroup &one = *some();
      switch (rng.below(6)) {
        case 0: tree.make(one, fmt::format("g{}", rng.below(3))); break;
        case 1: tree.remove(one); break;
        case 2: tree.set_weight(one, rng.between(1, 10000)); break;
        case 3: tree.set_subtree_cpu(one, rng.below(2)); break;
        default: tree.attach(one, *tasks[rng.below(tasks.size())]); break;
      }
    });
    m.run_for(rng.between(1, 3000) * kNsPerUs);
    m.kernel.verify_all();
    if (rng.below(40)) continue;
    loaded ? m.detach(s) : (void)m.attach(s);
    loaded = !loaded;
  }
  if (loaded) m.detach(s);
  EXPECT_EQ(s.exit_kind, static_cast<u32>(SCX_EXIT_UNREG)) << s.exit_msg;
  EXPECT_EQ(s.faults(), std::vector<std::string>());
  for (Task *p : tasks) EXPECT_EQ(m.attach_task(tree.root(), *p), 0);
  for (Cgroup *at; (at = tree.next(tree.root(), nullptr, CssOrder::kPost)) != &tree.root(); m.run_for(kNsPerMs)) {
    const int expected = at->dead ? -ENODEV : 0;
    EXPECT_EQ(m.remove(*at), expected);
  }
  EXPECT_EQ(m.walk(CssOrder::kPre, tree.root()), "/ ");
}

}  // namespace
}  // namespace uscx::sched
