// SPDX-License-Identifier: GPL-2.0-only
// What the core does later or elsewhere: re-enqueueing (IMMED tasks, on request), the last task of a CPU, other classes
// that take a CPU away, yields, bypass balancing, lockups, tids.
#include <gtest/gtest.h>

#include "base/units.h"
#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {

namespace {

u32 reenq_reason(const Task &p) { return p.ts.scx.flags & SCX_TASK_REENQ_REASON_MASK; }

scx_event_stats events_of(ExtMachine &m) {
  scx_event_stats events;
  m.ext().events(&events);
  return events;
}

}  // namespace

TEST(Immed, TasksThatCannotRunAtOnceGoBackToTheScheduler) {
  ExtMachine m(1);
  TestScheduler s;
  u64 again = 0, wrong = 0;
  s.on_init = [&] { return m.ext().create_dsq(*m.ext().root(), 1, -1); };
  s.on_enqueue = [&](Task &p, u64 flags) {
    ExtSched &r = *Ext::sched_of(s);
    if (!(flags & SCX_ENQ_REENQ)) return (void)m.ext().dsq_insert(r, p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, SCX_ENQ_IMMED);
    again++;
    wrong += reenq_reason(p) != SCX_TASK_REENQ_IMMED && reenq_reason(p) != SCX_TASK_REENQ_PREEMPTED;
    m.ext().dsq_insert(r, p, 1, SCX_SLICE_DFL, 0);
  };
  s.on_dispatch = [&](s32, Task *) { m.ext().dsq_move_to_local(*Ext::sched_of(s), 1, 0); };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  std::vector<Task *> hogs;
  for (int i = 0; i < 4; i++) hogs.push_back(&m.hog());
  m.run_checked(2 * kNsPerSec, 10 * kNsPerMs);
  EXPECT_GT(again, 10u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(events_of(m).SCX_EV_REENQ_IMMED, 10);
  for (Task *p : hogs) EXPECT_GT(p->ts.se.sum_exec_runtime, 300 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG) << s.exit_msg;
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Immed, APreemptedTaskGoesBackToTheScheduler) {
  ExtMachine m(1);
  TestScheduler s;
  u64 preempted = 0;
  s.on_enqueue = [&](Task &p, u64 flags) {
    ExtSched &r = *Ext::sched_of(s);
    preempted += (flags & SCX_ENQ_REENQ) && reenq_reason(p) == SCX_TASK_REENQ_PREEMPTED;
    m.ext().dsq_insert(r, p, flags & SCX_ENQ_REENQ ? u64{SCX_DSQ_GLOBAL} : u64{SCX_DSQ_LOCAL}, SCX_SLICE_INF,
                       flags & SCX_ENQ_REENQ ? 0 : u64{SCX_ENQ_IMMED});
  };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  Task &hog = m.hog();
  m.run_checked(20 * kNsPerMs);
  m.spawn("rt", std::make_unique<Script>([step = 0](Kernel &, Task &) mutable {
            return step++ % 2 ? Step::sleep_until(machine::now_ns() + 10 * kNsPerMs) : Step::run(kNsPerMs);
          }),
          0, nullptr, SCHED_FIFO, 10);
  m.run_checked(200 * kNsPerMs);
  EXPECT_GT(preempted, 0u);
  EXPECT_GT(hog.ts.se.sum_exec_runtime, 150 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Reenq, UserAndLocalQueuesGoThroughEnqueueAgainOnRequest) {
  ExtMachine m(2);
  TestScheduler s;
  std::map<int, u32> again;
  bool local = false;
  s.on_init = [&] { return m.ext().create_dsq(*m.ext().root(), 1, -1); };
  s.on_select_cpu = [](Task &, s32, u64) { return 0; };
  s.on_enqueue = [&](Task &p, u64 flags) {
    if (flags & SCX_ENQ_REENQ) {
      EXPECT_EQ(reenq_reason(p), SCX_TASK_REENQ_KFUNC);
      again[p.pid()]++;
    }
    m.ext().dsq_insert(*Ext::sched_of(s), p, local && !p.is_kthread() ? u64{SCX_DSQ_LOCAL} : 1, SCX_SLICE_INF, 0);
  };
  s.on_dispatch = [&](s32, Task *) { m.ext().dsq_move_to_local(*Ext::sched_of(s), 1, 0); };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  const machine::CpuMask zero = m.mask({0});
  for (int i = 0; i < 5; i++) m.hog(0, &zero);  // One runs, four wait in the user DSQ.
  m.run_checked(10 * kNsPerMs);
  EXPECT_EQ(m.ext().dsq_nr_queued(*Ext::sched_of(s), 1), 4);
  local = true;
  m.machine.run_on(1, [&] { m.ext().dsq_reenq(*Ext::sched_of(s), 1, 0); });
  m.run_checked(10 * kNsPerMs);
  EXPECT_EQ(again.size(), 4u);
  for (const auto &[pid, times] : again) EXPECT_EQ(times, 1u) << pid;
  EXPECT_EQ(m.ext().dsq_nr_queued(*Ext::sched_of(s), 1), 0);
  EXPECT_EQ(m.ext().dsq_nr_queued(*Ext::sched_of(s), SCX_DSQ_LOCAL_ON | 0), 4);
  // And from the local DSQ of another CPU back to the user DSQ.
  local = false;
  again.clear();
  m.machine.run_on(1, [&] { m.ext().dsq_reenq(*Ext::sched_of(s), SCX_DSQ_LOCAL_ON | 0, 0); });
  m.run_checked(10 * kNsPerMs);
  EXPECT_EQ(again.size(), 4u);
  EXPECT_EQ(m.ext().dsq_nr_queued(*Ext::sched_of(s), 1), 4);
  EXPECT_EQ(m.ext().dsq_nr_queued(*Ext::sched_of(s), SCX_DSQ_LOCAL_ON | 0), 0);
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Reenq, BadRequestsEject) {
  for (const auto &[dsq_id, flags, message] : {std::tuple<u64, u64, const char *>{1, 2, "invalid SCX_REENQ flags 0x2"},
                                               {SCX_DSQ_GLOBAL, 0, "not allowed for reenq"}}) {
    ExtMachine m(1);
    TestScheduler s;
    s.ready(false);
    ASSERT_EQ(m.attach(s), 0);
    m.machine.run_on(0, [&, id = dsq_id, f = flags] { m.ext().dsq_reenq(*Ext::sched_of(s), id, f); });
    m.run_for(50 * kNsPerMs);
    EXPECT_NE(s.exit_msg.find(message), std::string::npos) << s.exit_msg;
    m.detach(s);
  }
}

TEST(EnqLast, TheLastTaskIsQueuedAndRunsAgain) {
  for (const bool asked : {false, true}) {
    ExtMachine m(1);
    TestScheduler s("last", asked ? u64{SCX_OPS_ENQ_LAST} : 0);
    u64 last = 0;
    s.on_enqueue = [&](Task &p, u64 flags) {
      last += (flags & SCX_ENQ_LAST) != 0;
      m.ext().dsq_insert(*Ext::sched_of(s), p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, flags);
    };
    s.ready();
    ASSERT_EQ(m.attach(s), 0);
    Task &hog = m.hog();
    m.run_checked(kNsPerSec);
    EXPECT_EQ(last > 20, asked) << last;
    EXPECT_EQ(events_of(m).SCX_EV_DISPATCH_KEEP_LAST > 20, !asked);
    EXPECT_GT(hog.ts.se.sum_exec_runtime, 950 * kNsPerMs);
    m.detach(s);
    EXPECT_EQ(s.faults(), std::vector<std::string>());
  }
}

TEST(Yield, GivesTheSliceAwayUnlessTheSchedulerHandlesIt) {
  for (const bool handled : {false, true}) {
    ExtMachine m(1);
    TestScheduler s;
    if (handled) s.on_yield = [](Task &) { return false; };
    s.ready();
    u64 after = ~u64{0};
    ASSERT_EQ(m.attach(s), 0);
    m.script("yielder", [&, step = 0](Kernel &, Task &self) mutable {
      if (step == 2) after = self.ts.scx.slice;
      return step++ == 1 ? Step::yield() : Step::run(kNsPerMs);
    });
    m.hog();
    m.run_checked(500 * kNsPerMs);
    EXPECT_EQ(s.calls(Op::yield), handled ? 1u : 0u);
    // Kept: it goes on in the same slice. Given away: it was queued behind the other and has a fresh one.
    if (handled)
      EXPECT_LT(after, SCX_SLICE_DFL - kNsPerMs / 2);
    else
      EXPECT_GT(after, SCX_SLICE_DFL - kNsPerMs / 2);
    m.detach(s);
    EXPECT_EQ(s.faults(), std::vector<std::string>());
  }
}

TEST(CpuPreempt, RealtimeTasksTakeCpusAndGiveThemBack) {
  ExtMachine m(1);
  TestScheduler s;
  u64 released = 0, acquired = 0, wrong = 0;
  bool away = false;
  s.on_cpu_release = [&](s32 cpu, scx_cpu_release_args *args) {
    released++;
    wrong += away || cpu != 0 || args->reason != SCX_CPU_PREEMPT_RT || !args->task;
    away = true;
  };
  s.on_cpu_acquire = [&](s32 cpu) {
    acquired++;
    wrong += !away || cpu != 0;
    away = false;
  };
  s.on_running = [&](Task &) { wrong += away; };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_NE(std::find(m.log.begin(), m.log.end(),
                      "sched_ext: ops->cpu_acquire/release() are deprecated, use sched_switch TP instead"),
            m.log.end());
  Task &hog = m.hog();
  Task &rt = m.spawn("rt", std::make_unique<Script>([step = 0](Kernel &, Task &) mutable {
                       return step++ % 2 ? Step::sleep_until(machine::now_ns() + 9 * kNsPerMs) : Step::run(kNsPerMs);
                     }),
                     0, nullptr, SCHED_FIFO, 10);
  m.run_checked(kNsPerSec);
  EXPECT_GT(released, 90u);
  EXPECT_LE(released - acquired, 1u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(rt.sched_class, &m.kernel.rt_class());
  EXPECT_GT(hog.ts.se.sum_exec_runtime, 850 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG) << s.exit_msg;
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

// All tasks wait on one CPU when bypass begins, and bypass queues are per CPU: only the balancer lets the others help.
TEST(Bypass, BalancerSpreadsTasksOverTheNode) {
  ExtMachine m(4);
  TestScheduler s;
  s.on_select_cpu = [](Task &, s32, u64) { return 0; };
  s.on_enqueue = [&](Task &p, u64 flags) {
    m.ext().dsq_insert(*Ext::sched_of(s), p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, flags);
  };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  std::vector<Task *> hogs;
  for (int i = 0; i < 60; i++) hogs.push_back(&m.hog());
  m.run_checked(50 * kNsPerMs);
  const auto on_cpu = [&](u32 cpu) {
    return std::count_if(hogs.begin(), hogs.end(), [&](Task *p) { return p->cpu == cpu; });
  };
  ASSERT_EQ(on_cpu(0), 60);
  Ext::Impl &impl = ExtInternal::impl(m.ext());
  m.machine.run_on(0, [&] { impl.bypass(*impl.root, true); });
  m.run_checked(400 * kNsPerMs);
  EXPECT_EQ(on_cpu(0), 60);  // The balancer has not come yet.
  m.run_checked(3 * kNsPerSec, 10 * kNsPerMs);
  for (u32 cpu = 0; cpu < 4; cpu++) EXPECT_GE(on_cpu(cpu), 8) << cpu;
  m.machine.run_on(0, [&] { impl.bypass(*impl.root, false); });
  m.run_checked(100 * kNsPerMs);
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Tid, FindsLiveTasksAndNeedsItsFlag) {
  {
    ExtMachine m(1);
    TestScheduler s("tid", SCX_OPS_TID_TO_TASK);
    s.ready();
    Task &before = m.hog();
    ASSERT_EQ(m.attach(s), 0);
    Task &after = m.hog();
    Task &dying =
        m.script("dying", [step = 0](Kernel &, Task &) mutable { return step++ ? Step::exit() : Step::run(kNsPerMs); });
    const u64 tid = dying.ts.scx.tid;
    EXPECT_EQ(m.ext().tid_to_task(before.ts.scx.tid), &before);
    EXPECT_EQ(m.ext().tid_to_task(after.ts.scx.tid), &after);
    EXPECT_EQ(m.ext().tid_to_task(tid), &dying);
    EXPECT_EQ(m.ext().tid_to_task(~u64{0}), nullptr);
    m.run_for(500 * kNsPerMs);
    EXPECT_EQ(m.ext().tid_to_task(tid), nullptr);
    m.detach(s);
    EXPECT_EQ(m.ext().tid_to_task(before.ts.scx.tid), nullptr);
  }
  ExtMachine m(1);
  TestScheduler s;
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  m.machine.run_on(0, [&] { EXPECT_EQ(m.ext().tid_to_task(1), nullptr); });
  m.run_for(50 * kNsPerMs);
  EXPECT_NE(s.exit_msg.find("without SCX_OPS_TID_TO_TASK"), std::string::npos) << s.exit_msg;
  m.detach(s);
}

// The thread that drives grace periods is lost in the middle of one. With the default timeout of 30 s, the RCU stall
// detector comes before the watchdog.
TEST(Lockup, AGracePeriodThatDoesNotEndEjects) {
  ExtMachine m(2);
  TestScheduler s;
  bool lose = false;
  s.on_enqueue = [&](Task &p, u64 flags) {
    if (lose && p.comm() == std::string("rcu_preempt")) return;
    m.ext().dsq_insert(*Ext::sched_of(s), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  s.ready(false);
  ASSERT_EQ(m.attach(s), 0);
  m.hog();
  m.hog();
  m.machine.run_on(0, [&] { m.kernel.rcu().call([] {}); });
  m.run_for(2 * kNsPerMs);  // It has begun; its end is looked for three ticks later.
  lose = true;
  m.run_for(20 * kNsPerSec);
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  m.run_for(3 * kNsPerSec);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR);
  EXPECT_EQ(s.exit_msg, "RCU CPU stall detected!");
  EXPECT_EQ(m.ext().last_exit()->exit_cpu, -1);
  m.detach(s);
}

TEST(Lockup, ACallbackThatDoesNotEndTakesItsCpusTime) {
  ExtMachine m(2);
  TestScheduler s;
  std::string message;
  u64 took_ns = 0;
  s.on_tick = [&](Task &) {
    if (!message.empty()) return;
    const u64 before_ns = machine::now_ns();
    message = m.ext().soft_lockup();
    took_ns = machine::now_ns() - before_ns;
    m.ext().error(*Ext::sched_of(s), message);
  };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  Task &a = m.hog(), &b = m.hog();
  m.run_for(20 * kNsPerSec);
  EXPECT_TRUE(message == "soft lockup - CPU 0 stuck for 15s" || message == "soft lockup - CPU 1 stuck for 15s")
      << message;
  EXPECT_GT(took_ns, 14 * kNsPerSec);
  EXPECT_EQ(s.exit_msg, message);
  EXPECT_EQ(a.sched_class, &m.kernel.fair_class());
  EXPECT_GT(a.ts.se.sum_exec_runtime + b.ts.se.sum_exec_runtime, 20 * kNsPerSec);
  m.detach(s);
}

TEST(Sysrq, EjectsAndDumps) {
  ExtMachine m(1);
  TestScheduler s("keys");
  s.ready(false);
  EXPECT_EQ(m.ext().sysrq_dump(), "");
  ASSERT_EQ(m.attach(s), 0);
  m.hog();
  m.run_for(10 * kNsPerMs);
  std::string text;
  m.machine.run_on(0, [&] { text = m.ext().sysrq_dump(); });
  EXPECT_TRUE(text.starts_with("keys: root\nDebug dump triggered by SysRq-D\n")) << text;
  m.run_for(10 * kNsPerMs);
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  m.machine.run_on(0, [&] { m.ext().sysrq_reset(); });
  m.run_for(50 * kNsPerMs);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_SYSRQ);
  EXPECT_EQ(m.log.back(), "sched_ext: BPF scheduler \"keys\" disabled (disabled by sysrq-S)");
  m.detach(s);
}

}  // namespace uscx::sched
