// SPDX-License-Identifier: GPL-2.0-only
// CPU hotplug: what happens to tasks, masks and timers, and what sched_ext makes of it.
#include "sched/hotplug.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>

#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

constexpr u64 kMs = 1000000;
constexpr s64 kRestart = static_cast<s64>(SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG);

struct HotMachine : ExtMachine {
  using ExtMachine::ExtMachine;
  // Asks for it, and runs until it is done.
  int turn(u32 cpu, bool online) {
    int result = 1;
    machine.run_on(0, [&] { kernel.hotplug().request(cpu, online, [&](int r) { result = r; }); });
    machine.run_while([&] { return result == 1; }, machine.loop_now_ns() + kNsPerSec);
    kernel.verify_all();
    return result;
  }
  int off(u32 cpu) { return turn(cpu, false); }
  int on(u32 cpu) { return turn(cpu, true); }
};

TestScheduler &with_handlers(TestScheduler &s) {
  s.on_cpu_online = s.on_cpu_offline = [](s32) {};
  return s;
}

class HotplugAt : public ::testing::TestWithParam<u32> {};
INSTANTIATE_TEST_SUITE_P(Cpus, HotplugAt, ::testing::Values(4, 64));

TEST_P(HotplugAt, FairTasksLeaveAndComeBack) {
  const u32 nr_cpus = GetParam();
  HotMachine m(nr_cpus);
  std::vector<Task *> hogs;
  for (u32 i = 0; i < 2 * nr_cpus; i++) hogs.push_back(&m.hog());
  m.run_checked(20 * kMs);
  ASSERT_EQ(m.off(2), 0);
  EXPECT_FALSE(m.kernel.online_mask().test(2));
  EXPECT_FALSE(m.kernel.rq(2).shared->online);
  const u64 switches = m.kernel.rq(2).nr_switches;
  m.run_checked(50 * kMs);
  EXPECT_EQ(m.kernel.rq(2).nr_switches, switches);
  for (Task *p : hogs) EXPECT_NE(p->cpu, 2u);
  ASSERT_EQ(m.on(2), 0);
  m.run_checked(100 * kMs);
  EXPECT_TRUE(m.kernel.online_mask().test(2));
  EXPECT_GT(m.kernel.rq(2).nr_running, 0u) << "balancing brings tasks back";
}

TEST(Hotplug, OnlyCpusThatCanGo) {
  HotMachine one(1);
  EXPECT_EQ(one.off(0), -EPERM);
  EXPECT_EQ(one.off(1), -EINVAL);
  HotMachine m(2);
  EXPECT_EQ(m.off(0), -EPERM);
  EXPECT_EQ(m.off(1), 0);
  EXPECT_EQ(m.off(1), 0) << "it is off already";
  EXPECT_EQ(m.on(1), 0);
  EXPECT_EQ(m.on(1), 0);
  EXPECT_EQ(m.on(2), -EINVAL);
}

TEST(Hotplug, ABoundTaskIsLetOutOfItsMask) {
  HotMachine m(4);
  const machine::CpuMask only = m.mask({3}), two = m.mask({2, 3});
  Task &runs = m.hog(0, &only);
  Task &either = m.hog(0, &two);
  Task &sleeps = m.spawn("sleeper", std::make_unique<Script>([](Kernel &, Task &) {
                           return Step::sleep_until(machine::now_ns() + 100 * kMs);
                         }),
                         0, &only);
  m.run_checked(10 * kMs);
  ASSERT_EQ(m.off(3), 0);
  EXPECT_NE(runs.cpu, 3u);
  EXPECT_EQ(runs.ts.nr_cpus_allowed, 4);
  EXPECT_EQ(either.cpu, 2u);
  EXPECT_EQ(either.ts.nr_cpus_allowed, 2);
  EXPECT_EQ(sleeps.ts.nr_cpus_allowed, 1) << "not before it is woken";
  const std::string line = fmt::format("process {} (hog) no longer affine to cpu3", runs.pid());
  EXPECT_NE(std::find(m.log.begin(), m.log.end(), line), m.log.end());
  m.run_checked(200 * kMs);
  EXPECT_EQ(sleeps.ts.nr_cpus_allowed, 4);
  EXPECT_NE(sleeps.cpu, 3u);
  EXPECT_EQ(m.kernel.set_cpus_allowed(runs, only), -EINVAL) << "no CPU of that mask is there";
}

