// SPDX-License-Identifier: GPL-2.0-only
// SCX_KICK_WAIT: the memory behind it, that it holds the kicker, and that nobody starves of it.
#include <gtest/gtest.h>

#include <cerrno>

#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {

namespace {

constexpr u64 kNsPerMs = 1000000;
constexpr u64 kNsPerSec = 1000000000;

std::unique_ptr<Behavior> run_and_yield(u64 run_ns) {
  return std::make_unique<Script>([run_ns, run = false](Kernel &, Task &) mutable {
    run = !run;
    return run ? Step::run(run_ns) : Step::yield();
  });
}

// Puts every task into the global DSQ and kicks what `targets` says, with WAIT.
struct WaitScheduler : TestScheduler {
  template <typename Targets>
  WaitScheduler(ExtMachine &m, Targets targets) {
    on_enqueue = [this, &m, targets](Task &p, u64 flags) {
      ExtSched &s = *Ext::sched_of(*this);
      if (p.is_kthread()) {
        m.ext().dsq_insert(s, p, SCX_DSQ_LOCAL, SCX_SLICE_INF, flags | SCX_ENQ_PREEMPT);
        return;
      }
      m.ext().dsq_insert(s, p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
      targets([&](u32 cpu, u64 more) { m.ext().kick_cpu(s, static_cast<s32>(cpu), SCX_KICK_WAIT | more); });
    };
  }
};

}  // namespace

// 4096 entries are 32 KiB, where a fixed-size per-CPU area once ended.
TEST(KickSyncs, ExistOnlyWhileASchedulerIsLoaded) {
  for (u32 nr_cpus : {1u, 64u, 4096u, 4097u, 8192u}) {
    ExtMachine m(nr_cpus);
    EXPECT_EQ(m.ext().kick_syncs_bytes(), 0u);
    u64 kicks = 0;
    WaitScheduler s(m, [&](auto kick) {
      kicks++;
      kick(nr_cpus - 1 - machine::this_cpu(), SCX_KICK_PREEMPT);
    });
    s.ready(false);
    ASSERT_EQ(m.attach(s), 0);
    EXPECT_EQ(m.ext().kick_syncs_bytes(), u64{8} * nr_cpus * nr_cpus);
    for (u32 cpu : {0u, nr_cpus - 1}) {
      const machine::CpuMask mask = m.mask({cpu});
      for (int i = 0; i < 2; i++) m.spawn("y", run_and_yield(100000), 0, &mask);
    }
    m.run_for(20 * kNsPerMs);
    EXPECT_GT(kicks, 50u) << nr_cpus;
    EXPECT_EQ(m.ext().last_exit(), nullptr);
    m.detach(s);
    EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG);
    m.ext().settle();
    EXPECT_EQ(m.ext().kick_syncs_bytes(), 0u);
    m.run_for(kNsPerMs);
  }
}

TEST(KickSyncs, AKickThatOutlivesTheSchedulerWarnsOnce) {
  ExtMachine m(2);
  TestScheduler s;
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  m.detach(s);
  Ext::Impl &impl = ExtInternal::impl(m.ext());
  for (int i = 0; i < 3; i++) m.machine.run_on(0, [&] { impl.kick(nullptr, 1, SCX_KICK_WAIT); });
  m.run_for(kNsPerMs);
  u32 warnings = 0;
  for (const std::string &line : m.log) warnings += line.find("NULL scx_kick_syncs") != std::string::npos;
  EXPECT_EQ(warnings, 1u);
}

TEST(KickSyncs, CreatingADsqWithoutMemoryFails) {
  ExtMachine m(1);
  TestScheduler s;
  s32 first = 0, second = 0;
  s.on_init = [&] {
    m.ext().alloc_faults().fail(AllocSite::user_dsq);
    first = m.ext().create_dsq(*m.ext().root(), 7, -1);
    second = m.ext().create_dsq(*m.ext().root(), 7, -1);
    return 0;
  };
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(first, -ENOMEM);
  EXPECT_EQ(second, 0);
  m.detach(s);
}

