// SPDX-License-Identifier: GPL-2.0-only
// The data structures of dispatch queues. What inserting means for a task is in enqueue.cc; locking is the caller's.
#include "sched/ext/dsq.h"

#include "sched/rq.h"

namespace uscx::sched {

// A DSQ is freed only when it is empty (reap() checks it), unless the whole machine is taken down; an iterator that a
// faulty program left behind may still stand in it.
Dsq::~Dsq() {
  priq.clear();
  list.racy().clear();
}

u64 Dsq::trace_id() const { return rq ? SCX_DSQ_LOCAL_ON | rq->cpu : id.get(); }

Task *Dsq::next(Task &p) {
  DsqList &nodes = list.read();
  for (auto it = std::next(nodes.iterator_to(p.dsq_node)); it != nodes.end(); ++it)
    if (!it->is_cursor) return &task_of(*it);
  return nullptr;
}

void Dsq::insert_vtime(Task &p) {
  DsqList &nodes = list.write();
  auto at = priq.insert(p);  // After equal keys.
  if (at == priq.begin())
    nodes.push_front(p.dsq_node);
  else
    nodes.insert(std::next(nodes.iterator_to(std::prev(at)->dsq_node)), p.dsq_node);
  p.ts.scx.dsq_flags |= SCX_TASK_DSQ_ON_PRIQ;
  inserted(p, at == priq.begin());
}

Task *DsqWalk::next() {
  DsqList &nodes = dsq_.list.write();
  auto it = std::next(nodes.iterator_to(cursor_));
  while (it != nodes.end() && it->is_cursor) ++it;
  if (it == nodes.end()) return nullptr;
  nodes.erase(nodes.iterator_to(cursor_));
  nodes.insert(std::next(it), cursor_);
  return &task_of(*it);
}

DsqTable::~DsqTable() {
  const std::unique_ptr<Slots> slots(slots_.get());
  for (size_t i = 0; slots && i <= slots->mask; i++) {
    Dsq *dsq = slots->slot[i].load(std::memory_order_relaxed);
    if (dsq != tombstone()) delete dsq;
  }
}

DsqTable::Slot *DsqTable::slot_of(const Slots &slots, u64 id) {
  for (size_t i = hash(id) & slots.mask;; i = (i + 1) & slots.mask) {
    const Dsq *dsq = slots.slot[i].load(std::memory_order_acquire);
    if (!dsq || (dsq != tombstone() && dsq->key == id)) return &slots.slot[i];
  }
}

Dsq *DsqTable::find(u64 id) const {
  const Slots *slots = slots_;
  return slots ? slot_of(*slots, id)->load(std::memory_order_acquire) : nullptr;
}

// The same DSQs, with room for more and without tombstones.
std::unique_ptr<DsqTable::Slots> DsqTable::rebuilt() const {
  constexpr size_t kFirstSize = 16;
  size_t size = kFirstSize;
  while (size < 4 * (count_ + 1)) size *= 2;
  auto slots = std::make_unique<Slots>(size);
  const Slots *old = slots_;
  for (size_t i = 0; old && i <= old->mask; i++) {
    Dsq *dsq = old->slot[i].load(std::memory_order_relaxed);
    if (!dsq || dsq == tombstone()) continue;
    slot_of(*slots, dsq->key)->store(dsq, std::memory_order_relaxed);
    slots->used++;
  }
  return slots;
}

bool DsqTable::insert(std::unique_ptr<Dsq> dsq, std::shared_ptr<void> *replaced) {
  machine::SpinGuard guard(lock_);
  Slots *slots = slots_;
  if (!slots || 2 * (slots->used + 1) > slots->mask + 1) {
    slots_ = rebuilt().release();
    *replaced = std::shared_ptr<Slots>(slots);
    slots = slots_;
  }
  Slot *slot = slot_of(*slots, dsq->key);
  if (slot->load(std::memory_order_relaxed)) return false;
  slot->store(dsq.release(), std::memory_order_release);
  slots->used++;
  count_.add(1);
  return true;
}

std::unique_ptr<Dsq> DsqTable::remove(Dsq &dsq) {
  machine::SpinGuard guard(lock_);
  Slot *slot = slot_of(*slots_, dsq.key);
  if (slot->load(std::memory_order_relaxed) != &dsq) return nullptr;
  slot->store(tombstone(), std::memory_order_relaxed);
  count_.sub(1);
  return std::unique_ptr<Dsq>(&dsq);
}

}  // namespace uscx::sched