// The sleeper's timer was armed on the CPU that goes.
TEST(Hotplug, TimersAndRcuCallbacksMove) {
  HotMachine m(4);
  int woken = 0;
  const machine::CpuMask only = m.mask({3});
  m.spawn("sleeper", std::make_unique<Script>([&](Kernel &, Task &) {
            woken++;
            return Step::sleep_until(machine::now_ns() + 50 * kMs);
          }),
          0, &only);
  bool called = false;
  m.run_for(5 * kMs);
  ASSERT_EQ(woken, 1);
  m.machine.run_on(3, [&] { m.kernel.rcu().call([&] { called = true; }); });
  ASSERT_EQ(m.off(3), 0);
  m.run_checked(100 * kMs);
  EXPECT_GE(woken, 2);
  EXPECT_TRUE(called);
  EXPECT_EQ(m.kernel.rcu().nr_callbacks(), 0u);
}

TEST(Hotplug, ADisabledMigrationHoldsTheCpu) {
  HotMachine m(2);
  const machine::CpuMask only = m.mask({1});
  int step = 0;
  m.spawn("pinned", std::make_unique<Script>([&](Kernel &kernel, Task &self) {
            if (step == 0) kernel.migrate_disable(self);
            if (step == 1) kernel.migrate_enable(self);
            return step++ == 0 ? Step::sleep_until(machine::now_ns() + 80 * kMs) : Step::run(kNsPerSec);
          }),
          0, &only);
  m.run_for(kMs);
  bool done = false;
  m.machine.run_on(0, [&] { m.kernel.hotplug().request(1, false, [&](int) { done = true; }); });
  m.run_checked(60 * kMs);
  EXPECT_FALSE(done);
  m.run_checked(100 * kMs);
  EXPECT_TRUE(done);
}

TEST(Hotplug, WorkersOfTheCpuGoOnElsewhere) {
  HotMachine m(4);
  u32 ran_on = 99;
  Work work;
  work.fn = [&](KthreadApi &self) { ran_on = self.self().cpu; };
  auto queue = [&] {
    m.machine.run_on(0, [&] { m.kernel.works().queue_on(3, work); });
    m.run_checked(10 * kMs);
  };
  queue();
  EXPECT_EQ(ran_on, 3u);
  ASSERT_EQ(m.off(3), 0);
  queue();
  EXPECT_NE(ran_on, 3u);
  ASSERT_EQ(m.on(3), 0);
  queue();
  EXPECT_EQ(ran_on, 3u);
}

// --- sched_ext ---

TEST_P(HotplugAt, ASchedulerWithoutHandlersEndsForARestart) {
  const u32 nr_cpus = GetParam();
  for (bool online : {false, true}) {
    HotMachine m(nr_cpus);
    if (online) {
      ASSERT_EQ(m.off(1), 0);
    }
    TestScheduler s("plain");
    ASSERT_EQ(m.attach(s.ready()), 0);
    for (u32 i = 0; i < nr_cpus; i++) m.hog();
    m.run_checked(10 * kMs);
    ASSERT_EQ(m.turn(1, online), 0);
    m.run_checked(100 * kMs, 10 * kMs);
    EXPECT_EQ(s.exit_kind, u32{SCX_EXIT_UNREG_KERN});
    EXPECT_EQ(s.exit_code, kRestart);
    EXPECT_EQ(s.exit_cpu, 1);
    EXPECT_EQ(s.exit_msg, fmt::format("cpu 1 going {}, exiting scheduler", online ? "online" : "offline"));
    EXPECT_TRUE(s.faults().empty()) << s.faults().front();
    m.detach(s);
    // It can be loaded again at once.
    TestScheduler again("plain");
    again.mutable_config().hotplug_seq = m.ext().hotplug_seq();
    EXPECT_EQ(m.attach(again.ready()), 0);
    m.run_checked(10 * kMs);
    EXPECT_EQ(again.exit_kind, 0u);
    m.detach(again);
  }
}

