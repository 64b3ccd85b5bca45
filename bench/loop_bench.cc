// SPDX-License-Identifier: GPL-2.0-only
// What an event of the simulated machine costs (a tick whose handler does nothing) against a bare loop that pops an
// event and pushes it again.
#include <cstdio>
#include <memory>
#include <vector>

#include "bench/timing.h"
#include "machine/sim/sim_machine.h"

namespace uscx::bench {
namespace {

constexpr u64 kEvents = 2000000;
constexpr int kRepeats = 7;

class NullClient final : public machine::MachineClient {
 public:
  void on_tick() override {}
  void on_resched_ipi() override {}
  void on_irq_work() override {}
  void on_run_end() override {}
  void on_segment_end() override {}
};

// Nanoseconds an event.
double bare_loop(u32 nr_events) {
  const auto events = std::make_unique<machine::SimEvent[]>(nr_events);
  machine::EventQueue queue;
  const u64 period_ns = 4000000;
  for (u32 i = 0; i < nr_events; i++) queue.schedule(events[i], period_ns);
  const double took = seconds([&] {
    for (u64 i = 0; i < kEvents; i++) {
      const u64 time_ns = queue.next_time_ns();
      queue.schedule(queue.pop(), time_ns + period_ns);
    }
  });
  return took / kEvents * 1e9;
}

double machine_loop(u32 nr_cpus) {
  trace::Tracer tracer(nr_cpus);
  machine::MachineConfig config;
  config.topology = machine::Topology::flat(nr_cpus);
  machine::SimMachine machine(config, tracer);
  NullClient client;
  machine.set_client(&client);
  for (u32 cpu = 0; cpu < nr_cpus; cpu++) machine.start_tick(cpu);
  const u64 rounds = kEvents / nr_cpus;
  const double took = seconds([&] { machine.run_until(rounds * machine.tick_ns()); });
  return took / static_cast<double>(machine.nr_events()) * 1e9;
}

void run() {
  std::printf("Event loop: a tick that does nothing, against pop and push alone\n");
  std::printf("%8s %12s %12s %8s %14s\n", "CPUs", "machine ns", "bare ns", "ratio", "M events/s");
  for (const u32 nr_cpus : {8u, 64u, 512u, 8192u}) {
    Least machine, bare;
    for (int i = 0; i < kRepeats; i++) {
      bare.add(bare_loop(nr_cpus));
      machine.add(machine_loop(nr_cpus));
    }
    std::printf("%8u %12.1f %12.1f %8.2f %14.1f\n", nr_cpus, machine.value(), bare.value(),
                machine.value() / bare.value(), 1e3 / machine.value());
  }
}

}  // namespace
}  // namespace uscx::bench

int main() { uscx::bench::run(); }
