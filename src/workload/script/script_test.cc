// SPDX-License-Identifier: GPL-2.0-only
#include <gtest/gtest.h>

#include "workload/script/player.h"
#include "workload/script/script.h"

namespace uscx::workload {
namespace {

using Steps = std::vector<std::string>;

TEST(Script, EventsRunInTheOrderOfTheFile) {
  Player player(R"({"tasks": {"t": {"loop": 2, "run1": 1000, "sleep": "2ms", "run0": "0.5ms"}}})");
  EXPECT_EQ(player.all(99),
            (Steps{"run 1ms", "sleep until 3ms", "run 500us", "run 1ms", "sleep until 6.5ms", "run 500us", "exit"}));
}

TEST(Script, PhasesLoopInsideOfTheTaskLoop) {
  Player player(R"({"tasks": {"t": {"loop": 2, "phases": {"a": {"loop": 2, "run": 100}, "b": {"run": 200}}}}})");
  EXPECT_EQ(player.all(99),
            (Steps{"run 100us", "run 100us", "run 200us", "run 100us", "run 100us", "run 200us", "exit"}));
}

TEST(Script, LoopsForEverByDefault) {
  Player player(R"({"tasks": {"t": {"run": 100}}})");
  EXPECT_EQ(player.all(1000), Steps(1000, "run 100us"));
}

TEST(Script, DelayComesFirst) {
  Player player(R"({"tasks": {"t": {"delay": "1ms", "loop": 1, "run": 100}}})", 0, 500 * kNsPerUs);
  EXPECT_EQ(player.all(99), (Steps{"sleep until 1.5ms", "run 100us", "exit"}));
}

TEST(Script, RuntimeCountsTimeAndNotCpuTime) {
  Player player(R"({"tasks": {"t": {"loop": 1, "runtime": 250}}})");
  EXPECT_EQ(player.next(), "run 32us");
  EXPECT_EQ(player.next(/*late_ns=*/90 * kNsPerUs), "run 32us");
  for (int i = 0; i < 3; i++)
    EXPECT_EQ(player.next(), "run 32us");  // From 154 to 250 us, which is not yet "over" before.
  EXPECT_EQ(player.next(), "exit");
}

TEST(Script, TimerKeepsItsPeriodWhateverTheRunTakes) {
  Player player(R"({"tasks": {"t": {"run": 300, "timer": {"ref": "unique", "period": 1000}}}})");
  EXPECT_EQ(player.all(4), (Steps{"run 300us", "sleep until 1ms", "run 300us", "sleep until 2ms"}));
}

TEST(Script, RelativeTimerStartsAgainWhenItIsLate) {
  Player player(R"({"tasks": {"t": {"run": 300, "timer": {"ref": "unique", "period": 1000, "mode": "relative"}}}})");
  EXPECT_EQ(player.next(/*late_ns=*/2200 * kNsPerUs), "run 300us");
  EXPECT_EQ(player.next(), "run 200ns");
  EXPECT_EQ(player.next(), "run 300us");
  EXPECT_EQ(player.next(), "sleep until 3.5ms");
}

TEST(Script, AbsoluteTimerCatchesUp) {
  Player player(R"({"tasks": {"t": {"run": 300, "timer": {"ref": "unique", "period": 1000, "mode": "absolute"}}}})");
  EXPECT_EQ(player.next(/*late_ns=*/1200 * kNsPerUs), "run 300us");
  EXPECT_EQ(player.next(), "run 200ns");
  EXPECT_EQ(player.next(), "run 300us");
  EXPECT_EQ(player.next(), "sleep until 2ms");
}

TEST(Script, WakesAreAtAbsoluteTimes) {
  Player player(R"({"tasks": {"t": {"wakes": [[1000, 50], ["1.02ms", "10us"], ["5ms", 20]]}}})", 0, 100);
  EXPECT_EQ(player.all(99), (Steps{"sleep until 1ms", "run 50us", "run 10us", "sleep until 5ms", "run 20us", "exit"}));
}

TEST(Script, NamedTimersAreShared) {
  auto workload = parse_workload(R"({"tasks": {"t": {"instance": 2, "timer": {"ref": "tick", "period": 1000}}}})", "f");
  ASSERT_TRUE(workload.ok());
  auto plan = (*workload)->plan({.nr_cpus = 1});
  ASSERT_TRUE(plan.ok());
  alignas(16) char unused[16] = {};
  machine::exec().now_ns = 0;
  auto next = [&](size_t i) {
    return text_of(
        (*plan)[i].behavior->next(reinterpret_cast<sched::Kernel &>(unused), reinterpret_cast<sched::Task &>(unused)));
  };
  // The table's start is the first user's; 0 also stands for "not yet used", which is the same here.
  EXPECT_EQ(next(0), "sleep until 1ms");
  EXPECT_EQ(next(1), "sleep until 2ms");
}

TEST(Script, InstancesPoliciesAndCpus) {
  auto workload = parse_workload(R"({
    /* rt-app's files have comments */
    "global": {"duration": 3, "default_policy": "SCHED_OTHER", "calibration": "CPU0", "logdir": "./"},
    "tasks": {
      "a_name_that_is_long": {"instance": 12, "priority": -5, "run": 10},
      "rt": {"policy": "SCHED_FIFO", "priority": 40, "cpus": [1, 3], "kthread": true, "run": 10, "sleep": 10},
      "n": {"nice": 7, "run": 10}}})",
                                 "f");
  ASSERT_TRUE(workload.ok()) << workload.message();
  EXPECT_EQ((*workload)->duration_ns(), 3 * kNsPerSec);
  auto plan = (*workload)->plan({.nr_cpus = 4});
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->size(), 14u);
  EXPECT_EQ((*plan)[11].comm, "a_name_that_-11");
  EXPECT_EQ((*plan)[0].nice, -5);
  EXPECT_EQ((*plan)[12].comm, "rt");
  EXPECT_EQ((*plan)[12].rt_priority, 40u);
  EXPECT_EQ((*plan)[12].cpus->view().to_list(), "1,3");
  EXPECT_EQ((*plan)[13].nice, 7);
  EXPECT_FALSE((*plan)[13].cpus.has_value());
  EXPECT_TRUE((*plan)[12].kthread && !(*plan)[13].kthread);
}

