// SPDX-License-Identifier: GPL-2.0-only
// The Machine seam: the interface by which the scheduler core uses the hardware below it. SimMachine
// (sim/sim_machine.h) implements it with virtual time and one event loop, ThreadMachine (threads/thread_machine.h) with
// a thread for each CPU and real time. The core is written once, in concurrent style, above this.
//
// Threading: code of the core runs "on a CPU", which exec() describes, in segments. A segment is an event handler, up
// to its end or its next wait. Interrupts are off in a segment; an interrupt that reaches the CPU meanwhile waits.
// Between the calls of "for the host" no segment runs and time stands still, so that host code may read everything.
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
#include "machine/static_branch.h"
#include "machine/topology.h"
#include "trace/tracer.h"

namespace uscx::machine {

class Machine;
class Explorer;
class GracePeriods;

// How locks, atomics and the clock work. kRun: segments are atomic. kExplore: they stop at yield points (explore.h).
// kThreads: they run in parallel.
enum class Mode : u8 { kRun, kExplore, kThreads };

// 0 leaves explore mode's hooks out of the core, for a benchmark that says what run mode pays for them.
#ifndef USCX_EXPLORE_HOOKS
#define USCX_EXPLORE_HOOKS 1
#endif
inline constexpr bool kExploreHooks = USCX_EXPLORE_HOOKS;

// Where code is running now. One per host thread. A fiber does not keep one of its own: inside it, the context is the
// one of the segment that resumed it, perhaps on another thread (the rule for code that suspends is in fiber.h).
struct ExecContext {
  Machine *machine = nullptr;
  u32 cpu = 0;
  u64 now_ns = 0;            // This CPU's time; advanced by charge().
  bool on_cpu = false;       // False in host context: between events, e.g. while a program's bpf(2) call is handled.
  u64 segment_start_ns = 0;  // When the present segment began: up to then the CPU's current task ran user code.
  Explorer *explorer =
      nullptr;              // In explore mode, inside of segments: whom yield points call (machine/explore/explore.h).
  Mode mode = Mode::kRun;   // kExplore inside of segments only.
  u64 clock_offset_ns = 0;  // On threads: what the host's clock was when the machine's was 0.
};
extern constinit thread_local ExecContext exec_context;  // constinit: no initialisation guard on each access.

u64 thread_now_ns();  // The threaded machine's clock.

inline ExecContext &exec() { return exec_context; }
inline u32 this_cpu() { return exec_context.cpu; }
inline bool on_threads() { return may_be_concurrent() && exec_context.mode == Mode::kThreads; }
inline u64 now_ns() { return on_threads() ? thread_now_ns() : exec_context.now_ns; }
// On threads time passes by itself.
inline void charge_ns(u64 ns) { exec_context.now_ns += on_threads() ? 0 : ns; }
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
  bool threads = false;  // The threaded machine; else the simulated one.
};

class Machine {
 public:
  static std::unique_ptr<Machine> create(const MachineConfig &config, trace::Tracer &tracer);
  virtual ~Machine() = default;
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  const Topology &topology() const { return config_.topology; }
  u32 nr_cpus() const { return config_.topology.nr_cpus(); }
  u32 hz() const { return config_.hz; }
  u64 tick_ns() const { return 1000000000ull / config_.hz; }
  u64 seed() const { return config_.seed; }
  bool threads() const { return config_.threads; }
  trace::Tracer &tracer() { return tracer_; }
  void set_client(MachineClient *client) { client_ = client; }

  // Time of the machine, for host context. Jiffies count ticks since boot.
  u64 loop_now_ns() const { return loop_now_ns_; }
  u64 jiffies() const { return now_ns() / tick_ns(); }

