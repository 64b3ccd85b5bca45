// SPDX-License-Identifier: GPL-2.0-only
// rt-app's grammar and what its keys mean, one task at a time or by the rows of its logs.
#include "sched/cgroup.h"
#include "workload/script/keys.h"
#include "workload/script/player.h"
#include "workload/script/stage.h"

namespace uscx::workload {
namespace {

using Steps = std::vector<std::string>;

std::vector<std::string> warnings_of(std::string_view json) {
  auto workload = parse_workload(json, "f");
  EXPECT_TRUE(workload.ok()) << (workload.ok() ? "" : workload.message());
  if (!workload.ok()) return {};
  return {(*workload)->warnings().begin(), (*workload)->warnings().end()};
}
std::vector<PlannedTask> plan_of(std::string_view json) {
  auto workload = parse_workload(json, "f");
  EXPECT_TRUE(workload.ok()) << (workload.ok() ? "" : workload.message());
  return (*workload)->plan({.nr_cpus = 4}).take();
}
std::string refusal(std::string_view json) {
  auto workload = parse_workload(json, "f");
  return workload.ok() ? "" : workload.message();
}
std::string named(const std::string &name) {
  const testing::UnitTest &all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); i++)
    for (int j = 0; j < all.GetTestSuite(i)->total_test_count(); j++)
      if (name == std::string(all.GetTestSuite(i)->name()) + "." + all.GetTestSuite(i)->GetTestInfo(j)->name())
        return name;
  return "";
}

// --- the table ---

TEST(Keys, EachHasATestAndAReader) {
  for (const Key &key : keys()) {
    EXPECT_EQ(named(key.test), key.test) << key.name;
    EXPECT_EQ(key.read == nullptr, key.origin == Origin::kObsolete) << key.name;
    EXPECT_NE(places_text(key.places), "") << key.name;
  }
}

TEST(Keys, UnknownOnesNameTheNearest) {
  EXPECT_EQ(refusal(R"({"tasks": {"t": {"run": 5, "slep": 3}}})"),
            "f: tasks.t.slep: unknown key; it takes sleep, the nearest of those in uscx list workload-keys");
  EXPECT_EQ(refusal(R"({"tasks": {"t": {"run": 5}}, "globl": {}})"),
            "f: globl: unknown key; it takes global, the nearest of those in uscx list workload-keys");
  EXPECT_NE(refusal(R"({"tasks": {"t": {"run": 5, "quux_of_old": 3}}})").find("it takes instance, loop, delay"),
            std::string::npos);
}

TEST(Keys, EventsHaveAnyTag) {
  Player player(R"({"tasks": {"t": {"loop": 1, "run0": 1000, "runtime_x": 10, "run_load": 2000, "sleepy": 3000,
                    "yield!": 1, "mem0": 20000, "memrunA": {"type": "chase", "size": 64, "count": 10},
                    "until7": 7000}}})");
  EXPECT_EQ(player.all(99), (Steps{"run 1ms", "run 32us", "run 2ms", "sleep until 6.032ms", "yield", "run 2us",
                                   "run 1us", "sleep until 7ms", "exit"}));
  EXPECT_NE(refusal(R"({"tasks": {"t": {"untilled": 5}}})"), "") << "our own events have less freedom";
}

// --- duplicates, workgen ---

TEST(RtApp, DuplicateEventsAreKeptInOrder) {
  Player player(R"({"tasks": {"t": {"loop": 1, "run": 1000, "sleep": 2000, "run": 3000}}})");
  EXPECT_EQ(player.all(9), (Steps{"run 1ms", "sleep until 3ms", "run 3ms", "exit"}));
  Player phases(
      R"({"tasks": {"t": {"loop": 1, "phases": {"p": {"run": 1000}, "q": {"run": 2000}, "p": {"run": 3000}}}}})");
  EXPECT_EQ(phases.all(9), (Steps{"run 1ms", "run 2ms", "run 3ms", "exit"}));
  EXPECT_EQ(plan_of(R"({"tasks": {"t": {"run": 1}, "t": {"run": 1}}})").size(), 2u);
}

