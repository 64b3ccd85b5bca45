// SPDX-License-Identifier: GPL-2.0-only
// The built-in workloads that are scripts do what they say, counted by hand.
#include <algorithm>

#include "workload/script/stage.h"

namespace uscx::workload {
namespace {

// Nanoseconds of CPU time of all tasks whose comm begins so.
double cpu_time(Stage &stage, const std::string &comm) {
  double sum = 0;
  stage.m.kernel.for_each_task([&](sched::Task &p) {
    if (p.comm().starts_with(comm)) sum += static_cast<double>(p.ts.utime);
  });
  return sum;
}
u32 count(Stage &stage, const std::string &comm) {
  u32 tasks = 0;
  stage.m.kernel.for_each_task([&](sched::Task &p) { tasks += p.comm().starts_with(comm); });
  return tasks;
}

TEST(BuiltinScripts, SchbenchWorkersThinkAndWork) {
  Stage stage(open_workload("schbench:workers=3,think=1ms,work=4ms"), 4);
  stage.run_ms(1000);
  // A round is 5 ms and two wakeups: 199 or 200 of them.
  EXPECT_NEAR(cpu_time(stage, "schbench-w"), 3 * 200 * 4e6, 3 * 3 * 4e6);
  EXPECT_EQ(stage.find("schbench-w0-1")->ts.tgid, stage.find("schbench-m0")->pid());
}

TEST(BuiltinScripts, HackbenchEndsWhenAllIsReceived) {
  Stage stage(open_workload("hackbench:groups=2,pairs=3,loops=50,work=100us,buffer=2"), 4);
  EXPECT_EQ(stage.count(), 12u);
  stage.run_ms(1);
  EXPECT_EQ(stage.count(), 12u);
  stage.run_ms(400);
  // 2 groups of 3 x 3 x 50 messages, 200 us each, on 4 CPUs: 45 ms, if none is idle.
  EXPECT_EQ(stage.count(), 0u);
  EXPECT_EQ(stage.said, "");
}

TEST(BuiltinScripts, BuildHasNoMoreThanItsJobs) {
  Stage stage(open_workload("build:jobs=3,units=100,compile=4ms,read=1ms,link=10ms"), 4);
  u32 most = 0, linkers = 0;
  for (int i = 0; i < 400 && stage.count() > 0; i++) {
    stage.run_ms(1);
    most = std::max(most, count(stage, "cc1"));
    linkers += count(stage, "ld");
  }
  EXPECT_EQ(most, 3u);
  EXPECT_NEAR(linkers, 10, 2);
  EXPECT_EQ(stage.count(), 0u);
}

TEST(BuiltinScripts, ServerTakesItsRateWhateverHappens) {
  Stage stage(open_workload("server:rate=2000,service=100us,workers=4"), 4);
  stage.run_ms(2000);
  EXPECT_NEAR(cpu_time(stage, "worker"), 4000 * 1e5, 4000 * 1e5 * 0.1);
  // With one worker that is too slow, requests wait, and it never rests.
  Stage slow(open_workload("server:rate=2000,service=1ms,workers=1"), 4);
  slow.run_ms(1000);
  EXPECT_GT(cpu_time(slow, "worker"), 0.98e9);
}

TEST(BuiltinScripts, GameMakesItsFrames) {
  Stage stage(open_workload("game:fps=50,prepare=3ms,piece=2ms,draw=4ms,workers=2,compilers=1,nice=5"), 4);
  stage.run_ms(1000);
  EXPECT_NEAR(static_cast<double>(stage.find("game")->ts.utime), 50 * 7e6, 2 * 7e6);
  EXPECT_NEAR(cpu_time(stage, "game-worker"), 50 * 2 * 2e6, 10e6);
  EXPECT_EQ(stage.find("cc1")->nice(), 5);
}

TEST(BuiltinScripts, ForkstormIsBounded) {
  Stage stage(open_workload("forkstorm:tasks=3001,alive=20,makers=2,run=50us"), 4);
  u32 most = 0;
  for (int i = 0; i < 2000 && stage.count() > 0; i++) {
    stage.m.run_for(100 * kNsPerUs);
    most = std::max(most, count(stage, "short"));
  }
  EXPECT_LE(most, 20u + 4) << "those that end have given their slot back";
  EXPECT_EQ(stage.count(), 0u);
  EXPECT_GT(stage.m.script("last", [](sched::Kernel &, sched::Task &) { return sched::Step::exit(); }).pid(), 3001);
}

}  // namespace
}  // namespace uscx::workload
