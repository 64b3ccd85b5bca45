// SPDX-License-Identifier: GPL-2.0-only
// Life cycle, enqueueing and dispatch under native schedulers: what a scheduler is told, in which order, and that every
// task is in one place at any time.
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>

#include "base/rng.h"
#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

// Sleeps and runs for random times, now and then changes its nice value or affinity.
std::unique_ptr<Behavior> restless(u64 seed, bool changes) {
  auto rng = std::make_shared<Rng>(seed, "restless");
  auto runs = std::make_shared<bool>(false);
  return std::make_unique<Script>([=](Kernel &kernel, Task &self) {
    *runs = !*runs;
    if (*runs) return Step::run(rng->between(10, 8000) * kNsPerUs);
    switch (rng->below(8)) {
      case 0: return Step::yield();
      case 1:
        if (changes) kernel.set_user_nice(self, static_cast<int>(rng->below(40)) - 20);
        return Step::run(1000);
      case 2:
        if (changes) {
          machine::CpuMask mask(kernel.nr_cpus());
          for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
            if (rng->below(2)) mask.set(cpu);
          mask.set(static_cast<u32>(rng->below(kernel.nr_cpus())));
          kernel.set_cpus_allowed(self, mask);
        }
        return Step::run(1000);
      default: return Step::sleep_until(machine::now_ns() + rng->between(1, 6000) * kNsPerUs);
    }
  });
}