TEST(Hotplug, HandlersAreCalledOnTheCpuWithoutAnyRq) {
  HotMachine m(4);
  TestScheduler s("handlers");
  std::string calls;
  auto note = [&](const char *what) {
    return [&, what](s32 cpu) {
      calls += fmt::format("{}{}@{} ", what, cpu, machine::this_cpu());
      EXPECT_EQ(m.ext().context()->locked_rq, nullptr);
      EXPECT_FALSE(m.kernel.rq(static_cast<u32>(cpu)).shared->scx.flags & SCX_RQ_ONLINE) << "off before, on after";
    };
  };
  s.on_cpu_offline = note("off");
  s.on_cpu_online = note("on");
  ASSERT_EQ(m.attach(s.ready()), 0);
  const u64 seq = m.ext().hotplug_seq();
  for (int i = 0; i < 8; i++) m.hog();
  m.run_checked(10 * kMs);
  ASSERT_EQ(m.off(2), 0);
  m.run_checked(20 * kMs);
  ASSERT_EQ(m.on(2), 0);
  m.run_checked(20 * kMs);
  EXPECT_EQ(calls, "off2@2 on2@2 ");
  EXPECT_EQ(m.ext().hotplug_seq(), seq + 2);
  EXPECT_EQ(s.exit_kind, 0u);
  EXPECT_TRUE(m.kernel.rq(2).shared->scx.flags & SCX_RQ_ONLINE);
  EXPECT_TRUE(s.faults().empty()) << s.faults().front();
  m.detach(s);
}

TEST(Hotplug, TheSequenceCountsWithoutAScheduler) {
  HotMachine m(4);
  const u64 seq = m.ext().hotplug_seq();
  m.off(1);
  m.on(1);
  EXPECT_EQ(m.ext().hotplug_seq(), seq + 2);
  TestScheduler stale("stale");
  stale.mutable_config().hotplug_seq = seq;
  EXPECT_EQ(m.attach(stale.ready()), 0);
  EXPECT_EQ(stale.exit_kind, u32{SCX_EXIT_UNREG_KERN});
  EXPECT_EQ(stale.exit_code, kRestart);
  EXPECT_EQ(stale.exit_msg, fmt::format("expected hotplug seq {} did not match actual {}", seq, seq + 2));
  m.detach(stale);
}

// No op of a task runs for a CPU that is not online, and what was queued for it gets through.
TEST_P(HotplugAt, TasksOfASchedulerWithQueuesMoveOn) {
  const u32 nr_cpus = GetParam();
  HotMachine m(nr_cpus);
  TestScheduler s("shared");
  with_handlers(s);
  auto self = [&]() -> ExtSched & { return *m.ext().sched_of(s); };
  s.on_init = [&] { return m.ext().create_dsq(self(), 7, -1); };
  s.on_enqueue = [&](Task &p, u64 flags) {
    EXPECT_TRUE(m.kernel.rq(p.cpu).shared->scx.flags & SCX_RQ_ONLINE);
    m.ext().dsq_insert(self(), p, 7, kMs, flags);
  };
  s.on_dispatch = [&](s32 cpu, Task *) {
    EXPECT_TRUE(m.kernel.rq(static_cast<u32>(cpu)).shared->scx.flags & SCX_RQ_ONLINE);
    m.ext().dsq_move_to_local(self(), 7, 0);
  };
  ASSERT_EQ(m.attach(s.ready()), 0);
  for (u32 i = 0; i < 3 * nr_cpus; i++) m.hog();
  for (u32 round = 0; round < 3; round++) {
    m.run_checked(10 * kMs);
    ASSERT_EQ(m.off(1 + round), 0);
  }
  m.run_checked(20 * kMs);
  for (u32 round = 0; round < 3; round++) ASSERT_EQ(m.on(1 + round), 0);
  m.run_checked(50 * kMs);
  EXPECT_EQ(s.exit_kind, 0u) << s.exit_msg;
  EXPECT_TRUE(s.faults().empty()) << s.faults().front();
  for (u32 cpu = 0; cpu < nr_cpus; cpu++) EXPECT_NE(m.kernel.rq(cpu).curr, m.kernel.rq(cpu).idle) << cpu;
  m.detach(s);
}

TEST(Hotplug, AnOfflineCpuThatIsChosenIsReplaced) {
  HotMachine m(4);
  TestScheduler s("choose");
  with_handlers(s);
  u32 enqueued_on = 99;
  Task *sleeper = nullptr;
  s.on_select_cpu = [&](Task &p, s32 prev, u64) { return &p == sleeper ? 3 : prev; };
  s.on_enqueue = [&](Task &p, u64 flags) {
    if (&p == sleeper) enqueued_on = p.cpu;
    m.ext().dsq_insert(*m.ext().sched_of(s), p, SCX_DSQ_LOCAL, kMs, flags);
  };
  ASSERT_EQ(m.attach(s.ready()), 0);
  sleeper = &m.script("sleeper", [](Kernel &, Task &) { return Step::sleep_until(machine::now_ns() + kMs); });
  m.run_checked(5 * kMs);
  EXPECT_EQ(enqueued_on, 3u);
  ASSERT_EQ(m.off(3), 0);
  m.run_checked(5 * kMs);
  EXPECT_NE(enqueued_on, 3u);
  scx_event_stats events;
  m.ext().events(&events);
  EXPECT_GE(events.SCX_EV_SELECT_CPU_FALLBACK, 3);
  m.detach(s);
}

