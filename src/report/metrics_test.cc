// SPDX-License-Identifier: GPL-2.0-only
#include "report/metrics.h"

#include <gtest/gtest.h>

#include "abi/scx.h"

namespace uscx::report {
namespace {

using trace::EventType;

struct MetricsTest : testing::Test {
  trace::Tracer tracer{2};
  Metrics metrics{2};
  MetricsTest() { tracer.add_sink(&metrics); }

  void task(u64 pid, const char *name, u64 who = 0) {
    tracer.emit(EventType::task_new, 0, 0, pid, tracer.text(name), 0, who);
  }
  void wake(u64 time, u64 pid) {
    tracer.emit(EventType::sched_waking, 0, time, pid, 0, 0, 0);
    tracer.emit(EventType::sched_wakeup, 0, time, pid, 0);
  }
  void change(u32 cpu, u64 time, u64 prev, u64 next, bool runnable) {
    tracer.emit(EventType::sched_switch, cpu, time, prev, runnable ? 0 : 1, next, runnable);
  }
  void exit_event(u64 time, u64 kind) {
    tracer.emit(EventType::scx_exit, 0, time, kind, 0, tracer.text("runtime error"), tracer.text("oops"));
  }
  void disabled(u64 time) { tracer.emit(EventType::scx_state, 0, time, SCX_DISABLED); }
  const TaskMetrics &of(u64 pid) {
    for (const TaskMetrics &task : metrics.tasks())
      if (task.pid == pid) return task;
    ADD_FAILURE() << "no task " << pid;
    return metrics.tasks()[0];
  }
  const TaskFigures &figures(u64 pid, Phase phase = Phase::kBefore) {
    return metrics.task_figures(phase, static_cast<size_t>(&of(pid) - metrics.tasks().data()));
  }
  void enabled(u64 time) { tracer.emit(EventType::scx_state, 0, time, SCX_ENABLED); }
};

TEST_F(MetricsTest, CpuTimeIsCountedUpToTheEnd) {
  task(10, "a");
  task(11, "b");
  change(0, 100, 0, 10, true);
  change(1, 150, 0, 11, true);
  change(0, 300, 10, 0, false);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).cpu_time_ns, 200u);
  EXPECT_EQ(figures(11).cpu_time_ns, 850u);
  EXPECT_EQ(metrics.figures().cpu_busy_ns[0], 200u);
  EXPECT_EQ(metrics.figures().cpu_busy_ns[1], 850u);
}

TEST_F(MetricsTest, SwitchesAreVoluntaryWhenTheTaskLeaves) {
  task(10, "a");
  change(0, 100, 0, 10, true);
  change(0, 200, 10, 0, true);
  change(0, 300, 0, 10, true);
  change(0, 400, 10, 0, false);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).nivcsw, 1u);
  EXPECT_EQ(figures(10).nvcsw, 1u);
  EXPECT_EQ(figures(10).picks, 2u);
}

TEST_F(MetricsTest, WakeupLatencyEndsAtTheSwitchIn) {
  task(10, "a");
  task(2, "kthreadd", 1);
  wake(100, 10);
  change(0, 175, 0, 10, true);
  change(0, 200, 10, 0, true);  // Preempted: being picked again is no wakeup.
  change(0, 900, 0, 10, true);
  wake(300, 2);
  change(1, 700, 0, 2, true);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).wakeup.count(), 1u);
  EXPECT_EQ(figures(10).wakeup.max_ns(), 75u);
  EXPECT_EQ(figures(2).wakeup.max_ns(), 400u);
  EXPECT_EQ(metrics.figures().wakeup.max_ns(), 75u) << "kernel threads are not part of the workload's latency";
}

TEST_F(MetricsTest, WakingOfARunningTaskThatStaysRunnableIsNoLatency) {
  task(10, "a");
  change(0, 100, 0, 10, true);
  wake(150, 10);
  change(0, 200, 10, 0, true);
  change(0, 900, 0, 10, true);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).wakeup.count(), 0u);
  EXPECT_EQ(figures(10).wakeups, 1u);
}

