// SPDX-License-Identifier: GPL-2.0-only
// Sub-schedulers: who may be loaded where, whose tasks are whose, and how each of them ends.
#include <gtest/gtest.h>

#include <cerrno>

#include "sched/cgroup.h"
#include "sched/ext/ext_sched.h"
#include "sched/ext/impl.h"
#include "sched/native/tree.h"

namespace uscx::sched {

namespace {

constexpr u64 kMs = 1000000;

using Fifo = TreeFifo;

struct SubMachine : ExtMachine {
  explicit SubMachine(u32 nr_cpus = 2) : ExtMachine(nr_cpus) {}
  Cgroup &group(const std::string &path) {
    int error = 0;
    Cgroup *made = kernel.cgroups().make_path(path, &error);
    CHECK(made, "error {}", error);
    return *made;
  }
  // Works and sleeps in turn.
  Task &worker(const std::string &comm, Cgroup *cgroup = nullptr) {
    int error = 0;
    Task *made = kernel.create_task(TaskSpec{.comm = comm, .behavior = work(), .cgroup = cgroup}, &error);
    CHECK(made, "error {}", error);
    return *made;
  }
  static std::unique_ptr<Behavior> work() {
    return std::make_unique<Script>([n = 0](Kernel &, Task &) mutable {
      return n++ % 2 ? Step::run(3 * kMs) : Step::sleep_until(machine::now_ns() + kMs);
    });
  }
  void expect_in_order(std::initializer_list<TestScheduler *> schedulers) {
    for (TestScheduler *s : schedulers) EXPECT_EQ(s->faults(), std::vector<std::string>{}) << s->config().name;
  }
  bool logged(const std::string &line) const { return std::find(log.begin(), log.end(), line) != log.end(); }
};

}  // namespace

TEST(SubSched, TheTasksOfTheGroupAreItsOwnUntilItGoes) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &below = m.group("/a/b");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &outside = m.worker("outside"), &inside = m.worker("inside", &a), &deep = m.worker("deep", &below);
  ASSERT_EQ(m.attach(root), 0);
  m.run_checked(20 * kMs);
  EXPECT_EQ(inside.ext_sched.get(), &root.self());
  ASSERT_EQ(m.attach(child), 0);
  EXPECT_TRUE(m.logged("sched_ext: BPF sub-scheduler \"child\" enabled"));
  EXPECT_EQ(root.heard, "+/a");
  EXPECT_EQ(outside.ext_sched.get(), &root.self());
  EXPECT_EQ(inside.ext_sched.get(), &child.self());
  EXPECT_EQ(deep.ext_sched.get(), &child.self());
  EXPECT_TRUE(root.life(inside).calls.ends_with("dx")) << root.life(inside).calls;
  EXPECT_TRUE(child.life(inside).calls.starts_with("iew")) << child.life(inside).calls;
  Task &forked = m.worker("forked", &below);
  EXPECT_EQ(forked.ext_sched.get(), &child.self());
  const u64 before = inside.ts.se.sum_exec_runtime;
  m.run_checked(100 * kMs);
  EXPECT_GT(inside.ts.se.sum_exec_runtime - before, 20 * kMs);
  EXPECT_GT(child.enqueued, 50u);
  m.detach(child);
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_UNREG});
  EXPECT_EQ(root.heard, "+/a-/a");
  EXPECT_TRUE(m.logged("sched_ext: BPF sub-scheduler \"child\" disabled (unregistered from user space)"));
  for (Task *p : {&inside, &deep, &forked}) EXPECT_EQ(p->ext_sched.get(), &root.self());
  m.run_checked(50 * kMs);
  m.detach(root);
  m.expect_in_order({&root, &child});
  EXPECT_EQ(root.exit_kind, u32{SCX_EXIT_UNREG}) << root.exit_msg;
}

TEST(SubSched, EachPlaceTakesOneAndOnlyFromAbove) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &b = m.group("/a/b"), &c = m.group("/a/b/c");
  Fifo root(m, "root"), middle(m, "middle", b.id()), again(m, "again", b.id()), between(m, "between", a.id());
  EXPECT_EQ(m.attach(middle), -ENODEV);
  ASSERT_EQ(m.attach(root), 0);
  Fifo nowhere(m, "nowhere", 4711);
  EXPECT_EQ(m.attach(nowhere), -ENOENT);
  ASSERT_EQ(m.attach(middle), 0);
  EXPECT_EQ(m.attach(again), -EBUSY);
  EXPECT_EQ(m.attach(between), -EBUSY);
  Fifo lowest(m, "lowest", c.id());
  ASSERT_EQ(m.attach(lowest), 0);
  EXPECT_EQ(lowest.self().label, fmt::format("sub2-{}", c.id()));
  m.run_checked(20 * kMs);
  m.detach(root);
  EXPECT_EQ(middle.exit_kind, u32{SCX_EXIT_PARENT});
  m.detach(middle);
  m.detach(lowest);
}

