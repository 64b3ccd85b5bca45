// SPDX-License-Identifier: GPL-2.0-only
// Dispatch queues. A DSQ is FIFO or, when tasks were inserted by vtime, ordered by dsq_vtime (PRIQ), never both at once
// by intent; a scheduler that mixes them is ejected, and until then both structures stay consistent.
//
// Local DSQs are protected by their rq's lock, all others by their own. `nr` and `first_task` may be read without a
// lock; so may `id`, which becomes SCX_DSQ_INVALID when the queue is destroyed (freed after a grace period).
//
// Invariants: every task in `priq` is in `list` too, in the same order; `nr` counts the tasks in `list`; cursors of
// iterators stand in `list` but are no tasks.
#ifndef USCX_SCHED_EXT_DSQ_H_
#define USCX_SCHED_EXT_DSQ_H_

#include <atomic>
#include <memory>
#include <vector>

#include "machine/owner.h"
#include "sched/task.h"

namespace uscx::sched {

struct ExtSched;

// Wrap-aware order by vtime; equal keys keep insertion order because the tree inserts after equals.
struct VtimeBefore {
  bool operator()(const Task &a, const Task &b) const {
    return static_cast<s64>(machine::racy_load(a.ts.scx.dsq_vtime) - machine::racy_load(b.ts.scx.dsq_vtime)) < 0;
  }
};

using DsqList = bi::list<DsqNode, bi::member_hook<DsqNode, ListHook, &DsqNode::hook>, bi::constant_time_size<false>>;

inline Task &task_of(DsqNode &node) { return *bi::get_parent_from_member<Task>(&node, &Task::dsq_node); }

struct Dsq {
  explicit Dsq(u64 dsq_id = SCX_DSQ_INVALID, machine::SpinLock::Kind kind = machine::SpinLock::Kind::kContended)
      : key(dsq_id), id(dsq_id), lock(kind, "dsq") {}
  ~Dsq();
  Dsq(const Dsq &) = delete;
  Dsq &operator=(const Dsq &) = delete;

  bool is_local() const { return id == SCX_DSQ_LOCAL; }
  bool is_builtin() const { return id.get() & SCX_DSQ_FLAG_BUILTIN; }
  // The id under which traces show it: a local DSQ is named by its CPU.
  u64 trace_id() const;

  // The first task, or null; the cursors before it are skipped.
  Task *first();
  Task *next(Task &p);
  // Linking only; `nr` and `seq` are kept, the task's own fields (dsq, dsq_seq, dsq_flags) too.
  void insert_fifo(Task &p, bool head);
  void insert_vtime(Task &p);
  void unlink(Task &p);  // p.dsq stays: the caller decides when p has left.

  const u64 key;  // Under which it is in the DsqTable, also when it is destroyed.
  machine::Racy<u64> id;
  machine::SpinLock lock;
  machine::Plain<DsqList> list{"a DSQ's list"};
  bi::multiset<Task, bi::member_hook<Task, SetHook, &Task::dsq_priq_node>, bi::compare<VtimeBefore>,
               bi::constant_time_size<false>>
      priq;
  machine::Shared<u32> nr{0};
  machine::Published<Task *> first_task;  // What first() gives, for who has no lock.
  machine::Racy<u32> seq;                 // Incremented at each insert; stored in p.scx.dsq_seq for iterators.
  ExtSched *sched = nullptr;
  Rq *rq = nullptr;                        // Of a local DSQ.
  const machine::SpinLock *guard = &lock;  // What must be held to change it: a local DSQ's is its rq's lock.
  u64 lock_text = 0;                       // The trace's text id of this lock, once it was waited for.

 private:
  void inserted(Task &p, bool at_front);
};

// What each switch does several times is inlined in its callers, who have a stack frame anyway: with explore mode's
// hooks in it, a function of its own would save registers for calls that run mode never makes.
inline Task *Dsq::first() {
  for (DsqNode &node : list.read())
    if (!node.is_cursor) return &task_of(node);
  return nullptr;
}

[[gnu::always_inline]] inline void Dsq::inserted(Task &p, bool at_front) {
  machine::change(seq, "a DSQ's seq", *guard, [](u32 old) { return old + 1; });
  p.ts.scx.dsq_seq = seq;
  nr.fetch_add(1);
  p.dsq = this;
  if (at_front || nr.racy() == 1) first_task = first();
}

[[gnu::always_inline]] inline void Dsq::insert_fifo(Task &p, bool head) {
  DsqList &nodes = list.write();
  if (head)
    nodes.push_front(p.dsq_node);
  else
    nodes.push_back(p.dsq_node);
  inserted(p, head);
}

[[gnu::always_inline]] inline void Dsq::unlink(Task &p) {
  DsqList &nodes = list.write();
  CHECK(p.dsq == this && nr.racy() > 0);
  // By its node: a program may have changed the vtime of a queued task, so the tree must not be searched.
  if (p.ts.scx.dsq_flags & SCX_TASK_DSQ_ON_PRIQ) {
    priq.erase(priq.iterator_to(p));
    p.ts.scx.dsq_flags &= ~SCX_TASK_DSQ_ON_PRIQ;
  }
  nodes.erase(nodes.iterator_to(p.dsq_node));
  nr.fetch_add(~0u);
  if (first_task.get() == &p) first_task = first();
}

// A walk over a DSQ that goes on where it was after the DSQ's lock was dropped, whatever happened to the tasks
// meanwhile. Everything with the lock held; finish() ends it.
class DsqWalk {
 public:
  explicit DsqWalk(Dsq &dsq) : dsq_(dsq) { dsq_.list.write().push_front(cursor_); }
  Task *next();  // Null: no more.
  void finish() { dsq_.list.write().erase(dsq_.list.racy().iterator_to(cursor_)); }

 private:
  Dsq &dsq_;
  DsqNode cursor_{{}, true};  // Stands behind the task that was given last.
};

// User DSQs by id: open addressing with linear probing, so that a lookup allocates nothing and order depends on ids
// only.
//
// Threading: find() from anywhere, without a lock, in an RCU read-side critical section. Changes take the table's lock;
// a table that has become too small is replaced, and the old one must outlive a grace period, as a removed DSQ must.
// Invariant: a slot that was once used is never empty again (it then holds a tombstone), so that a lookup may stop at
// the first empty one.
class DsqTable {
 public:
  ~DsqTable();
  Dsq *find(u64 id) const;
  // False if the id is there already. `replaced` is to be freed after a grace period.
  bool insert(std::unique_ptr<Dsq> dsq, std::shared_ptr<void> *replaced);
  std::unique_ptr<Dsq> remove(Dsq &dsq);  // Null if this very one is not there any more.
  size_t size() const { return count_; }

 private:
  using Slot = std::atomic<Dsq *>;  // Release when a DSQ comes, acquire in find().
  struct Slots {
    explicit Slots(size_t n) : mask(n - 1), slot(std::make_unique<Slot[]>(n)) {}
    const size_t mask;  // A power of two, minus one; at most half of the slots are used.
    size_t used = 0;    // With tombstones.
    std::unique_ptr<Slot[]> slot;
  };
  static size_t hash(u64 id) { return static_cast<size_t>((id * 0x9e3779b97f4a7c15ull) >> 32); }
  static Dsq *tombstone() { return reinterpret_cast<Dsq *>(alignof(Dsq)); }
  static Slot *slot_of(const Slots &slots, u64 id);  // Where it is, or the empty slot where it would go.
  std::unique_ptr<Slots> rebuilt() const;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "dsq_table"};
  machine::Published<Slots *> slots_;
  machine::Racy<size_t> count_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_DSQ_H_