TEST_F(MetricsTest, WakingOnTheWayOutCountsFromTheWaking) {
  task(10, "a");
  change(0, 100, 0, 10, true);
  wake(150, 10);
  change(0, 200, 10, 0, false);
  change(0, 900, 0, 10, true);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).wakeup.count(), 1u);
  EXPECT_EQ(figures(10).wakeup.max_ns(), 750u);
}

TEST_F(MetricsTest, PidUsedAgainIsAnotherTask) {
  task(10, "a");
  change(0, 100, 0, 10, true);
  change(0, 200, 10, 0, false);
  tracer.emit(EventType::task_exit, 0, 200, 10);
  task(10, "b");
  change(0, 300, 0, 10, true);
  metrics.finish(1000);
  ASSERT_EQ(metrics.tasks().size(), 2u);
  EXPECT_EQ(metrics.figures().tasks[0].cpu_time_ns, 100u);
  EXPECT_EQ(metrics.figures().tasks[1].cpu_time_ns, 700u);
}

TEST_F(MetricsTest, InsertsAreCountedByKindOfDsq) {
  tracer.emit(EventType::dsq_insert, 1, 1, 10, SCX_DSQ_LOCAL, 0, 1);
  tracer.emit(EventType::dsq_insert, 0, 2, 10, u64{SCX_DSQ_LOCAL_ON} | 1, 0, 2);
  tracer.emit(EventType::dsq_insert, 0, 3, 10, SCX_DSQ_GLOBAL, 0, 1);
  tracer.emit(EventType::dsq_insert, 0, 4, 10, 5, 0, 1);
  tracer.emit(EventType::dsq_insert, 0, 5, 11, 5, 0, 2);
  tracer.emit(EventType::dsq_remove, 0, 6, 11, 5, 1);
  tracer.emit(EventType::dsq_insert, 0, 7, 11, SCX_DSQ_BYPASS, 0, 1);
  tracer.emit(EventType::scx_direct_dispatch, 0, 8, 11, SCX_DSQ_LOCAL, 0);
  metrics.finish(10);
  EXPECT_EQ(metrics.figures().local_inserts, 2u);
  EXPECT_EQ(metrics.figures().global_inserts, 1u);
  EXPECT_EQ(metrics.figures().user_inserts, 2u);
  EXPECT_EQ(metrics.figures().bypass_inserts, 1u);
  EXPECT_EQ(metrics.figures().direct_dispatches, 1u);
  EXPECT_EQ(metrics.dsqs().at(5).max_depth, 2u);
  EXPECT_EQ(metrics.dsqs().at(5).removes, 1u);
  EXPECT_EQ(metrics.dsqs().at(u64{SCX_DSQ_LOCAL_ON} | 1).inserts, 2u) << "both names of CPU 1's local DSQ";
}

TEST_F(MetricsTest, CountersAreSummedByName) {
  tracer.emit(EventType::scx_event, 0, 1, tracer.text("SCX_EV_X"), 2);
  tracer.emit(EventType::scx_event, 1, 2, tracer.text("SCX_EV_X"), 3);
  tracer.emit(EventType::wild_load, 0, 3, tracer.text("a.bpf.c:5"), 7);
  tracer.emit(EventType::arena_skip, 0, 3, tracer.text("a.bpf.c:6"), 0x1000, 2);
  tracer.emit(EventType::arena_skip, 0, 3, tracer.text("a.bpf.c:6"), 0x2000, 3);
  tracer.emit(EventType::lock_wait, 0, 3, tracer.text("dsq"), 70);
  tracer.emit(EventType::lock_wait, 0, 4, tracer.text("dsq"), 30);
  tracer.emit(EventType::log, 0, 5, tracer.text("hello"));
  metrics.finish(10);
  EXPECT_EQ(metrics.scx_events().at("SCX_EV_X"), 5);
  EXPECT_EQ(metrics.wild_loads().at("a.bpf.c:5"), 7u);
  EXPECT_EQ(metrics.arena_skips().at("a.bpf.c:6"), 5u);
  EXPECT_EQ(metrics.figures().locks.at("dsq").wait_ns, 100u);
  EXPECT_EQ(metrics.figures().locks.at("dsq").max_ns, 70u);
  EXPECT_EQ(metrics.log().at(0).time_ns, 5u);
}