// FIFO through the scheduler's own queue and the dispatch buffer.
void make_bpf_queue(ExtMachine &m, TestScheduler &s, std::deque<int> &queue) {
  s.on_enqueue = [&](Task &p, u64) { queue.push_back(p.pid()); };
  s.on_dequeue = [&](Task &p, u64) { std::erase(queue, p.pid()); };
  s.on_dispatch = [&](s32 cpu, Task *) {
    for (size_t i = 0; i < queue.size(); i++) {
      Task *p = m.kernel.find_task(queue[i]);
      if (!p || !p->allowed_on(static_cast<u32>(cpu))) continue;
      m.ext().dsq_insert(*m.ext().root(), *p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
      return;
    }
  };
}

TEST(Ext, SchedulerWithOnlyANameRunsTasksFromTheGlobalQueue) {
  ExtMachine m(2);
  TestScheduler s("minimal");
  s.ready(false);
  for (int i = 0; i < 4; i++) m.hog();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(m.ext().state(), SCX_ENABLED);
  m.run_checked(kNsPerSec);
  EXPECT_EQ(m.log.back(), "sched_ext: BPF scheduler \"minimal\" enabled");
  m.detach(s);
  EXPECT_EQ(m.log.back(), "sched_ext: BPF scheduler \"minimal\" disabled (unregistered from user space)");
  EXPECT_EQ(m.ext().state(), SCX_DISABLED);
  EXPECT_EQ(m.ext().last_exit()->kind, SCX_EXIT_UNREG);
  m.run_checked(100 * kNsPerMs);
  m.kernel.for_each_task([&](Task &p) { EXPECT_NE(p.sched_class, &m.kernel.ext_class()); });
}

TEST(Ext, SlicesEndAtTicks) {
  ExtMachine m(1);
  TestScheduler s;
  s.ready(false);
  Task &a = m.hog();
  m.hog();
  m.hog();
  m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_checked(100 * kNsPerMs);
  const u64 before = a.ts.nivcsw;
  m.run_checked(9600 * kNsPerMs, 8 * kNsPerMs);
  // 20 ms slices end at the sixth tick, 24 ms after they began: 400 in 9.6 s, 100 each.
  EXPECT_NEAR(static_cast<double>(a.ts.nivcsw - before), 100, 3);
}

TEST(Ext, EverythingIsToldInOrder) {
  for (u64 seed = 1; seed <= 3; seed++) {
    ExtMachine m(machine::Topology::parse("2n:1l:2c:2t").take());
    std::deque<int> queue;
    TestScheduler s;
    make_bpf_queue(m, s, queue);
    s.ready();
    for (u64 i = 0; i < 24; i++) m.spawn(fmt::format("t{}", i), restless(seed * 100 + i, true));
    ASSERT_EQ(m.attach(s), 0);
    m.run_checked(kNsPerSec);
    EXPECT_EQ(m.ext().state(), SCX_ENABLED);
    m.detach(s);
    EXPECT_EQ(s.faults(), std::vector<std::string>()) << "seed " << seed;
    EXPECT_EQ(s.calls(Op::enable), s.calls(Op::disable));
    EXPECT_EQ(s.calls(Op::init_task), s.calls(Op::exit_task));
    EXPECT_GT(s.calls(Op::set_cpumask), 24u);
    u64 enqueues = 0;
    for (auto &[pid, life] : s.lives()) {
      EXPECT_FALSE(life.custody) << pid;
      EXPECT_EQ(life.enqueues, life.dequeues) << pid << " " << life.calls;
      enqueues += life.enqueues;
    }
    EXPECT_GT(enqueues, 1000u);
    EXPECT_TRUE(queue.empty());
    m.run_checked(50 * kNsPerMs);
  }
}

TEST(Ext, ClassSwitchTellsEnableWeightCpumask) {
  ExtMachine m(1);
  TestScheduler s;
  s.ready();
  Task &p = m.hog(-5);
  Task &asleep = m.script("asleep", [](Kernel &, Task &) { return Step::block(); });
  m.run_for(10 * kNsPerMs);
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.life(asleep).calls, "iewm");
  EXPECT_EQ(p.ts.scx.weight, 305u);
  m.run_checked(50 * kNsPerMs);
  // A change of a running or waiting task: off, the change, on again.
  const size_t before = s.life(p).calls.size();
  m.machine.run_on(0, [&] { m.kernel.set_user_nice(p, 5); });
  const std::string change = s.life(p).calls.substr(before);
  EXPECT_EQ(change.substr(0, 5), "sqwrR") << change;
  EXPECT_EQ(p.ts.scx.weight, 33u);
  m.detach(s);
  EXPECT_EQ(s.life(asleep).calls, "iewmdx");
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Ext, ForkedTaskIsInitedAndEnabledAndItsExitComesAfterTheSwitch) {
  ExtMachine m(1);
  TestScheduler s;
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  Task &p = m.script("short", [n = 0](Kernel &, Task &) mutable { return n++ ? Step::exit() : Step::run(1000); });
  const int pid = p.pid();
  m.run_checked(20 * kNsPerMs);
  EXPECT_EQ(s.lives().at(pid).calls, "iewrRsqdx");
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Ext, InitTaskFailureRefusesAForkAndAbortsALoad) {
  ExtMachine m(1);
  TestScheduler s;
  s.on_init_task = [](Task &, bool fork) { return fork ? -ENOMEM : 0; };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  int error = 0;
  EXPECT_EQ(m.kernel.create_task(TaskSpec{.comm = "no", .behavior = std::make_unique<Hog>()}, &error), nullptr);
  EXPECT_EQ(error, -ENOMEM);
  m.detach(s);

  TestScheduler bad("bad");
  Task &victim = m.hog();
  bad.on_init_task = [&](Task &p, bool) { return &p == &victim ? -EPERM : 0; };
  bad.ready();
  EXPECT_EQ(m.attach(bad), 0);  // The failure comes through the exit record.
  EXPECT_EQ(m.ext().state(), SCX_DISABLED);
  EXPECT_EQ(bad.exit_kind, SCX_EXIT_ERROR);
  EXPECT_EQ(bad.exit_msg, fmt::format("ops.init_task() failed (-1) for hog[{}]", victim.pid()));
  EXPECT_EQ(bad.calls(Op::init_task), bad.calls(Op::exit_task) + 1);
  m.run_checked(50 * kNsPerMs);
  m.detach(bad);
}

TEST(Ext, SecondSchedulerGetsEbusyAndTheFirstCanBeReloaded) {
  ExtMachine m(2);
  TestScheduler a("a"), b("b");
  a.ready();
  b.ready();
  m.hog();
  m.hog();
  ASSERT_EQ(m.attach(a), 0);
  EXPECT_EQ(m.attach(b), -EBUSY);
  EXPECT_EQ(m.attach(a), -EBUSY);
  m.detach(a);
  for (int i = 0; i < 50; i++) {
    ASSERT_EQ(m.attach(i % 2 ? a : b), 0);
    m.run_checked(3 * kNsPerMs);
    m.detach(i % 2 ? a : b);
  }
  EXPECT_EQ(m.ext().enable_seq(), 51u);
  EXPECT_EQ(a.faults(), std::vector<std::string>());
  EXPECT_EQ(b.faults(), std::vector<std::string>());
}

