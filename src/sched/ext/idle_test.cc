// SPDX-License-Identifier: GPL-2.0-only
// Idle masks against the CPUs' real state, and every step of the default CPU selection.
#include <gtest/gtest.h>

#include <cerrno>

#include "base/rng.h"
#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

IdleTracker &tracker(ExtMachine &m) { return ExtInternal::impl(m.ext()).idle; }

// 2 nodes, 4 LLCs, 8 cores, 16 CPUs: CPU n and n+8 are siblings; LLC = core / 2, node = core / 4.
machine::Topology big() { return machine::Topology::parse("2n:2l:2c:2t").take(); }

TEST(ExtIdle, MasksAgreeWithTheCpusAfterRandomRuns) {
  for (u64 flags : {u64{0}, u64{SCX_OPS_BUILTIN_IDLE_PER_NODE}}) {
    ExtMachine m(big());
    TestScheduler s("idle", flags);
    s.ready(false);
    Rng rng(7, "idle-test");
    for (int i = 0; i < 12; i++)
      m.script("t", [&rng, run = false](Kernel &, Task &) mutable {
        run = !run;
        return run ? Step::run(rng.between(10, 3000) * kNsPerUs)
                   : Step::sleep_until(machine::now_ns() + rng.between(10, 3000) * kNsPerUs);
      });
    ASSERT_EQ(m.attach(s), 0);
    // Everything is assumed idle at first: let every CPU pass through a transition.
    for (u32 cpu = 0; cpu < 16; cpu++) {
      machine::CpuMask mask = m.mask({cpu});
      m.spawn("pass", std::make_unique<Script>([n = 0](Kernel &, Task &) mutable {
                return n++ ? Step::exit() : Step::run(1000);
              }),
              0, &mask);
    }
    m.run_for(100 * kNsPerMs);
    u32 idle_seen = 0, busy_seen = 0;
    for (int i = 0; i < 300; i++) {
      m.run_for(rng.between(1, 2000) * kNsPerUs);
      for (u32 cpu = 0; cpu < 16; cpu++) {
        const bool is_idle = m.kernel.rq(cpu).curr == m.kernel.rq(cpu).idle;
        const bool shown = tracker(m).is_idle(cpu);
        EXPECT_TRUE(!shown || is_idle) << "CPU " << cpu;
        // A CPU that was claimed for a wakeup on its way is idle and not shown; nothing else may be.
        if (is_idle && !m.kernel.rq(cpu).need_resched) {
          EXPECT_TRUE(shown) << "CPU " << cpu;
        }
        if (tracker(m).core_is_idle(cpu)) {
          EXPECT_TRUE(tracker(m).is_idle(cpu ^ 8) && shown);
        }
        is_idle ? idle_seen++ : busy_seen++;
      }
    }
    EXPECT_GT(idle_seen, 100u);
    EXPECT_GT(busy_seen, 100u);
    m.detach(s);
  }
}

struct Selection : ::testing::Test {
  Selection() : m(big()) {
    s.ready(false);
    p = &m.script("p", [](Kernel &, Task &) { return Step::block(); });
    EXPECT_EQ(m.attach(s), 0);
    m.run_for(20 * kNsPerMs);
    // From here on only this test changes the masks.
    for (u32 cpu = 0; cpu < 16; cpu++) t().update(cpu, false);
  }
  ~Selection() override {
    for (u32 cpu = 0; cpu < 16; cpu++) t().update(cpu, true);
    m.detach(s);
  }
  IdleTracker &t() { return tracker(m); }
  void idle(std::initializer_list<u32> cpus) {
    for (u32 cpu : cpus) t().update(cpu, true);
  }
  s32 select(s32 prev, u64 wake_flags = 0, const cpumask *allowed = nullptr, u64 flags = 0) {
    return t().select_cpu_dfl(*p, prev, wake_flags, allowed, flags);
  }
  ExtMachine m;
  TestScheduler s;
  Task *p;
};