TEST_F(MetricsTest, RunnableTaskThatNeverRunsAfterTheExitIsStuck) {
  task(10, "runs");
  task(11, "waits");
  task(12, "sleeps");
  task(13, "current");
  wake(10, 10);
  wake(10, 11);
  change(1, 20, 0, 13, true);
  exit_event(100, SCX_EXIT_ERROR);
  change(0, 150, 0, 10, true);  // Before the fair class has it.
  change(0, 160, 10, 0, true);
  disabled(200);
  change(0, 300, 0, 10, true);
  metrics.finish(1000);
  EXPECT_EQ(metrics.exit().nr_runnable, 3u);
  EXPECT_EQ(metrics.exit().nr_stuck, 1u);
  EXPECT_TRUE(of(11).owed);
  EXPECT_EQ(metrics.exit().kind, u64{SCX_EXIT_ERROR});
  EXPECT_EQ(metrics.exit().message, "oops");
}

TEST_F(MetricsTest, RunBeforeTheDisabledStateDoesNotCount) {
  task(10, "a");
  wake(10, 10);
  exit_event(100, SCX_EXIT_ERROR);
  change(0, 150, 0, 10, true);
  change(0, 160, 10, 0, true);
  disabled(200);
  metrics.finish(1000);
  EXPECT_EQ(metrics.exit().nr_stuck, 1u);
}

// --- waits ---

TEST_F(MetricsTest, FirstWaitOfANewTaskIsAWait) {
  task(10, "new");
  tracer.emit(EventType::sched_wakeup, 0, 100, 10, 0);
  change(0, 180, 0, 10, true);
  change(0, 200, 10, 0, false);
  tracer.emit(EventType::sched_wakeup, 0, 210, 10, 0);  // Late word of the same wakeup, as on threads.
  metrics.finish(1000);
  EXPECT_EQ(figures(10).wakeup.count(), 1u);
  EXPECT_EQ(figures(10).wakeup.max_ns(), 80u);
  EXPECT_EQ(figures(10).longest_wait_ns, 80u);
  EXPECT_EQ(figures(10).wakeups, 0u);
  EXPECT_EQ(metrics.figures().nr_open, 0u);
}

TEST_F(MetricsTest, WaitsThatAreOpenAtTheEndCount) {
  task(10, "woken");
  task(11, "preempted");
  task(12, "sleeps");
  task(2, "kthreadd", 1);
  wake(100, 10);
  wake(150, 2);
  change(0, 200, 0, 11, true);
  change(0, 300, 11, 12, true);
  change(0, 400, 12, 0, false);
  metrics.finish(1000);
  EXPECT_EQ(figures(10).wakeup.max_ns(), 900u);
  EXPECT_EQ(figures(10).longest_wait_ns, 900u);
  EXPECT_EQ(figures(11).wakeup.count(), 0u) << "being preempted is no wakeup";
  EXPECT_EQ(figures(11).longest_wait_ns, 700u);
  EXPECT_EQ(figures(12).longest_wait_ns, 0u);
  EXPECT_EQ(figures(2).wakeup.max_ns(), 850u);
  EXPECT_EQ(metrics.figures().wakeup.count(), 1u);
  EXPECT_EQ(metrics.figures().wakeup.max_ns(), 900u);
  EXPECT_EQ(metrics.figures().nr_open, 1u);
  EXPECT_EQ(metrics.figures().longest_open_ns, 900u);
  ASSERT_EQ(metrics.open_waits().size(), 3u);
  EXPECT_EQ(metrics.open_waits()[0].since_ns, 100u);
  EXPECT_EQ(metrics.nr_starving(), 0u);
}