// --- global ---

TEST(RtApp, Durations) {
  const auto duration = [](const std::string &value) {
    return (*parse_workload(R"({"global": {"duration": )" + value + R"(}, "tasks": {"t": {"run": 5}}})", "f"))
        ->duration_ns();
  };
  EXPECT_EQ(duration("3"), 3 * kNsPerSec);
  EXPECT_EQ(duration("0"), std::nullopt);
  EXPECT_EQ(duration("-1"), std::nullopt);
  EXPECT_EQ(duration("\"15ms\""), 15 * kNsPerMs);
}

TEST(RtApp, UnusedKeysAreAccepted) {
  const char *json = R"({"global": {"ftrace": "main,task,loop,event,stats", "gnuplot": true, "lock_pages": false,
                                    "logdir": "/nowhere", "io_device": "/dev/sda", "calibration": "CPU3"},
    "tasks": {"t": {"util_min": 3, "util_max": 1024, "nodes_membind": [0, 1], "run": 1}}})";
  EXPECT_EQ(warnings_of(json).size(), 0u);
  EXPECT_NE(refusal(R"({"global": {"ftrace": "run"}, "tasks": {"t": {"run": 1}}})").find("'run' is no category"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"global": {"lock_pages": 1}, "tasks": {"t": {"run": 1}}})"), "");
  EXPECT_NE(refusal(R"({"tasks": {"t": {"util_min": 1025, "run": 1}}})"), "");
  EXPECT_NE(refusal(R"({"tasks": {"t": {"nodes_membind": 0, "run": 1}}})"), "");
  EXPECT_NE(refusal(R"({"global": {"calibration": "GPU0"}, "tasks": {"t": {"run": 1}}})"), "");
}

TEST(RtApp, WhatIsNotModelledIsAWarning) {
  EXPECT_EQ(
      warnings_of(R"({"global": {"pi_enabled": true}, "tasks": {"t": {"run": 1, "dl-runtime": 500}}})"),
      (Steps{"global.pi_enabled: mutexes do not inherit priority here",
             "tasks.t.dl-runtime: has no effect: there are no deadline tasks here, and no slices of a task's own"}));
  EXPECT_EQ(warnings_of(R"({"tasks": {"t": {"run": 1}}} })"),
            Steps{"line 1: what stands behind the end of the object is ignored"});
  EXPECT_EQ(warnings_of(R"({"tasks": {"t": {"timer": {"mode": "Relative", "period": 1}}}})"),
            Steps{"tasks.t.timer.mode: 'Relative' counts as \"relative\", as in rt-app"});
}

TEST(RtApp, ObsoleteKeysAreWarnings) {
  const char *json = R"({"global": {"frag": 1}, "resources": {"trig": {"type": "signal", "target": "wait"}},
    "tasks": {"t": {"exec": 5000, "period": 5000, "deadline": 5000, "lock_order": ["wait"], "resources": {}}}})";
  EXPECT_EQ(warnings_of(json), (Steps{"global.frag: is ignored, as rt-app does since 1.0",
                                      "resources.trig.target: is ignored, as rt-app does since 1.0",
                                      "tasks.t: has nothing but keys of rt-app before 1.0, and ends at once"}));
  EXPECT_EQ(
      warnings_of(R"({"tasks": {"t": {"phases": {"p": {"exec": 5, "run": 1}}}}})"),
      Steps{"tasks.t: has keys of rt-app before 1.0 (exec, period, deadline, lock_order, resources), now ignored"});
  Player player(json);
  EXPECT_EQ(player.next(), "exit");
}

TEST(RtApp, ResourcesAreOptional) {
  EXPECT_EQ(refusal(R"({"resources": {"m": {"type": "mutex"}, "x": {}}, "tasks": {"t": {"lock": "m"}}})"), "");
  EXPECT_EQ(refusal(R"({"tasks": {"t": {"lock": "m"}}})"), "");
  EXPECT_NE(refusal(R"({"resources": {"m": {"type": "spinlock"}}, "tasks": {"t": {"lock": "m"}}})"), "");
}

// --- loops, delays, timers ---