// Only the root scheduler may, and only while it is loaded.
TEST(SubSched, DisallowIsNotForSubSchedulers) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &inside = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  auto refuse = [&](Task &p, bool) { return p.ts.scx.disallow = true, 0; };
  child.on_init_task = refuse;
  child.ready();
  ASSERT_EQ(m.attach(child), 0);
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(child.exit_msg, fmt::format("non-root ops.init_task() set task->scx.disallow for {}", task_label(inside)));
  EXPECT_EQ(inside.ext_sched.get(), &root.self());
  m.detach(child);
  m.detach(root);
}

TEST(SubSched, NobodyGoesBelowOneThatTakesNoChildren) {
  SubMachine m;
  Fifo root(m, "root");
  TestScheduler plain("plain");
  ASSERT_EQ(m.attach(plain.ready()), 0);
  Fifo child(m, "child", m.group("/a").id());
  EXPECT_EQ(m.attach(child), -EOPNOTSUPP);
  m.detach(plain);
}

TEST(SubSched, FourLevelsAreAllThereIs) {
  SubMachine m;
  Fifo root(m, "root");
  ASSERT_EQ(m.attach(root), 0);
  std::vector<std::unique_ptr<Fifo>> levels;
  std::string path;
  for (u32 level = 1; level <= SCX_SUB_MAX_DEPTH; level++) {
    path += "/x";
    levels.push_back(std::make_unique<Fifo>(m, fmt::format("level{}", level), m.group(path).id()));
    ASSERT_EQ(m.attach(*levels.back()), 0);
  }
  Fifo &last = *levels.back();
  EXPECT_EQ(last.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(last.exit_msg, "max nesting depth 4 violated");
  EXPECT_EQ(levels[2]->exit_kind, 0u);
  m.worker("deep", &m.group("/x/x/x"));
  m.run_checked(50 * kMs);
  EXPECT_GT(levels[2]->enqueued, 5u);
  for (auto it = levels.rbegin(); it != levels.rend(); ++it) m.detach(**it);
  m.detach(root);
  m.expect_in_order({&root, levels[0].get(), levels[1].get(), levels[2].get()});
}

TEST(SubSched, WhatIsWrongWithAChildEndsTheChild) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root");
  Task &p = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  Fifo rejected(m, "rejected", a.id());
  root.refusal = -ENOSPC;
  ASSERT_EQ(m.attach(rejected), 0);
  EXPECT_EQ(rejected.exit_msg, "parent rejected (-28)");
  EXPECT_EQ(root.heard, "");
  root.refusal = 0;
  m.detach(rejected);
  Fifo cpus(m, "cpus", a.id());
  cpus.mutable_config().cid_form = false;
  ASSERT_EQ(m.attach(cpus), 0);
  EXPECT_EQ(cpus.exit_kind, u32{SCX_EXIT_ERROR});
  m.detach(cpus);
  Fifo tids(m, "tids", a.id());
  tids.mutable_config().flags = SCX_OPS_TID_TO_TASK;
  ASSERT_EQ(m.attach(tids), 0);
  EXPECT_EQ(tids.exit_kind, u32{SCX_EXIT_ERROR});
  m.detach(tids);
  EXPECT_EQ(p.ext_sched.get(), &root.self());
  m.run_checked(20 * kMs);
  m.detach(root);
  m.expect_in_order({&root, &rejected, &cpus, &tids});
}

