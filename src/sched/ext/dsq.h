// SPDX-License-Identifier: GPL-2.0-only
// Dispatch queues. A DSQ is FIFO or, when tasks were inserted by vtime, ordered by dsq_vtime (PRIQ), never both at once.
// Local DSQs are protected by their rq's lock, all others by their own. `nr` may be read without it.
#ifndef USCX_SCHED_EXT_DSQ_H_
#define USCX_SCHED_EXT_DSQ_H_

#include "machine/sync.h"
#include "sched/task.h"

namespace uscx::sched {

// Wrap-aware order by vtime; equal keys keep insertion order because the tree inserts after equals.
struct VtimeBefore {
  bool operator()(const Task &a, const Task &b) const {
    return static_cast<s64>(a.ts.scx.dsq_vtime - b.ts.scx.dsq_vtime) < 0;
  }
};

// A place in a DSQ's list: a task's node, or an iterator's cursor (no task).
struct Dsq {
  explicit Dsq(u64 dsq_id = SCX_DSQ_INVALID, machine::SpinLock::Kind kind = machine::SpinLock::Kind::kContended)
      : id(dsq_id), lock(kind) {}
  u64 id;
  machine::SpinLock lock;
  bi::list<Task, bi::member_hook<Task, ListHook, &Task::dsq_node>, bi::constant_time_size<false>> list;
  bi::multiset<Task, bi::member_hook<Task, SetHook, &Task::dsq_priq_node>, bi::compare<VtimeBefore>,
               bi::constant_time_size<false>>
      priq;
  machine::Shared<u32> nr{0};
  u32 seq = 0;                  // Incremented at each insert; stored in p.scx.dsq_seq for iterators.
  struct ExtSched *sched = nullptr;
  bool is_local() const { return id == SCX_DSQ_LOCAL; }
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_DSQ_H_
