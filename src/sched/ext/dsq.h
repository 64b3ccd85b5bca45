// SPDX-License-Identifier: GPL-2.0-only
// Dispatch queues. A DSQ is FIFO or, when tasks were inserted by vtime, ordered by dsq_vtime (PRIQ), never both at once
// by intent; a scheduler that mixes them is ejected, and until then both structures stay consistent.
//
// Local DSQs are protected by their rq's lock, all others by their own. `nr` may be read without a lock; so may `id`,
// which becomes SCX_DSQ_INVALID when the queue is destroyed (freed after a grace period).
//
// Invariants: every task in `priq` is in `list` too, in the same order; `nr` counts the tasks in `list`; cursors of
// iterators stand in `list` but are no tasks.
#ifndef USCX_SCHED_EXT_DSQ_H_
#define USCX_SCHED_EXT_DSQ_H_

#include <memory>
#include <vector>

#include "machine/sync.h"
#include "sched/task.h"

namespace uscx::sched {

struct ExtSched;

// Wrap-aware order by vtime; equal keys keep insertion order because the tree inserts after equals.
struct VtimeBefore {
  bool operator()(const Task &a, const Task &b) const {
    return static_cast<s64>(a.ts.scx.dsq_vtime - b.ts.scx.dsq_vtime) < 0;
  }
};

using DsqList = bi::list<DsqNode, bi::member_hook<DsqNode, ListHook, &DsqNode::hook>, bi::constant_time_size<false>>;

inline Task &task_of(DsqNode &node) { return *bi::get_parent_from_member<Task>(&node, &Task::dsq_node); }

struct Dsq {
  explicit Dsq(u64 dsq_id = SCX_DSQ_INVALID, machine::SpinLock::Kind kind = machine::SpinLock::Kind::kContended)
      : id(dsq_id), lock(kind, "dsq") {}
  ~Dsq();
  Dsq(const Dsq &) = delete;
  Dsq &operator=(const Dsq &) = delete;

  bool is_local() const { return id == SCX_DSQ_LOCAL; }
  bool is_builtin() const { return id & SCX_DSQ_FLAG_BUILTIN; }
  // The id under which traces show it: a local DSQ is named by its CPU.
  u64 trace_id() const;

  // The first task, or null; the cursors before it are skipped.
  Task *first();
  Task *next(Task &p);
  // Linking only; `nr` and `seq` are kept, the task's own fields (dsq, dsq_seq, dsq_flags) too.
  void insert_fifo(Task &p, bool head);
  void insert_vtime(Task &p);
  void unlink(Task &p);  // p.dsq stays: the caller decides when p has left.

  u64 id;
  machine::SpinLock lock;
  DsqList list;
  bi::multiset<Task, bi::member_hook<Task, SetHook, &Task::dsq_priq_node>, bi::compare<VtimeBefore>,
               bi::constant_time_size<false>>
      priq;
  machine::Shared<u32> nr{0};
  u32 seq = 0;  // Incremented at each insert; stored in p.scx.dsq_seq for iterators.
  ExtSched *sched = nullptr;
  Rq *rq = nullptr;   // Of a local DSQ.
  u64 lock_text = 0;  // The trace's text id of this lock, once it was waited for.

 private:
  void inserted(Task &p);
};

// User DSQs by id: open addressing with linear probing, so that a lookup allocates nothing and order depends on ids
// only.
class DsqTable {
 public:
  Dsq *find(u64 id) const;
  void insert(std::unique_ptr<Dsq> dsq);  // The id must not be there.
  std::unique_ptr<Dsq> remove(u64 id);
  size_t size() const { return count_; }

 private:
  static size_t hash(u64 id) { return static_cast<size_t>((id * 0x9e3779b97f4a7c15ull) >> 32); }
  size_t slot_of(u64 id) const;  // Where it is, or the free slot where it would go.
  void grow();
  std::vector<std::unique_ptr<Dsq>> slots_;  // A power of two; at most half of them are used.
  std::vector<u64> ids_;                     // Of the used slots: a destroyed queue's own id is gone already.
  size_t count_ = 0;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_DSQ_H_
