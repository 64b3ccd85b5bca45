// SPDX-License-Identifier: GPL-2.0-only
// ThreadMachine: the machine on real threads and in real time, one thread a CPU. The thread of a CPU runs its segments
// as they become due. While its current task runs user code the thread really works (it spins, and reads its attention
// flag); while the CPU idles the thread sleeps until its next event. Charges do nothing. A machine may have more CPUs
// than its host; then CPUs wait for each other in ways that no scheduler of ours sees. FIDELITY: threads-shared-host.
//
// Host context and the CPUs never run at the same time: run_until() and its kin let the CPUs go, and return when all of
// them have stopped between two segments. A segment may therefore wait only for what other CPUs finish in the segments
// that they are in, as everywhere in the core. The machine's clock is the host's monotonic clock without these pauses.
//
// Threading: "for the core" on a CPU or in host context, raise_irq_work() from any thread; "for the host" on the thread
// that made the machine. Locks: a CPU's mutex guards its event queue; two are taken together only by std::scoped_lock;
// host_mutex_ comes after them.
#ifndef USCX_MACHINE_THREADS_THREAD_MACHINE_H_
#define USCX_MACHINE_THREADS_THREAD_MACHINE_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "machine/machine.h"
#include "machine/threads/grace_periods.h"

namespace uscx::machine {

class ThreadMachine final : public Machine {
 public:
  static constexpr u32 kMaxCpus = 1024;

  ThreadMachine(const MachineConfig &config, trace::Tracer &tracer);
  ~ThreadMachine() override;

  void start_tick(u32 cpu) override;
  void stop_tick(u32 cpu) override;
  bool tick_running(u32 cpu) const override { return cpus_[cpu]->tick.queued(); }
  void send_resched(u32 cpu) override;
  void raise_irq_work(u32 cpu) override;
  void start_run(u64 run_ns) override;
  void cancel_run(u32 cpu) override;
  void arm_timer(SimEvent &timer, u64 time_ns) override;
  void cancel_timer(SimEvent &timer) override;
  void cpu_entered_idle(u32) override {}
  void cpu_left_idle(u32) override {}

  void run_until(u64 end_ns) override;
  bool run_while(const std::function<bool()> &not_done, u64 limit_ns) override;
  void run_on(u32 cpu, const std::function<void()> &fn) override;
  u64 nr_events() const override;
  GracePeriods *grace_periods() override { return &grace_; }

 private:
  struct alignas(64) Cpu : CpuEvents {
    u32 id = 0;
    std::mutex mutex;
    std::condition_variable wake;
    EventQueue queue;                     // Guarded by mutex.
    std::atomic<bool> attention = false;  // Set with the mutex held, for a thread that runs user code: look again.
    Racy<u64> nr_segments;
    std::thread thread;
  };
  struct HostCall;
  static void host_call_fired(SimEvent &event);

  // --- a CPU's thread ---
  void cpu_main(Cpu &cpu);
  void park(Cpu &cpu, std::unique_lock<std::mutex> &lock, u64 epoch);
  void segment(Cpu &cpu);
  SimEvent *pop_due(Cpu &cpu, bool interrupts_only);
  void run_user_code(Cpu &cpu, u64 until_ns);
  bool here(const Cpu &cpu) const {
    return exec_context.on_cpu && exec_context.machine == this && exec_context.cpu == cpu.id;
  }
  void interrupt(Cpu &cpu, SimEvent &event);
  void poke(Cpu &cpu);

  // --- host ---
  void enter_host_context();
  void resume();
  void pause();
  void poke_all();
  u64 clock_ns() const;

  std::vector<std::unique_ptr<Cpu>> cpus_;
  const bool oversubscribed_;  // More CPUs than the host has.
  GracePeriods grace_;
  // Odd while the CPUs may run. Each CPU counts itself once in each even epoch.
  std::atomic<u64> epoch_ = 0;
  std::atomic<bool> quit_ = false;
  u64 clock_offset_ns_ = 0;  // Changes while all CPUs are parked.
  std::mutex host_mutex_;
  std::condition_variable host_wake_;
  u32 nr_parked_ = 0;  // Guarded by host_mutex_.
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_THREADS_THREAD_MACHINE_H_