TEST(RtApp, Loops) {
  const auto steps = [](const std::string &task) { return Player(R"({"tasks": {"t": )" + task + "}}").all(50).size(); };
  EXPECT_EQ(steps(R"({"loop": 3, "phases": {"p": {"loop": 2, "run": 100}}})"), 6u + 1);
  EXPECT_EQ(steps(R"({"loop": 3, "run": 100})"), 3u + 1);
  EXPECT_EQ(steps(R"({"loop": 0, "run": 100})"), 50u) << "for ever";
  EXPECT_EQ(steps(R"({"loop": 1, "phases": {"p": {"loop": 0, "run": 100}}})"), 50u) << "for ever";
  EXPECT_EQ(steps(R"({"loop": 0, "phases": {"p": {"loop": 2, "run": 100}}})"), 1u) << "never";
}

TEST(RtApp, DelayMovesTheTimersStart) {
  Stage stage(
      R"({"tasks": {"t": {"delay": 5000, "loop": 1, "run": 1000, "timer": {"ref": "unique", "period": 10000}}}})");
  stage.run_ms(30);
  const std::vector<Stage::Row> rows = stage.rows("rt-app-t-0");
  expect_column(rows, Stage::kStart, {5000});
  expect_column(rows, Stage::kEnd, {15000});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_NEAR(static_cast<double>(rows[0][Stage::kSlack]), 9000, 50);
}

TEST(RtApp, TimersOfOneName) {
  // Two instances on one timer: it is advanced twice a round.
  Stage shared(R"({"tasks": {"t": {"instance": 2, "loop": 2, "run": 1000, "timer": {"ref": "x", "period": 10000}}}})");
  shared.run_ms(60);
  std::vector<s64> ends;
  for (const char *name : {"rt-app-t-0", "rt-app-t-1"})
    for (const Stage::Row &row : shared.rows(name)) ends.push_back(row[Stage::kEnd] / 1000);
  std::sort(ends.begin(), ends.end());
  EXPECT_EQ(ends, (std::vector<s64>{10, 20, 30, 40}));
  // Those that begin with "unique" are the thread's own, one a name; a name that is left out is "unknown", a shared
  // one.
  Player own(R"({"tasks": {"t": {"loop": 1, "phases": {"p": {"timer": {"ref": "uniqueA", "period": 10000}},
     "q": {"timer": {"ref": "uniqueB", "period": 15000}}, "r": {"timer": {"ref": "uniqueA", "period": 10000}},
     "s": {"timer": {"period": 1000}}}}}})");
  EXPECT_EQ(own.all(9), (Steps{"sleep until 10ms", "sleep until 15ms", "sleep until 20ms", "run 200ns", "exit"}));
  EXPECT_NE(refusal(R"({"tasks": {"t": {"timer": {"ref": 5}}}})"), "");
}

// The worked example: period 20 ms, run 10 ms, the third run takes 30 ms.
std::string late_timer(const std::string &mode) {
  const std::string timer = R"("timer": {"ref": "unique", "period": 20000, "mode": ")" + mode + "\"}";
  return R"({"tasks": {"t": {"loop": 1, "phases": {"a": {"loop": 2, "run": 10000, )" + timer + R"(},
    "b": {"run": 30000, )" +
         timer + R"(}, "c": {"loop": 2, "run": 10000, )" + timer + "}}}}}";
}

TEST(RtApp, TimerVectors) {
  Player relative(late_timer("relative"));
  EXPECT_EQ(relative.all(99),
            (Steps{"run 10ms", "sleep until 20ms", "run 10ms", "sleep until 40ms", "run 30ms", "run 200ns", "run 10ms",
                   "sleep until 90ms", "run 10ms", "sleep until 110ms", "exit"}));
  Player absolute(late_timer("absolute"));
  const Steps steps = absolute.all(99);
  EXPECT_EQ(Steps(steps.begin() + 4, steps.end()),
            (Steps{"run 30ms", "run 200ns", "run 10ms", "run 200ns", "run 10ms", "sleep until 100ms", "exit"}));
  Stage stage(late_timer("absolute"));
  stage.run_ms(150);
  std::vector<s64> slacks;
  for (const Stage::Row &row : stage.rows("rt-app-t-0")) slacks.push_back((row[Stage::kSlack] + 50000) / 1000 - 50);
  EXPECT_EQ(slacks, (std::vector<s64>{9, 9, -11, -1, 9})) << "a little less than 10, 10, -10, 0, 10";
}