TEST(Ext, ReleasedSchedulersAreFreedAndALoadedOneGoesWithTheMachine) {
  TestScheduler s, left("left");
  s.ready();
  left.ready();
  ExtMachine m(2);
  m.hog();
  const auto &live = ExtInternal::impl(m.ext()).all.racy();
  for (int i = 0; i < 3; i++) {
    ASSERT_EQ(m.attach(s), 0);
    EXPECT_EQ(live.size(), 1u);
    m.detach(s);
    m.run_checked(200 * kNsPerMs);
    EXPECT_EQ(live.size(), 0u);
  }
  ASSERT_EQ(m.attach(left), 0);
  m.run_checked(20 * kNsPerMs);
}

TEST(Ext, FailedInitAndInvalidFlagsAreDeliveredThroughExit) {
  ExtMachine m(1);
  TestScheduler s;
  s.on_init = [] { return -EINVAL; };
  s.ready();
  EXPECT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.exit_msg, "ops.init() failed (-22)");
  EXPECT_EQ(s.exit_flags & SCX_EFLAG_INITIALIZED, 0u);
  EXPECT_EQ(m.attach(s), -EBUSY);  // Its link still exists.
  m.detach(s);
  TestScheduler last("last", SCX_OPS_ENQ_LAST);
  last.ready();
  EXPECT_EQ(m.attach(last), 0);
  EXPECT_EQ(last.exit_kind, SCX_EXIT_ERROR);
  m.detach(last);
  TestScheduler stale;
  stale.mutable_config().hotplug_seq = 1234;
  stale.ready();
  EXPECT_EQ(m.attach(stale), 0);
  EXPECT_EQ(stale.exit_kind, SCX_EXIT_UNREG_KERN);
  EXPECT_EQ(m.ext().last_exit()->exit_code, static_cast<s64>(SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG));
  m.detach(stale);
  TestScheduler unknown("x", 1ull << 40);
  EXPECT_EQ(m.attach(unknown.ready()), -EINVAL);
  TestScheduler nameless("");
  EXPECT_EQ(m.attach(nameless.ready()), -EINVAL);
}

TEST(Ext, SchedulerThatDoesNothingStallsAndItsTasksGoOnInFair) {
  ExtMachine m(1);
  TestScheduler s("lazy");
  s.mutable_config().timeout_ms = 1000;
  s.on_select_cpu = [](Task &, s32 prev, u64) { return prev; };
  s.on_enqueue = [](Task &, u64) {};
  s.ready();
  Task &p = m.hog();
  m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(3 * kNsPerSec);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR_STALL);
  EXPECT_TRUE(s.exit_msg.ends_with("s") && s.exit_msg.find("failed to") != std::string::npos) << s.exit_msg;
  EXPECT_EQ(m.log[m.log.size() - 2], "sched_ext: BPF scheduler \"lazy\" disabled (runnable task stall)");
  EXPECT_EQ(m.log.back(), "sched_ext: lazy: " + s.exit_msg);
  EXPECT_EQ(p.sched_class, &m.kernel.fair_class());
  const u64 before = p.ts.se.sum_exec_runtime;
  m.run_checked(kNsPerSec);
  EXPECT_GT(p.ts.se.sum_exec_runtime - before, 450 * kNsPerMs);
  m.detach(s);
}

