// SPDX-License-Identifier: GPL-2.0-only
// Tasks of a script that wait for each other and wake each other.
#include <algorithm>

#include "workload/script/stage.h"

namespace uscx::workload {
namespace {

TEST(Waiting, MutexesExclude) {
  Stage stage(R"({"tasks": {"t": {"instance": 3, "loop": 1, "lock": "m", "run": 2000, "unlock": "m"}}})", 4);
  stage.run_ms(20);
  std::vector<s64> ends;
  for (const char *name : {"rt-app-t-0", "rt-app-t-1", "rt-app-t-2"})
    for (const Stage::Row &row : stage.rows(name)) ends.push_back(row[Stage::kEnd] / 1000);
  std::sort(ends.begin(), ends.end());
  EXPECT_EQ(ends, (std::vector<s64>{2, 4, 6})) << "one after the other, on four CPUs";
}

constexpr const char *kWaiters =
    R"("waiter": {"instance": 3, "loop": 1, "lock": "m", "wait": {"ref": "c", "mutex": "m"},
                                    "unlock": "m", "run": 100})";

TEST(Waiting, SignalWakesOne) {
  Stage stage(std::string("{\"tasks\": {") + kWaiters + R"(, "other": {"loop": 2, "sleep": 5000, "signal": "c"}}})", 4);
  stage.run_ms(7);
  EXPECT_EQ(stage.count(), 1u + 2 + 1) << "the leader, two that wait, the other";
  stage.run_ms(7);
  EXPECT_EQ(stage.count(), 1u + 1);
  // A signal that nobody waits for is lost.
  Stage lost(R"({"tasks": {"early": {"loop": 1, "signal": "c"},
                           "late": {"loop": 1, "sleep": 1000, "lock": "m", "wait": {"ref": "c", "mutex": "m"}}}})");
  lost.run_ms(10);
  EXPECT_NE(lost.find("late"), nullptr);
}

TEST(Waiting, WhoIsSignalledTakesTheMutexAgain) {
  Stage stage(R"({"tasks": {"waits": {"loop": 1, "lock": "m", "wait": {"ref": "c", "mutex": "m"}, "unlock": "m"},
    "signals": {"loop": 1, "sleep": 1000, "lock": "m", "signal": "c", "run": 5000, "unlock": "m"}}})");
  stage.run_ms(20);
  expect_column(stage.rows("rt-app-waits-0"), Stage::kEnd, {6000});
}

TEST(Waiting, BroadcastWakesAll) {
  Stage stage(std::string("{\"tasks\": {") + kWaiters + R"(, "other": {"loop": 1, "sleep": 5000, "broad": "c"}}})", 4);
  stage.run_ms(4);
  EXPECT_EQ(stage.count(), 5u);
  stage.run_ms(4);
  EXPECT_EQ(stage.count(), 0u);
}

TEST(Waiting, SyncHandsOver) {
  Stage stage(R"({"tasks": {
    "asks": {"loop": 5, "sleep": 1000, "lock": "m", "sync": {"ref": "q", "mutex": "m"}, "unlock": "m", "run": 100},
    "answers": {"loop": 5, "lock": "m", "wait": {"ref": "q", "mutex": "m"}, "unlock": "m", "run": 200,
                "lock": "m", "signal": "q", "unlock": "m"}}})");
  stage.run_ms(20);
  expect_column(stage.rows("rt-app-asks-0"), Stage::kPeriod, {1300, 1300, 1300, 1300, 1300});
  EXPECT_EQ(stage.rows("rt-app-answers-1").size(), 5u);
}

TEST(Waiting, BarrierReleasesAllAtOnce) {
  Stage stage(R"({"tasks": {"a": {"instance": 2, "loop": 2, "run": 1000, "barrier": "X"},
                            "b": {"loop": 2, "run": 5000, "barrier": "X"}}})",
              4);
  stage.run_ms(20);
  for (const char *name : {"rt-app-a-0", "rt-app-a-1", "rt-app-b-2"})
    expect_column(stage.rows(name), Stage::kEnd, {5000, 10000});
}