TEST(RtApp, ModeIsTheTimersNotTheEvents) {
  Player player(
      R"({"tasks": {"t": {"loop": 1, "run": 25000, "timer": {"ref": "x", "period": 10000}, "timer1": {"ref": "x",
    "period": 10000}, "timer2": {"ref": "x", "period": 10000, "mode": "absolute"}}}})");
  EXPECT_EQ(player.all(9), (Steps{"run 25ms", "run 200ns", "run 200ns", "sleep until 30ms", "exit"}));
}

// --- events that take time ---

TEST(RtApp, NothingTakesNoTime) {
  Player player(R"({"tasks": {"t": {"run": 0, "sleep": 0, "timer": {"period": 0}, "mem": 0, "runtime": 0}}})");
  EXPECT_EQ(player.all(5), (Steps{"run 100ns", "run 200ns", "run 200ns", "run 100ns", "run 32us"}));
}

TEST(RtApp, RuntimeCountsTheTimeOfOthersToo) {
  Stage stage(R"({"tasks": {"hog": {"instance": 2, "cpus": [0], "run": 1000000},
                            "t": {"cpus": [0], "loop": 1, "runtime": 100000}}})",
              1);
  stage.run_ms(400);
  const std::vector<Stage::Row> rows = stage.rows("rt-app-t-2");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_GE(rows[0][Stage::kPeriod], 100000);
  EXPECT_LE(rows[0][Stage::kPeriod], 112000);
  EXPECT_GE(rows[0][Stage::kPerf], 200000) << "loops of 100 ns: about a third of the time";
  EXPECT_LE(rows[0][Stage::kPerf], 500000);
}

TEST(RtApp, MemoryAndFilesTakeTime) {
  Player player(R"({"global": {"mem_buffer_size": 1000, "io_device": "/dev/null"}, "tasks": {"t": {"loop": 1,
    "mem": 1000000, "iorun": 2500, "memrun1": {"type": "read", "size": 64, "count": 5000},
    "memrun2": {"type": "chase", "size": 64, "count": 10, "ref": "buffer"},
    "memrun3": {"type": "chase", "size": 64, "count": 100, "stride": 128, "pattern": "sequential"}}}})");
  EXPECT_EQ(player.all(9), (Steps{"run 100us", "run 600ns", "run 5us", "run 1us", "run 500ns", "exit"}));
  EXPECT_NE(refusal(R"({"tasks": {"t": {"memrun": {"type": "read"}}}})").find("needs type, size and count"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"tasks": {"t": {"memrun": {"type": "copy", "size": 1, "count": 1}}}})"), "");
  EXPECT_NE(refusal(R"({"tasks": {"t": {"memrun": {"pattern": "odd"}}}})"), "");
}

TEST(RtApp, Yield) {
  Player player(R"({"tasks": {"t": {"loop": 1, "yield": "x", "yield1", "run": 5}}})");
  EXPECT_EQ(player.all(9), (Steps{"yield", "yield", "run 5us", "exit"}));
}

// --- policies, CPUs, groups ---

