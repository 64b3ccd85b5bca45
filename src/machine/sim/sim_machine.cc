// SPDX-License-Identifier: GPL-2.0-only
// The simulated machine's event loop. See sim_machine.h.
#include "machine/sim/sim_machine.h"

#include <algorithm>

namespace uscx::machine {

SimMachine::SimMachine(const MachineConfig &config, trace::Tracer &tracer)
    : Machine(config, tracer), cpus_(config.topology.nr_cpus()) {
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) init_events(cpus_[cpu], cpu);
  enter_host_context();
}

SimMachine::~SimMachine() {
  for (Cpu &cpu : cpus_)
    for (SimEvent *event : {&cpu.tick, &cpu.resched, &cpu.irq_work, &cpu.run}) queue_.cancel(*event);
  if (exec_context.machine == this) exec_context = ExecContext();
}

void SimMachine::enter_host_context() { exec_context = ExecContext{this, 0, loop_now_ns_, false}; }

// --- for the core ---

void SimMachine::start_tick(u32 cpu) {
  if (!tick_running(cpu)) arm_timer(cpus_[cpu].tick, (now_ns() / tick_ns() + 1) * tick_ns());
}

void SimMachine::stop_tick(u32 cpu) { cancel_timer(cpus_[cpu].tick); }

void SimMachine::send_resched(u32 cpu) {
  Cpu &c = cpus_[cpu];
  if (exec_context.on_cpu && cpu == exec_context.cpu)
    c.self_resched = true;
  else if (!c.resched.queued())
    arm_timer(c.resched, now_ns() + kCostNs[static_cast<u32>(Cost::ipi_delivery)]);
}

void SimMachine::raise_irq_work(u32 cpu) {
  Cpu &c = cpus_[cpu];
  const bool self = exec_context.on_cpu && cpu == exec_context.cpu;
  const u64 self_delay_ns = self && interleaver_ ? interleaver_->irq_work_delay_ns() : 0;
  if (self && self_delay_ns == 0)
    c.self_irq_work = true;
  else if (!c.irq_work.queued())
    arm_timer(c.irq_work, now_ns() + (self ? self_delay_ns : kCostNs[static_cast<u32>(Cost::ipi_delivery)]));
}

void SimMachine::start_run(u64 run_ns) {
  CHECK(exec_context.on_cpu && exec_context.machine == this);
  Cpu &c = cpus_[exec_context.cpu];
  c.run_requested = true;
  c.run_ns = run_ns;
}

void SimMachine::cancel_run(u32 cpu) {
  Cpu &c = cpus_[cpu];
  c.run_requested = false;
  if (exec_context.on_cpu && cpu == exec_context.cpu)
    c.run_cancelled = true;
  else
    queue_.cancel(c.run);
}

void SimMachine::take_offline(u32 cpu, u32 heir) {
  Cpu &c = cpus_[cpu];
  CHECK(c.idle && cpu != heir && !cpus_[heir].offline && !in_segment(cpu), "CPU {}", cpu);
  CHECK(!interrupt_pending(cpu) && !c.tick.queued() && !c.run.queued() && !c.run_requested, "CPU {}", cpu);
  if (explorer_) note_event(heir);
  queue_.rebind(cpu, heir);
  c.offline = true;
}

void SimMachine::bring_online(u32 cpu) {
  CHECK(cpus_[cpu].offline, "CPU {}", cpu);
  cpus_[cpu].offline = false;
}

// --- events ---

// What is pending when an interrupt ends is taken at once, before the CPU reschedules: sleepers of one instant wake
// together. The end of the task's run is no interrupt; the time of this segment is not the task's.
void SimMachine::take_pending_interrupts(u32 cpu) {
  while (!queue_.empty() && queue_.first().cpu == cpu && &queue_.first() != &cpus_[cpu].run &&
         queue_.next_time_ns() <= exec_context.now_ns) {
    SimEvent &event = queue_.pop();
    charge(Cost::irq_entry);
    event.fn(event);
    nr_events_++;
  }
}