TEST(Ext, StallMessageNamesTaskAndTime) {
  ExtMachine m(2);
  TestScheduler s("drop");
  Task *victim = nullptr;
  s.mutable_config().timeout_ms = 2000;
  s.on_select_cpu = [](Task &, s32 prev, u64) { return prev; };
  s.on_enqueue = [&](Task &p, u64 flags) {
    if (&p != victim) m.ext().dsq_insert(*m.ext().root(), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(5 * kNsPerMs);
  victim = &m.script("victim", [n = 0](Kernel &, Task &) mutable {
    return n++ % 2 ? Step::sleep_until(machine::now_ns() + kNsPerMs) : Step::run(kNsPerMs);
  });
  const int pid = victim->pid();
  m.run_for(6 * kNsPerSec);
  ASSERT_EQ(s.exit_kind, SCX_EXIT_ERROR_STALL);
  const std::string start = fmt::format("victim[{}] failed to run for ", pid);
  EXPECT_EQ(s.exit_msg.substr(0, start.size()), start);
  const double seconds = std::stod(s.exit_msg.substr(start.size()));
  EXPECT_GT(seconds, 2.0);
  EXPECT_LT(seconds, 3.1);
  EXPECT_NE(s.exit_dump.find("drop: root\n"), std::string::npos);
  m.detach(s);
}

TEST(Ext, DispatchLoopOfAnIneligibleTaskOnOneCpuEndsInAnExit) {
  // Moves the only waiting task between two user DSQs for ever: the loop gives up after 32 rounds each time, and in the
  // end the watchdog finds the task.
  ExtMachine m(1);
  TestScheduler s("loop");
  s.mutable_config().timeout_ms = 500;
  s.on_init = [&] { return m.ext().create_dsq(*m.ext().root(), 1, -1); };
  u64 max_round = 0, rounds = 0;
  s.on_enqueue = [&](Task &p, u64 flags) { m.ext().dsq_insert(*m.ext().root(), p, 1, SCX_SLICE_DFL, flags); };
  s.on_dispatch = [&](s32, Task *) {
    rounds++;
    alignas(8) char it[sizeof(bpf_iter_scx_dsq)];
    ASSERT_EQ(m.ext().iter_new(m.ext().root(), it, 1, 0), 0);
    if (Task *p = m.ext().iter_next(it)) m.ext().dsq_move(*m.ext().root(), it, *p, 1, 0, false);
    m.ext().iter_destroy(it);
  };
  struct Rounds final : trace::Sink {
    u64 *max;
    void on_event(const trace::Event &event, const trace::Tracer &) override {
      if (event.type == trace::EventType::scx_dispatch) *max = std::max<u64>(*max, event.args[1]);
    }
  } sink;
  sink.max = &max_round;
  m.tracer.add_sink(&sink);
  s.ready();
  m.hog();
  m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(3 * kNsPerSec);
  EXPECT_EQ(max_round, 32u);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR_STALL) << rounds;
  m.detach(s);
}

TEST(Ext, StaleDispatchIsDropped) {
  // dispatch() names a task, then the task is dequeued and queued anew before the buffer is flushed.
  ExtMachine m(1);
  TestScheduler s;
  std::deque<int> queue;
  make_bpf_queue(m, s, queue);
  u64 stale = 0;
  s.on_dispatch = [&, plain = s.on_dispatch](s32 cpu, Task *prev) {
    if (queue.size() >= 2 && stale < 20) {
      Task *p = m.kernel.find_task(queue.back());
      const u64 before = p->ts.scx.ops_state.counter;
      m.ext().dsq_insert(*m.ext().root(), *p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
      // As a property change would, from inside for the test's sake: the rq lock is held here.
      m.kernel.ext_class().dequeue_task(m.kernel.rq(0), *p, DEQUEUE_SAVE);
      m.kernel.ext_class().enqueue_task(m.kernel.rq(0), *p, ENQUEUE_RESTORE);
      EXPECT_NE(p->ts.scx.ops_state.counter, static_cast<s64>(before));
      stale++;
      return;
    }
    plain(cpu, prev);
  };
  s.ready(false);
  for (int i = 0; i < 4; i++) m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_checked(kNsPerSec);
  EXPECT_EQ(stale, 20u);
  EXPECT_EQ(m.ext().state(), SCX_ENABLED);
  m.detach(s);
}

TEST(Ext, CustodyOfDirectDispatches) {
  // The selftest `dequeue`: direct dispatch to terminal queues is never in custody; user DSQs are, once per enqueue.
  for (int scenario = 0; scenario < 6; scenario++) {
    ExtMachine m(2);
    TestScheduler s;
    const u64 ids[] = {SCX_DSQ_LOCAL, SCX_DSQ_GLOBAL, 7};
    const u64 dsq = ids[scenario % 3];
    const bool from_select = scenario < 3;
    s.on_init = [&] { return m.ext().create_dsq(*m.ext().root(), 7, -1); };
    if (from_select)
      s.on_select_cpu = [&](Task &p, s32 prev, u64) {
        m.ext().dsq_insert(*m.ext().root(), p, dsq, SCX_SLICE_DFL, 0);
        return prev;
      };
    s.on_enqueue = [&](Task &p, u64 flags) { m.ext().dsq_insert(*m.ext().root(), p, dsq, SCX_SLICE_DFL, flags); };
    s.on_dispatch = [&](s32, Task *) { m.ext().dsq_move_to_local(*m.ext().root(), 7, 0); };
    s.ready();
    for (u64 i = 0; i < 8; i++) m.spawn("w", restless(i, true));
    ASSERT_EQ(m.attach(s), 0);
    m.run_checked(500 * kNsPerMs);
    EXPECT_EQ(m.ext().state(), SCX_ENABLED) << scenario;
    m.detach(s);
    EXPECT_EQ(s.exit_msg, "") << scenario;
    if (dsq == 7) {
      EXPECT_GT(s.calls(Op::dequeue), 50u);
    } else {
      EXPECT_EQ(s.calls(Op::dequeue), 0u) << scenario;
    }
  }
}

TEST(Ext, PartialSwitchTakesOnlySchedExt) {
  ExtMachine m(1);
  TestScheduler s("part", SCX_OPS_SWITCH_PARTIAL);
  s.ready();
  Task &normal = m.hog();
  Task &own = m.spawn("own", std::make_unique<Hog>(), 0, nullptr, SCHED_EXT);
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(m.log.back(), "sched_ext: BPF scheduler \"part\" enabled (partial)");
  EXPECT_EQ(normal.sched_class, &m.kernel.fair_class());
  EXPECT_EQ(own.sched_class, &m.kernel.ext_class());
  m.run_checked(50 * kNsPerMs);
  m.detach(s);
}

TEST(Ext, DisallowedTaskIsRevertedAndCounted) {
  ExtMachine m(1);
  TestScheduler s;
  Task &p = m.spawn("no", std::make_unique<Hog>(), 0, nullptr, SCHED_EXT);
  s.on_init_task = [&](Task &t, bool) {
    t.ts.scx.disallow = &t == &p;
    return 0;
  };
  s.mutable_config().flags = SCX_OPS_SWITCH_PARTIAL;
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(p.ts.policy, static_cast<u32>(SCHED_NORMAL));
  EXPECT_EQ(m.ext().nr_rejected(), 1u);
  EXPECT_EQ(m.kernel.set_scheduler(p, SCHED_EXT, 0, 0), -EACCES);
  m.detach(s);
}

// A task that exits can lose its CPU before it is done. Nobody finds it by its pid then, so that the core queues it,
// unless the scheduler says that it can.
TEST(Ext, TasksThatExitAreQueuedByTheCoreUnlessTheSchedulerWantsThem) {
  for (u64 flags : {u64{0}, u64{SCX_OPS_ENQ_EXITING}}) {
    ExtMachine m(1);
    TestScheduler s("exits", flags);
    u32 asked = 0;
    auto self = [&]() -> ExtSched & { return *Ext::sched_of(s); };
    s.on_init = [&] { return m.ext().create_dsq(self(), 1, -1); };
    s.on_enqueue = [&](Task &p, u64 enq_flags) {
      asked += p.is_exiting();
      m.ext().dsq_insert(self(), p, 1, SCX_SLICE_DFL, enq_flags);
    };
    s.on_dispatch = [&](s32, Task *) { m.ext().dsq_move_to_local(self(), 1, 0); };
    ASSERT_EQ(m.attach(s.ready()), 0);
    m.hog();
    Task &p = m.script("exits", [](Kernel &, Task &) { return Step::exit(); });
    m.kernel.get_task(p);
    const u64 limit_ns = m.machine.loop_now_ns() + 1000 * kNsPerMs;
    ASSERT_TRUE(m.machine.run_while([&] { return !p.is_exiting(); }, limit_ns));
    EXPECT_FALSE(p.dead);
    EXPECT_EQ(m.kernel.find_task(p.pid()), nullptr);
    m.machine.run_on(0, [&] {
      Rq &rq = m.kernel.rq(0);
      RqGuard guard(rq);
      ASSERT_EQ(rq.curr.get(), &p);
      p.set_slice(0);
      m.kernel.resched_curr(rq);
    });
    EXPECT_FALSE(p.dead) << "the other task has the CPU now";
    m.run_checked(100 * kNsPerMs);
    EXPECT_TRUE(p.dead);
    EXPECT_EQ(asked, flags ? 1u : 0u);
    scx_event_stats events;
    m.ext().events(&events);
    EXPECT_EQ(events.SCX_EV_ENQ_SKIP_EXITING, flags ? 0 : 1);
    m.detach(s);
    m.kernel.put_task(p);
  }
}

TEST(Ext, ExitFromEachCallback) {
  for (int at = 0; at < 15; at++) {
    ExtMachine m(2);
    TestScheduler s;
    auto leave = [&, at](int here) {
      if (here == at) m.ext().exit(*Ext::sched_of(s), SCX_EXIT_UNREG_BPF, at, fmt::format("{}", at));
    };
    s.on_init = [&] { return leave(0), 0; };
    s.on_init_task = [&](Task &, bool) { return leave(1), 0; };
    s.on_enable = [&](Task &) { leave(2); };
    s.on_select_cpu = [&](Task &, s32 prev, u64) { return leave(3), prev; };
    s.on_enqueue = [&](Task &p, u64 flags) {
      leave(4);
      m.ext().dsq_insert(*Ext::sched_of(s), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
    };
    s.on_dispatch = [&](s32, Task *) { leave(5); };
    s.on_running = [&](Task &) { leave(6); };
    s.on_stopping = [&](Task &, bool) { leave(7); };
    s.on_tick = [&](Task &) { leave(8); };
    s.on_update_idle = [&](s32, bool) { leave(9); };
    s.on_set_weight = [&](Task &, u32) { leave(10); };
    s.on_set_cpumask = [&](Task &) { leave(11); };
    s.on_cpu_release = [&](s32, scx_cpu_release_args *) { leave(12); };
    s.on_cpu_acquire = [&](s32) { leave(13); };
    s.on_dequeue = [&](Task &, u64) { leave(14); };
    if (at == 14)  // A queue of its own: nothing is dequeued from another.
      s.on_enqueue = [](Task &, u64) {};
    s.ready();
    const machine::CpuMask zero = m.mask({0});
    std::vector<Task *> tasks;
    for (u64 i = 0; i < 4; i++) tasks.push_back(&m.spawn("w", restless(i, false)));
    m.spawn("rt", restless(9, false), 0, &zero, SCHED_FIFO, 10);  // Takes a CPU now and then.
    EXPECT_EQ(m.attach(s), 0) << at;
    m.run_for(20 * kNsPerMs);
    if (m.ext().state() == SCX_ENABLED) m.kernel.set_user_nice(*tasks[0], 3);
    m.kernel.set_cpus_allowed(*tasks[1], zero);
    m.run_for(200 * kNsPerMs);
    EXPECT_EQ(s.exit_kind, SCX_EXIT_UNREG_BPF) << at;
    EXPECT_EQ(s.exit_msg, fmt::format("{}", at));
    EXPECT_EQ(m.ext().last_exit()->exit_code, at);
    EXPECT_EQ(m.ext().state(), SCX_DISABLED);
    m.run_checked(50 * kNsPerMs);
    m.detach(s);
    EXPECT_EQ(s.faults(), std::vector<std::string>()) << at;
  }
}

TEST(Ext, KeepsAndEndsWhenExitingTasksAndMigrationDisabledOnesSkipTheScheduler) {
  ExtMachine m(2);
  TestScheduler s;
  u64 seen_pinned = 0;
  s.on_enqueue = [&](Task &p, u64 flags) {
    seen_pinned += p.ts.migration_disabled != 0;
    m.ext().dsq_insert(*m.ext().root(), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  s.ready();
  m.script("pinned", [n = 0](Kernel &kernel, Task &self) mutable {
    switch (n++ % 4) {
      case 0: kernel.migrate_disable(self); return Step::run(kNsPerMs);
      case 1: return Step::sleep_until(machine::now_ns() + kNsPerMs);
      case 2: return Step::run(kNsPerMs);
      default: kernel.migrate_enable(self); return Step::sleep_until(machine::now_ns() + kNsPerMs);
    }
  });
  for (int i = 0; i < 4; i++) m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_checked(kNsPerSec);
  scx_event_stats stats;
  m.ext().events(&stats);
  EXPECT_GT(stats.SCX_EV_ENQ_SKIP_MIGRATION_DISABLED, 5);
  EXPECT_EQ(seen_pinned, 0u);
  m.detach(s);
}

}  // namespace
}  // namespace uscx::sched
