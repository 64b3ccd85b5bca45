// SPDX-License-Identifier: GPL-2.0-only
// The threaded machine: what it does, never when, because time is the host's. The preset tsan runs these too.
#include "machine/threads/thread_machine.h"

#include <gtest/gtest.h>

#include <array>

#include "machine/sync.h"

namespace uscx::machine {
namespace {

constexpr u32 kCpus = 4;
constexpr u64 kMs = 1'000'000;

// Counts what reaches each CPU, on that CPU's thread, and does what the test says.
struct Counter : MachineClient {
  struct alignas(64) PerCpu {
    u64 ticks = 0, rescheds = 0, irq_works = 0, run_ends = 0, ends = 0;
  };
  std::array<PerCpu, kCpus> cpus;
  std::function<void()> tick_hook, irq_work_hook, run_end_hook, end_hook;

  static void run(const std::function<void()> &hook) {
    if (hook) hook();
  }
  void on_tick() override { cpus[this_cpu()].ticks++, run(tick_hook); }
  void on_resched_ipi() override { cpus[this_cpu()].rescheds++; }
  void on_irq_work() override { cpus[this_cpu()].irq_works++, run(irq_work_hook); }
  void on_run_end() override { cpus[this_cpu()].run_ends++, run(run_end_hook); }
  void on_segment_end() override { cpus[this_cpu()].ends++, run(end_hook); }
};

struct ThreadMachineTest : testing::Test {
  trace::Tracer tracer{kCpus};
  ThreadMachine machine{MachineConfig{.topology = Topology::flat(kCpus), .hz = 1000, .threads = true}, tracer};
  Counter client;
  ThreadMachineTest() { machine.set_client(&client); }
  // Until it is so, however long the host takes.
  void run_until_true(const std::function<bool()> &done) {
    machine.run_while([&] { return !done(); }, ~u64{0});
  }
};

TEST_F(ThreadMachineTest, TimePassesWhileItRunsAndStandsStillInBetween) {
  machine.run_until(kMs);
  const u64 now = machine.loop_now_ns();
  EXPECT_GE(now, kMs);
  EXPECT_EQ(now_ns(), now);
  EXPECT_FALSE(exec().on_cpu);
  machine.run_until(now + kMs);
  EXPECT_GE(machine.loop_now_ns(), now + kMs);
}

TEST_F(ThreadMachineTest, TicksComeOnEachCpuUntilTheyAreStopped) {
  for (u32 cpu = 0; cpu < kCpus; cpu++) machine.start_tick(cpu);
  run_until_true([&] {
    u64 least = ~u64{0};
    for (const auto &cpu : client.cpus) least = std::min(least, cpu.ticks);
    return least >= 3;
  });
  EXPECT_TRUE(machine.tick_running(1));
  machine.stop_tick(1);
  const u64 ticks = client.cpus[1].ticks;
  run_until_true([&, before = client.cpus[0].ticks] { return client.cpus[0].ticks >= before + 3; });
  EXPECT_FALSE(machine.tick_running(1));
  EXPECT_EQ(client.cpus[1].ticks, ticks);
}

TEST_F(ThreadMachineTest, HostCallRunsOnItsCpu) {
  for (u32 cpu = 0; cpu < kCpus; cpu++) {
    u32 ran_on = ~0u;
    bool on_cpu = false;
    machine.run_on(cpu, [&] { ran_on = this_cpu(), on_cpu = exec().on_cpu; });
    EXPECT_EQ(ran_on, cpu);
    EXPECT_TRUE(on_cpu);
    EXPECT_GE(client.cpus[cpu].ends, 1u);
  }
}

TEST_F(ThreadMachineTest, InterruptsReachOtherCpusAndThisOne) {
  machine.run_on(0, [&] {
    machine.send_resched(1);
    machine.raise_irq_work(2);
    machine.send_resched(0);
    machine.raise_irq_work(0);
  });
  EXPECT_EQ(client.cpus[0].rescheds, 1u);
  EXPECT_EQ(client.cpus[0].irq_works, 1u);
  run_until_true([&] { return client.cpus[1].rescheds == 1 && client.cpus[2].irq_works == 1; });
  EXPECT_EQ(client.cpus[3].ends, 0u);
}

TEST_F(ThreadMachineTest, RunEndsAfterItsTimeThoughInterruptsCome) {
  constexpr u64 kRunNs = 3 * kMs;
  u64 started_ns = 0, ended_ns = 0;
  machine.start_tick(1);
  client.run_end_hook = [&] { ended_ns = now_ns(); };
  machine.run_on(1, [&] {
    machine.start_run(kRunNs);
    started_ns = now_ns();
  });
  run_until_true([&] { return client.cpus[1].run_ends == 1; });
  EXPECT_GE(ended_ns, started_ns + kRunNs);
  EXPECT_GE(client.cpus[1].ticks, 1u);
}

TEST_F(ThreadMachineTest, TimerMovesToTheCpuThatArmsIt) {
  struct Timer {
    SimEvent event;
    std::array<std::atomic<u32>, kCpus> fired{};
  } timer;
  timer.event.owner = &timer;
  timer.event.fn = [](SimEvent &event) { static_cast<Timer *>(event.owner)->fired[this_cpu()]++; };
  machine.run_on(0, [&] { machine.arm_timer(timer.event, now_ns() + 3600 * 1000 * kMs); });
  EXPECT_TRUE(timer.event.queued());
  machine.run_on(3, [&] {
    timer.event.cpu = 3;
    machine.arm_timer(timer.event, now_ns());
  });
  run_until_true([&] { return timer.fired[3] == 1; });
  EXPECT_EQ(timer.fired[0], 0u);
  machine.run_on(0, [&] { machine.arm_timer(timer.event, now_ns() + 3600 * 1000 * kMs); });
  machine.run_on(2, [&] { machine.cancel_timer(timer.event); });
  EXPECT_FALSE(timer.event.queued());
}

TEST_F(ThreadMachineTest, LockKeepsOthersOut) {
  SpinLock lock;
  u64 count = 0;  // Not atomic: the lock is what makes this right.
  constexpr u64 kEach = 2000;
  client.irq_work_hook = [&] {
    for (u64 i = 0; i < kEach; i++) {
      SpinGuard guard(lock);
      EXPECT_TRUE(lock.held_here());
      count++;
    }
  };
  for (u32 cpu = 0; cpu < kCpus; cpu++) machine.raise_irq_work(cpu);
  run_until_true([&] {
    u64 done = 0;
    for (const auto &cpu : client.cpus) done += cpu.irq_works;
    return done == kCpus;
  });
  EXPECT_EQ(count, kCpus * kEach);
}

TEST_F(ThreadMachineTest, OtherCpusGoOnWhileOneWaits) {
  Shared<u32> arrived{0};
  client.irq_work_hook = [&] { arrived.fetch_add(1); };
  machine.run_on(0, [&] {
    for (u32 cpu = 1; cpu < kCpus; cpu++) machine.raise_irq_work(cpu);
    while (arrived.load() < kCpus - 1) spin_wait("the others");
  });
  EXPECT_EQ(arrived.load(), kCpus - 1);
}

// A reader that has seen the object may use it until its segment ends, whatever others do.
TEST_F(ThreadMachineTest, GracePeriodWaitsForSegments) {
  struct Object {
    u64 value;
  };
  std::atomic<Object *> published{new Object{0}};
  std::atomic<bool> over{false};
  GracePeriods &grace = *machine.grace_periods();
  constexpr u32 kReplacements = 200;
  u32 replaced = 0;
  client.end_hook = [&] {
    if (over) return;
    if (this_cpu() == 0) {
      Object *old = published.exchange(new Object{++replaced});
      grace.call(0, [old] {
        old->value = ~u64{0};
        delete old;
      });
      over = replaced == kReplacements;
    } else {
      const Object *object = published.load(std::memory_order_acquire);
      for (u32 i = 0; i < 100; i++) EXPECT_NE(*const_cast<const volatile u64 *>(&object->value), ~u64{0});
    }
    machine.send_resched((this_cpu() + 1) % kCpus);
    machine.raise_irq_work(0);
  };
  client.irq_work_hook = [&] { grace.run_ready(this_cpu()); };
  for (u32 cpu = 0; cpu < kCpus; cpu++) machine.send_resched(cpu);
  run_until_true([&] { return over && grace.nr_left() == 0; });
  EXPECT_EQ(replaced, kReplacements);
  delete published.load();
}

TEST_F(ThreadMachineTest, TraceIsInOrderOfTime) {
  struct Sink : trace::Sink {
    u64 last_ns = 0, count = 0;
    void on_event(const trace::Event &event, const trace::Tracer &) override {
      EXPECT_GE(event.time_ns, last_ns);
      last_ns = event.time_ns;
      count++;
    }
  } sink;
  tracer.add_sink(&sink);
  client.tick_hook = [&] { machine.trace(trace::EventType::mark, tracer.text("tick"), 1); };
  for (u32 cpu = 0; cpu < kCpus; cpu++) machine.start_tick(cpu);
  machine.run_until(20 * kMs);
  u64 ticks = 0;
  for (const auto &cpu : client.cpus) ticks += cpu.ticks;
  EXPECT_EQ(sink.count, ticks);
}

TEST_F(ThreadMachineTest, StopRequestEndsTheRun) {
  client.tick_hook = [&] { machine.request_stop(); };
  machine.start_tick(0);
  machine.run_until(~u64{0} / 2);
  EXPECT_GE(client.cpus[0].ticks, 1u);
}

TEST(ThreadMachine, EndsWhileItsCpusAreBusy) {
  for (u32 i = 0; i < 20; i++) {
    trace::Tracer tracer(kCpus);
    Counter client;
    ThreadMachine machine({.topology = Topology::flat(kCpus), .hz = 10000, .threads = true}, tracer);
    machine.set_client(&client);
    for (u32 cpu = 0; cpu < kCpus; cpu++) machine.start_tick(cpu);
    for (u32 cpu = 0; cpu < kCpus; cpu++) machine.run_on(cpu, [&] { machine.start_run(1000 * kMs); });
  }
}

}  // namespace
}  // namespace uscx::machine
