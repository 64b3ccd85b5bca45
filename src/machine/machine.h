// SPDX-License-Identifier: GPL-2.0-only
// The Machine seam: all that the scheduler core may ask of the hardware below it. SimMachine (virtual time, one event
// loop) implements it here; a threaded machine can. The core is written once, in concurrent style, above this.
//
// Threading: code of the core runs "on a CPU", which exec() describes. On the simulated machine one host thread plays
// all CPUs in turn: a segment (an event handler, up to its end or its next wait) runs atomically, its charges advance
// that CPU's own time, and events that reach the CPU meanwhile wait until it is free (interrupts are off in a segment).
// FIDELITY: run-atomic.
#ifndef USCX_MACHINE_MACHINE_H_
#define USCX_MACHINE_MACHINE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "machine/cost.h"
#include "machine/event_queue.h"
#include "machine/topology.h"
#include "trace/tracer.h"

namespace uscx::machine {

class Machine;
class Explorer;

// Where code is running now. One per host thread. A fiber does not keep one of its own: inside it, the context is the
// one of the segment that resumed it.
struct ExecContext {
  Machine *machine = nullptr;
  u32 cpu = 0;
  u64 now_ns = 0;            // This CPU's time; advanced by charge().
  bool on_cpu = false;       // False in host context: between events, e.g. while a program's bpf(2) call is handled.
  u64 segment_start_ns = 0;  // When the present segment began: up to then the CPU's current task ran user code.
  Explorer *explorer = nullptr;  // In explore mode, inside of segments: whom yield points call (machine/explore.h).
};
extern constinit thread_local ExecContext exec_context;  // constinit: no initialisation guard on each access.

inline ExecContext &exec() { return exec_context; }
inline u32 this_cpu() { return exec_context.cpu; }
inline u64 now_ns() { return exec_context.now_ns; }
inline void charge_ns(u64 ns) { exec_context.now_ns += ns; }
inline void charge(Cost cost) { charge_ns(kCostNs[static_cast<u32>(cost)]); }

// The core's entry points, called by the machine on the CPU concerned (exec() is set).
class MachineClient {
 public:
  virtual ~MachineClient() = default;
  virtual void on_tick() = 0;         // Periodic scheduler tick.
  virtual void on_resched_ipi() = 0;  // A reschedule interrupt arrived.
  virtual void on_irq_work() = 0;     // Queued irq_work must be run now.
  virtual void on_run_end() = 0;      // The current task has used up the CPU time of its present step.
  // After every segment of a CPU with the CPU's lists unlocked: the place for the pending reschedule.
  virtual void on_segment_end() = 0;
};

struct MachineConfig {
  Topology topology = Topology::flat(1);
  u32 hz = 250;
  u64 seed = 1;
};

class Machine {
 public:
  explicit Machine(const MachineConfig &config, trace::Tracer &tracer);
  ~Machine();

  const Topology &topology() const { return config_.topology; }
  u32 nr_cpus() const { return config_.topology.nr_cpus(); }
  u32 hz() const { return config_.hz; }
  u64 tick_ns() const { return 1000000000ull / config_.hz; }
  u64 seed() const { return config_.seed; }
  trace::Tracer &tracer() { return tracer_; }
  void set_client(MachineClient *client) { client_ = client; }

  // Time of the event loop, for host context. Jiffies count ticks since boot.
  u64 loop_now_ns() const { return loop_now_ns_; }
  u64 jiffies() const { return now_ns() / tick_ns(); }

