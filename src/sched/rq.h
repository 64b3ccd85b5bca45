// SPDX-License-Identifier: GPL-2.0-only
// Rq: the run queue of one CPU. Fields are protected by `lock` unless a comment says otherwise.
#ifndef USCX_SCHED_RQ_H_
#define USCX_SCHED_RQ_H_

#include "sched/dl_server.h"
#include "sched/ext/ext_rq.h"
#include "sched/task.h"

namespace uscx::sched {

struct FairByDeadline {
  bool operator()(const Task &a, const Task &b) const {
    const s64 d = static_cast<s64>(a.fair.deadline_ns - b.fair.deadline_ns);
    return d != 0 ? d < 0 : a.serial < b.serial;
  }
};
struct FairMember {
  using hook_type = SetHook;
  using hook_ptr = SetHook *;
  using const_hook_ptr = const SetHook *;
  using value_type = Task;
  using pointer = Task *;
  using const_pointer = const Task *;
  static hook_ptr to_hook_ptr(value_type &t) { return &t.fair.node; }
  static const_hook_ptr to_hook_ptr(const value_type &t) { return &t.fair.node; }
  static pointer to_value_ptr(hook_ptr n) { return owner(n); }
  static const_pointer to_value_ptr(const_hook_ptr n) { return owner(const_cast<hook_ptr>(n)); }
  static pointer owner(hook_ptr n) {
    FairEntity *entity = bi::get_parent_from_member<FairEntity>(n, &FairEntity::node);
    return bi::get_parent_from_member<Task>(entity, &Task::fair);
  }
};

// Every queued task has a key, vruntime - base, and weights of the queue's tasks times their keys sum up to what tells
// the weighted average vruntime. `base` follows that average, so that keys stay small. Sums are over the tree alone:
// the current task's vruntime moves on without them.
struct FairRq {
  machine::Plain<
      bi::set<Task, bi::function_hook<FairMember>, bi::compare<FairByDeadline>, bi::constant_time_size<false>>>
      tree{"the fair class's queue"};  // Not curr.
  machine::Racy<u64> nr_queued;        // With curr.
  machine::Racy<u64> load;             // Sum of weights, with curr.
  u64 base_vruntime_ns = 0;
  __int128 tree_key_sum = 0;
  u64 tree_load = 0;
  Task *curr = nullptr;  // Taken by set_next_task and not put yet.
  machine::SimEvent slice_timer;
};

struct RtRq {
  machine::Plain<bi::list<Task, bi::member_hook<Task, ListHook, &Task::rt_node>, bi::constant_time_size<true>>> queue{
      "the realtime class's queue"};  // By priority, FIFO.
};

// Work for migration/N. It may delete itself in fn; drop() is called instead if it never runs.
struct StopWork {
  virtual ~StopWork() = default;
  void (*fn)(Kernel &, StopWork &) = nullptr;
  virtual void drop() {}
  bi::list_member_hook<bi::link_mode<bi::safe_link>> node;
};

struct Rq {
  rq *shared = nullptr;  // The BPF-visible struct rq of this CPU (curr, clock, scx.*): written by the core only.
  u32 cpu = 0;
  machine::SpinLock lock{machine::SpinLock::Kind::kPrivate, "rq"};
  machine::Published<Task *> curr;
  Task *idle = nullptr;
  Task *stop = nullptr;  // migration/N
  machine::Racy<u32> nr_running;
  machine::Racy<bool> active = true;  // Tasks may be sent here (Kernel::cpu_active()).
  // The classes take part; a little shorter than `active` when the CPU comes and goes (hotplug.h).
  machine::Racy<bool> online = true;
  machine::Racy<bool> need_resched;  // Set by resched_curr, which also interrupts the CPU if it is another.
  bool user_running = false;  // The machine runs the current task's step. Only this CPU uses it, without the lock.
  machine::Shared<bool> balance_kick{false};  // This idle CPU is asked to look for work.
  // Continues a chain of steps or reschedules that was cut so that interrupts get through.
  machine::SimEvent continuation;
  u64 clock_ns = 0;
  machine::Racy<bool> clock_valid;  // Set by update_rq_clock, cleared when the lock is dropped.
  // The highest class that has had a task woken since the last pick: ext looks at it to see a higher class coming.
  SchedClass *next_class = nullptr;
  u64 nr_switches = 0;
  u64 idle_ns = 0;  // Time in the idle task, up to idle_since_ns if it is idle now.
  u64 idle_since_ns = 0;
  FairRq fair;
  RtRq rt;
  ExtRq ext;
  DlServer fair_server, ext_server;
  u32 nr_running_servers = 0;
  bool servers_armed = false;          // A server's timer waits for the end of its class's patience.
  DlServer *picking_server = nullptr;  // Whose class is asked for a task just now.
  // Constant. A CPU without balancing, that is chosen for nobody who does not ask for it; one without a tick while one
  // task runs.
  bool isolated = false;
  bool nohz_full = false;
  std::unique_ptr<StopWork> push_work;  // Moves the current task away, while the CPU goes down.
  machine::Plain<bi::list<StopWork, bi::member_hook<StopWork, ListHook, &StopWork::node>>> stop_works{
      "a stopper's works"};
  // shared->scx.flags, which others read without the lock.
  u32 scx_flags() const { return machine::racy_load(shared->scx.flags); }
  void set_scx_flags(u32 bits) { machine::change_bits(shared->scx.flags, "an rq's scx.flags", lock, 0, bits); }
  void clear_scx_flags(u32 bits) { machine::change_bits(shared->scx.flags, "an rq's scx.flags", lock, bits, 0); }

  // Called with the lock held at the end of a schedule() pass, in order of queueing (ext's deferred work).
  void (*balance_callback)(Kernel &, Rq &) = nullptr;
};

// The rq clock is valid (see Rq::clock_valid) from update_rq_clock() to the unlock.
inline void rq_lock(Rq &rq) { rq.lock.lock(); }
inline void rq_unlock(Rq &rq) {
  rq.clock_valid = false;
  rq.lock.unlock();
}
class RqGuard {
 public:
  explicit RqGuard(Rq &rq) : rq_(rq) { rq_lock(rq_); }
  ~RqGuard() { rq_unlock(rq_); }
  RqGuard(const RqGuard &) = delete;
  RqGuard &operator=(const RqGuard &) = delete;

 private:
  Rq &rq_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_RQ_H_