TEST(Script, CpuThatIsNotThereIsAnErrorOfThePlan) {
  auto workload = parse_workload(R"({"tasks": {"t": {"cpus": [0, 4], "run": 1}}})", "f.json");
  ASSERT_TRUE(workload.ok());
  auto plan = (*workload)->plan({.nr_cpus = 4});
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.message(), "f.json: tasks.t.cpus: CPU 4 is not there; the machine has CPUs 0 to 3");
}

struct Bad {
  const char *json;
  const char *message;
};
constexpr const char *kEvents =
    "sleep, runtime, run, timer, memrun, mem, iorun, lock, unlock, signal, broad, wait, sync, barrier, suspend, "
    "resume, "
    "yield, fork, sem_post, sem_wait, until, nice, sysrq, hotplug, taskgroup, cgroup, join, send, recv, exit, exec, "
    "migrate_disable, migrate_enable";

TEST(Script, BadInputSaysWhatAndWhere) {
  const Bad kBad[] = {
      {R"({"tasks": {"t": {"run": 1}}, "tasks": {}})", "tasks: the key is there twice"},
      {R"([1])", "is an array; it takes an object with tasks"},
      {R"({})", "tasks is missing: an object with one member a task"},
      {R"({"tasks": {}})", "tasks: is empty; it takes one member a task"},
      {R"({"tasks": [1]})", "tasks: is an array; it takes an object"},
      {R"({"task": {}})", "task: unknown key; it takes tasks, the nearest of those in uscx list workload-keys"},
      {R"({"tasks": {"t": {}}})", "tasks.t: does nothing; it takes phases, wakes, or %"},
      {R"({"tasks": {"": {"run": 5}}})", "tasks[\"\"]: a task's name takes one or more printable ASCII characters"},
      {R"({"tasks": {"t": {"run": "5"}}})",
       "tasks.t.run: '5' is not a duration; it takes microseconds, or text such as \"5ms\""},
      {R"({"tasks": {"t": {"run": -1}}})",
       "tasks.t.run: -1 is out of range; it takes microseconds up to 1000000000000"},
      {R"({"tasks": {"t": {"run": 1.5}}})",
       "tasks.t.run: is a number with a fraction, or too large; it takes microseconds, or text such as \"5ms\""},
      {R"({"tasks": {"t": {"run": 99999999999999999999}}})",
       "tasks.t.run: is a number with a fraction, or too large; it takes microseconds, or text such as \"5ms\""},
      {R"({"tasks": {"t": {"instance": 0, "run": 1}}})", "tasks: all have instance 0, so that none would begin"},
      {R"({"tasks": {"a": {"instance": 999999, "run": 1}, "b": {"instance": 2, "run": 1}}})",
       "tasks.b: more than 1000000 tasks in all"},
      {R"({"tasks": {"t": {"loop": -2, "run": 1}}})", "tasks.t.loop: -2 is out of range; it takes -1 to 2147483647"},
      {R"({"tasks": {"t": {"loop": 1, "loop": 2, "run": 1}}})", "tasks.t.loop: the key is there twice"},
      {R"({"tasks": {"t": {"priority": 20, "run": 1}}})",
       "tasks.t.priority: 20 is out of range; the nice value of a normal task is -20 to 19"},
      {R"({"tasks": {"t": {"policy": "SCHED_FIFO", "priority": 0, "run": 1}}})",
       "tasks.t.priority: 0 is out of range; SCHED_FIFO takes 1 to 99"},
      {R"({"tasks": {"t": {"policy": "SCHED_DEADLINE", "run": 1}}})",
       "tasks.t.policy: policy 'SCHED_DEADLINE' is not supported; it takes SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, "
       "SCHED_EXT, SCHED_FIFO, SCHED_RR"},
      {R"({"tasks": {"t": {"sysrq": "b"}}})",
       "tasks.t.sysrq: 'b' is unknown; it takes \"s\" (eject the BPF scheduler) or \"d\" (dump its state)"},
      {R"({"tasks": {"t": {"cpus": [], "run": 1}}})", "tasks.t.cpus: is empty; leave it out to allow all CPUs"},
      {R"({"tasks": {"t": {"cpus": [0, "1"], "run": 1}}})",
       "tasks.t.cpus[1]: is a string; it takes a whole number from 0 to 8191"},
      {R"({"tasks": {"t": {"timer": {"ref": "a", "perod": 5}}}})",
       "tasks.t.timer.perod: unknown key; it takes period, the nearest of those in uscx list workload-keys"},
      {R"({"tasks": {"t": {"phases": {"p": {"loop": 2}}}}})", "tasks.t.phases.p: has no event; it takes %"},
      {R"({"tasks": {"t": {"phases": {"p": {"run": 1}}, "run": 1}}})",
       "tasks.t: has events beside phases; put them into a phase"},
      {R"({"tasks": {"t": {"run": 1, "wakes": [[1, 1]]}}})",
       "tasks.t: has both events and wakes; it takes one of them"},
      {R"({"tasks": {"t": {"wakes": [[5, 1], [4, 1]]}}})", "tasks.t.wakes[1][0]: is earlier than the wake before it"},
      {R"({"tasks": {"t": {"wakes": [[5]]}}})", "tasks.t.wakes[0]: is not a pair; it takes [wake at, run for]"},
      {R"({"global": {"duration": "0s"}, "tasks": {"t": {"run": 1}}})",
       "global.duration: 0ns is out of range; it takes 100ns to 1000000s"},
      {R"({"global": {"quux_of_old": 0}, "tasks": {"t": {"run": 1}}})",
       "global.quux_of_old: unknown key; it takes duration, default_policy, calibration, log_size, log_basename, "
       "cumulative_slack, mem_buffer_size, io_device, pi_enabled, ftrace, gnuplot, lock_pages, logdir, process"},
      {R"({"tasks": {"t": {"suspend", "run"}}})",
       "tasks.t.run: is without a value; it takes microseconds, or text such as \"5ms\""},
      {R"({"tasks": {"odd name": {"loop": null}}})",
       "tasks[\"odd name\"].loop: is null; it takes a whole number from -1 to 2147483647"},
      {"{\"tasks\": {\n  \"t\" {}}", "line 2, column 7: unexpected '{'; expected ':'"},
      {"", "line 1, column 1: unexpected end of the file; expected a value"},
  };
  for (const Bad &bad : kBad) {
    auto workload = parse_workload(bad.json, "x.json");
    ASSERT_FALSE(workload.ok()) << bad.json;
    std::string expected = std::string("x.json: ") + bad.message;
    if (expected.back() == '%') expected.replace(expected.size() - 1, 1, kEvents);
    EXPECT_EQ(workload.message(), expected) << bad.json;
  }
}

