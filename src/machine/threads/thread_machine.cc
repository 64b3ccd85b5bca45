// SPDX-License-Identifier: GPL-2.0-only
#include "machine/threads/thread_machine.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <chrono>

namespace uscx::machine {

namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using Lock = std::unique_lock<std::mutex>;

constexpr u64 kStopPollNs = 10'000'000;  // request_stop() is seen this late at most.
// run_while() asks that often: at first soon, because what it waits for is often short.
constexpr u64 kFirstSliceNs = 200'000, kLastSliceNs = 2'000'000;
constexpr u32 kPausesPerLook = 32;  // Between two looks at the clock while user code runs.

u64 host_clock_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<u64>(ts.tv_sec) * 1'000'000'000 + static_cast<u64>(ts.tv_nsec);
}

ExecContext idle_context(Machine *machine, u32 cpu, u64 now_ns, u64 offset_ns) {
  ExecContext context;
  context.machine = machine;
  context.cpu = cpu;
  context.now_ns = now_ns;
  context.mode = Mode::kThreads;
  context.clock_offset_ns = offset_ns;
  return context;
}

}  // namespace

// In host context time stands still.
u64 thread_now_ns() {
  ExecContext &context = exec_context;
  if (context.on_cpu) context.now_ns = host_clock_ns() - context.clock_offset_ns;
  return context.now_ns;
}

struct ThreadMachine::HostCall {
  ThreadMachine &machine;
  const std::function<void()> &fn;
  bool done = false;  // Guarded by host_mutex_.
};

// --- life ---

ThreadMachine::ThreadMachine(const MachineConfig &config, trace::Tracer &tracer)
    : Machine(config, tracer),
      oversubscribed_(config.topology.nr_cpus() >= std::thread::hardware_concurrency()),
      grace_(config.topology.nr_cpus(), [this](u32 cpu) { raise_irq_work(cpu); }) {
  CHECK(nr_cpus() <= kMaxCpus, "{} CPUs", nr_cpus());
  tracer_.set_concurrent();
  for (u32 id = 0; id < nr_cpus(); id++) {
    cpus_.push_back(std::make_unique<Cpu>());
    cpus_[id]->id = id;
    init_events(*cpus_[id], id);
  }
  for (auto &cpu : cpus_) cpu->thread = std::thread([this, c = cpu.get()] { cpu_main(*c); });
  pause();
}

ThreadMachine::~ThreadMachine() {
  CHECK(!exec_context.on_cpu);
  quit_ = true;
  epoch_++;
  poke_all();
  for (auto &cpu : cpus_) cpu->thread.join();
  for (auto &cpu : cpus_)
    for (SimEvent *event : {&cpu->tick, &cpu->resched, &cpu->irq_work, &cpu->run}) cpu->queue.cancel(*event);
  if (exec_context.machine == this) exec_context = ExecContext();
}

u64 ThreadMachine::clock_ns() const { return host_clock_ns() - clock_offset_ns_; }

u64 ThreadMachine::nr_events() const {
  u64 count = 0;
  for (auto &cpu : cpus_) count += cpu->nr_segments;
  return count;
}

// --- for the core ---

void ThreadMachine::start_tick(u32 cpu) {
  if (!tick_running(cpu)) arm_timer(cpus_[cpu]->tick, (now_ns() / tick_ns() + 1) * tick_ns());
}

void ThreadMachine::stop_tick(u32 cpu) { cancel_timer(cpus_[cpu]->tick); }

// The CPU's mutex is held. Whoever sees the flag or is woken looks at the queue again.
void ThreadMachine::poke(Cpu &cpu) {
  cpu.attention.store(true, std::memory_order_release);
  cpu.wake.notify_one();
}

// Due at once, whatever the time is.
void ThreadMachine::interrupt(Cpu &cpu, SimEvent &event) {
  Lock lock(cpu.mutex);
  if (event.queued()) return;
  cpu.queue.schedule(event, 0);
  poke(cpu);
}