TEST(SubSched, ItsErrorGivesItsTasksBack) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &p = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  m.run_checked(20 * kMs);
  m.machine.run_on(1, [&] { m.ext().error(child.self(), "on purpose"); });
  m.run_checked(20 * kMs);
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(child.exit_msg, "on purpose");
  EXPECT_TRUE(child.exit_dump.starts_with(fmt::format("child: sub1-{} /a\n", a.id()))) << child.exit_dump;
  EXPECT_NE(child.exit_dump.find(fmt::format(" inside[{}] *sub1-{} ", p.pid(), a.id())), std::string::npos)
      << child.exit_dump;
  EXPECT_EQ(root.exit_kind, 0u);
  EXPECT_EQ(p.ext_sched.get(), &root.self());
  const u64 before = p.ts.se.sum_exec_runtime;
  m.run_checked(50 * kMs);
  EXPECT_GT(p.ts.se.sum_exec_runtime - before, 10 * kMs);
  m.detach(child);
  Fifo next(m, "next", a.id());
  ASSERT_EQ(m.attach(next), 0);
  EXPECT_EQ(p.ext_sched.get(), &next.self());
  m.detach(next);
  m.detach(root);
  m.expect_in_order({&root, &child, &next});
}

TEST(SubSched, AParentThatEndsEndsItsChildrenFirst) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &b = m.group("/a/b");
  Fifo root(m, "root"), child(m, "child", a.id()), grandchild(m, "grandchild", b.id());
  std::string order;
  for (Fifo *s : {&root, &child, &grandchild})
    s->on_exit = [&order, s](const scx_exit_info &) { order += s->config().name + " "; };
  m.worker("inside", &a), m.worker("deep", &b), m.worker("outside");
  for (Fifo *s : {&root, &child, &grandchild}) ASSERT_EQ(m.attach(*s), 0);
  m.run_checked(20 * kMs);
  m.machine.run_on(0, [&] { m.ext().error(root.self(), "on purpose"); });
  m.run_checked(50 * kMs);
  EXPECT_EQ(order, "grandchild child root ");
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_PARENT});
  EXPECT_EQ(grandchild.exit_kind, u32{SCX_EXIT_PARENT});
  EXPECT_EQ(root.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(m.ext().state(), u32{SCX_DISABLED});
  for (Fifo *s : {&root, &child, &grandchild}) m.detach(*s);
  m.expect_in_order({&root, &child, &grandchild});
}

TEST(SubSched, ItEndsWithItsGroup) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  m.machine.run_on(0, [&] { EXPECT_EQ(m.kernel.cgroups().remove(a), 0); });
  m.run_checked(50 * kMs);
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_UNREG_KERN});
  EXPECT_EQ(child.exit_code, static_cast<s64>(SCX_ECODE_RSN_CGROUP_OFFLINE));
  EXPECT_EQ(root.heard, "+/a-/a");
  m.detach(child);
  m.detach(root);
}

TEST(SubSched, AMoveBetweenGroupsLeavesATaskWhereItIs) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &b = m.group("/b");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &p = m.worker("mover", &a);
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  m.machine.run_on(0, [&] { EXPECT_EQ(m.kernel.cgroups().attach(b, p), 0); });
  m.run_checked(20 * kMs);
  EXPECT_EQ(p.ext_sched.get(), &child.self());
  m.detach(child);
  EXPECT_EQ(p.ext_sched.get(), &root.self());
  m.detach(root);
  m.expect_in_order({&root, &child});
}

TEST(SubSched, OneTaskThatItRefusesChangesNothing) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &first = m.worker("first", &a), &second = m.worker("second", &a);
  child.on_init_task = [&](Task &p, bool) { return &p == &second ? -ENOMEM : 0; };
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  EXPECT_EQ(child.exit_msg, fmt::format("ops.init_task() failed (-12) for second[{}]", second.pid()));
  EXPECT_EQ(child.life(first).calls, "ix");
  EXPECT_EQ(first.ext_sched.get(), &root.self());
  EXPECT_EQ(root.life(first).calls.find('x'), std::string::npos);
  m.detach(child);
  m.detach(root);
  m.expect_in_order({&root, &child});
}

TEST(SubSched, AParentThatRefusesATaskBackEnds) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &p = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  root.on_init_task = [&](Task &q, bool) { return &q == &p ? -EPERM : 0; };
  m.detach(child);
  m.run_checked(50 * kMs);
  EXPECT_EQ(root.exit_msg,
            fmt::format("ops.init_task() failed (-1) for inside[{}] while disabling a sub-scheduler", p.pid()));
  EXPECT_EQ(p.sched_class, &m.kernel.fair_class());
  m.detach(root);
  m.expect_in_order({&root, &child});
}

