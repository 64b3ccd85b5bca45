// SPDX-License-Identifier: GPL-2.0-only
// A machine with a kernel on it, and behaviours, for tests of the core.
#ifndef USCX_SCHED_NATIVE_MACHINE_H_
#define USCX_SCHED_NATIVE_MACHINE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "sched/kernel.h"
#include "trace/tracer.h"

namespace uscx::sched {

// Runs for ever.
class Hog final : public Behavior {
 public:
  Step next(Kernel &, Task &) override { return Step::run(kNsPerSec); }
};

// Steps from a function.
class Script final : public Behavior {
 public:
  using Fn = std::function<Step(Kernel &, Task &)>;
  explicit Script(Fn fn) : fn_(std::move(fn)) {}
  Step next(Kernel &kernel, Task &self) override { return fn_(kernel, self); }

 private:
  Fn fn_;
};

struct TestMachine {
  explicit TestMachine(machine::Topology topology, KernelConfig config = {}, u32 hz = 250, bool threads = false)
      : tracer(topology.nr_cpus()),
        owned_machine(machine::Machine::create({.topology = topology, .hz = hz, .threads = threads}, tracer)),
        machine(*owned_machine),
        kernel(machine, heap_object_space(), config) {}
  explicit TestMachine(u32 nr_cpus) : TestMachine(machine::Topology::flat(nr_cpus)) {}

  Task &spawn(const std::string &comm, std::unique_ptr<Behavior> behavior, int nice = 0,
              const machine::CpuMask *cpus = nullptr, int policy = SCHED_NORMAL, u32 rt_priority = 0) {
    int error = 0;
    Task *p = kernel.create_task(TaskSpec{.comm = comm,
                                          .policy = policy,
                                          .nice = nice,
                                          .rt_priority = rt_priority,
                                          .cpus = cpus,
                                          .behavior = std::move(behavior)},
                                 &error);
    CHECK(p, "error {}", error);
    return *p;
  }
  Task &script(const std::string &comm, Script::Fn fn) { return spawn(comm, std::make_unique<Script>(std::move(fn))); }
  Task &hog(int nice = 0, const machine::CpuMask *cpus = nullptr) {
    return spawn("hog", std::make_unique<Hog>(), nice, cpus);
  }
  machine::CpuMask mask(std::initializer_list<u32> cpus) const {
    machine::CpuMask result(kernel_cpus());
    for (u32 cpu : cpus) result.set(cpu);
    return result;
  }
  u32 kernel_cpus() const { return machine.nr_cpus(); }
  void run_for(u64 ns) { machine.run_until(machine.loop_now_ns() + ns); }

  trace::Tracer tracer;
  std::unique_ptr<machine::Machine> owned_machine;
  machine::Machine &machine;
  Kernel kernel;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_NATIVE_MACHINE_H_