void SimMachine::segment(SimEvent &event, u64 time_ns) {
  CHECK(client_ && !exec_context.on_cpu);
  const u32 cpu_id = event.cpu;
  Cpu &cpu = cpus_[cpu_id];
  CHECK(!cpu.offline, "CPU {} is offline", cpu_id);
  exec_context = ExecContext{this, cpu_id, time_ns, true, time_ns, explorer_, explorer_ ? Mode::kExplore : Mode::kRun};
  charge(Cost::irq_entry);
  if (cpu.idle) {
    cpu.idle = false;
    charge(Cost::idle_exit);
  }
  event.fn(event);
  take_pending_interrupts(cpu_id);
  do {
    take_self_interrupts(cpu);
    client_->on_segment_end();
  } while (cpu.self_irq_work || cpu.self_resched);
  CHECK(exec_context.on_cpu && exec_context.cpu == cpu_id && exec_context.now_ns > time_ns);
  cpu.busy_until_ns = exec_context.now_ns;
  if (cpu.run_requested)
    queue_.schedule(cpu.run, cpu.busy_until_ns + cpu.run_ns);
  else if (cpu.run_cancelled)
    queue_.cancel(cpu.run);
  cpu.run_requested = cpu.run_cancelled = false;
  nr_events_++;
  enter_host_context();
}

void SimMachine::step() {
  // A timer armed for a time that has passed fires now: time never goes back.
  loop_now_ns_ = std::max(loop_now_ns_, queue_.next_time_ns());
  const Cpu &cpu = cpus_[queue_.first().cpu];
  if (cpu.busy_until_ns > loop_now_ns_)
    queue_.defer_first(cpu.busy_until_ns);
  else
    segment(queue_.pop(), loop_now_ns_);
}

// --- for the host ---

void SimMachine::run_until(u64 end_ns) {
  CHECK(!exec_context.on_cpu);
  bool stopped = false;
  if (interleaver_) interleaver_->drive([this, &stopped] { return !(stopped = stopped || consume_stop()); }, end_ns);
  while (!(stopped = consume_stop()) && !queue_.empty() && queue_.next_time_ns() <= end_ns) step();
  if (!stopped) loop_now_ns_ = std::max(loop_now_ns_, end_ns);
  enter_host_context();
}

bool SimMachine::run_while(const std::function<bool()> &not_done, u64 limit_ns) {
  CHECK(!exec_context.on_cpu);
  enter_host_context();
  if (explorer_) {
    bool stopped = false;
    interleaver_->drive([&] { return !(stopped = stopped || consume_stop()) && not_done(); }, limit_ns);
    if (stopped || !not_done()) return !not_done();
  }
  while (not_done()) {
    if (consume_stop()) return false;
    if (queue_.empty() || queue_.next_time_ns() > limit_ns) {
      loop_now_ns_ = std::max(loop_now_ns_, limit_ns);
      enter_host_context();
      return !not_done();
    }
    step();
    enter_host_context();
  }
  return true;
}

namespace {
struct HostCall {
  const std::function<void()> &fn;
  bool done = false;
};
}  // namespace

void SimMachine::host_call_fired(SimEvent &event) {
  HostCall &call = *static_cast<HostCall *>(event.owner);
  call.fn();
  call.done = true;
}

void SimMachine::run_on(u32 cpu, const std::function<void()> &fn) {
  CHECK(!exec_context.on_cpu && cpu < nr_cpus());
  HostCall call{fn};
  SimEvent event(host_call_fired, &call, cpu);
  queue_.schedule(event, loop_now_ns_);
  if (interleaver_) interleaver_->drive([&call] { return !call.done; }, ~u64{0});
  while (!call.done) step();
  enter_host_context();
}

}  // namespace uscx::machine