TEST(Waiting, SuspendByValueAndByName) {
  Stage stage(R"({"tasks": {
    "value": {"loop": 1, "suspend": "x", "run": 100}, "name": {"loop": 1, "suspend", "run": 100},
    "number": {"loop": 1, "suspend": 5, "run": 100},
    "wakes": {"loop": 1, "sleep": 5000, "resume": "x", "sleep": 5000, "resume": "name", "sleep": 5000,
              "resume": "number"}}})");
  const auto left = [&] {
    std::string names;
    for (const char *name : {"value", "name", "number"})
      if (stage.find(name)) names += std::string(name) + " ";
    return names;
  };
  stage.run_ms(4);
  EXPECT_EQ(left(), "value name number ");
  stage.run_ms(5);
  EXPECT_EQ(left(), "name number ");
  stage.run_ms(5);
  EXPECT_EQ(left(), "number ");
  stage.run_ms(5);
  EXPECT_EQ(left(), "");
}

TEST(Waiting, SemaphoresRemember) {
  Stage stage(R"({"tasks": {"post": {"loop": 3, "sem_post": "s", "sleep": 1000},
                            "wait": {"loop": 4, "phases": {"p": {"sleep": 10000, "sem_wait": "s"}}},
                            "last": {"loop": 1, "sleep": 60000, "sem_post": "s"}}})");
  stage.run_ms(100);
  expect_column(stage.rows("rt-app-wait-1"), Stage::kEnd, {10000, 20000, 30000, 60000});
}

TEST(Waiting, ChannelsAreBounded) {
  Stage stage(R"({"channels": {"pipe": 2}, "tasks": {
    "sends": {"loop": 4, "phases": {"p": {"send": "pipe", "run": 100}}},
    "reads": {"loop": 4, "phases": {"p": {"sleep": 5000, "recv": "pipe", "run": 1000}}}}})");
  stage.run_ms(50);
  expect_column(stage.rows("rt-app-sends-0"), Stage::kEnd, {100, 200, 5100, 11100});
  expect_column(stage.rows("rt-app-reads-1"), Stage::kEnd, {6000, 12000, 18000, 24000});
  EXPECT_EQ(parse_workload(R"({"tasks": {"t": {"send": "pipe"}}})", "f").message(),
            "f: tasks.t.send: 'pipe' is no channel; \"channels\" says which there are");
}

TEST(Waiting, JoinWaitsForTheEnd) {
  Stage stage(R"({"tasks": {"a": {"instance": 2, "loop": 1, "run": 3000},
                            "b": {"loop": 1, "join": "a", "run": 1000, "join1": "a"}}})",
              4);
  stage.run_ms(10);
  expect_column(stage.rows("rt-app-b-2"), Stage::kEnd, {4000});
}

TEST(Waiting, AllEndWithTheLeadingTasks) {
  Stage stage(R"({"tasks": {"lead": {"instance": 2, "leading": true, "loop": 3, "run": 1000, "sleep": 1000},
    "runs": {"run": 100}, "waits": {"suspend": "never"}, "holds": {"loop": 1, "lock": "m", "suspend": "never"},
    "wants": {"sleep": 10, "lock": "m"}}})",
              4);
  stage.run_ms(5);
  EXPECT_EQ(stage.count(), 6u);
  stage.run_ms(5);
  EXPECT_EQ(stage.count(), 0u);
  EXPECT_EQ(stage.said, "");
}

TEST(Waiting, MigrationCanBeDisabled) {
  Stage stage(
      R"({"tasks": {"t": {"loop": 1, "migrate_disable": 1, "run": 5000, "migrate_enable": 1, "migrate_enable1": 1,
                                  "run": 5000}}})");
  sched::Task *t = stage.find("t");
  stage.run_ms(3);
  EXPECT_EQ(t->migration_disabled(), 1u);
  stage.run_ms(5);
  EXPECT_EQ(t->migration_disabled(), 0u);
}

