// SPDX-License-Identifier: GPL-2.0-only
// Deadline servers, CPUs without a tick, isolated CPUs, and the lockup watchdogs.
#include "sched/dl_server.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

constexpr u64 kMs = 1000000;
constexpr int kRtPriority = 10;  // Below the threads that load schedulers.

// On each CPU a realtime hog and a normal one that is bound there: the share of the normal ones in ten seconds.
struct Starved {
  explicit Starved(u32 nr_cpus) : m(nr_cpus) {
    for (u32 cpu = 0; cpu < nr_cpus; cpu++) {
      const machine::CpuMask *here = m.kernel.single_cpu_mask(cpu);
      normal.push_back(&m.hog(0, here));
      rt.push_back(&m.spawn("rt", std::make_unique<Hog>(), 0, here, SCHED_FIFO, kRtPriority));
    }
  }
  void expect_share(const char *what) {
    std::vector<u64> before;
    for (Task *p : normal) before.push_back(p->ts.se.sum_exec_runtime);
    m.run_checked(10 * kNsPerSec, 100 * kMs);
    for (u32 i = 0; i < normal.size(); i++) {
      const u64 share_permille = (normal[i]->ts.se.sum_exec_runtime - before[i]) / (10 * kMs);
      EXPECT_GE(share_permille, 45u) << what << ", CPU " << i;
      EXPECT_LE(share_permille, 56u) << what << ", CPU " << i;
    }
  }
  ExtMachine m;
  std::vector<Task *> normal, rt;
};

class DlServers : public ::testing::TestWithParam<u32> {};
INSTANTIATE_TEST_SUITE_P(Cpus, DlServers, ::testing::Values(1, 4, 64));

TEST_P(DlServers, RealtimeHogsLeaveFivePercent) {
  Starved s(GetParam());
  s.expect_share("fair");
  TestScheduler scheduler("ext");
  ASSERT_EQ(s.m.attach(scheduler.ready()), 0);
  s.expect_share("ext");
  EXPECT_EQ(scheduler.exit_kind, 0u) << scheduler.exit_msg;
  EXPECT_TRUE(scheduler.faults().empty()) << scheduler.faults().front();
  s.m.detach(scheduler);
  s.expect_share("fair again");
}

TEST(DlServer, ParametersDecideTheShareAndAreChecked) {
  Starved s(2);
  Kernel &kernel = s.m.kernel;
  const u64 total = kernel.dl_total_bandwidth();
  EXPECT_EQ(total, 2 * DlServer::ratio(50 * kMs, 1000 * kMs));
  DlServer &server = kernel.rq(0).fair_server;
  int results[4] = {};
  s.m.machine.run_on(0, [&] {
    results[0] = kernel.dl_server_set(server, 2000 * kMs, 1000 * kMs);
    results[1] = kernel.dl_server_set(server, 0, DlServer::kMaxPeriodNs + 1);
    results[2] = kernel.dl_server_set(kernel.rq(1).fair_server, 951 * kMs, 1000 * kMs);
    results[3] = kernel.dl_server_set(server, 200 * kMs, 500 * kMs);
  });
  EXPECT_EQ(results[0], -EINVAL);
  EXPECT_EQ(results[1], -EINVAL);
  EXPECT_EQ(results[2], 0) << "two CPUs have room for it";
  EXPECT_EQ(results[3], 0);
  s.m.machine.run_on(0, [&] { results[0] = kernel.dl_server_set(server, 950 * kMs, 1000 * kMs); });
  EXPECT_EQ(results[0], -EBUSY) << "together more than 95% of two CPUs";
  s.m.run_for(10000 * kMs);
  const u64 share_permille = s.normal[0]->ts.se.sum_exec_runtime / (10 * kMs);
  EXPECT_GE(share_permille, 380u);
  EXPECT_LE(share_permille, 420u);
}

TEST(DlServer, IsDeferred) {
  Starved s(1);
  s.m.run_for(900 * kMs);
  EXPECT_LT(s.normal[0]->ts.se.sum_exec_runtime, kMs) << "not before only the runtime is left of the period";
  s.m.run_for(150 * kMs);
  EXPECT_GE(s.normal[0]->ts.se.sum_exec_runtime, 45 * kMs);
}