TEST_F(Selection, NothingIdleIsEbusy) { EXPECT_EQ(select(3), -EBUSY); }
TEST_F(Selection, PreviousWholeCoreFirst) {
  idle({0, 8, 3, 11});
  EXPECT_EQ(select(3), 3);
  EXPECT_FALSE(t().core_is_idle(11));
}
TEST_F(Selection, WholeCoreInTheLlcBeforeAHalfIdlePrevious) {
  idle({3, 2, 10, 7, 15});
  EXPECT_EQ(select(3) % 8, 2);
}
TEST_F(Selection, WholeCoreInTheNodeBeforeOneFartherAway) {
  idle({3, 7, 15, 0, 8});
  EXPECT_EQ(select(3) % 8, 0);
}
TEST_F(Selection, WholeCoreAnywhere) {
  idle({3, 7, 15});
  EXPECT_EQ(select(3) % 8, 7);
}
TEST_F(Selection, HalfIdlePreviousThenSiblingThenLlcNodeAnywhere) {
  idle({3, 11});
  t().test_and_clear(11);
  idle({2, 1, 12});
  EXPECT_EQ(select(3), 3);
  idle({11});
  EXPECT_EQ(select(3), 11);
  EXPECT_EQ(select(3), 2);
  EXPECT_EQ(select(3), 1);
  EXPECT_EQ(select(3), 12);
  EXPECT_EQ(select(3), -EBUSY);
}
TEST_F(Selection, PickIdleCoreTakesNoHalfCore) {
  idle({3, 2});
  EXPECT_EQ(select(3, 0, nullptr, SCX_PICK_IDLE_CORE), -EBUSY);
}
TEST_F(Selection, AllowedMaskAndAffinityLimitIt) {
  idle({2, 3, 9, 12});
  cpumask allowed{};
  allowed.bits[0] = 1u << 9 | 1u << 12;
  EXPECT_EQ(select(3, 0, &allowed), 9);
  allowed.bits[0] = 1u << 4;
  EXPECT_EQ(select(3, 0, &allowed), -EBUSY);
  m.kernel.set_cpus_allowed(*p, m.mask({5, 12}));
  EXPECT_EQ(select(3), 12);
  allowed.bits[0] = 1u << 3;
  EXPECT_EQ(select(3, 0, &allowed), -EBUSY);
}
TEST_F(Selection, SyncWakeupStaysWithTheWakerIfTheMachineHasIdleCpus) {
  idle({14});
  // Host context plays CPU 0, whose cache node 0's CPU 7 does not share.
  EXPECT_EQ(select(7, WF_SYNC), 0);
  idle({1});
  EXPECT_EQ(select(1, WF_SYNC), 1);  // Shares the waker's cache.
  t().update(14, false);
  EXPECT_EQ(select(7, WF_SYNC), -EBUSY);
}
TEST_F(Selection, DistributesAmongEquals) {
  cpumask all{};
  all.bits[0] = 0xff;
  std::vector<s32> got;
  for (int i = 0; i < 4; i++) got.push_back(static_cast<s32>(t().any_distribute({all.bits, 16}, {all.bits, 16})));
  for (size_t i = 1; i < got.size(); i++) EXPECT_EQ(got[i], (got[i - 1] + 1) % 8);
}

TEST(ExtIdle, PerNodeModeWalksNodesByDistance) {
  ExtMachine m(big());
  TestScheduler s("node", SCX_OPS_BUILTIN_IDLE_PER_NODE);
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(20 * kNsPerMs);
  IdleTracker &t = tracker(m);
  for (u32 cpu = 0; cpu < 16; cpu++) t.update(cpu, false);
  t.update(6, true);
  cpumask all{};
  all.bits[0] = 0xffff;
  ExtSched &root = *m.ext().root();
  EXPECT_EQ(m.ext().pick_idle_cpu_node(root, &all, 0, SCX_PICK_IDLE_IN_NODE), -EBUSY);
  EXPECT_EQ(m.ext().pick_idle_cpu_node(root, &all, 0, 0), 6);
  EXPECT_EQ(m.ext().pick_idle_cpu_node(root, &all, -1, 0), -ENOENT);
  const s32 any = m.ext().pick_any_cpu_node(root, &all, 1, SCX_PICK_IDLE_IN_NODE);
  EXPECT_TRUE(any >= 4 && any % 8 >= 4) << any;
  EXPECT_EQ(m.ext().pick_idle_cpu(root, &all, 0), -EBUSY);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.exit_msg, "per-node idle tracking is enabled");
  m.detach(s);
}

TEST(ExtIdle, UpdateIdleTellsEachTransitionOnceAndTurnsTrackingOff) {
  ExtMachine m(2);
  TestScheduler s;
  std::map<s32, std::vector<bool>> seen;
  s.on_update_idle = [&](s32 cpu, bool idle) { seen[cpu].push_back(idle); };
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  m.script("t", [run = false](Kernel &, Task &) mutable {
    run = !run;
    return run ? Step::run(kNsPerMs) : Step::sleep_until(machine::now_ns() + kNsPerMs);
  });
  m.run_for(100 * kNsPerMs);
  EXPECT_FALSE(tracker(m).enabled());
  EXPECT_GT(seen[0].size() + seen[1].size(), 50u);
  for (auto &[cpu, states] : seen)
    for (size_t i = 1; i < states.size(); i++) EXPECT_NE(states[i], states[i - 1]) << cpu << " " << i;
  m.ext().test_and_clear_cpu_idle(*m.ext().root(), 0);
  m.run_for(100 * kNsPerMs);
  EXPECT_EQ(s.exit_msg, "built-in idle tracking is disabled");
  m.detach(s);
}

}  // namespace
}  // namespace uscx::sched
