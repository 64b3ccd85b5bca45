// SPDX-License-Identifier: GPL-2.0-only
// Control groups as text, what becomes of them, and scripts that use them.
#include "workload/groups.h"

#include <gtest/gtest.h>

#include "sched/cgroup.h"
#include "sched/native/machine.h"
#include "workload/workload.h"

namespace uscx::workload {
namespace {

using sched::Cgroup;

std::string refusal(const std::string &text) {
  Result<GroupSpec> spec = parse_group(text);
  return spec.ok() ? "" : spec.message();
}

TEST(Groups, Text) {
  const GroupSpec spec = parse_group("/a/b:weight=300,max=20ms/50ms,burst=1ms,idle=0").take();
  EXPECT_EQ(spec.path, "/a/b");
  EXPECT_EQ(spec.weight, 300u);
  EXPECT_EQ(spec.quota_us, 20000u);
  EXPECT_EQ(spec.period_us, 50000u);
  EXPECT_EQ(spec.burst_us, 1000u);
  EXPECT_EQ(spec.idle, false);
  EXPECT_EQ(parse_group("/a:max=max").take().quota_us, sched::kNoQuota);
  EXPECT_EQ(parse_group("/a:nice=-5").take().nice, -5);
  EXPECT_TRUE(parse_group("/a:remove").take().remove);
  EXPECT_EQ(refusal("/a"), "");
}

TEST(Groups, BadTextSaysWhatIsAllowed) {
  EXPECT_EQ(refusal("a"), "'a' is not the path of a cgroup, such as /a/b");
  EXPECT_NE(refusal("/a//b"), "");
  EXPECT_NE(refusal("/a/../b"), "");
  EXPECT_NE(refusal("/a:weight=0").find("/a: weight"), std::string::npos);
  EXPECT_NE(refusal("/a:hue=1").find("weight=1..10000"), std::string::npos);
  EXPECT_NE(refusal("/a:max=1500ns"), "");
  EXPECT_NE(refusal("/a:weight=5,nice=1"), "");
}

TEST(Groups, AreMadeWithTheirSettings) {
  sched::TestMachine m(2);
  m.machine.run_on(0, [&] {
    EXPECT_TRUE(apply_group(m.kernel, parse_group("/a/b:weight=300,max=20ms").take()).ok());
    const Status late = apply_group(m.kernel, parse_group("/a:max=10ms/5s").take());
    EXPECT_EQ(late.message(), "cgroup /a: max: not allowed for this group");
    EXPECT_EQ(apply_group(m.kernel, parse_group("/a:remove").take()).message(),
              "cgroup /a: remove: Device or resource busy");
  });
  const Cgroup *b = m.kernel.cgroups().find("/a/b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->group().ts.scx.weight, 300u);
  EXPECT_EQ(b->group().ts.scx.bw_quota_us, 20000u);
  EXPECT_EQ(b->group().ts.scx.bw_period_us, 100000u);
}

TEST(Groups, ScriptsMoveTasksAndChangeGroups) {
  const std::shared_ptr<const Workload> workload = parse_workload(R"({"cgroups": {"/a": "weight=50", "/b": ""},
                         "tasks": {
                           "mover": {"taskgroup": "/a", "loop": 1, "phases": {
                             "first": {"run": 2000}, "second": {"taskgroup": "/b", "run": 1000000}}},
                           "boss": {"loop": 1, "until": "10ms", "cgroup0": "/a:weight=77", "cgroup1": "/a:remove",
                                    "cgroup2": "/b:remove", "run": "1s"}}})",
                                                                  "x.json")
                                                       .take();
  sched::TestMachine m(2);
  std::vector<std::string> log;
  m.kernel.set_log_listener([&](u64, const std::string &line) { log.push_back(line); });
  ASSERT_EQ(workload->groups().size(), 2u);
  m.machine.run_on(0, [&] {
    for (const GroupSpec &spec : workload->groups()) EXPECT_TRUE(apply_group(m.kernel, spec).ok());
  });
  Launcher launcher(m.kernel, [](const RefusedTask &task) { FAIL() << task.comm; });
  launcher.launch(workload->plan({.nr_cpus = 2}).take());
  sched::Task *mover = nullptr;
  m.kernel.for_each_task([&](sched::Task &p) {
    if (p.comm() == "mover") mover = &p;
  });
  ASSERT_NE(mover, nullptr);
  sched::CgroupTree &tree = m.kernel.cgroups();
  EXPECT_EQ(mover->cgroup, tree.find("/a"));
  m.run_for(5 * kNsPerMs);
  EXPECT_EQ(mover->cgroup, tree.find("/b"));
  EXPECT_EQ(tree.find("/a")->group().ts.scx.weight, 50u);
  m.run_for(20 * kNsPerMs);
  EXPECT_EQ(tree.find("/a"), nullptr);
  ASSERT_EQ(log.size(), 1u);
  EXPECT_TRUE(log[0].ends_with("cgroup /b: remove: Device or resource busy")) << log[0];
  m.kernel.verify_all();
}

TEST(Groups, BadScriptsSayWhere) {
  const auto message = [](const char *json) { return std::string(parse_workload(json, "x").message()); };
  EXPECT_EQ(message(R"({"tasks": {"t": {"taskgroup": "a", "run": 5}}})"),
            "x: tasks.t.taskgroup: 'a' is not the path of a cgroup, such as /a/b");
  EXPECT_EQ(message(R"({"cgroups": {"/a": "weight=0"}, "tasks": {"t": {"run": 5}}})").find("x: cgroups"), 0u);
}

TEST(Groups, BuiltinsTakeOne) {
  const auto workload = open_workload("hogs:tasks=2,cgroup=/a/b").take();
  const std::vector<PlannedTask> plan = workload->plan({.nr_cpus = 2}).take();
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[1].cgroup, "/a/b");
  EXPECT_FALSE(open_workload("hogs:cgroup=a").ok());
}

}  // namespace
}  // namespace uscx::workload