// A class that gets enough by itself is not helped.
TEST(DlServer, LeavesThoseAloneThatGetEnough) {
  ExtMachine m(1);
  Task &normal = m.hog();
  Task &rt = m.spawn("rt", std::make_unique<Script>([n = 0](Kernel &, Task &) mutable {
                       return n++ % 2 ? Step::sleep_until(machine::now_ns() + 20 * kMs) : Step::run(80 * kMs);
                     }),
                     0, nullptr, SCHED_FIFO, kRtPriority);
  m.run_checked(5 * kNsPerSec, 100 * kMs);
  EXPECT_GE(normal.ts.se.sum_exec_runtime, 900 * kMs);
  EXPECT_EQ(rt.ts.nivcsw, 0u);
}

// In partial mode the fair class is above ext.
TEST(DlServer, FairHogsLeaveExtItsShare) {
  ExtMachine m(1);
  TestScheduler scheduler("partial", SCX_OPS_SWITCH_PARTIAL);
  std::vector<u32> reasons;
  scheduler.on_cpu_release = [&](s32, scx_cpu_release_args *args) { reasons.push_back(args->reason); };
  scheduler.on_cpu_acquire = [](s32) {};
  ASSERT_EQ(m.attach(scheduler.ready()), 0);
  m.hog();
  Task &ext_task = m.spawn("ext", std::make_unique<Hog>(), 0, nullptr, SCHED_EXT);
  m.run_checked(10 * kNsPerSec, 100 * kMs);
  EXPECT_NEAR(static_cast<double>(ext_task.ts.se.sum_exec_runtime), 500e6, 60e6);
  ASSERT_FALSE(reasons.empty());
  EXPECT_EQ(reasons.back(), u32{SCX_CPU_PREEMPT_UNKNOWN}) << "the fair class";
  m.detach(scheduler);
}

TEST(CpuPreempt, ReleaseAndAcquireComeInPairsWithTheirReasons) {
  ExtMachine m(1);
  TestScheduler scheduler("preempt");
  std::string calls;
  Task *rt = nullptr;
  scheduler.on_cpu_release = [&](s32 cpu, scx_cpu_release_args *args) {
    EXPECT_TRUE(m.kernel.rq(static_cast<u32>(cpu)).lock.held_here());
    if (args->reason == SCX_CPU_PREEMPT_RT && rt) {
      EXPECT_EQ(task_of(args->task), rt);
    }
    calls += args->reason == SCX_CPU_PREEMPT_RT ? 'r' : args->reason == SCX_CPU_PREEMPT_STOP ? 's' : '?';
  };
  scheduler.on_cpu_acquire = [&](s32) { calls += 'a'; };
  ASSERT_EQ(m.attach(scheduler.ready()), 0);
  m.hog();
  m.run_for(10 * kMs);
  calls.clear();
  rt = &m.spawn("rt", std::make_unique<Script>([n = 0](Kernel &, Task &) mutable {
                  return n++ % 2 ? Step::sleep_until(machine::now_ns() + 5 * kMs) : Step::run(kMs);
                }),
                0, nullptr, SCHED_FIFO, kRtPriority);
  m.run_for(20 * kMs);
  EXPECT_EQ(calls.substr(0, 6), "rarara");
  calls.clear();
  struct Nothing final : StopWork {
    void drop() override {}
  } work;
  work.fn = [](Kernel &, StopWork &) {};
  m.machine.run_on(0, [&] { m.kernel.cpu_stop(0, work); });
  m.run_for(kMs);
  EXPECT_NE(calls.find("sa"), std::string::npos) << calls;
  rt = nullptr;  // Detaching has realtime threads of its own.
  m.detach(scheduler);
}

// --- CPUs without a tick ---

struct NohzMachine : ExtMachine {
  static KernelConfig config(u32 nr_cpus, bool isolated) {
    KernelConfig config;
    machine::CpuMask mask(nr_cpus);
    mask.set(nr_cpus - 1);
    (isolated ? config.isolated : config.nohz_full) = mask;
    return config;
  }
  explicit NohzMachine(u32 nr_cpus, bool isolated = false)
      : ExtMachine(machine::Topology::flat(nr_cpus), config(nr_cpus, isolated)) {}
};

