// SPDX-License-Identifier: GPL-2.0-only
// RCU. See rcu.h. All state is touched by atomic segments only, or in explore mode between its yield points; on threads
// none of it is used.
#include "sched/rcu.h"

#include <deque>
#include <iterator>

#include "machine/threads/grace_periods.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::Cost;
using machine::this_cpu;

namespace {

constexpr u64 kGracePeriodWorkNs = 20000;             // CPU time that rcu_preempt spends to begin a grace period.
constexpr u64 kStallNs = 21ull * 1000 * 1000 * 1000;  // CONFIG_RCU_CPU_STALL_TIMEOUT
constexpr u64 kForceIntervalTicks = 3;                // It looks that often for CPUs that have become idle.

using Callbacks = std::deque<std::function<void()>>;

void append(Callbacks &to, Callbacks &from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

// A CPU's callbacks: those queued after the present grace period began, those that wait for it, those that may run.
struct CpuCallbacks {
  Callbacks next, waiting, ready;
  bool empty() const { return next.empty() && waiting.empty() && ready.empty(); }
};

}  // namespace

struct Rcu::Impl {
  explicit Impl(u32 nr_cpus) : cpus(nr_cpus), needed(nr_cpus) {}
  std::vector<CpuCallbacks> cpus;
  machine::CpuMask needed;  // CPUs that have not passed a quiescent state in the present grace period.
  u32 nr_needed = 0;
  bool in_grace_period = false;
  bool requested = false;  // A callback waits for a grace period that has not begun.
  bool quick = false;      // The present one was begun by an interrupt and ends with its last quiescent state.
  Task *thread = nullptr;
  machine::GracePeriods *threads = nullptr;  // Of the threaded machine.
};

Rcu::Rcu(Kernel &kernel) : kernel_(kernel), impl_(std::make_unique<Impl>(kernel.machine().nr_cpus())) {
  impl_->threads = kernel.machine().grace_periods();
}

Rcu::~Rcu() = default;

void Rcu::boot() {
  if (impl_->threads) return;
  impl_->thread = &kernel_.create_kthread("rcu_preempt", [this](KthreadApi &self) { grace_period_thread(self); });
}

size_t Rcu::nr_callbacks() const {
  if (impl_->threads) return impl_->threads->nr_left();
  size_t count = 0;
  for (const CpuCallbacks &cpu : impl_->cpus) count += cpu.next.size() + cpu.waiting.size() + cpu.ready.size();
  return count;
}

[[gnu::noinline]] void Rcu::call(std::function<void()> callback) {
  if (impl_->threads) return impl_->threads->call(this_cpu(), std::move(callback));
  impl_->cpus[this_cpu()].next.push_back(std::move(callback));
  if (impl_->requested) return;
  impl_->requested = true;
  if (machine::exploring() && impl_->thread && !impl_->in_grace_period) return begin_quick_grace_period();
  // The caller may hold any lock, so that the wakeup of rcu_preempt has to wait.
  kernel_.machine().raise_irq_work(this_cpu());
}

void Rcu::quiescent(u32 cpu) {
  if (!impl_->in_grace_period || !impl_->needed.test(cpu)) return;
  // What this CPU has read comes before what the callbacks do.
  if (impl_->quick) machine::atomic_write(impl_.get());
  impl_->needed.clear(cpu);
  if (--impl_->nr_needed == 0 && impl_->quick) end_grace_period();
}

void Rcu::tick(u32 cpu) {
  quiescent(cpu);
  const bool to_do = impl_->in_grace_period ? impl_->nr_needed == 0 : impl_->requested;
  if (to_do && impl_->thread && !machine::exploring()) kernel_.wake(*impl_->thread);
  if (impl_->in_grace_period && machine::now_ns() >= stall_at_ns_) {
    stall_at_ns_ = machine::now_ns() + 3 * kStallNs;  // It is reported again after three times as long.
    kernel_.ext().rcu_cpu_stall();
  }
}

void Rcu::irq_work(u32 cpu) {
  if (impl_->threads) {
    if (impl_->threads->run_ready(cpu)) completed_.add(1);
    return;
  }
  CpuCallbacks &callbacks = impl_->cpus[cpu];
  if (!impl_->thread && !callbacks.next.empty()) {
    // Segments are atomic, so an interrupt is outside of all read-side critical sections.
    append(callbacks.ready, callbacks.next);
    impl_->requested = false;
    completed_.add(1);
  }
  while (!callbacks.ready.empty()) {
    const std::function<void()> callback = std::move(callbacks.ready.front());
    callbacks.ready.pop_front();
    Kernel::charge(Cost::rcu_callback);
    callback();
  }
  if (!impl_->thread || !impl_->requested || impl_->in_grace_period) return;
  if (machine::exploring())
    begin_quick_grace_period();
  else
    kernel_.wake(*impl_->thread);
}

void Rcu::begin_grace_period() {
  impl_->requested = false;
  impl_->in_grace_period = true;
  stall_at_ns_ = machine::now_ns() + kStallNs;
  for (CpuCallbacks &cpu : impl_->cpus) append(cpu.waiting, cpu.next);
  impl_->needed.assign(kernel_.online_mask());
  impl_->nr_needed = impl_->needed.view().weight();
}

// Readers are in segments, so that a CPU that is in none need not be waited for, whatever it runs. This one is in one.
void Rcu::begin_quick_grace_period() {
  machine::atomic_write(impl_.get());
  if (!impl_->requested || impl_->in_grace_period) return;
  begin_grace_period();
  impl_->quick = true;
  impl_->nr_needed = 0;
  for (u32 cpu = 0; cpu < impl_->cpus.size(); cpu++) {
    const bool reads = kernel_.machine().in_segment(cpu);
    impl_->nr_needed += reads;
    if (!reads) impl_->needed.clear(cpu);
    if (reads) impl_->needed.set(cpu);
  }
}

void Rcu::end_grace_period() {
  impl_->in_grace_period = impl_->quick = false;
  completed_.add(1);
  for (u32 cpu = 0; cpu < impl_->cpus.size(); cpu++) {
    CpuCallbacks &callbacks = impl_->cpus[cpu];
    if (callbacks.waiting.empty()) continue;
    append(callbacks.ready, callbacks.waiting);
    kernel_.machine().raise_irq_work(cpu);
  }
  // For callbacks that came too late for it; not from here, where the segment may be about to end. The thread looks by
  // itself.
  if (impl_->requested && machine::exploring()) kernel_.machine().raise_irq_work(this_cpu());
}

// An interrupt that hits the idle loop may read. In run mode none is in the middle of that.
bool Rcu::reader_in_interrupt(u32 cpu) const { return cpu != this_cpu() && kernel_.machine().in_segment(cpu); }

bool Rcu::grace_period_over() {
  const machine::MaskView needed = impl_->needed;
  for (u32 cpu = needed.first(); cpu < needed.nr_cpus(); cpu = needed.next(cpu + 1))
    if ((kernel_.rq(cpu).curr == kernel_.rq(cpu).idle || kernel_.in_quiet_user_code(cpu)) && !reader_in_interrupt(cpu))
      quiescent(cpu);
  return impl_->nr_needed == 0;
}

void Rcu::grace_period_thread(KthreadApi &self) {
  for (;;) {
    while (!impl_->requested || impl_->in_grace_period) self.block();
    self.run(kGracePeriodWorkNs);
    begin_grace_period();
    do {
      self.sleep(kForceIntervalTicks * kernel_.machine().tick_ns());
    } while (!grace_period_over());
    end_grace_period();
  }
}

void Rcu::synchronize(KthreadApi &self) {
  // Shared with the callback, which may outlive an unwound caller.
  auto done = std::make_shared<machine::Completion>();
  Kernel &kernel = kernel_;
  Task &task = self.self();
  call([done, &kernel, &task] {
    done->complete();
    kernel.wake(task);
  });
  while (!done->is_complete()) self.block();
}

void Rcu::cpu_dead(u32 cpu, u32 heir) {
  CpuCallbacks &from = impl_->cpus[cpu];
  CpuCallbacks &to = impl_->cpus[heir];
  const bool any = !from.empty();
  append(to.next, from.next);
  append(to.waiting, from.waiting);
  append(to.ready, from.ready);
  quiescent(cpu);
  if (any) kernel_.machine().raise_irq_work(heir);
}

void Rcu::drain() {
  if (impl_->threads) {
    for (u32 cpu = 0; impl_->threads->nr_left(); cpu = (cpu + 1) % kernel_.nr_cpus()) {
      impl_->threads->wait_until_ready();
      impl_->threads->run_ready(cpu);
    }
    return;
  }
  bool found = true;
  while (found) {
    found = false;
    for (CpuCallbacks &cpu : impl_->cpus) {
      if (cpu.empty()) continue;
      found = true;
      Callbacks all;
      append(all, cpu.ready);
      append(all, cpu.waiting);
      append(all, cpu.next);
      for (auto &callback : all) callback();
    }
  }
}

}  // namespace uscx::sched
