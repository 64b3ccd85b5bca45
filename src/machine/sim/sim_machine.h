// SPDX-License-Identifier: GPL-2.0-only
// SimMachine: the machine in virtual time. One host thread plays all CPUs in turn: one event is one segment of one CPU,
// which runs atomically; its charges advance that CPU's own time, and events that reach the CPU meanwhile wait until it
// is free. FIDELITY: run-atomic. Explore mode interleaves the segments (explore.h).
//
// Threading: one thread, but for request_stop().
#ifndef USCX_MACHINE_SIM_SIM_MACHINE_H_
#define USCX_MACHINE_SIM_SIM_MACHINE_H_

#include <vector>

#include "machine/machine.h"
#include "machine/sim/interleaver.h"

namespace uscx::machine {

class SimMachine final : public Machine {
 public:
  SimMachine(const MachineConfig &config, trace::Tracer &tracer);
  ~SimMachine() override;
  static SimMachine &of(Machine &machine) {  // CHECKs that it is one.
    CHECK(!machine.threads());
    return static_cast<SimMachine &>(machine);
  }

  void start_tick(u32 cpu) override;
  void stop_tick(u32 cpu) override;
  bool tick_running(u32 cpu) const override { return cpus_[cpu].tick.queued(); }
  void send_resched(u32 cpu) override;
  void raise_irq_work(u32 cpu) override;
  void start_run(u64 run_ns) override;
  void cancel_run(u32 cpu) override;
  void arm_timer(SimEvent &timer, u64 time_ns) override {
    if (in_explorer()) return explored_arm(timer, time_ns);
    queue_.schedule(timer, time_ns);
  }
  void cancel_timer(SimEvent &timer) override {
    if (in_explorer()) return explored_cancel(timer);
    queue_.cancel(timer);
  }
  void cpu_entered_idle(u32 cpu) override { cpus_[cpu].idle = true; }
  void cpu_left_idle(u32 cpu) override { cpus_[cpu].idle = false; }
  void take_offline(u32 cpu, u32 heir) override;
  void bring_online(u32 cpu) override;
  bool interrupt_pending(u32 cpu) const override { return cpus_[cpu].resched.queued() || cpus_[cpu].irq_work.queued(); }

  void run_until(u64 end_ns) override;
  bool run_while(const std::function<bool()> &not_done, u64 limit_ns) override;
  void run_on(u32 cpu, const std::function<void()> &fn) override;
  u64 nr_events() const override { return nr_events_; }
  Explorer *explorer() const override { return explorer_; }  // Set by the Explorer itself.
  bool in_segment(u32 cpu) const override { return interleaver_ && interleaver_->in_segment(cpu); }

 private:
  struct Cpu : CpuEvents {
    u64 busy_until_ns = 0;
    bool run_cancelled = false;  // In the present segment, at whose end `run` leaves the queue or is moved in it.
    bool idle = false;
    bool offline = false;
  };
  static void host_call_fired(SimEvent &event);
  friend class Explorer;
  static bool in_explorer() { return kExploreHooks && may_be_concurrent() && exec_context.explorer; }
  void explored_arm(SimEvent &timer, u64 time_ns);
  void explored_cancel(SimEvent &timer);
  void note_event(u32 cpu);  // Explore mode: the present step changes what `cpu` is to do.
  void step();
  void segment(SimEvent &event, u64 time_ns);
  void take_pending_interrupts(u32 cpu);
  void enter_host_context();

  Explorer *explorer_ = nullptr;
  Interleaver *interleaver_ = nullptr;  // The same object.
  EventQueue queue_;
  std::vector<Cpu> cpus_;
  u64 nr_events_ = 0;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_SIM_SIM_MACHINE_H_
