// SPDX-License-Identifier: GPL-2.0-only
// Rq: the run queue of one CPU. Fields are protected by `lock` unless a comment says otherwise.
#ifndef USCX_SCHED_RQ_H_
#define USCX_SCHED_RQ_H_

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

struct FairRq {
  bi::set<Task, bi::function_hook<FairMember>, bi::compare<FairByDeadline>, bi::constant_time_size<false>> tree;  // Not curr.
  u64 nr_queued = 0;  // With curr.
  u64 load = 0;       // Sum of weights, with curr.
  u64 min_vruntime_ns = 0;
  machine::SimEvent slice_timer;
};

struct RtRq {
  bi::list<Task, bi::member_hook<Task, ListHook, &Task::rt_node>, bi::constant_time_size<true>> queue;  // By priority, FIFO.
};

struct StopWork {
  void (*fn)(Kernel &, StopWork &) = nullptr;
  Task *task = nullptr;
  u32 dest_cpu = 0;
  bool queued = false;
  bi::list_member_hook<bi::link_mode<bi::safe_link>> node;
};

struct Rq {
  rq *shared = nullptr;  // The BPF-visible struct rq of this CPU (curr, clock, scx.*): written by the core only.
  u32 cpu = 0;
  machine::SpinLock lock;
  Task *curr = nullptr;
  Task *idle = nullptr;
  Task *stop = nullptr;  // migration/N
  u32 nr_running = 0;
  bool online = true;
  bool need_resched = false;    // May be set by this CPU only; others send an IPI.
  u64 clock_ns = 0;
  bool clock_valid = false;     // Set by update_rq_clock, cleared when the lock is dropped.
  // The highest class that has had a task woken since the last pick: ext looks at it to see a higher class coming.
  SchedClass *next_class = nullptr;
  u64 nr_switches = 0;
  u64 idle_ns = 0;
  FairRq fair;
  RtRq rt;
  ExtRq ext;
  bi::list<StopWork, bi::member_hook<StopWork, ListHook, &StopWork::node>> stop_works;
  // Called with the lock held at the end of a schedule() pass, in order of queueing (ext's deferred work).
  void (*balance_callback)(Kernel &, Rq &) = nullptr;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_RQ_H_