TEST(RtApp, PoliciesAndTheirPriorities) {
  const std::vector<PlannedTask> plan = plan_of(R"({"global": {"default_policy": "SCHED_RR"}, "tasks": {
    "rr": {"run": 1}, "fifo": {"policy": "SCHED_FIFO", "priority": 7, "run": 1}, "idle": {"policy": "SCHED_IDLE",
    "priority": 77, "run": 1}, "batch": {"policy": "SCHED_BATCH", "priority": -3, "run": 1}, "other": {"policy":
    "SCHED_OTHER", "run": 1}}})");
  EXPECT_TRUE(plan[0].policy == SCHED_RR && plan[0].rt_priority == 10);
  EXPECT_TRUE(plan[1].policy == SCHED_FIFO && plan[1].rt_priority == 7);
  EXPECT_TRUE(plan[2].policy == SCHED_IDLE && plan[2].nice == 0 && plan[2].rt_priority == 0);
  EXPECT_TRUE(plan[3].policy == SCHED_BATCH && plan[3].nice == -3);
  EXPECT_TRUE(plan[4].policy == SCHED_NORMAL && plan[4].nice == 0);
  EXPECT_EQ(
      refusal(
          R"({"tasks": {"t": {"phases": {"p": {"policy": "SCHED_RR", "run": 1}, "q": {"priority": -1, "run": 1}}}}})"),
      "f: tasks.t.phases.q.priority: -1 is out of range; SCHED_RR takes 1 to 99");
}

TEST(RtApp, PhasesChangeThePolicy) {
  Stage stage(R"({"tasks": {"t": {"loop": 1, "priority": 4, "phases": {
    "p0": {"policy": "SCHED_FIFO", "run": 10000}, "p1": {"run": 10000}, "p2": {"priority": 5, "run": 10000},
    "p3": {"policy": "SCHED_OTHER", "run": 10000}, "p4": {"priority": 3, "run": 10000},
    "p5": {"policy": "SCHED_IDLE", "run": 10000}, "p6": {"nice": -7, "run": 10000}}}}})",
              1);
  sched::Task *t = stage.find("t");
  ASSERT_NE(t, nullptr);
  EXPECT_EQ(t->nice(), 4);
  const auto next = [&](int policy, u32 rt_priority, int nice, const char *phase) {
    stage.run_ms(phase[1] == '0' ? 5 : 10);
    EXPECT_EQ(t->ts.policy, static_cast<u32>(policy)) << phase;
    EXPECT_EQ(t->rt_priority, rt_priority) << phase;
    EXPECT_TRUE(rt_priority > 0 || t->nice() == nice) << phase << ": nice " << t->nice();
  };
  next(SCHED_FIFO, 10, 0, "p0");
  next(SCHED_FIFO, 10, 0, "p1");
  next(SCHED_FIFO, 5, 0, "p2");
  next(SCHED_NORMAL, 0, 0, "p3");
  next(SCHED_NORMAL, 0, 3, "p4");
  next(SCHED_IDLE, 0, 3, "p5");
  next(SCHED_IDLE, 0, -7, "p6");
}

TEST(RtApp, PhasesHaveCpus) {
  Stage stage(R"({"tasks": {"t": {"cpus": [2], "loop": 2, "phases": {
    "a": {"cpus": [0], "run": 10000}, "b": {"cpus": [1, 3], "run": 10000}, "c": {"run": 10000}}}}})",
              4);
  sched::Task *t = stage.find("t");
  ASSERT_NE(t, nullptr);
  const std::vector<std::string> masks = {"0", "1,3", "2", "0", "1,3", "2"};
  for (size_t i = 0; i < masks.size(); i++) {
    stage.run_ms(i == 0 ? 5 : 10);
    EXPECT_EQ(t->cpus->view().to_list(), masks[i]) << i;
    EXPECT_TRUE(t->cpus->test(t->cpu)) << i;
  }
  auto workload = parse_workload(R"({"tasks": {"t": {"phases": {"p": {"cpus": [4], "run": 1}}}}})", "f");
  EXPECT_EQ((*workload)->plan({.nr_cpus = 4}).message(),
            "f: tasks.t.phases.p.cpus: CPU 4 is not there; the machine has CPUs 0 to 3");
}

