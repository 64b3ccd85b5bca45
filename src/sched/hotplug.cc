// SPDX-License-Identifier: GPL-2.0-only
// CPU hotplug. See hotplug.h.
#include "sched/hotplug.h"

#include <cerrno>

#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::SpinGuard;
using trace::EventType;

// --- CpusLock ---

void CpusLock::read_lock(KthreadApi &self) {
  for (;;) {
    {
      SpinGuard guard(lock_);
      if (!writer_ && !waiting_writers_) {
        readers_++;
        return;
      }
      waiters_.push_back(&self.self());
    }
    self.block();
  }
}

void CpusLock::read_unlock() {
  {
    SpinGuard guard(lock_);
    CHECK(readers_ > 0);
    if (--readers_) return;
  }
  wake_all();
}

void CpusLock::write_lock(KthreadApi &self) {
  bool counted = false;
  for (;;) {
    {
      SpinGuard guard(lock_);
      if (!writer_ && !readers_) {
        writer_ = true;
        waiting_writers_ -= counted;
        return;
      }
      waiting_writers_ += !counted;
      counted = true;
      waiters_.push_back(&self.self());
    }
    self.block();
  }
}

void CpusLock::write_unlock() {
  {
    SpinGuard guard(lock_);
    CHECK(writer_);
    writer_ = false;
  }
  wake_all();
}

// Everybody looks again.
void CpusLock::wake_all() {
  std::deque<Task *> waiters;
  {
    SpinGuard guard(lock_);
    waiters.swap(waiters_);
  }
  for (Task *task : waiters) kernel_.wake(*task);
}

// --- requests ---

CpuHotplug::CpuHotplug(Kernel &kernel) : kernel_(kernel), lock_(kernel) {}
CpuHotplug::~CpuHotplug() = default;

void CpuHotplug::request(u32 cpu, bool online, std::function<void(int)> done) {
  // The loaded scheduler may refuse threads: of a machine, they are there from boot on.
  if (!controller_) controller_ = KthreadWorker::create(kernel_, "cpuhp", SCHED_NORMAL, 0);
  if (!controller_) {
    if (done) done(-ENOMEM);
    return;
  }
  Request &request = *requests_.emplace_back(std::make_unique<Request>());
  request.cpu = cpu;
  request.online = online;
  request.done = std::move(done);
  request.work.fn = [this, &request](KthreadApi &self) {
    const int result = request.online ? cpu_up(self, request.cpu) : cpu_down(self, request.cpu);
    CHECK(requests_.front().get() == &request);
    const std::unique_ptr<Request> finished = std::move(requests_.front());
    requests_.pop_front();
    if (finished->done) finished->done(result);
  };
  controller_->queue(request.work);
}

void CpuHotplug::run_on_cpu(KthreadApi &self, u32 cpu, void (CpuHotplug::*fn)(KthreadApi &, u32)) {
  on_cpu_.resize(kernel_.nr_cpus());
  std::unique_ptr<KthreadWorker> &worker = on_cpu_[cpu];
  if (!worker)
    worker = KthreadWorker::create(kernel_, fmt::format("cpuhp/{}", cpu), SCHED_NORMAL, 0, kernel_.single_cpu_mask(cpu),
                                   PF_NO_SETAFFINITY);
  if (!worker) return (this->*fn)(self, cpu);
  Work work;
  work.fn = [this, cpu, fn](KthreadApi &hp) { (this->*fn)(hp, cpu); };
  worker->queue(work);
  worker->flush(self);
}

// --- down ---

int CpuHotplug::cpu_down(KthreadApi &self, u32 cpu) {
  if (cpu >= kernel_.nr_cpus()) return -EINVAL;
  if (cpu == 0) return -EPERM;
  if (kernel_.machine().threads()) return -EOPNOTSUPP;
  lock_.write_lock(self);
  if (kernel_.online_mask().test(cpu)) {
    kernel_.set_cpu_dying(cpu, true);
    run_on_cpu(self, cpu, &CpuHotplug::deactivate);
    kernel_.works().unbind(cpu);
    wait_empty(self, cpu);
    take_down(self, cpu);
    kernel_.set_cpu_dying(cpu, false);
  }
  lock_.write_unlock();
  return 0;
}