TEST_F(MetricsTest, StarvingTasksAreKnownByWhereTheyWait) {
  for (u64 pid : {10, 11, 12, 13}) {
    task(pid, "t");
    tracer.emit(EventType::sched_wakeup, 0, pid, pid, 0);
    tracer.emit(EventType::scx_enqueue, 0, pid, pid, 0);
  }
  tracer.emit(EventType::dsq_insert, 0, 20, 11, 5, 0, 1);
  tracer.emit(EventType::dsq_insert, 0, 20, 12, SCX_DSQ_LOCAL, 0, 1);
  tracer.emit(EventType::dsq_remove, 0, 30, 12, SCX_DSQ_LOCAL, 0);
  change(0, 30, 0, 12, true);
  tracer.emit(EventType::scx_enqueue, 0, 40, 13, 0);  // Taken back and given again.
  metrics.finish(2'000'000'000);
  EXPECT_EQ(metrics.custody_in(), 4u);
  EXPECT_EQ(metrics.custody_out(), 2u);
  ASSERT_EQ(metrics.nr_starving(), 3u);
  EXPECT_EQ(metrics.open_waits()[0].place, (Place{.kind = Place::Kind::kCustody}));
  EXPECT_EQ(metrics.open_waits()[1].place, (Place{.kind = Place::Kind::kDsq, .dsq_id = 5}));
  EXPECT_EQ(metrics.open_waits()[2].since_ns, 13u);
  exit_event(2'000'000'100, SCX_EXIT_UNREG);
  EXPECT_FALSE(metrics.exit().measured);
  EXPECT_EQ(metrics.exit().nr_stuck, 3u) << "a scheduler that is detached with tasks that it lost";
}

// --- phases ---

TEST_F(MetricsTest, FiguresAreKeptByPhase) {
  task(10, "a");
  task(11, "b");
  change(0, 0, 0, 10, true);
  enabled(100);
  wake(150, 11);
  exit_event(400, SCX_EXIT_ERROR);
  disabled(450);
  change(1, 500, 0, 11, true);
  metrics.finish(1000);
  EXPECT_EQ(metrics.subject(), Phase::kScheduler);
  EXPECT_EQ(metrics.nr_lives(), 1u);
  EXPECT_EQ(metrics.figures(Phase::kBefore).duration_ns, 100u);
  EXPECT_EQ(metrics.figures().duration_ns, 300u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).duration_ns, 600u);
  EXPECT_EQ(figures(10, Phase::kBefore).cpu_time_ns, 100u);
  EXPECT_EQ(figures(10, Phase::kScheduler).cpu_time_ns, 300u);
  EXPECT_EQ(figures(10, Phase::kAfter).cpu_time_ns, 600u);
  EXPECT_EQ(metrics.figures().wakeup.max_ns(), 250u) << "open when the scheduler ended";
  EXPECT_EQ(metrics.figures().nr_open, 1u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).wakeup.max_ns(), 100u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).nr_open, 0u);
  EXPECT_EQ(figures(11, Phase::kAfter).picks, 1u);
}

TEST_F(MetricsTest, ASchedulerThatIsLoadedAgainAddsToItsPhase) {
  enabled(100);
  exit_event(200, SCX_EXIT_UNREG_KERN);
  disabled(250);
  enabled(300);
  metrics.finish(1000);
  EXPECT_EQ(metrics.nr_lives(), 2u);
  EXPECT_EQ(metrics.figures().duration_ns, 800u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).duration_ns, 100u);
}

TEST_F(MetricsTest, ACpuThatIsAheadHasNotBeenBusyForLongerThanThePhase) {
  task(10, "a");
  task(11, "b");
  change(0, 0, 0, 10, true);
  change(1, 0, 0, 11, true);
  enabled(100);
  change(1, 450, 11, 0, true);  // Before the others are that far.
  exit_event(400, SCX_EXIT_ERROR);
  change(0, 900, 10, 11, true);
  change(0, 1200, 11, 10, true);
  change(0, 1300, 10, 0, true);
  metrics.finish(1000);
  EXPECT_EQ(metrics.figures().cpu_busy_ns[1], 300u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).cpu_busy_ns[1], 50u);
  EXPECT_EQ(metrics.figures(Phase::kAfter).cpu_busy_ns[0], 600u);
  EXPECT_EQ(figures(10, Phase::kAfter).cpu_time_ns, 500u);
  EXPECT_EQ(figures(11, Phase::kAfter).cpu_time_ns, 150u);
}

}  // namespace
}  // namespace uscx::report
