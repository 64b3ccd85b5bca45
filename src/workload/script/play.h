// SPDX-License-Identifier: GPL-2.0-only
// One playing of a script: what its threads share. Mutexes, conditions, barriers, semaphores and channels, who waits
// for which, the shared timers, and the count of threads that are left.
//
// A thread that has to wait is put into a queue and blocks; who grants it what it waits for takes it out of the queue
// and wakes it, and it asks again. Mutexes are not handed over: as with a futex, a woken waiter may find that another
// was faster.
//
// Threading: the methods run on a CPU, as a step of the thread that they are about, without locks. All state is under
// one lock, a leaf: tasks are woken after it is released. A woken thread cannot be freed before that, because its
// waker's segment is a reader of RCU.
//
// Invariants: a thread is in at most one queue; nr_active is the number of threads that are neither in a queue nor
// gone.
#ifndef USCX_WORKLOAD_SCRIPT_PLAY_H_
#define USCX_WORKLOAD_SCRIPT_PLAY_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "machine/sync.h"
#include "sched/kernel.h"
#include "workload/script/log.h"
#include "workload/script/script.h"

namespace uscx::workload {

enum class WaitKind : u8 { kNothing, kMutex, kCondition, kBarrier, kSemaphore, kRoom, kMessage, kEnd };

struct PlayThread {
  u32 index = 0;  // Among all of the file's.
  u32 task = 0;   // Index into Script::tasks.
  std::string comm;
  sched::Task *self = nullptr;  // Once it has begun.
  WaitKind waits = WaitKind::kNothing;
  u32 object = 0;    // What it waits for.
  u32 nr_locks = 0;  // Mutexes that it has.
  bool gone = false;
  bool forked = false;
};

// A timer's place; `next_ns` is the end of its last period.
struct TimerState {
  u64 next_ns = 0;
  bool used = false;
};
// The end of its next period, and how far away that is: if it is not ahead, the thread is not to sleep.
struct Tick {
  u64 at_ns;
  s64 slack_ns;
};
// A relative timer that is late begins again from now; `first_ns` is where it begins at first.
Tick next_tick(TimerState &timer, bool absolute, u64 period_ns, u64 first_ns);

class Play {
 public:
  Play(std::shared_ptr<const Script> script, std::string name, const Site &site);

  const Script &script() const { return *script_; }
  // Before the machine runs, and from a fork.
  PlayThread &add_thread(u32 task, std::string comm);
  PlayThread *fork_thread(u32 task);  // Null: there have been too many.

  // --- times; t_zero is when the first thread got here ---
  u64 begin(PlayThread &thread, sched::Task &self);  // Returns t_zero.
  Tick tick(u32 timer, u64 period_ns, u64 first_ns);

  // --- waiting; false: the thread is in a queue and has to block until it is in none ---
  bool waiting(const PlayThread &thread);
  bool lock(sched::Kernel &kernel, PlayThread &thread, u32 mutex);
  void unlock(sched::Kernel &kernel, u32 mutex);
  void wait(sched::Kernel &kernel, PlayThread &thread, u32 condition, u32 mutex);  // Always has to block.
  void signal(sched::Kernel &kernel, u32 condition, bool all);
  bool barrier(sched::Kernel &kernel, PlayThread &thread, u32 barrier);
  void sem_post(sched::Kernel &kernel, u32 semaphore);
  bool sem_wait(sched::Kernel &kernel, PlayThread &thread, u32 semaphore);
  bool send(sched::Kernel &kernel, PlayThread &thread, u32 channel);
  bool receive(sched::Kernel &kernel, PlayThread &thread, u32 channel);
  bool join(sched::Kernel &kernel, PlayThread &thread, u32 task);

  // --- the end ---
  void thread_gone(sched::Kernel &kernel, PlayThread &thread);
  bool ended() const { return ended_; }  // All threads are to end.
  void end(sched::Kernel &kernel);
  // For the first thread of a process that only waits for the others: true if none is left.
  bool all_gone(sched::Task &self);

  // Of a thread that begins; null: nobody wants its rows.
  ThreadLog *open_log(const PlayThread &thread);
  // A random stream of the thread's own.
  Rng rng_of(const PlayThread &thread) const {
    return Rng(seed_, fmt::format("workload.{}.script.{}", index_, thread.index));
  }
  u64 start_ns() const { return t_zero_ns_; }

 private:
  using Queue = std::deque<PlayThread *>;
  struct Mutex {
    PlayThread *owner = nullptr;
    Queue queue;
  };
  struct Barrier {
    u64 arrived = 0;
    Queue queue;
  };
  struct Counter {
    u64 value = 0;
    Queue queue;
  };
  struct Channel {
    u64 messages = 0;
    Queue senders, receivers;
  };
  // What a change under the lock leaves to be done after it.
  struct After {
    std::vector<sched::Task *> wake;
    std::string stuck;
  };

  void enqueue(Queue &queue, PlayThread &thread, WaitKind kind, u32 object, After &after);
  void grant(Queue &queue, After &after);
  void grant_all(Queue &queue, After &after);
  void release(Mutex &mutex, After &after);
  void finish(sched::Kernel &kernel, const After &after);
  void inactive(After &after);  // One thread fewer is active.
  void forget(PlayThread &thread, After &after);
  void end_all(After &after);
  std::string describe_wait(const PlayThread &thread) const;
  std::string describe_stuck() const;

  const std::shared_ptr<const Script> script_;
  const std::string name_;
  const std::function<void(const std::string &)> say_;
  LogBook *const logs_;
  const u64 seed_;
  const u32 index_;
  const std::string log_name_;

  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "workload"};
  std::deque<PlayThread> threads_;   // Their addresses stay.
  std::vector<PlayThread *> spare_;  // Of threads that were forked and are gone.
  std::vector<u64> nr_left_;         // Threads of each task that are not gone.
  std::vector<u32> nr_forks_;
  u64 nr_made_ = 0, nr_all_ = 0, nr_active_ = 0, nr_leading_ = 0;
  machine::Racy<bool> ended_{false};
  bool begun_ = false;
  machine::Racy<u64> t_zero_ns_{0};
  std::vector<TimerState> timers_;
  std::vector<Mutex> mutexes_;
  std::vector<Queue> conditions_;
  std::vector<Barrier> barriers_;
  std::vector<Counter> semaphores_;
  std::vector<Channel> channels_;
  std::vector<Queue> joiners_;
  sched::Task *leader_ = nullptr;
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_PLAY_H_