  // --- for the core ---
  void start_tick(u32 cpu);  // Next tick at the next multiple of tick_ns; no-op if it runs.
  void stop_tick(u32 cpu);   // An idle CPU stops its tick.
  bool tick_running(u32 cpu) const { return cpus_[cpu].tick.queued(); }
  // A reschedule IPI to another CPU: arrives ipi_delivery later; coalesced while one is under way. To this CPU itself:
  // on_resched_ipi runs at the end of the present segment, before on_segment_end.
  void send_resched(u32 cpu);
  // irq_work on `cpu`: self-interrupt at the end of the segment if it is this CPU, else an IPI. Coalesced. Both kinds
  // of self-interrupt cost irq_entry, and are also taken if on_segment_end raised them (it then runs once more).
  void raise_irq_work(u32 cpu);
  // The current task of this CPU runs user code for run_ns, then on_run_end. User code starts when the present segment
  // ends, so the run ends at (the end of the segment in which start_run is called) + run_ns, exactly, whatever
  // interrupts come in between: what they take is part of the task's CPU time, as in a kernel without
  // IRQ_TIME_ACCOUNTING. To make a step longer for them, call start_run again; it replaces the run before. The last
  // call of a segment decides. cancel_run returns nothing: the core knows from its clock how much was used.
  void start_run(u64 run_ns);
  void cancel_run(u32 cpu);
  // Timers (hrtimers): fn runs in interrupt context on event.cpu at time_ns or when that CPU is next free.
  void arm_timer(SimEvent &timer, u64 time_ns) {
    if (__builtin_expect(exec_context.explorer != nullptr, 0)) note_event(timer.cpu);
    queue_.schedule(timer, time_ns);
  }
  void cancel_timer(SimEvent &timer) {
    if (__builtin_expect(exec_context.explorer != nullptr, 0)) note_event(timer.cpu);
    queue_.cancel(timer);
  }
  void cpu_entered_idle(u32 cpu) { cpus_[cpu].idle = true; }  // The next interrupt there also costs idle_exit.
  void cpu_left_idle(u32 cpu) { cpus_[cpu].idle = false; }

  void trace(trace::EventType type, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    tracer_.emit(type, exec_context.cpu, exec_context.now_ns, a0, a1, a2, a3);
  }

  // --- for the host (command, bpf(2) calls) ---
  // Runs events up to and including end_ns; then the loop's time is end_ns.
  void run_until(u64 end_ns);
  // Runs events until done() or until limit_ns; returns done().
  bool run_while(const std::function<bool()> &not_done, u64 limit_ns);
  // Runs fn on `cpu` as an interrupt would (exec set, charged, then on_segment_end), now or when the CPU is free; other
  // events that are due before are run first. Returns when fn's segment has ended. Not from within a segment.
  void run_on(u32 cpu, const std::function<void()> &fn);
  // run_until/run_while return after the current event, the next one at once if none is running. Async-signal-safe.
  void request_stop() { stop_.store(true, std::memory_order_relaxed); }
  u64 nr_events() const { return nr_events_; }  // Segments so far.
  // Null in run mode. Set by the Explorer itself.
  Explorer *explorer() const { return explorer_; }
  // Is `cpu` in the middle of a segment, as seen from another CPU or a kernel thread? Never in run mode.
  bool in_segment(u32 cpu) const { return __builtin_expect(explorer_ != nullptr, 0) && explored_in_segment(cpu); }

 private:
  // "pending" flags: an IPI is under way (to others), or to be taken at the end of the present segment (self).
  struct Cpu {
    SimEvent tick, resched, irq_work, run;
    u64 busy_until_ns = 0;
    u64 run_ns = 0;
    bool run_requested = false;  // start_run was called in the present segment.
    bool idle = false;
    bool self_resched = false;
    bool self_irq_work = false;
  };
  static void tick_fired(SimEvent &event);
  static void resched_fired(SimEvent &event);
  static void irq_work_fired(SimEvent &event);
  static void run_fired(SimEvent &event);
  static void host_call_fired(SimEvent &event);
  friend class Explorer;
  void note_event(u32 cpu);  // Explore mode: the present step changes what `cpu` is to do.
  bool explored_in_segment(u32 cpu) const;
  void step();
  void segment(SimEvent &event, u64 time_ns);
  void take_self_interrupts(Cpu &cpu);
  void take_pending_interrupts(u32 cpu);
  void enter_host_context();
  bool consume_stop();

  MachineConfig config_;
  trace::Tracer &tracer_;
  MachineClient *client_ = nullptr;
  Explorer *explorer_ = nullptr;
  EventQueue queue_;
  std::vector<Cpu> cpus_;
  u64 loop_now_ns_ = 0;
  u64 nr_events_ = 0;
  std::atomic<bool> stop_ = false;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_MACHINE_H_