TEST(Hotplug, ALocalDsqOfAnOfflineCpuIsNoTarget) {
  HotMachine m(4);
  TestScheduler s("target");
  with_handlers(s);
  std::deque<Task *> queue;
  s.on_enqueue = [&](Task &p, u64) { queue.push_back(&p); };
  s.on_dequeue = [&](Task &p, u64) { std::erase(queue, &p); };
  s.on_dispatch = [&](s32 cpu, Task *) {
    if (queue.empty()) return;
    Task &p = *queue.front();
    queue.pop_front();
    const u32 target = p.ts.nr_cpus_allowed == 1 ? static_cast<u32>(cpu) : 3;
    m.ext().dsq_insert(*m.ext().sched_of(s), p, p.ts.nr_cpus_allowed == 1 ? SCX_DSQ_GLOBAL : SCX_DSQ_LOCAL_ON | target,
                       kMs, 0);
  };
  ASSERT_EQ(m.attach(s.ready()), 0);
  m.run_checked(5 * kMs);
  ASSERT_EQ(m.off(3), 0);
  for (int i = 0; i < 4; i++) m.hog();
  m.run_checked(100 * kMs);
  scx_event_stats events;
  m.ext().events(&events);
  EXPECT_GT(events.SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE, 0);
  EXPECT_EQ(s.exit_kind, 0u) << s.exit_msg;
  // Kicks at it do nothing.
  m.machine.run_on(0, [&] {
    for (u64 flags : {u64{0}, u64{SCX_KICK_IDLE}, u64{SCX_KICK_PREEMPT}, u64{SCX_KICK_WAIT}})
      m.ext().kick_cpu(*m.ext().sched_of(s), 3, flags);
  });
  m.run_checked(10 * kMs);
  EXPECT_EQ(s.exit_kind, 0u) << s.exit_msg;
  m.detach(s);
}

TEST(Hotplug, IdleMasksLeaveItOut) {
  HotMachine m(machine::Topology::parse("1n:1l:2c:2t").take());
  TestScheduler s("idle");
  with_handlers(s);
  ASSERT_EQ(m.attach(s.ready()), 0);
  m.run_checked(10 * kMs);
  auto bits = [&](bool smt) { return m.ext().idle_cpumask(*m.ext().sched_of(s), smt, Ext::kGlobalMask)->bits[0]; };
  EXPECT_EQ(bits(false), 0xfu);
  ASSERT_EQ(m.off(3), 0);  // CPU 1's sibling.
  m.run_checked(20 * kMs);
  EXPECT_EQ(bits(false), 0x7u);
  EXPECT_EQ(bits(true), 0x7u) << "CPU 1 is a whole core now";
  ASSERT_EQ(m.on(3), 0);
  m.run_checked(20 * kMs);
  EXPECT_EQ(bits(false), 0xfu);
  EXPECT_EQ(bits(true), 0xfu);
  m.detach(s);
}

// Loading waits until a CPU is through, and the other way round.
TEST(Hotplug, LoadsAndHotplugExcludeEachOther) {
  HotMachine m(4);
  for (int i = 0; i < 8; i++) m.hog();
  TestScheduler s("late");
  with_handlers(s);
  int calls = 0;
  s.on_init = [&] {
    calls++;
    EXPECT_FALSE(m.kernel.online_mask().test(2)) << "not half-way";
    return 0;
  };
  m.run_checked(5 * kMs);
  m.machine.run_on(0, [&] { m.kernel.hotplug().request(2, false); });
  m.machine.run_while([&] { return m.kernel.cpu_active(2); }, m.machine.loop_now_ns() + kNsPerSec);
  ASSERT_TRUE(m.kernel.online_mask().test(2));
  ASSERT_EQ(m.attach(s.ready()), 0);
  EXPECT_EQ(calls, 1);
  m.detach(s);
}

}  // namespace
}  // namespace uscx::sched
