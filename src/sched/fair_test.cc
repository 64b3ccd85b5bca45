// SPDX-License-Identifier: GPL-2.0-only
// The fair class against what Linux 7.2 did on a machine of one CPU at 250 Hz, and against what fairness means on many.
#include <gtest/gtest.h>

#include "sched/native/machine.h"

namespace uscx::sched {
namespace {

double share_percent(const Task &p, u64 ns) {
  return 100.0 * static_cast<double>(p.ts.utime) / static_cast<double>(ns);
}

TEST(Fair, SharesFollowNiceWeights) {
  TestMachine m(1);
  Task &high = m.hog(-5), &normal = m.hog(0), &low = m.hog(5);
  m.run_for(10 * kNsPerSec);
  const u64 total = high.ts.utime + normal.ts.utime + low.ts.utime;
  EXPECT_NEAR(share_percent(high, total), 69.7, 0.3);
  EXPECT_NEAR(share_percent(normal, total), 22.9, 0.3);
  EXPECT_NEAR(share_percent(low, total), 7.5, 0.3);
  m.kernel.verify_all();
}

// On the real machine each of four hogs was switched out 3565 times in 10 s: slices end after 0.7 ms, not at ticks.
TEST(Fair, EqualHogsSwitchAsOftenAsOnLinux) {
  TestMachine m(1);
  Task *hogs[4];
  for (Task *&p : hogs) p = &m.hog();
  m.run_for(10 * kNsPerSec);
  for (Task *p : hogs) {
    EXPECT_NEAR(static_cast<double>(p->ts.nivcsw), 3565, 3565 * 0.01);
    EXPECT_EQ(p->ts.nvcsw, 0u);
    EXPECT_NEAR(share_percent(*p, 10 * kNsPerSec), 25, 0.1);
  }
}

// The real machine's pattern for nice -5, 0, 5: the heavy task runs 1.61 ms, then one of the others 0.7 ms.
struct Stints final : trace::Sink {
  u64 pid = 0, since_ns = 0;
  std::vector<u64> ns;
  void on_event(const trace::Event &event, const trace::Tracer &) override {
    if (event.type != trace::EventType::sched_switch) return;
    if (event.args[0] == pid && since_ns) ns.push_back(event.time_ns - since_ns);
    since_ns = event.args[2] == pid ? event.time_ns : 0;
  }
};

TEST(Fair, HeavyTaskRunsUntilItIsAheadOfTheAverage) {
  TestMachine m(1);
  Task &high = m.hog(-5);
  m.hog(0), m.hog(5);
  m.run_for(kNsPerSec);
  Stints stints;
  stints.pid = static_cast<u64>(high.pid());
  m.tracer.add_sink(&stints);
  m.run_for(10 * kNsPerSec);
  ASSERT_GT(stints.ns.size(), 4000u);
  size_t near = 0;
  for (u64 ns : stints.ns) near += ns > 1560000 && ns < 1660000;
  EXPECT_GT(near * 100, stints.ns.size() * 95);
}

TEST(Fair, EvenHogsSpreadEvenly) {
  TestMachine m(4);
  std::vector<Task *> hogs;
  for (int i = 0; i < 12; i++) hogs.push_back(&m.hog());
  m.run_for(5 * kNsPerSec);
  for (u32 cpu = 0; cpu < 4; cpu++) EXPECT_EQ(m.kernel.rq(cpu).nr_running, 3u) << cpu;
  for (Task *p : hogs) EXPECT_NEAR(share_percent(*p, 5 * kNsPerSec), 33.3, 1);
  m.kernel.verify_all();
}

TEST(Fair, HogsThatStartOnOneCpuSpread) {
  TestMachine m(4);
  const machine::CpuMask one = m.mask({0});
  std::vector<Task *> hogs;
  for (int i = 0; i < 8; i++) hogs.push_back(&m.hog(0, &one));
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(m.kernel.rq(0).nr_running, 8u);
  for (Task *p : hogs) EXPECT_EQ(m.kernel.set_cpus_allowed(*p, m.machine.topology().all()), 0);
  m.run_for(kNsPerSec);
  for (u32 cpu = 0; cpu < 4; cpu++) EXPECT_EQ(m.kernel.rq(cpu).nr_running, 2u) << cpu;
  m.kernel.verify_all();
}

TEST(Fair, NoCpuIsIdleWhileATaskWaits) {
  TestMachine m(8);
  u64 seed = 7;
  for (int i = 0; i < 16; i++) {
    m.script("worker", [&seed](Kernel &, Task &self) {
      seed = seed * 6364136223846793005ull + 1442695040888963407ull;
      if (self.ts.nvcsw % 2) return Step::run(100000 + (seed >> 40) % 3000000);
      return Step::sleep_until(machine::now_ns() + 50000 + (seed >> 44) % 500000);
    });
  }
  for (int i = 0; i < 8; i++) m.hog();
  m.run_for(2 * kNsPerSec);
  u64 idle = 0;
  for (u32 cpu = 0; cpu < 8; cpu++) idle += m.kernel.rq(cpu).idle_ns;
  EXPECT_LT(idle, 8 * 2 * kNsPerSec / 500);
  m.kernel.verify_all();
}

TEST(Fair, SleeperPreemptsHogSoon) {
  TestMachine m(1);
  m.hog();
  u64 woken = 0, latency_max = 0, rounds = 0;
  m.script("sleeper", [&](Kernel &, Task &) {
    if (woken) latency_max = std::max(latency_max, machine::now_ns() - woken);
    rounds++;
    woken = machine::now_ns() + 10 * kNsPerMs;
    return Step::sleep_until(woken);
  });
  m.run_for(kNsPerSec);
  EXPECT_GT(rounds, 90u);
  EXPECT_LT(latency_max, 750000u);
}

TEST(Fair, SleepDoesNotEarnMoreThanAFewSlices) {
  TestMachine m(1);
  Task &hog = m.hog();
  bool slept = false;
  Task &late = m.script("late", [&](Kernel &, Task &) {
    if (slept) return Step::run(kNsPerSec);
    slept = true;
    return Step::sleep_until(5 * kNsPerSec);
  });
  m.run_for(5 * kNsPerSec);
  const u64 hog_before = hog.ts.utime;
  m.run_for(kNsPerSec);
  EXPECT_NEAR(static_cast<double>(hog.ts.utime - hog_before), 5e8, 6e6);
  EXPECT_NEAR(static_cast<double>(late.ts.utime), 5e8, 6e6);
}

TEST(Fair, NiceChangesWhileTasksRunAndWait) {
  TestMachine m(1);
  Task &a = m.hog(), &b = m.hog();
  m.run_for(kNsPerSec);
  m.kernel.set_user_nice(a, -5);
  m.kernel.set_user_nice(b, 0);
  m.run_for(kNsPerMs);
  m.kernel.verify_all();
  const u64 start = a.ts.utime;
  m.run_for(4 * kNsPerSec);
  EXPECT_NEAR(static_cast<double>(a.ts.utime - start) / 4e9, 3121.0 / (3121 + 1024), 0.005);
  m.kernel.verify_all();
}

TEST(Fair, IdlePolicyGetsLittle) {
  TestMachine m(1);
  Task &normal = m.hog();
  Task &idle = m.spawn("idle", std::make_unique<Hog>(), 0, nullptr, SCHED_IDLE);
  m.run_for(4 * kNsPerSec);
  EXPECT_LT(idle.ts.utime * 100, normal.ts.utime);
  EXPECT_GT(idle.ts.utime, 0u);
}

TEST(Fair, YieldLetsTheOtherRun) {
  TestMachine m(1);
  u64 yields = 0, others = 0;
  m.script("yielder", [&](Kernel &, Task &) { return yields++ % 2 ? Step::yield() : Step::run(1000); });
  Task &hog = m.hog();
  m.script("waiter", [&](Kernel &, Task &) {
    return others++ % 2 ? Step::sleep_until(machine::now_ns() + 500000) : Step::run(1000);
  });
  m.run_for(kNsPerSec);
  EXPECT_GT(hog.ts.utime, 600 * kNsPerMs);
  EXPECT_GT(yields, 100u);
  m.kernel.verify_all();
}

}  // namespace
}  // namespace uscx::sched