TEST(Waiting, WhoCannotGoOnIsNamed) {
  Stage stage(R"({"tasks": {"one": {"loop": 1, "lock": "a", "sleep": 1000, "lock": "b"},
                            "two": {"loop": 1, "lock": "b", "sleep": 1000, "lock": "a"},
                            "three": {"suspend"}, "four": {"barrier": "X"}, "five": {"loop": 1, "sleep": 5000},
                            "six": {"barrier": "X", "sem_wait": "s", "suspend": "x"}, "seven": {"sem_wait": "s"}}})",
              4);
  stage.run_ms(4);
  EXPECT_EQ(stage.said, "") << "one is still to do something";
  stage.run_ms(4);
  EXPECT_TRUE(stage.said.starts_with("test.json cannot go on from 5.0")) << stage.said;
  EXPECT_NE(
      stage.said.find(": one waits for mutex 'b', which two has; two waits for mutex 'a', which one has; three waits "
                      "for a signal or resume of 'three'; four waits for "),
      std::string::npos)
      << stage.said;
  EXPECT_NE(stage.said.find("waits for semaphore 's'"), std::string::npos) << stage.said;
  EXPECT_NE(stage.log.find("workload: test.json cannot go on"), std::string::npos) << stage.log;
}

TEST(Waiting, EveryKindOfWaitHasItsWords) {
  Stage stage(R"({"channels": {"c": 1}, "tasks": {"a": {"send": "c"}, "b": {"recv1": "c", "recv": "c", "barrier": "X"},
    "d": {"loop": 1, "join": "e"}, "e": {"barrier": "X", "suspend": "y"}, "f": {"instance": 9, "suspend": "z"}}})",
              4);
  stage.run_ms(10);
  for (const char *words : {"the end of e", "a signal or resume of", "room in channel 'c'", "; and 5 more"})
    EXPECT_NE(stage.said.find(words), std::string::npos) << words << " in " << stage.said;
}

// --- keys of ours about processes ---

}  // namespace

TEST(Script, ThreadOfJoinsAProcess) {
  Stage stage(R"({"tasks": {"main": {"instance": 2, "run": 1000000}, "alone": {"run": 1000000},
                            "worker": {"instance": 2, "thread_of": "main", "run": 1000000},
                            "late": {"thread_of": "alone", "start": "2ms", "run": 1000000}}})",
              4);
  stage.run_ms(5);
  sched::Task *main = stage.find("main-0");
  for (const char *name : {"worker-0", "worker-1"}) EXPECT_EQ(stage.find(name)->ts.tgid, main->pid());
  EXPECT_EQ(stage.find("late")->ts.tgid, stage.find("alone")->pid());
  EXPECT_EQ(stage.find("main-1")->ts.tgid, stage.find("main-1")->pid());
  const auto message = [](const char *tasks) {
    return parse_workload(std::string("{\"tasks\": {") + tasks + "}}", "f").message();
  };
  EXPECT_EQ(message(R"("a": {"thread_of": "b", "run": 1}, "b": {"run": 1})"),
            "f: tasks.a.thread_of: task 'b' is not there yet then; put it above, with no later start");
  EXPECT_EQ(message(R"("a": {"run": 1}, "b": {"thread_of": "a", "run": 1}, "c": {"thread_of": "b", "run": 1})"),
            "f: tasks.c.thread_of: 'b' is a thread of another task itself");
  EXPECT_EQ(message(R"("a": {"thread_of": "x", "run": 1})"), "f: tasks.a.thread_of: 'x' is no task of this file");
}

TEST(Script, ParentIsAnotherTask) {
  Stage stage(R"({"tasks": {"shell": {"run": 1000000}, "child": {"parent": "shell", "run": 1000000}}})");
  EXPECT_EQ(stage.find("child")->ts.real_parent, &stage.find("shell")->ts);
}

TEST(Script, ExitAndExec) {
  Stage stage(R"({"tasks": {"sh": {"run": 5000, "exec": "make", "run": 5000, "exit": 0, "run": 5000}}})");
  stage.run_ms(2);
  EXPECT_NE(stage.find("sh"), nullptr);
  stage.run_ms(5);
  EXPECT_NE(stage.find("make"), nullptr);
  stage.run_ms(5);
  EXPECT_EQ(stage.count(), 0u);
}

}  // namespace uscx::workload
