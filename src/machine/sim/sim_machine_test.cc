// SPDX-License-Identifier: GPL-2.0-only
#include "machine/sim/sim_machine.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

namespace uscx::machine {
namespace {

constexpr u64 cost(Cost c) { return kCostNs[static_cast<u32>(c)]; }
constexpr u64 kIrq = cost(Cost::irq_entry);
constexpr u64 kIpi = cost(Cost::ipi_delivery);

// Records what reaches which CPU when (after the entry's charge), and does what the test says in addition.
struct Recorder : MachineClient {
  struct Entry {
    std::string what;
    u32 cpu;
    u64 time_ns;
    bool operator==(const Entry &) const = default;
    friend void PrintTo(const Entry &e, std::ostream *out) { *out << e.what << " cpu" << e.cpu << " @" << e.time_ns; }
  };
  std::vector<Entry> log;
  std::map<std::string, std::function<void()>> hooks;
  bool log_ends = false;

  void note(const std::string &what) {
    log.push_back({what, this_cpu(), now_ns()});
    const auto hook = hooks.find(what);
    if (hook != hooks.end()) hook->second();
  }
  void on_tick() override { note("tick"); }
  void on_resched_ipi() override { note("resched"); }
  void on_irq_work() override { note("irq_work"); }
  void on_run_end() override { note("run_end"); }
  void on_segment_end() override {
    if (log_ends) note("end");
  }
};

struct MachineTest : testing::Test {
  trace::Tracer tracer{4};
  MachineConfig config{Topology::flat(4), 250, 1};
  SimMachine machine{config, tracer};
  Recorder client;
  MachineTest() { machine.set_client(&client); }
  using Log = std::vector<Recorder::Entry>;
};

constexpr u64 kTick = 4'000'000;

TEST_F(MachineTest, TicksComeAtMultiplesOnAllCpus) {
  machine.run_until(1);
  for (u32 cpu = 0; cpu < 4; cpu++) machine.start_tick(cpu);
  machine.run_until(3 * kTick);
  ASSERT_EQ(client.log.size(), 12u);
  for (u32 i = 0; i < 12; i++) EXPECT_EQ(client.log[i], (Recorder::Entry{"tick", i % 4, (i / 4 + 1) * kTick + kIrq}));
  EXPECT_EQ(machine.loop_now_ns(), 3 * kTick);
  EXPECT_EQ(now_ns(), 3 * kTick);
  EXPECT_FALSE(exec().on_cpu);
  EXPECT_EQ(machine.jiffies(), 3u);
}

TEST_F(MachineTest, StoppedTickRestartsStrictlyAfterNow) {
  client.hooks["tick"] = [&] { machine.stop_tick(this_cpu()); };
  machine.start_tick(0);
  machine.run_until(5 * kTick);
  EXPECT_EQ(client.log.size(), 1u);
  EXPECT_FALSE(machine.tick_running(0));
  machine.start_tick(0);  // Exactly at a multiple.
  machine.start_tick(0);
  machine.run_until(7 * kTick);
  EXPECT_EQ(client.log, (Log{{"tick", 0, kTick + kIrq}, {"tick", 0, 6 * kTick + kIrq}}));
}

TEST_F(MachineTest, LateTickDoesNotShiftTheNextOne) {
  machine.start_tick(2);
  machine.run_until(kTick - 10);
  machine.run_on(2, [] { charge_ns(1'000'000); });
  machine.run_until(2 * kTick);
  EXPECT_EQ(client.log, (Log{{"tick", 2, kTick - 10 + kIrq + 1'000'000 + kIrq}, {"tick", 2, 2 * kTick + kIrq}}));
}

TEST_F(MachineTest, EventsOfABusyCpuKeepTheirOrder) {
  std::vector<std::pair<int, u64>> seen;
  struct Timer {
    std::vector<std::pair<int, u64>> *seen;
    int id;
    SimEvent event;
  };
  std::deque<Timer> timers(4);
  for (int i = 0; i < 4; i++) {
    timers[i].seen = &seen;
    timers[i].id = i;
    timers[i].event.owner = &timers[i];
    timers[i].event.cpu = 1;
    timers[i].event.fn = [](SimEvent &event) {
      Timer &timer = *static_cast<Timer *>(event.owner);
      timer.seen->push_back({timer.id, now_ns()});
      charge_ns(1000);
    };
  }
  // Timer 3 is scheduled first, for the very time at which the CPU is free; 0 to 2 arrive before, while it is busy.
  machine.arm_timer(timers[3].event, 10'000 + kIrq);
  machine.arm_timer(timers[1].event, 200);
  machine.arm_timer(timers[2].event, 300);
  machine.arm_timer(timers[0].event, 100);
  machine.run_on(1, [] { charge_ns(10'000); });
  machine.run_until(1'000'000);
  const u64 step = 1000 + kIrq, first = 10'000 + 2 * kIrq;
  EXPECT_EQ(seen, (std::vector<std::pair<int, u64>>{
                      {0, first}, {1, first + step}, {2, first + 2 * step}, {3, first + 3 * step}}));
}

TEST_F(MachineTest, BusyCpuDoesNotDelayOthers) {
  machine.send_resched(1);
  machine.send_resched(0);
  machine.run_on(0, [] { charge_ns(50'000); });
  machine.run_until(100'000);
  EXPECT_EQ(client.log, (Log{{"resched", 1, kIpi + kIrq}, {"resched", 0, 50'000 + 2 * kIrq}}));
}

TEST_F(MachineTest, PendingInterruptsAreTakenBeforeTheSegmentEnds) {
  client.log_ends = true;
  machine.send_resched(0);
  machine.run_on(0, [] { charge_ns(50'000); });
  machine.run_until(100'000);
  EXPECT_EQ(client.log, (Log{{"resched", 0, 50'000 + 2 * kIrq}, {"end", 0, 50'000 + 2 * kIrq}}));
}

TEST_F(MachineTest, IpisAreCoalescedWhileUnderWay) {
  machine.run_on(0, [&] {
    machine.send_resched(1);
    charge_ns(10);
    machine.send_resched(1);
    machine.raise_irq_work(2);
    machine.raise_irq_work(2);
  });
  machine.run_until(10'000);
  EXPECT_EQ(client.log, (Log{{"resched", 1, kIrq + kIpi + kIrq}, {"irq_work", 2, kIrq + 10 + kIpi + kIrq}}));
  machine.run_on(0, [&] { machine.send_resched(1); });  // Taken before: a new one.
  machine.run_until(20'000);
  EXPECT_EQ(client.log.size(), 3u);
}

TEST_F(MachineTest, OwnIrqWorkRunsBeforeTheSegmentEnds) {
  client.log_ends = true;
  machine.run_on(3, [&] {
    machine.raise_irq_work(3);
    machine.raise_irq_work(3);
    client.note("body");
  });
  EXPECT_EQ(client.log, (Log{{"body", 3, kIrq}, {"irq_work", 3, 2 * kIrq}, {"end", 3, 2 * kIrq}}));
  EXPECT_EQ(machine.nr_events(), 1u);
}

TEST_F(MachineTest, IrqWorkRaisedAtTheSegmentEndIsTakenToo) {
  client.log_ends = true;
  int raises = 2;
  client.hooks["end"] = [&] {
    if (raises-- > 0) machine.raise_irq_work(this_cpu());
  };
  machine.run_on(0, [&] { machine.send_resched(0); });
  EXPECT_EQ(client.log, (Log{{"resched", 0, 2 * kIrq},
                             {"end", 0, 2 * kIrq},
                             {"irq_work", 0, 3 * kIrq},
                             {"end", 0, 3 * kIrq},
                             {"irq_work", 0, 4 * kIrq},
                             {"end", 0, 4 * kIrq}}));
}

TEST_F(MachineTest, IdleExitIsChargedOnce) {
  machine.run_on(0, [&] { machine.cpu_entered_idle(0); });
  machine.run_until(1000);
  machine.run_on(0, [&] { client.note("woken"); });
  machine.run_until(10'000);
  machine.run_on(0, [&] { client.note("again"); });
  EXPECT_EQ(client.log, (Log{{"woken", 0, 1000 + kIrq + cost(Cost::idle_exit)}, {"again", 0, 10'000 + kIrq}}));
}

TEST_F(MachineTest, RunStartsAtTheEndOfTheSegment) {
  machine.run_on(1, [&] {
    machine.start_run(70'000);
    charge_ns(300);
    machine.start_run(50'000);  // Replaces it.
    charge_ns(700);
  });
  machine.run_until(20'000);
  machine.run_on(1, [] { charge_ns(5'000); });  // An interrupt does not move the end.
  machine.run_until(1'000'000);
  EXPECT_EQ(client.log, (Log{{"run_end", 1, kIrq + 1000 + 50'000 + kIrq}}));
}

TEST_F(MachineTest, CancelledRunDoesNotEnd) {
  machine.run_on(1, [&] {
    machine.start_run(100);
    machine.cancel_run(1);
  });
  machine.run_on(2, [&] { machine.start_run(100'000); });
  machine.run_until(50'000);
  machine.run_on(3, [&] { machine.cancel_run(2); });
  machine.run_until(1'000'000);
  EXPECT_TRUE(client.log.empty());
}

TEST_F(MachineTest, TimerOfThePastFiresNow) {
  machine.run_until(5000);
  SimEvent timer([](SimEvent &event) { static_cast<Recorder *>(event.owner)->note("timer"); }, &client, 0);
  machine.arm_timer(timer, 10);
  machine.run_until(6000);
  EXPECT_EQ(client.log, (Log{{"timer", 0, 5000 + kIrq}}));
}

TEST_F(MachineTest, RunWhileStopsAtTheConditionTheLimitOrTheRequest) {
  machine.start_tick(0);
  EXPECT_TRUE(machine.run_while([&] { return client.log.size() < 3; }, 100 * kTick));
  EXPECT_EQ(machine.loop_now_ns(), 3 * kTick);
  EXPECT_FALSE(machine.run_while([&] { return client.log.size() < 30; }, 5 * kTick));
  EXPECT_EQ(machine.loop_now_ns(), 5 * kTick);
  EXPECT_EQ(client.log.size(), 5u);
  client.hooks["tick"] = [&] { machine.request_stop(); };
  machine.run_until(100 * kTick);
  EXPECT_EQ(machine.loop_now_ns(), 6 * kTick);
  client.hooks.clear();
  machine.run_until(100 * kTick);
  EXPECT_EQ(client.log.size(), 100u);
}

// A storm of timers, IPIs and ticks on 64 CPUs, with random charges: the trace's hash is a function of the seed alone.
u64 storm(u64 seed) {
  struct Storm : MachineClient {
    explicit Storm(u64 seed, Machine &m) : rng(seed, "storm"), machine(m) {}
    Rng rng;
    Machine &machine;
    void act(u64 tag) {
      machine.trace(trace::EventType::mark, 0, tag);
      charge_ns(rng.below(3000));
      const u32 other = static_cast<u32>(rng.below(machine.nr_cpus()));
      switch (rng.below(6)) {
        case 0: return machine.send_resched(other);
        case 1: return machine.raise_irq_work(other);
        case 2: return machine.start_run(rng.below(20'000));
        case 3: return machine.cancel_run(other);
        case 4: return machine.cpu_entered_idle(this_cpu());
        case 5: return machine.tick_running(other) ? machine.stop_tick(other) : machine.start_tick(other);
      }
    }
    void on_tick() override { act(1); }
    void on_resched_ipi() override { act(2); }
    void on_irq_work() override { act(3); }
    void on_run_end() override { act(4); }
    void on_segment_end() override {}
  };
  trace::Tracer tracer(64);
  SimMachine machine(MachineConfig{Topology::flat(64), 1000, seed}, tracer);
  Storm client(seed, machine);
  machine.set_client(&client);
  for (u32 cpu = 0; cpu < 64; cpu++) machine.start_tick(cpu);
  machine.run_until(50'000'000);
  EXPECT_GT(tracer.nr_events(), 500u);
  return tracer.hash();
}

TEST(Machine, SameSeedGivesTheSameTrace) {
  const u64 first = storm(7);
  std::vector<std::unique_ptr<char[]>> shift_the_heap;
  for (int i = 1; i < 50; i++) shift_the_heap.push_back(std::make_unique<char[]>(i * 97));
  EXPECT_EQ(storm(7), first);
  EXPECT_NE(storm(8), first);
}

}  // namespace
}  // namespace uscx::machine