// CPU 1 is kicked while it is busy with an interrupt; what CPU 0 runs next may not start before CPU 1 has been through
// its scheduler. Without WAIT it starts at once.
TEST(KickWait, TheKickersNextTaskStartsAfterTheTargetHasScheduled) {
  for (const bool wait : {false, true}) {
    ExtMachine m(2);
    constexpr u64 kBusyNs = 300000;
    u64 kicked_ns = 0, target_ns = 0, next_start_ns = 0;
    bool armed = false;
    TestScheduler s;
    s.on_enqueue = [&](Task &p, u64 flags) {
      ExtSched &r = *Ext::sched_of(s);
      m.ext().dsq_insert(r, p, SCX_DSQ_LOCAL, SCX_SLICE_INF, flags);
      if (p.comm() != std::string("kicker") || !std::exchange(armed, false)) return;
      kicked_ns = machine::now_ns();
      m.ext().kick_cpu(r, 1, SCX_KICK_PREEMPT | (wait ? u64{SCX_KICK_WAIT} : 0));
    };
    s.on_stopping = [&](Task &p, bool) {
      if (kicked_ns && !target_ns && p.cpu == 1) target_ns = machine::now_ns();
    };
    s.ready();
    const machine::CpuMask zero = m.mask({0}), one = m.mask({1});
    for (int i = 0; i < 2; i++) m.spawn("target", std::make_unique<Hog>(), 0, &one);
    m.spawn("kicker", std::make_unique<Script>([&, step = 0](Kernel &, Task &) mutable {
              switch (step++) {
                case 0: return Step::run(5 * kNsPerMs);
                case 1:
                  armed = true;  // The wakeup's enqueue kicks.
                  return Step::sleep_until(machine::now_ns() + kNsPerMs);
                default:
                  if (!next_start_ns) next_start_ns = machine::now_ns();
                  return Step::run(kNsPerMs);
              }
            }),
            0, &zero);
    ASSERT_EQ(m.attach(s), 0);
    // An interrupt that takes long, on the target, when the kick comes.
    machine::SimEvent busy;
    const u64 start_ns = m.machine.loop_now_ns();
    struct Interrupt {
      static void fn(machine::SimEvent &) { machine::charge_ns(kBusyNs); }
    };
    busy.cpu = 1;
    busy.fn = Interrupt::fn;
    for (u64 t = start_ns; !next_start_ns && t < start_ns + 20 * kNsPerMs; t += 2 * kBusyNs) {
      m.machine.arm_timer(busy, t + kBusyNs);
      m.run_for(2 * kBusyNs);
    }
    m.machine.cancel_timer(busy);
    m.run_for(kNsPerMs);
    ASSERT_NE(next_start_ns, 0u);
    ASSERT_NE(target_ns, 0u);
    if (wait)
      EXPECT_GE(next_start_ns, target_ns);
    else
      EXPECT_LT(next_start_ns, target_ns);
    m.detach(s);
    EXPECT_EQ(s.faults(), std::vector<std::string>());
  }
}

// The kernel's selftest cyclic_kick_wait: four tasks pinned to each of three CPUs, each enqueue kicks the next CPU of
// the ring with WAIT, and a timeout of one second must not pass.
TEST(KickWait, RingOfThreeGoesOn) {
  ExtMachine m(3);
  WaitScheduler s(m, [](auto kick) { kick((machine::this_cpu() + 1) % 3, 0); });
  s.mutable_config().timeout_ms = 1000;
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  std::vector<Task *> tasks;
  for (u32 cpu = 0; cpu < 3; cpu++)
    for (int i = 0; i < 4; i++) {
      const machine::CpuMask mask = m.mask({cpu});
      tasks.push_back(&m.spawn("y", run_and_yield(20000), 0, &mask));
    }
  constexpr u64 kSeconds = 10;
  for (u64 i = 0; i < kSeconds * 10; i++) {
    m.run_for(100 * kNsPerMs);
    m.kernel.verify_all();
  }
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  // A quarter of a CPU each, but for the switching, kicking and waiting.
  for (Task *p : tasks) EXPECT_GT(p->ts.se.sum_exec_runtime, kSeconds * kNsPerSec / 4 / 2);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG);
}

// A pick between the kick and the wait breaks simple rings. Sleepers that wake up while their CPU waits make it kick,
// and wait for, the next one without such a pick: then only the counters that move in the wait itself let the ring go
// on.
TEST(KickWait, RingWithWakeupsInTheWaitGoesOn) {
  constexpr u32 kNrCpus = 3;
  ExtMachine m(kNrCpus);
  WaitScheduler s(m, [](auto kick) { kick((machine::this_cpu() + 1) % kNrCpus, 0); });
  s.mutable_config().timeout_ms = 1000;
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  std::vector<Task *> tasks;
  for (u32 cpu = 0; cpu < kNrCpus; cpu++) {
    const machine::CpuMask mask = m.mask({cpu});
    for (u64 i = 0; i < 6; i++)
      tasks.push_back(&m.spawn("s", std::make_unique<Script>([i, step = 0](Kernel &, Task &) mutable {
                                 return step++ % 2 ? Step::sleep_until(machine::now_ns() + 1500 + 370 * i)
                                                   : Step::run(700 + 90 * i);
                               }),
                               0, &mask));
  }
  m.run_for(2 * kNsPerSec);
  m.kernel.verify_all();
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  for (Task *p : tasks) EXPECT_GT(p->ts.se.sum_exec_runtime, 50 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG);
}

TEST(KickWait, AllToAllStarvesNobody) {
  constexpr u32 kNrCpus = 64;
  ExtMachine m(kNrCpus);
  u64 kicks = 0;
  WaitScheduler s(m, [&](auto kick) {
    for (u32 cpu = 0; cpu < kNrCpus; cpu++)
      if (cpu != machine::this_cpu()) kick(cpu, 0), kicks++;
  });
  s.mutable_config().timeout_ms = 1000;
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  std::vector<Task *> tasks;
  for (u32 i = 0; i < kNrCpus * 2; i++) tasks.push_back(&m.spawn("hog", std::make_unique<Hog>()));
  constexpr u64 kSeconds = 10;
  for (u64 i = 0; i < kSeconds; i++) {
    m.run_for(kNsPerSec);
    m.kernel.verify_all();
  }
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  EXPECT_GT(kicks, 1000000u);
  for (Task *p : tasks) EXPECT_GT(p->ts.se.sum_exec_runtime, kSeconds * kNsPerSec / 2 * 6 / 10);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG);
}

}  // namespace uscx::sched