// On the CPU that goes down. From the first step on whatever is picked there is pushed away, but for threads that are
// bound to it.
void CpuHotplug::deactivate(KthreadApi &hp, u32 cpu) {
  Rq &rq = kernel_.rq(cpu);
  kernel_.set_cpu_active(cpu, false);
  kernel_.rcu().synchronize(hp);  // Whoever has chosen this CPU has queued the task by then.
  {
    RqGuard guard(rq);
    kernel_.update_rq_clock(rq);
    kernel_.set_rq_online(rq, false);
  }
  kernel_.ext().cpu_hotplug(cpu, false);
}

// Tasks that keep a CPU by having disabled migration there, asleep or not.
bool CpuHotplug::has_pinned_tasks(u32 cpu) const {
  bool found = false;
  SpinGuard forks(kernel_.fork_lock());
  kernel_.for_each_task([&](Task &p) { found |= p.cpu == cpu && p.migration_disabled(); });
  return found;
}

void CpuHotplug::wait_empty(KthreadApi &self, u32 cpu) {
  const Rq &rq = kernel_.rq(cpu);
  while (rq.nr_running > 0 || rq.curr != rq.idle || has_pinned_tasks(cpu)) self.sleep(kernel_.machine().tick_ns());
}

namespace {

// migration/N takes its own CPU out of the mask, so that nobody is between reading it and sending an interrupt.
// FIDELITY: stop-machine.
struct TakeDown final : StopWork {
  void drop() override { delete this; }
  static void run(Kernel &kernel, StopWork &work) {
    const u32 cpu = machine::this_cpu();
    Rq &rq = kernel.rq(cpu);
    RqGuard guard(rq);
    CHECK(rq.nr_running == 1, "CPU {} goes offline with {} tasks", cpu, rq.nr_running);
    kernel.set_cpu_online(cpu, false);
    kernel.machine().trace(EventType::cpu_online, 0);
    const std::unique_ptr<TakeDown> self(static_cast<TakeDown *>(&work));
    *self->done = true;
  }
  std::shared_ptr<bool> done = std::make_shared<bool>(false);  // The controller may be unwound before this is run.
};

}  // namespace

u32 CpuHotplug::heir_of(u32 cpu) const {
  for (u32 other = 0; other < kernel_.nr_cpus(); other++)
    if (other != cpu && kernel_.cpu_active(other)) return other;
  CHECK(false, "CPU {} was the last one", cpu);
}

void CpuHotplug::take_down(KthreadApi &self, u32 cpu) {
  Rq &rq = kernel_.rq(cpu);
  machine::Machine &machine = kernel_.machine();
  auto work = std::make_unique<TakeDown>();
  const std::shared_ptr<bool> done = work->done;
  work->fn = TakeDown::run;
  kernel_.cpu_stop(cpu, *work.release());
  // What is under way to it still gets there.
  while (!*done || rq.curr != rq.idle || machine.in_segment(cpu) || machine.interrupt_pending(cpu))
    self.sleep(machine.tick_ns());
  machine.cancel_timer(rq.continuation);
  {
    RqGuard guard(rq);
    kernel_.dl_server_stop(rq.fair_server);
    kernel_.dl_server_stop(rq.ext_server);
  }
  const u32 heir = heir_of(cpu);
  machine.take_offline(cpu, heir);
  kernel_.rcu().cpu_dead(cpu, heir);
  kernel_.ext().cpu_dead(cpu);
  rq.balance_kick.store(false);
  rq.need_resched = false;
}

// --- up ---

int CpuHotplug::cpu_up(KthreadApi &self, u32 cpu) {
  if (cpu >= kernel_.nr_cpus()) return -EINVAL;
  if (kernel_.machine().threads()) return -EOPNOTSUPP;
  lock_.write_lock(self);
  if (!kernel_.online_mask().test(cpu)) {
    kernel_.machine().bring_online(cpu);
    kernel_.set_cpu_online(cpu, true);
    run_on_cpu(self, cpu, &CpuHotplug::activate);
    kernel_.works().rebind(cpu);
  }
  lock_.write_unlock();
  return 0;
}

void CpuHotplug::activate(KthreadApi &, u32 cpu) {
  Rq &rq = kernel_.rq(cpu);
  kernel_.machine().trace(EventType::cpu_online, 1);
  kernel_.set_cpu_active(cpu, true);
  kernel_.ext().cpu_hotplug(cpu, true);
  RqGuard guard(rq);
  kernel_.update_rq_clock(rq);
  kernel_.set_rq_online(rq, true);
}

}  // namespace uscx::sched
