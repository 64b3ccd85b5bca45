// SPDX-License-Identifier: GPL-2.0-only
// Work queues and kthread workers. See work.h.
//
// Threading: queue() and its kin wake a thread, so no rq lock or pi_lock may be held. The lock of a worker comes before
// no other lock. The code of the threads suspends: what uses thread-local variables is in functions that are not
// inlined (machine/fiber.h).
#include "sched/work.h"

#include "sched/kernel.h"

namespace uscx::sched {

using machine::SpinGuard;

namespace {
constexpr u32 kNrUnboundWorkers = 2;
constexpr u32 kPoolsPerCpu = 4;  // The kernel's per-CPU worker pools, which are numbered before the unbound ones.
}  // namespace

// --- KthreadWorker ---

struct KthreadWorker::State {
  Kernel *kernel = nullptr;
  Task *task = nullptr;
  mutable machine::SpinLock lock{machine::SpinLock::Kind::kPrivate, "worker"};
  machine::Plain<std::deque<Work *>> queue{"a worker's queue"};
  Work *current = nullptr;
  bool stopping = false;

  enum class Next { kWork, kNothing, kStop };
  // Takes the next work. It may be queued again from here on.
  [[gnu::noinline]] Next take(std::function<void(KthreadApi &)> *fn, u64 *cost_ns) {
    SpinGuard guard(lock);
    if (queue.read().empty()) return stopping ? Next::kStop : Next::kNothing;
    current = queue.racy().front();
    queue.write().pop_front();
    *fn = current->fn;
    *cost_ns = current->cost_ns;
    current->pending.store(false);
    return Next::kWork;
  }
  [[gnu::noinline]] void finished() {
    SpinGuard guard(lock);
    current = nullptr;
  }
  void loop(KthreadApi &self) {
    for (;;) {
      std::function<void(KthreadApi &)> fn;
      u64 cost_ns = 0;
      switch (take(&fn, &cost_ns)) {
        case Next::kStop: return;
        case Next::kNothing: self.block(); continue;
        case Next::kWork: break;
      }
      if (cost_ns) self.run(cost_ns);
      fn(self);  // The work may free what it is part of, at its very end.
      finished();
    }
  }
};

KthreadWorker::KthreadWorker(std::shared_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<KthreadWorker> KthreadWorker::create(Kernel &kernel, const std::string &comm, int policy,
                                                     u32 rt_priority, const machine::CpuMask *cpus, u64 extra_flags) {
  auto state = std::make_shared<State>();
  state->kernel = &kernel;
  state->task = kernel.try_create_kthread(
      comm, [state](KthreadApi &self) { state->loop(self); }, policy, rt_priority, cpus, extra_flags);
  if (!state->task) return nullptr;
  kernel.get_task(*state->task);
  return std::unique_ptr<KthreadWorker>(new KthreadWorker(std::move(state)));
}

KthreadWorker::~KthreadWorker() {
  {
    SpinGuard guard(state_->lock);
    state_->stopping = true;
  }
  state_->kernel->wake(*state_->task);
  state_->kernel->put_task(*state_->task);
}

[[gnu::noinline]] void KthreadWorker::queue(Work &work) {
  if (work.pending.exchange(true)) return;
  // Once the work is in the queue it may run and take this worker with it.
  const std::shared_ptr<State> state = state_;
  {
    SpinGuard guard(state->lock);
    state->queue.write().push_back(&work);
  }
  state->kernel->wake(*state->task);
}

void KthreadWorker::flush(KthreadApi &self) {
  CHECK(&self.self() != state_->task, "{} waits for its own work", state_->task->comm());
  if (idle()) return;
  // The marker lives on this stack: the thread is done with it when it has said so.
  machine::Completion done;
  Kernel &kernel = *state_->kernel;
  Task &waiter = self.self();
  Work marker;
  marker.cost_ns = 0;
  marker.fn = [&done, &kernel, &waiter](KthreadApi &) {
    done.complete();
    kernel.wake(waiter);
  };
  queue(marker);
  while (!done.is_complete()) self.block();
}

bool KthreadWorker::idle() const { return backlog() == 0; }

[[gnu::noinline]] size_t KthreadWorker::backlog() const {
  SpinGuard guard(state_->lock);
  return state_->queue.read().size() + (state_->current ? 1 : 0);
}

bool KthreadWorker::runs(const Work &work) const {
  SpinGuard guard(state_->lock);
  return state_->current == &work;
}

Task &KthreadWorker::task() { return *state_->task; }

// --- WorkQueues ---

DelayedWork::DelayedWork(Kernel &the_kernel) : kernel(the_kernel) {
  timer.owner = this;
  timer.fn = [](machine::SimEvent &event) {
    auto &delayed = *static_cast<DelayedWork *>(event.owner);
    Kernel::charge(machine::Cost::timer_irq);
    delayed.kernel.works().queue_unbound(delayed.work);
  };
}

WorkQueues::WorkQueues(Kernel &kernel)
    : kernel_(kernel), per_cpu_(std::make_unique<machine::Shared<KthreadWorker *>[]>(kernel.nr_cpus())) {}

WorkQueues::~WorkQueues() {
  for (u32 cpu = 0; cpu < kernel_.nr_cpus(); cpu++) delete per_cpu_[cpu].load();
}

void WorkQueues::boot() {
  if (!unbound_.empty()) return;
  for (u32 i = 0; i < kNrUnboundWorkers; i++) {
    const std::string comm = fmt::format("kworker/u{}:{}", kernel_.nr_cpus() * kPoolsPerCpu, i);
    unbound_.push_back(KthreadWorker::create(kernel_, comm, SCHED_NORMAL, 0, nullptr, PF_WQ_WORKER));
    CHECK(unbound_.back(), "{}, without which there is no going on, is refused", comm);
  }
}

void WorkQueues::queue_on(u32 cpu, Work &work) {
  // FIDELITY: lazy-kworkers.
  KthreadWorker *worker = per_cpu_[cpu].load_acquire();
  if (!worker) {
    auto made = KthreadWorker::create(kernel_, fmt::format("kworker/{}:0", cpu), SCHED_NORMAL, 0,
                                      kernel_.single_cpu_mask(cpu), PF_WQ_WORKER | PF_NO_SETAFFINITY);
    if (!made) return queue_unbound(work);
    // Of two CPUs that made one the first has it.
    if (per_cpu_[cpu].compare_exchange(nullptr, made.get())) made.release();
    worker = per_cpu_[cpu].load_acquire();
  }
  worker->queue(work);
}

void WorkQueues::set_mask(u32 cpu, const machine::CpuMask *interned) {
  KthreadWorker *const worker = per_cpu_ ? per_cpu_[cpu].load_acquire() : nullptr;
  if (!worker) return;
  kernel_.change_affinity(worker->task(), interned);
}

void WorkQueues::unbind(u32 cpu) { set_mask(cpu, kernel_.possible_mask()); }

void WorkQueues::rebind(u32 cpu) { set_mask(cpu, kernel_.single_cpu_mask(cpu)); }

void WorkQueues::queue_unbound(Work &work) {
  if (unbound_.empty()) boot();  // Without boot_kthreads, workers come with the first work.
  KthreadWorker *best = nullptr;
  for (auto &worker : unbound_) {
    // A work never runs on two threads at once.
    if (worker->runs(work)) return worker->queue(work);
    if (!best || worker->backlog() < best->backlog()) best = worker.get();
  }
  best->queue(work);
}

void WorkQueues::queue_delayed_unbound(DelayedWork &work, u64 delay_ns) {
  if (delay_ns == 0) {
    cancel_delayed(work);
    return queue_unbound(work.work);
  }
  work.timer.cpu = machine::this_cpu();
  kernel_.machine().arm_timer(work.timer, machine::now_ns() + delay_ns);
}

void WorkQueues::cancel_delayed(DelayedWork &work) { kernel_.machine().cancel_timer(work.timer); }

}  // namespace uscx::sched