TEST(Script, MessagesArePrintable) {
  for (const char *json :
       {"{\"tasks\": {\"t\": {\"\\n\": null}}}", "{\"tasks\": {\"\x80\": {}}}", "{\"\\u0000\": 1}"}) {
    auto workload = parse_workload(json, "x.json");
    ASSERT_FALSE(workload.ok());
    for (const char c : workload.message()) EXPECT_TRUE(c >= ' ' && c < 0x7f) << workload.message();
  }
}

TEST(Script, StartIsATimeOfCreation) {
  auto plan = (*parse_workload(R"({"tasks": {"t": {"start": "5ms", "run": 1}}})", "f"))->plan({.nr_cpus = 1});
  EXPECT_EQ((*plan)[0].start_ns, 5 * kNsPerMs);
}

TEST(Script, UntilIsAbsolute) {
  Player player(R"({"tasks": {"t": {"loop": 1, "run": "2ms", "until": "5ms", "until1": "3ms"}}})");
  EXPECT_EQ(player.all(9), (Steps{"run 2ms", "sleep until 5ms", "run 200ns", "exit"}));
}

TEST(Script, TimesAreDrawn) {
  const char *json = R"({"tasks": {"t": {"instance": 2, "run": "uniform:1ms/2ms", "sleep": "exponential:1ms",
                                         "timer": {"ref": "unique", "period": "empirical:10ms/20ms"}}}})";
  Player first(json), again(json), other(json, 1);
  const Steps steps = first.all(300);
  EXPECT_EQ(again.all(300), steps);
  EXPECT_NE(other.all(300), steps) << "each has draws of its own";
  EXPECT_NE(steps[0], steps[3]);
  EXPECT_EQ(parse_workload(R"({"tasks": {"t": {"run": "uniform:2ms/1ms"}}})", "f").message(),
            "f: tasks.t.run: 'uniform:2ms/1ms': the first is above the second");
}

TEST(Script, HotplugNamesACpu) {
  const auto message = [](const char *json) {
    auto workload = parse_workload(json, "f");
    if (!workload.ok()) return workload.message();
    auto plan = (*workload)->plan({.nr_cpus = 2});
    return plan.ok() ? "" : plan.message();
  };
  EXPECT_EQ(message(R"({"tasks": {"t": {"hotplug": "1:off"}}})"), "");
  EXPECT_EQ(message(R"({"tasks": {"t": {"hotplug": "0:off"}}})"),
            "f: tasks.t.hotplug: '0:off': CPU 0 cannot be taken offline");
  EXPECT_EQ(message(R"({"tasks": {"t": {"hotplug": "2:off"}}})"),
            "f: tasks.t: hotplug of CPU 2, which is not there; the machine has CPUs 0 to 1");
}

}  // namespace
}  // namespace uscx::workload
