// SPDX-License-Identifier: GPL-2.0-only
// The machines that there are: the one place that knows all of them.
#include "machine/sim/sim_machine.h"
#include "machine/threads/thread_machine.h"

namespace uscx::machine {

std::unique_ptr<Machine> Machine::create(const MachineConfig &config, trace::Tracer &tracer) {
  if (config.threads) {
    need_concurrency();
    return std::make_unique<ThreadMachine>(config, tracer);
  }
  expect_run_mode();
  return std::make_unique<SimMachine>(config, tracer);
}

}  // namespace uscx::machine