TEST(RtApp, TaskgroupMovesTheThread) {
  Stage stage(R"({"tasks": {"t": {"loop": 1, "taskgroup": "/a", "phases": {"p": {"run": 10000, "taskgroup": "/b"},
    "q": {"run": 10000}, "r": {"taskgroup": "/", "run": 10000}}}, "other": {"taskgroup": "", "run": 1000000}}})");
  sched::CgroupTree &tree = stage.m.kernel.cgroups();
  sched::Task *t = stage.find("t"), *other = stage.find("other");
  ASSERT_TRUE(t && other);
  EXPECT_EQ(t->cgroup, tree.find("/a"));
  EXPECT_EQ(t->ts.tgid, other->ts.tgid);
  stage.run_ms(5);
  EXPECT_EQ(t->cgroup, tree.find("/b")) << "when the round begins, wherever the key stands";
  stage.run_ms(10);
  EXPECT_EQ(t->cgroup, tree.find("/b"));
  stage.run_ms(10);
  EXPECT_EQ(t->cgroup, &tree.root());
  EXPECT_EQ(other->cgroup, &tree.root());
  stage.m.kernel.verify_all();
}

// --- processes, forks ---

TEST(RtApp, TasksAreThreadsOfOneProcess) {
  Stage stage(R"({"tasks": {"a": {"instance": 2, "loop": 1, "run": 10000}, "b": {"loop": 1, "run": 20000}}})");
  stage.run_ms(1);
  sched::Task *leader = stage.find("rt-app"), *a = stage.find("a-1"), *b = stage.find("b");
  ASSERT_TRUE(leader && a && b);
  for (const sched::Task *p : {a, b}) {
    EXPECT_EQ(p->ts.tgid, leader->pid());
    EXPECT_EQ(p->ts.group_leader, &leader->ts);
    EXPECT_EQ(p->ts.mm, leader->ts.mm);
    EXPECT_EQ(p->ts.real_parent, leader->ts.real_parent);
  }
  EXPECT_EQ(leader->state(), static_cast<u32>(TASK_INTERRUPTIBLE));
  stage.run_ms(15);
  EXPECT_TRUE(stage.find("rt-app") && !stage.find("a-1"));
  stage.run_ms(15);
  EXPECT_EQ(stage.count(), 0u) << "the first thread has joined the others";
  // A key or a time that rt-app does not have makes it a file of ours; and a file may say it.
  for (const char *json : {R"({"tasks": {"a": {"start": 0, "run": 1}, "b": {"run": 1}}})",
                           R"({"tasks": {"a": {"run": "1us"}, "b": {"run": 1}}})",
                           R"({"global": {"process": "each"}, "tasks": {"a": {"run": 1}, "b": {"run": 1}}})"})
    EXPECT_EQ(plan_of(json)[0].leader, nullptr) << json;
  EXPECT_NE(plan_of(R"({"global": {"process": "one"}, "tasks": {"a": {"run": "1us"}}})")[0].leader, nullptr);
  EXPECT_NE(refusal(R"({"global": {"process": "two"}, "tasks": {"a": {"run": "1us"}}})"), "");
}

TEST(RtApp, ForkMakesThreads) {
  Stage stage(R"({"tasks": {"maker": {"loop": 2, "run": 1000, "fork": "made"},
                            "made": {"instance": 0, "delay": 500, "loop": 1, "run": 5000}}})");
  stage.run_ms(4);
  sched::Task *leader = stage.find("rt-app"), *first = stage.find("made-1-0000"), *second = stage.find("made-2-0001");
  ASSERT_TRUE(leader && first && second);
  EXPECT_EQ(second->ts.tgid, leader->pid());
  EXPECT_EQ(second->ts.real_parent, leader->ts.real_parent);
  stage.run_ms(10);
  EXPECT_EQ(stage.count(), 0u);
  expect_column(stage.rows("rt-app-made-2-0001"), Stage::kRun, {5000});
  EXPECT_EQ(refusal(R"({"tasks": {"t": {"fork": "nobody"}}})"), "f: tasks.t.fork: 'nobody' is no task of this file");
}

TEST(RtApp, TooManyForksEndTheProgram) {
  Stage stage(R"({"tasks": {"maker": {"loop": -1, "fork": "made", "run": 10},
                            "made": {"instance": 0, "loop": 1, "sleep": 1000000}, "waits": {"suspend": "x"}}})");
  stage.run_ms(50);
  EXPECT_NE(stage.log.find("fork: too many of made; the program ends"), std::string::npos);
  EXPECT_EQ(stage.find("maker"), nullptr);
  EXPECT_EQ(stage.find("waits"), nullptr);
  stage.run_ms(1000);
  EXPECT_EQ(stage.count(), 0u);
}