void ThreadMachine::send_resched(u32 cpu) {
  Cpu &c = *cpus_[cpu];
  if (here(c))
    c.self_resched = true;
  else
    interrupt(c, c.resched);
}

void ThreadMachine::raise_irq_work(u32 cpu) {
  Cpu &c = *cpus_[cpu];
  if (here(c))
    c.self_irq_work = true;
  else
    interrupt(c, c.irq_work);
}

void ThreadMachine::start_run(u64 run_ns) {
  CHECK(exec_context.on_cpu && exec_context.machine == this);
  Cpu &c = *cpus_[exec_context.cpu];
  if (c.run.queued()) cancel_timer(c.run);
  c.run_requested = true;
  c.run_ns = run_ns;
}

void ThreadMachine::cancel_run(u32 cpu) {
  Cpu &c = *cpus_[cpu];
  if (c.run.queued()) cancel_timer(c.run);
  c.run_requested = false;
}

void ThreadMachine::arm_timer(SimEvent &timer, u64 time_ns) {
  Cpu &to = *cpus_[timer.cpu];
  for (;;) {
    Cpu &from = *cpus_[timer.home];
    if (&from == &to) {
      Lock lock(to.mutex);
      if (timer.home != to.id) continue;
      to.queue.schedule(timer, time_ns);
      if (!here(to) && &to.queue.first() == &timer) poke(to);
      return;
    }
    std::scoped_lock both(from.mutex, to.mutex);
    if (timer.home != from.id) continue;
    from.queue.cancel(timer);
    timer.home = to.id;
    to.queue.schedule(timer, time_ns);
    if (!here(to) && &to.queue.first() == &timer) poke(to);
    return;
  }
}

void ThreadMachine::cancel_timer(SimEvent &timer) {
  for (;;) {
    Cpu &home = *cpus_[timer.home];
    Lock lock(home.mutex);
    if (timer.home != home.id) continue;
    home.queue.cancel(timer);
    return;
  }
}

// --- a CPU's thread ---

void ThreadMachine::cpu_main(Cpu &cpu) {
  exec_context = idle_context(this, cpu.id, 0, 0);
  grace_.register_reader();
  Lock lock(cpu.mutex);
  while (!quit_) {
    cpu.attention.store(false, std::memory_order_relaxed);
    const u64 epoch = epoch_;
    if (epoch % 2 == 0) {
      park(cpu, lock, epoch);
      continue;
    }
    if (cpu.queue.empty()) {
      cpu.wake.wait(lock);
      continue;
    }
    const u64 next_ns = cpu.queue.next_time_ns();
    if (next_ns > clock_ns()) {
      if (!cpu.run.queued()) {
        cpu.wake.wait_until(lock, steady_clock::time_point(nanoseconds(clock_offset_ns_ + next_ns)));
        continue;
      }
      lock.unlock();
      run_user_code(cpu, next_ns);
      lock.lock();
      continue;
    }
    lock.unlock();
    segment(cpu);
    lock.lock();
  }
  lock.unlock();
  grace_.unregister_reader();
}

void ThreadMachine::park(Cpu &cpu, Lock &lock, u64 epoch) {
  {
    Lock host(host_mutex_);
    if (++nr_parked_ == nr_cpus()) host_wake_.notify_all();
  }
  cpu.wake.wait(lock, [&] { return epoch_ != epoch; });
}

// Real work, until something else is due.
void ThreadMachine::run_user_code(Cpu &cpu, u64 until_ns) {
  while (!cpu.attention.load(std::memory_order_acquire) && clock_ns() < until_ns) {
    for (u32 i = 0; i < kPausesPerLook; i++) __builtin_ia32_pause();
    if (oversubscribed_) sched_yield();
  }
}