  // --- for the core ---
  virtual void start_tick(u32 cpu) = 0;  // Next tick at the next multiple of tick_ns; no-op if it runs.
  virtual void stop_tick(u32 cpu) = 0;   // An idle CPU stops its tick.
  virtual bool tick_running(u32 cpu) const = 0;
  // A reschedule IPI to another CPU: arrives ipi_delivery later; coalesced while one is under way. To this CPU itself:
  // on_resched_ipi runs at the end of the present segment, before on_segment_end.
  virtual void send_resched(u32 cpu) = 0;
  // irq_work on `cpu`: self-interrupt at the end of the segment if it is this CPU, else an IPI. Coalesced. Both kinds
  // of self-interrupt cost irq_entry, and are also taken if on_segment_end raised them (it then runs once more).
  virtual void raise_irq_work(u32 cpu) = 0;
  // The current task of this CPU runs user code for run_ns, then on_run_end. User code starts when the present segment
  // ends, so the run ends at (the end of the segment in which start_run is called) + run_ns, exactly, whatever
  // interrupts come in between: what they take is part of the task's CPU time, as in a kernel without
  // IRQ_TIME_ACCOUNTING. To make a step longer for them, call start_run again; it replaces the run before. The last
  // call of a segment decides. cancel_run returns nothing: the core knows from its clock how much was used.
  virtual void start_run(u64 run_ns) = 0;
  virtual void cancel_run(u32 cpu) = 0;
  // Timers (hrtimers): fn runs in interrupt context on event.cpu at time_ns or when that CPU is next free. On threads
  // a timer that fires on another CPU just now is not stopped by cancel_timer(): fn must find out whether it is still
  // meant, and the timer's memory must last for a grace period.
  virtual void arm_timer(SimEvent &timer, u64 time_ns) = 0;
  virtual void cancel_timer(SimEvent &timer) = 0;
  virtual void cpu_entered_idle(u32 cpu) = 0;  // The next interrupt there also costs idle_exit.
  virtual void cpu_left_idle(u32 cpu) = 0;

  // A CPU that the core has emptied takes no part from now on, until it is back. Its timers are heir's from now on, and
  // nothing may be sent to it.
  // The threaded machine keeps its CPUs.
  virtual void take_offline(u32 cpu, u32 heir);
  virtual void bring_online(u32 cpu);
  // Is an interrupt under way to this CPU?
  virtual bool interrupt_pending(u32 cpu) const { return (void)cpu, false; }

  void trace(trace::EventType type, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    tracer_.emit(type, exec_context.cpu, now_ns(), a0, a1, a2, a3);
  }

  // --- for the host (command, bpf(2) calls) ---
  // Runs events up to and including end_ns; then the machine's time is end_ns (on threads: at least).
  virtual void run_until(u64 end_ns) = 0;
  // Runs events until done() or until limit_ns; returns done(). Threads are asked every millisecond or so, and stand
  // still meanwhile.
  virtual bool run_while(const std::function<bool()> &not_done, u64 limit_ns) = 0;
  // Runs fn on `cpu` as an interrupt would (exec set, charged, then on_segment_end), now or when the CPU is free; other
  // events that are due before are run first. Returns when fn's segment has ended. Not from within a segment.
  virtual void run_on(u32 cpu, const std::function<void()> &fn) = 0;
  // run_until/run_while return after the current event, the next one at once if none is running. Async-signal-safe.
  void request_stop() { stop_.store(true, std::memory_order_relaxed); }
  virtual u64 nr_events() const = 0;  // Segments so far.
  // Grace periods over the host's threads; null where the core has to find them by itself (sched/rcu.h).
  virtual GracePeriods *grace_periods() { return nullptr; }
  // Null but in explore mode.
  virtual Explorer *explorer() const { return nullptr; }
  // Is `cpu` in the middle of a segment, as seen from another CPU or a kernel thread? Never in run mode.
  virtual bool in_segment(u32 cpu) const { return (void)cpu, false; }

 protected:
  Machine(const MachineConfig &config, trace::Tracer &tracer) : config_(config), tracer_(tracer) {
    CHECK(config_.hz > 0 && config_.hz <= 10000, "hz {}", config_.hz);
  }
  // What each CPU has on every machine. "self" flags: to be taken at the end of the present segment.
  struct CpuEvents {
    SimEvent tick, resched, irq_work, run;
    u64 run_ns = 0;
    bool run_requested = false;  // start_run was called in the present segment.
    bool self_resched = false;
    bool self_irq_work = false;
  };
  void init_events(CpuEvents &cpu, u32 id);
  void take_self_interrupts(CpuEvents &cpu);
  bool consume_stop() {
    return stop_.load(std::memory_order_relaxed) && stop_.exchange(false, std::memory_order_relaxed);
  }

  MachineConfig config_;
  trace::Tracer &tracer_;
  MachineClient *client_ = nullptr;
  u64 loop_now_ns_ = 0;

 private:
  static void tick_fired(SimEvent &event);
  static void resched_fired(SimEvent &event);
  static void irq_work_fired(SimEvent &event);
  static void run_fired(SimEvent &event);
  std::atomic<bool> stop_ = false;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_MACHINE_H_