// --- logs ---

TEST(RtAppLog, FilesAndRows) {
  Stage stage(
      R"({"global": {"log_basename": "base"}, "tasks": {"a": {"loop": 2, "priority": -5, "run": 1000, "sleep": 9000},
                  "b": {"instance": 2, "loop": 3, "phases": {"p": {"loop": 2, "run": 100}}}, "c": {"run": 100000}}})");
  stage.run_ms(50);
  const std::vector<Stage::Row> rows = stage.rows("base-a-0");
  expect_column(rows, Stage::kStart, {0, 10000});
  expect_column(rows, Stage::kEnd, {10000, 20000});
  expect_column(rows, Stage::kPeriod, {10000, 10000});
  EXPECT_EQ(stage.rows("base-b-1").size(), 6u);
  EXPECT_EQ(stage.rows("base-b-2")[5][Stage::kIndex], 2);
  EXPECT_EQ(stage.rows("base-c-3").size(), 0u) << "a round that has not ended has no row";
  EXPECT_TRUE(stage.text("base-a-0")
                  .starts_with("# Policy : SCHED_OTHER priority : -5\n"
                               "#idx     perf      run   period           start             end          rel_st      "
                               "slack c_duration   c_period     wu_lat\n   0    10000     10"))
      << stage.text("base-a-0");
}

TEST(RtAppLog, Columns) {
  Stage stage(R"({"global": {"calibration": 50}, "tasks": {"hog": {"cpus": [0], "priority": -20, "run": 1000000},
    "t": {"cpus": [1], "loop": 2, "run": 1000, "runtime": 2000, "timer": {"ref": "unique", "period": 10000}}}})");
  stage.run_ms(50);
  const std::vector<Stage::Row> rows = stage.rows("rt-app-t-1");
  expect_column(rows, Stage::kRun, {3000, 3000});
  expect_column(rows, Stage::kRunAsked, {3000, 3000});
  expect_column(rows, Stage::kPeriodAsked, {10000, 10000});
  expect_column(rows, Stage::kLatency, {0, 0});
  expect_column(rows, Stage::kSince, {0, 10000});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_GE(rows[0][Stage::kPerf], 3000 * 1000 / 50);
  EXPECT_LE(rows[0][Stage::kPerf], 3032 * 1000 / 50);
  EXPECT_NEAR(static_cast<double>(rows[0][Stage::kSlack]), 7000, 100);
}

TEST(RtAppLog, CumulativeSlack) {
  for (const bool sum : {false, true}) {
    Stage stage(std::string(R"({"global": {"cumulative_slack": )") + (sum ? "true" : "false") +
                R"(}, "tasks": {"t": {"loop": 1, "timer": {"ref": "uniqueA", "period": 5000},
                    "timer1": {"ref": "uniqueB", "period": 9000}}}})");
    stage.run_ms(20);
    const std::vector<Stage::Row> rows = stage.rows("rt-app-t-0");
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_NEAR(static_cast<double>(rows[0][Stage::kSlack]), sum ? 9000 : 4000, 100);
  }
}

TEST(RtAppLog, SizeAsInVersion1) {
  const auto rows = [](const std::string &size) {
    Stage stage(R"({"global": {"log_size": )" + size + R"(}, "tasks": {"t": {"loop": 20000, "run": 1}}})");
    stage.run_ms(100);
    return stage.rows("rt-app-t-0");
  };
  EXPECT_EQ(rows("\"disable\"").size(), 20000u);
  EXPECT_EQ(rows("\"file\"").size(), 0u);
  const std::vector<Stage::Row> last = rows("1");
  constexpr s64 kKept = (1 << 20) / 88;
  ASSERT_EQ(last.size(), static_cast<size_t>(kKept));
  EXPECT_GE(last.front()[Stage::kStart], 20000 - kKept);
  EXPECT_NE(refusal(R"({"global": {"log_basename": "a/b"}, "tasks": {"t": {"run": 1}}})"), "");
}

}  // namespace
}  // namespace uscx::workload
