// SPDX-License-Identifier: GPL-2.0-only
#include "workload/builtins.h"

#include <gtest/gtest.h>

#include "machine/machine.h"

namespace uscx::workload {
namespace {

std::vector<PlannedTask> plan_of(const std::string &text, const Site &site) {
  auto workload = open_workload(text);
  EXPECT_TRUE(workload.ok()) << text;
  auto plan = (*workload)->plan(site);
  EXPECT_TRUE(plan.ok());
  return plan.take();
}

TEST(Builtins, EveryDefaultIsInItsRange) {
  for (const Builtin &builtin : builtins()) EXPECT_TRUE(parse_values(builtin.parameters, "").ok()) << builtin.name;
}

TEST(Builtins, HogsHaveTheirNiceValuesInTurn) {
  auto plan = plan_of("hogs:nice=-5/0/5", {});
  ASSERT_EQ(plan.size(), 3u);
  EXPECT_EQ(plan[0].nice, -5);
  EXPECT_EQ(plan[2].nice, 5);
  EXPECT_EQ(plan[2].comm, "hog-2");
  EXPECT_EQ(plan_of("hogs", {}).size(), 4u);
  EXPECT_EQ(plan_of("hogs:tasks=5,nice=1/2", {})[4].nice, 1);
}

TEST(Builtins, MixedGrowsWithTheMachine) {
  EXPECT_EQ(plan_of("mixed", {.nr_cpus = 8}).size(), 4u + 32u + 8u);
  machine::CpuMask quiet(8);
  for (u32 cpu = 1; cpu < 8; cpu++) quiet.set(cpu);
  const auto plan = plan_of("mixed:hogs=1,interactive=2,cgroup=/x", {.nr_cpus = 8, .quiet = quiet});
  ASSERT_EQ(plan.size(), 4u);
  EXPECT_EQ(plan[2].cgroup, "/x");
  EXPECT_TRUE(plan[3].kthread);
  EXPECT_EQ(plan[3].cgroup, "");
  EXPECT_EQ(plan[3].comm, "kworker/0:1");
  EXPECT_TRUE(plan[3].cpus->test(0));
}

// The first steps of a plan's last task, each taking its own time.
std::vector<u64> draws(const Site &site) {
  auto plan = plan_of("mixed", site);
  alignas(16) char unused[16] = {};
  std::vector<u64> out;
  machine::exec().now_ns = 0;
  for (int i = 0; i < 50; i++) {
    const sched::Step step =
        plan.back().behavior->next(reinterpret_cast<sched::Kernel &>(unused), reinterpret_cast<sched::Task &>(unused));
    out.push_back(step.ns);
    machine::exec().now_ns = step.kind == sched::Step::Kind::kRun ? machine::now_ns() + step.ns : step.ns;
  }
  return out;
}

TEST(Builtins, MixedDependsOnSeedAndPlaceAlone) {
  EXPECT_EQ(draws({.nr_cpus = 2, .seed = 1}), draws({.nr_cpus = 2, .seed = 1}));
  EXPECT_NE(draws({.nr_cpus = 2, .seed = 1}), draws({.nr_cpus = 2, .seed = 2}));
  EXPECT_NE(draws({.nr_cpus = 2, .seed = 1}), draws({.nr_cpus = 2, .seed = 1, .index = 1}));
}

TEST(Builtins, BadTextSaysWhatIsWrong) {
  const std::pair<const char *, const char *> kBad[] = {
      {"hog",
       "unknown workload 'hog' (did you mean 'hogs'?); built-in are hogs, mixed, pingpong, schbench, hackbench, build, "
       "server, game, forkstorm, and a file has a slash or ends in .json"},
      {"hogs:task=4", "hogs: unknown key 'task'; it takes tasks, nice, cgroup"},
      {"hogs:tasks", "hogs: 'tasks' is not KEY=VALUE"},
      {"hogs:tasks=", "hogs: tasks= has no value"},
      {"hogs:tasks=0", "hogs: tasks: 0 is out of range; it takes 1 to 1000000"},
      {"hogs:tasks=4,tasks=4", "hogs: tasks is there twice"},
      {"hogs:tasks=4,", "hogs: a comma at the end"},
      {"hogs:nice=-5/21", "hogs: nice: 21 is out of range; it takes -20 to 19"},
      {"mixed:run=5", "mixed: run: '5' is not a duration; write a number and a unit, such as 5ms, 200us or 1.5s"},
      {"server:service=poisson:1ms",
       "server: service: 'poisson:1ms' is unknown; it takes a duration, uniform:LOW/HIGH, exponential:MEAN, "
       "lognormal:MEDIAN/PERCENT, bimodal:A/B/PERCENT or empirical:A/B/..."},
      {"mixed:run=1ns", "mixed: run: 1ns is out of range; it takes 100ns to 3600s"},
      {"./no-such-file.json", "./no-such-file.json: No such file or directory"},
      {"/", "/: is a directory"},
  };
  for (const auto &[text, message] : kBad) {
    auto workload = open_workload(text);
    ASSERT_FALSE(workload.ok()) << text;
    EXPECT_EQ(workload.message(), message);
  }
}

}  // namespace
}  // namespace uscx::workload