SimEvent *ThreadMachine::pop_due(Cpu &cpu, bool interrupts_only) {
  Lock lock(cpu.mutex);
  if (cpu.queue.empty() || cpu.queue.next_time_ns() > clock_ns()) return nullptr;
  if (interrupts_only && &cpu.queue.first() == &cpu.run) return nullptr;
  return &cpu.queue.pop();
}

void ThreadMachine::segment(Cpu &cpu) {
  CHECK(client_ && !exec_context.on_cpu);
  grace_.online();
  const u64 start_ns = clock_ns();
  exec_context = idle_context(this, cpu.id, start_ns, clock_offset_ns_);
  exec_context.on_cpu = true;
  exec_context.segment_start_ns = start_ns;
  // The event may have been cancelled meanwhile.
  if (SimEvent *event = pop_due(cpu, false)) {
    event->fn(*event);
    while ((event = pop_due(cpu, true))) event->fn(*event);
    do {
      take_self_interrupts(cpu);
      client_->on_segment_end();
    } while (cpu.self_irq_work || cpu.self_resched);
    cpu.nr_segments.add(1);
  }
  CHECK(exec_context.on_cpu && exec_context.cpu == cpu.id);
  if (cpu.run_requested) {
    cpu.run_requested = false;
    arm_timer(cpu.run, now_ns() + cpu.run_ns);
  }
  exec_context.on_cpu = false;
  grace_.offline();
}

// --- for the host ---

void ThreadMachine::enter_host_context() { exec_context = idle_context(this, 0, loop_now_ns_, 0); }

void ThreadMachine::poke_all() {
  for (auto &cpu : cpus_) {
    Lock lock(cpu->mutex);
    poke(*cpu);
  }
}

void ThreadMachine::resume() {
  CHECK(!exec_context.on_cpu && epoch_ % 2 == 0);
  clock_offset_ns_ = host_clock_ns() - loop_now_ns_;
  {
    Lock lock(host_mutex_);
    nr_parked_ = 0;
  }
  epoch_++;
  poke_all();
}

void ThreadMachine::pause() {
  if (epoch_ % 2) epoch_++;
  poke_all();
  Lock lock(host_mutex_);
  host_wake_.wait(lock, [this] { return nr_parked_ == nr_cpus(); });
  if (clock_offset_ns_) loop_now_ns_ = clock_ns();
  tracer_.merge();
  enter_host_context();
}

void ThreadMachine::run_until(u64 end_ns) {
  if (loop_now_ns_ >= end_ns) return enter_host_context();
  resume();
  bool stopped = false;
  while (!(stopped = consume_stop())) {
    const u64 now = clock_ns();
    if (now >= end_ns) break;
    std::this_thread::sleep_for(nanoseconds(std::min(end_ns - now, kStopPollNs)));
  }
  pause();
}

bool ThreadMachine::run_while(const std::function<bool()> &not_done, u64 limit_ns) {
  enter_host_context();
  u64 slice_ns = kFirstSliceNs;
  while (not_done()) {
    if (consume_stop()) return false;
    if (loop_now_ns_ >= limit_ns) return false;
    run_until(std::min(limit_ns, loop_now_ns_ + slice_ns));
    slice_ns = std::min(slice_ns * 2, kLastSliceNs);
  }
  return true;
}

void ThreadMachine::host_call_fired(SimEvent &event) {
  HostCall &call = *static_cast<HostCall *>(event.owner);
  ThreadMachine &machine = call.machine;
  call.fn();
  Lock lock(machine.host_mutex_);
  call.done = true;
  machine.host_wake_.notify_all();
}

void ThreadMachine::run_on(u32 cpu, const std::function<void()> &fn) {
  CHECK(!exec_context.on_cpu && cpu < nr_cpus());
  HostCall call{*this, fn};
  SimEvent event(host_call_fired, &call, cpu);
  arm_timer(event, 0);
  resume();
  {
    Lock lock(host_mutex_);
    host_wake_.wait(lock, [&call] { return call.done; });
  }
  pause();
}

}  // namespace uscx::machine