TEST(NohzFull, OneFairTaskHasNoTickAndTwoHave) {
  NohzMachine m(4);
  const machine::CpuMask only = m.mask({3}), other = m.mask({2});
  Task &alone = m.hog(0, &only);
  m.hog(0, &other);
  m.run_checked(20 * kMs);
  EXPECT_FALSE(m.machine.tick_running(3));
  EXPECT_TRUE(m.machine.tick_running(2));
  Task &second = m.hog(0, &only);
  EXPECT_TRUE(m.machine.tick_running(3));
  m.run_checked(50 * kMs);
  EXPECT_TRUE(m.machine.tick_running(3));
  m.kernel.set_cpus_allowed(second, other);
  m.run_checked(20 * kMs);
  EXPECT_FALSE(m.machine.tick_running(3));
  const u64 before = alone.ts.se.sum_exec_runtime;
  m.run_checked(3 * kNsPerSec, 100 * kMs);
  EXPECT_GT(alone.ts.se.sum_exec_runtime, before + kNsPerSec) << "the remote tick accounts once a second";
  bool over = false;
  m.machine.run_on(0, [&] { m.kernel.rcu().call([&] { over = true; }); });
  m.run_checked(40 * kMs);
  EXPECT_TRUE(over) << "user code without a tick holds up no grace period";
}

TEST(NohzFull, ExtTicksDependOnTheSlice) {
  NohzMachine m(2);
  TestScheduler scheduler("nohz", SCX_OPS_SWITCH_PARTIAL | SCX_OPS_ENQ_LAST);
  u64 slice = SCX_SLICE_INF, ticks = 0, remote = 0;
  scheduler.on_tick = [&](Task &) { ticks++, remote += machine::this_cpu() != 1; };
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    if (flags & SCX_ENQ_LAST) m.ext().kick_cpu(*m.ext().sched_of(scheduler), 1, 0);
    m.ext().dsq_insert(*m.ext().sched_of(scheduler), p, SCX_DSQ_GLOBAL, slice, 0);
  };
  scheduler.on_select_cpu = [](Task &, s32 prev_cpu, u64) { return prev_cpu; };
  ASSERT_EQ(m.attach(scheduler.ready()), 0);
  const machine::CpuMask only = m.mask({1});
  Task &p = m.spawn("spin", std::make_unique<Hog>(), 0, &only, SCHED_EXT);
  m.run_checked(50 * kMs);
  EXPECT_FALSE(m.machine.tick_running(1));
  EXPECT_LE(ticks, 1u);
  m.run_checked(3 * kNsPerSec, 100 * kMs);
  EXPECT_EQ(ticks, remote);
  EXPECT_NEAR(static_cast<double>(remote), 3, 1) << "once a second, from another CPU";
  // A finite slice brings the tick back.
  slice = kMs;
  m.machine.run_on(0, [&] {
    p.set_slice(0);
    m.ext().kick_cpu(*m.ext().sched_of(scheduler), 1, SCX_KICK_PREEMPT);
  });
  ticks = remote = 0;
  m.run_checked(100 * kMs);
  EXPECT_TRUE(m.machine.tick_running(1));
  EXPECT_GE(ticks, 3u);
  EXPECT_EQ(scheduler.exit_kind, 0u) << scheduler.exit_msg;
  m.detach(scheduler);
}

// --- isolated CPUs ---

TEST(IsolCpus, AreLeftAloneAndRefuseSchedulers) {
  NohzMachine m(4, true);
  for (int i = 0; i < 12; i++) m.hog();
  const machine::CpuMask only = m.mask({3});
  m.run_checked(200 * kMs);
  EXPECT_EQ(m.kernel.rq(3).nr_switches, 0u);
  Task &asks = m.hog(0, &only);
  m.run_checked(20 * kMs);
  EXPECT_EQ(m.kernel.rq(3).curr, &asks);
  TestScheduler scheduler("refused");
  EXPECT_EQ(m.attach(scheduler.ready()), -EINVAL);
  EXPECT_EQ(m.log.back(), "sched_ext: Not compatible with \"isolcpus=\" domain isolation");
}

// --- lockups ---

TEST(Lockup, ACallbackThatKeepsInterruptsOffForTenSecondsIsEjected) {
  ExtMachine m(2);
  TestScheduler scheduler("stuck");
  bool once = false;
  scheduler.on_dispatch = [&](s32, Task *) {
    if (std::exchange(once, false)) machine::charge_ns(11 * kNsPerSec);
  };
  ASSERT_EQ(m.attach(scheduler.ready()), 0);
  m.hog();
  once = true;
  m.run_for(30 * kNsPerSec);
  EXPECT_EQ(scheduler.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(scheduler.exit_msg, fmt::format("hard lockup - CPU {}", scheduler.exit_cpu));
  m.detach(scheduler);
}

}  // namespace
}  // namespace uscx::sched
