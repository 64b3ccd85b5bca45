// SPDX-License-Identifier: GPL-2.0-only
// Work queues and kthread workers. See work.h.
//
// Threading: queue() and its kin wake a thread, so no rq lock or pi_lock may be held.
#include "sched/work.h"

#include "sched/kernel.h"

namespace uscx::sched {

namespace {
constexpr u32 kNrUnboundWorkers = 2;
constexpr u32 kPoolsPerCpu = 4;  // The kernel's per-CPU worker pools, which are numbered before the unbound ones.
}  // namespace

// --- KthreadWorker ---

struct KthreadWorker::State {
  Kernel *kernel = nullptr;
  Task *task = nullptr;
  std::deque<Work *> queue;
  Work *current = nullptr;
  bool stopping = false;

  void loop(KthreadApi &self) {
    for (;;) {
      if (queue.empty()) {
        if (stopping) return;
        self.block();
        continue;
      }
      current = queue.front();
      queue.pop_front();
      current->pending = false;
      current->running = true;
      if (current->cost_ns) self.run(current->cost_ns);
      // A work may queue itself again, or free what it is part of, at its very end.
      Work *work = current;
      const auto fn = work->fn;
      work->running = false;
      fn(self);
      current = nullptr;
    }
  }
};

KthreadWorker::KthreadWorker(Kernel &kernel, const std::string &comm, int policy, u32 rt_priority,
                             const machine::CpuMask *cpus, u64 extra_flags)
    : state_(std::make_shared<State>()) {
  state_->kernel = &kernel;
  state_->task = &kernel.create_kthread(
      comm, [state = state_](KthreadApi &self) { state->loop(self); }, policy, rt_priority, cpus, extra_flags);
  kernel.get_task(*state_->task);
}

KthreadWorker::~KthreadWorker() {
  state_->stopping = true;
  state_->kernel->wake(*state_->task);
  state_->kernel->put_task(*state_->task);
}

void KthreadWorker::queue(Work &work) {
  if (work.pending) return;
  work.pending = true;
  state_->queue.push_back(&work);
  state_->kernel->wake(*state_->task);
}

void KthreadWorker::flush(KthreadApi &self) {
  CHECK(&self.self() != state_->task, "{} waits for its own work", state_->task->comm());
  if (idle()) return;
  // The marker lives on this stack: the thread is done with it when it sets `done`.
  bool done = false;
  Kernel &kernel = *state_->kernel;
  Task &waiter = self.self();
  Work marker;
  marker.cost_ns = 0;
  marker.fn = [&done, &kernel, &waiter](KthreadApi &) {
    done = true;
    kernel.wake(waiter);
  };
  queue(marker);
  while (!done) self.block();
}

bool KthreadWorker::idle() const { return backlog() == 0; }

size_t KthreadWorker::backlog() const { return state_->queue.size() + (state_->current ? 1 : 0); }

bool KthreadWorker::runs(const Work &work) const { return state_->current == &work; }

Task &KthreadWorker::task() { return *state_->task; }

// --- WorkQueues ---

WorkQueues::WorkQueues(Kernel &kernel) : kernel_(kernel) {}

WorkQueues::~WorkQueues() = default;

void WorkQueues::boot() {
  for (u32 i = 0; i < kNrUnboundWorkers; i++) {
    const std::string comm = fmt::format("kworker/u{}:{}", kernel_.nr_cpus() * kPoolsPerCpu, i);
    unbound_.push_back(std::make_unique<KthreadWorker>(kernel_, comm, SCHED_NORMAL, 0, nullptr, PF_WQ_WORKER));
  }
}

void WorkQueues::queue_on(u32 cpu, Work &work) {
  if (per_cpu_.empty()) per_cpu_.resize(kernel_.nr_cpus());
  auto &worker = per_cpu_[cpu];
  if (!worker) {
    const machine::CpuMask *here = kernel_.single_cpu_mask(cpu);
    worker = std::make_unique<KthreadWorker>(kernel_, fmt::format("kworker/{}:0", cpu), SCHED_NORMAL, 0, here,
                                             PF_WQ_WORKER | PF_NO_SETAFFINITY);
  }
  worker->queue(work);
}

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
  work.queues = this;
  work.timer.owner = &work;
  work.timer.cpu = machine::this_cpu();
  work.timer.fn = [](machine::SimEvent &event) {
    auto &delayed = *static_cast<DelayedWork *>(event.owner);
    Kernel::charge(machine::Cost::timer_irq);
    delayed.queues->queue_unbound(delayed.work);
  };
  if (delay_ns == 0) {
    cancel_delayed(work);
    return queue_unbound(work.work);
  }
  kernel_.machine().arm_timer(work.timer, machine::now_ns() + delay_ns);
}

void WorkQueues::cancel_delayed(DelayedWork &work) { kernel_.machine().cancel_timer(work.timer); }

}  // namespace uscx::sched
