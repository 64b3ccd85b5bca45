// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/play.h"

#include "base/units.h"
#include "workload/script/values.h"
namespace uscx::workload {

using machine::SpinGuard;

Play::Play(std::shared_ptr<const Script> script, std::string name, const Site &site)
    : script_(std::move(script)),
      name_(std::move(name)),
      say_(site.say),
      logs_(site.logs),
      seed_(site.seed),
      index_(site.index),
      log_name_(script_->log.basename + (site.index ? fmt::format(".{}", site.index) : "")),
      nr_left_(script_->tasks.size()),
      nr_forks_(script_->tasks.size()),
      timers_(script_->shared_timers.size()),
      mutexes_(script_->mutexes.size()),
      conditions_(script_->conditions.size()),
      barriers_(script_->barriers.size()),
      semaphores_(script_->semaphores.size()),
      channels_(script_->channels.size()),
      joiners_(script_->tasks.size()) {}

PlayThread &Play::add_thread(u32 task, std::string comm) {
  PlayThread *thread = spare_.empty() ? &threads_.emplace_back() : spare_.back();
  if (!spare_.empty()) spare_.pop_back();
  *thread = {.index = static_cast<u32>(nr_made_++), .task = task, .comm = std::move(comm)};
  nr_left_[task]++;
  nr_all_++;
  nr_active_++;
  nr_leading_ += script_->tasks[task].leading;
  return *thread;
}

PlayThread *Play::fork_thread(u32 task) {
  const u32 max_forks = script_->one_process ? kMaxRtAppForks : ~0u;
  SpinGuard guard(lock_);
  if (nr_forks_[task] == max_forks || nr_all_ == kMaxTasks) return nullptr;
  const u32 nr = nr_forks_[task]++;
  PlayThread &thread = add_thread(task, fmt::format("{}-{}-{:04}", script_->tasks[task].name, nr_made_, nr));
  thread.forked = true;
  return &thread;
}

// --- times ---

u64 Play::begin(PlayThread &thread, sched::Task &self) {
  SpinGuard guard(lock_);
  thread.self = &self;
  if (!begun_) t_zero_ns_ = machine::now_ns();
  begun_ = true;
  return script_->one_process ? t_zero_ns_.get() : machine::now_ns();
}

Tick Play::tick(u32 index, u64 period_ns, u64 first_ns) {
  SpinGuard guard(lock_);
  return next_tick(timers_[index], script_->shared_timers[index].absolute, period_ns, first_ns);
}

Tick next_tick(TimerState &timer, bool absolute, u64 period_ns, u64 first_ns) {
  if (!timer.used) timer = {first_ns, true};
  timer.next_ns += period_ns;
  const u64 now_ns = machine::now_ns();
  const Tick tick{timer.next_ns, static_cast<s64>(timer.next_ns - now_ns)};
  if (tick.slack_ns <= 0 && !absolute) timer.next_ns = now_ns;
  return tick;
}

ThreadLog *Play::open_log(const PlayThread &thread) {
  if (!logs_) return nullptr;
  const ScriptTask &task = script_->tasks[thread.task];
  const std::string name = thread.forked ? thread.comm : fmt::format("{}-{}", task.name, thread.index);
  ThreadLog &log = logs_->open(fmt::format("{}-{}", log_name_, name), thread.index, script_->log.ring_rows);
  log.header(policy_name(task.policy), is_realtime(task.policy) ? static_cast<int>(task.rt_priority) : task.nice);
  return script_->log.wanted ? &log : nullptr;
}

// --- queues ---

void Play::inactive(After &after) {
  nr_active_--;
  if (nr_active_ == 0 && nr_all_ > 0 && !ended_) after.stuck = describe_stuck();
}

void Play::enqueue(Queue &queue, PlayThread &thread, WaitKind kind, u32 object, After &after) {
  CHECK(thread.waits == WaitKind::kNothing, "{} waits twice", thread.comm);
  queue.push_back(&thread);
  thread.waits = kind;
  thread.object = object;
  inactive(after);
}

void Play::grant(Queue &queue, After &after) {
  if (queue.empty()) return;
  PlayThread &thread = *queue.front();
  queue.pop_front();
  thread.waits = WaitKind::kNothing;
  nr_active_++;
  after.wake.push_back(thread.self);
}

void Play::grant_all(Queue &queue, After &after) {
  while (!queue.empty()) grant(queue, after);
}

void Play::finish(sched::Kernel &kernel, const After &after) {
  for (sched::Task *task : after.wake) kernel.wake(*task);
  if (after.stuck.empty()) return;
  kernel.log("workload: " + after.stuck);
  if (say_) say_(after.stuck);
}

bool Play::waiting(const PlayThread &thread) {
  SpinGuard guard(lock_);
  return thread.waits != WaitKind::kNothing;
}

// --- mutexes and conditions ---

bool Play::lock(sched::Kernel &kernel, PlayThread &thread, u32 index) {
  After after;
  {
    SpinGuard guard(lock_);
    Mutex &mutex = mutexes_[index];
    if (!mutex.owner) {
      mutex.owner = &thread;
      thread.nr_locks++;
      return true;
    }
    enqueue(mutex.queue, thread, WaitKind::kMutex, index, after);
  }
  finish(kernel, after);
  return false;
}

// As with a pthread mutex of the default kind, whoever gives it back need not have it.
void Play::release(Mutex &mutex, After &after) {
  if (mutex.owner) mutex.owner->nr_locks--;
  mutex.owner = nullptr;
  grant(mutex.queue, after);
}

void Play::unlock(sched::Kernel &kernel, u32 index) {
  After after;
  {
    SpinGuard guard(lock_);
    release(mutexes_[index], after);
  }
  finish(kernel, after);
}

void Play::wait(sched::Kernel &kernel, PlayThread &thread, u32 condition, u32 mutex) {
  After after;
  {
    SpinGuard guard(lock_);
    release(mutexes_[mutex], after);
    enqueue(conditions_[condition], thread, WaitKind::kCondition, condition, after);
  }
  finish(kernel, after);
}

void Play::signal(sched::Kernel &kernel, u32 condition, bool all) {
  After after;
  {
    SpinGuard guard(lock_);
    Queue &queue = conditions_[condition];
    all ? grant_all(queue, after) : grant(queue, after);
  }
  finish(kernel, after);
}

// --- barriers, semaphores, channels, ends ---

bool Play::barrier(sched::Kernel &kernel, PlayThread &thread, u32 index) {
  After after;
  bool last = false;
  {
    SpinGuard guard(lock_);
    Barrier &barrier = barriers_[index];
    last = ++barrier.arrived >= script_->barriers[index].users;
    if (last) {
      barrier.arrived = 0;
      grant_all(barrier.queue, after);
    } else {
      enqueue(barrier.queue, thread, WaitKind::kBarrier, index, after);
    }
  }
  finish(kernel, after);
  return last;
}

void Play::sem_post(sched::Kernel &kernel, u32 index) {
  After after;
  {
    SpinGuard guard(lock_);
    semaphores_[index].value++;
    grant(semaphores_[index].queue, after);
  }
  finish(kernel, after);
}

bool Play::sem_wait(sched::Kernel &kernel, PlayThread &thread, u32 index) {
  After after;
  {
    SpinGuard guard(lock_);
    Counter &semaphore = semaphores_[index];
    if (semaphore.value > 0) {
      semaphore.value--;
      return true;
    }
    enqueue(semaphore.queue, thread, WaitKind::kSemaphore, index, after);
  }
  finish(kernel, after);
  return false;
}

bool Play::send(sched::Kernel &kernel, PlayThread &thread, u32 index) {
  After after;
  bool sent = false;
  {
    SpinGuard guard(lock_);
    Channel &channel = channels_[index];
    sent = channel.messages < script_->channels[index].capacity;
    if (sent) {
      channel.messages++;
      grant(channel.receivers, after);
    } else {
      enqueue(channel.senders, thread, WaitKind::kRoom, index, after);
    }
  }
  finish(kernel, after);
  return sent;
}

bool Play::receive(sched::Kernel &kernel, PlayThread &thread, u32 index) {
  After after;
  bool received = false;
  {
    SpinGuard guard(lock_);
    Channel &channel = channels_[index];
    received = channel.messages > 0;
    if (received) {
      channel.messages--;
      grant(channel.senders, after);
    } else {
      enqueue(channel.receivers, thread, WaitKind::kMessage, index, after);
    }
  }
  finish(kernel, after);
  return received;
}

bool Play::join(sched::Kernel &kernel, PlayThread &thread, u32 task) {
  After after;
  {
    SpinGuard guard(lock_);
    if (nr_left_[task] == 0) return true;
    enqueue(joiners_[task], thread, WaitKind::kEnd, task, after);
  }
  finish(kernel, after);
  return false;
}

// --- the end ---

void Play::forget(PlayThread &thread, After &after) {
  thread.gone = true;
  nr_all_--;
  if (--nr_left_[thread.task] == 0) grant_all(joiners_[thread.task], after);
  if (script_->tasks[thread.task].leading && --nr_leading_ == 0) end_all(after);
  // One that has kept a mutex is still named by those who wait for it.
  if (thread.forked && thread.nr_locks == 0) spare_.push_back(&thread);
  inactive(after);
  if (nr_all_ == 0 && leader_) after.wake.push_back(leader_);
}

void Play::thread_gone(sched::Kernel &kernel, PlayThread &thread) {
  After after;
  {
    SpinGuard guard(lock_);
    forget(thread, after);
  }
  finish(kernel, after);
}

void Play::end_all(After &after) {
  ended_ = true;
  for (Mutex &mutex : mutexes_) grant_all(mutex.queue, after);
  for (Queue &queue : conditions_) grant_all(queue, after);
  for (Barrier &barrier : barriers_) grant_all(barrier.queue, after);
  for (Counter &semaphore : semaphores_) grant_all(semaphore.queue, after);
  for (Queue &queue : joiners_) grant_all(queue, after);
  for (Channel &channel : channels_) {
    grant_all(channel.senders, after);
    grant_all(channel.receivers, after);
  }
}

void Play::end(sched::Kernel &kernel) {
  After after;
  {
    SpinGuard guard(lock_);
    end_all(after);
  }
  finish(kernel, after);
}

bool Play::all_gone(sched::Task &self) {
  SpinGuard guard(lock_);
  leader_ = &self;
  return nr_all_ == 0;
}

// --- what is said of threads that cannot go on ---

std::string Play::describe_wait(const PlayThread &thread) const {
  const u32 object = thread.object;
  switch (thread.waits) {
    case WaitKind::kNothing: return "nothing";
    case WaitKind::kMutex: {
      const PlayThread *owner = mutexes_[object].owner;
      return fmt::format("mutex {}{}", quoted(script_->mutexes[object]),
                         owner ? ", which " + owner->comm + " has" : "");
    }
    case WaitKind::kCondition: return fmt::format("a signal or resume of {}", quoted(script_->conditions[object]));
    case WaitKind::kBarrier:
      return fmt::format("barrier {} ({} of {} are there)", quoted(script_->barriers[object].name),
                         barriers_[object].arrived, script_->barriers[object].users);
    case WaitKind::kSemaphore: return fmt::format("semaphore {}", quoted(script_->semaphores[object]));
    case WaitKind::kRoom: return fmt::format("room in channel {}", quoted(script_->channels[object].name));
    case WaitKind::kMessage: return fmt::format("a message in channel {}", quoted(script_->channels[object].name));
    case WaitKind::kEnd: return fmt::format("the end of {}", script_->tasks[object].name);
  }
  return "?";
}

std::string Play::describe_stuck() const {
  constexpr size_t kMaxNamed = 8;
  std::string waits;
  size_t nr_named = 0;
  for (const PlayThread &thread : threads_) {
    if (thread.gone) continue;
    if (nr_named++ < kMaxNamed)
      waits += fmt::format("{}{} waits for {}", waits.empty() ? "" : "; ", thread.comm, describe_wait(thread));
  }
  if (nr_named > kMaxNamed) waits += fmt::format("; and {} more", nr_named - kMaxNamed);
  return fmt::format("{} cannot go on from {} on: {}", name_, format_duration(machine::now_ns()), waits);
}

}  // namespace uscx::workload