TEST(SubSched, WhoIsNotDispatchedStallsAlone) {
  SubMachine m;
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  child.mutable_config().timeout_ms = 100;
  root.dispatches_children = false;
  Task &p = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  m.run_checked(200 * kMs);
  EXPECT_EQ(child.exit_kind, u32{SCX_EXIT_ERROR_STALL}) << child.exit_msg;
  EXPECT_EQ(root.exit_kind, 0u);
  const u64 before = p.ts.se.sum_exec_runtime;
  m.run_checked(50 * kMs);
  EXPECT_GT(p.ts.se.sum_exec_runtime - before, 10 * kMs);
  m.detach(child);
  m.detach(root);
  m.expect_in_order({&root, &child});
}

TEST(SubSched, OnlyChildrenOfOnesOwnAreDispatched) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &b = m.group("/a/b");
  Fifo root(m, "root"), child(m, "child", a.id()), grandchild(m, "grandchild", b.id());
  for (Fifo *s : {&root, &child, &grandchild}) ASSERT_EQ(m.attach(*s), 0);
  root.children = {b.id()};
  m.worker("outside");
  m.run_checked(50 * kMs);
  EXPECT_EQ(root.exit_msg, fmt::format("trying to dispatch a distant sub-sched on cgroup {}", b.id()));
  for (Fifo *s : {&root, &child, &grandchild}) m.detach(*s);
}

TEST(SubSched, TasksOfAChildInBypassRunFromTheParentsQueue) {
  SubMachine m(1);
  Cgroup &a = m.group("/a");
  Fifo root(m, "root"), child(m, "child", a.id());
  Task &p = m.worker("inside", &a);
  ASSERT_EQ(m.attach(root), 0);
  ASSERT_EQ(m.attach(child), 0);
  Ext::Impl &impl = ExtInternal::impl(m.ext());
  m.machine.run_on(0, [&] { impl.bypass(child.self(), true); });
  const u64 before = p.ts.se.sum_exec_runtime, enqueued = child.enqueued;
  m.run_checked(50 * kMs);
  EXPECT_GT(p.ts.se.sum_exec_runtime - before, 20 * kMs);
  EXPECT_EQ(child.enqueued, enqueued);
  scx_event_stats events;
  impl.sum_events(root.self(), &events);
  EXPECT_GT(events.SCX_EV_SUB_BYPASS_DISPATCH, 3);
  m.machine.run_on(0, [&] { impl.bypass(child.self(), false); });
  m.run_checked(50 * kMs);
  EXPECT_GT(child.enqueued, enqueued);
  m.detach(child);
  m.detach(root);
  m.expect_in_order({&root, &child});
}

TEST(SubSched, TasksUnderWayWhenItComesAndGoesAreNeverLost) {
  SubMachine m(4);
  Cgroup &a = m.group("/a"), &b = m.group("/a/b");
  Fifo root(m, "root"), child(m, "child", a.id()), grandchild(m, "grandchild", b.id());
  for (u32 i = 0; i < 6; i++) m.worker("outside"), m.worker("inside", &a);
  for (u32 i = 0; i < 6; i++) m.worker("deep", &b);  // After those above: a group with populated ones below takes none.
  ASSERT_EQ(m.attach(root), 0);
  for (u32 round = 0; round < 8; round++) {
    ASSERT_EQ(m.attach(child), 0);
    m.run_checked(7 * kMs);
    ASSERT_EQ(m.attach(grandchild), 0);
    m.run_checked(9 * kMs);
    if (round % 2) m.detach(grandchild);
    m.detach(child);
    if (!(round % 2)) m.detach(grandchild);
  }
  m.detach(root);
  m.expect_in_order({&root, &child, &grandchild});
  EXPECT_EQ(root.exit_kind, u32{SCX_EXIT_UNREG}) << root.exit_msg;
}

TEST(SubSched, LoadedOnesAreListedParentsFirst) {
  SubMachine m;
  Cgroup &a = m.group("/a"), &b = m.group("/a/b");
  Fifo root(m, "root"), child(m, "child", a.id()), grandchild(m, "grandchild", b.id());
  for (Fifo *s : {&root, &child, &grandchild}) ASSERT_EQ(m.attach(*s), 0);
  std::string paths;
  for (const Ext::Loaded &loaded : m.ext().loaded()) paths += loaded.path + "=" + loaded.name + " ";
  EXPECT_EQ(paths, fmt::format("root=root root/sub/sub-{}=child root/sub/sub-{}/sub/sub-{}=grandchild ", a.id(), a.id(),
                               b.id()));
  m.detach(root);
  for (Fifo *s : {&child, &grandchild}) m.detach(*s);
}

}  // namespace uscx::sched
