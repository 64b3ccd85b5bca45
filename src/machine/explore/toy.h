// SPDX-License-Identifier: GPL-2.0-only
// For tests: a machine without a kernel, whose CPUs run one function each, in explore mode.
#ifndef USCX_MACHINE_EXPLORE_TOY_H_
#define USCX_MACHINE_EXPLORE_TOY_H_

#include <functional>
#include <memory>
#include <vector>

#include "machine/explore/explore.h"

namespace uscx::machine {

class Nobody final : public MachineClient {
 public:
  void on_tick() override {}
  void on_resched_ipi() override {}
  void on_irq_work() override {}
  void on_run_end() override {}
  void on_segment_end() override {}
};

// Runs one function on each CPU, all at time 0, until all are done.
inline void on_cpus(ExploreRun &run, const std::vector<std::function<void()>> &programs) {
  const u32 nr_cpus = static_cast<u32>(programs.size());
  trace::Tracer tracer(nr_cpus);
  SimMachine machine({.topology = Topology::flat(nr_cpus)}, tracer);
  Nobody nobody;
  machine.set_client(&nobody);
  std::vector<std::unique_ptr<SimEvent>> events;
  for (u32 cpu = 0; cpu < nr_cpus; cpu++) {
    auto fn = [](SimEvent &event) { (*static_cast<const std::function<void()> *>(event.owner))(); };
    events.push_back(std::make_unique<SimEvent>(fn, const_cast<std::function<void()> *>(&programs[cpu]), cpu));
    machine.arm_timer(*events.back(), 0);
  }
  Explorer explorer(machine, run);
  machine.run_until(1000000);
}

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_TOY_H_
