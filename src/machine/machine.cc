// SPDX-License-Identifier: GPL-2.0-only
#include "machine/machine.h"


namespace uscx::machine {

constinit thread_local ExecContext exec_context;

void Machine::init_events(CpuEvents &cpu, u32 id) {
  const std::pair<SimEvent *, SimEventFn> events[] = {
      {&cpu.tick, tick_fired}, {&cpu.resched, resched_fired}, {&cpu.irq_work, irq_work_fired}, {&cpu.run, run_fired}};
  for (auto [event, fn] : events) {
    event->fn = fn;
    event->owner = this;
    event->cpu = id;
    event->home = id;
  }
}

void Machine::tick_fired(SimEvent &event) {
  Machine &machine = *static_cast<Machine *>(event.owner);
  // A multiple of the period, so that a tick that was late does not shift those after it. Queued before the handler,
  // which may stop it.
  machine.start_tick(event.cpu);
  machine.client_->on_tick();
}

void Machine::resched_fired(SimEvent &event) { static_cast<Machine *>(event.owner)->client_->on_resched_ipi(); }

void Machine::irq_work_fired(SimEvent &event) { static_cast<Machine *>(event.owner)->client_->on_irq_work(); }

void Machine::run_fired(SimEvent &event) { static_cast<Machine *>(event.owner)->client_->on_run_end(); }

void Machine::take_self_interrupts(CpuEvents &cpu) {
  while (cpu.self_irq_work || cpu.self_resched) {
    charge(Cost::irq_entry);
    if (cpu.self_irq_work) {
      cpu.self_irq_work = false;
      client_->on_irq_work();
    } else {
      cpu.self_resched = false;
      client_->on_resched_ipi();
    }
  }
}

void Machine::take_offline(u32 cpu, u32) { CHECK(false, "CPU {} cannot go offline on this machine", cpu); }
void Machine::bring_online(u32 cpu) { CHECK(false, "CPU {} was never offline on this machine", cpu); }

}  // namespace uscx::machine
