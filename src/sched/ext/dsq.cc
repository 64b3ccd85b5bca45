// SPDX-License-Identifier: GPL-2.0-only
// The data structures of dispatch queues. What inserting means for a task is in enqueue.cc; locking is the caller's.
#include "sched/ext/dsq.h"

#include "sched/rq.h"

namespace uscx::sched {

// A DSQ is freed only when it is empty (reap() checks it), unless the whole machine is taken down; an iterator that a
// faulty program left behind may still stand in it.
Dsq::~Dsq() {
  priq.clear();
  list.clear();
}

u64 Dsq::trace_id() const { return rq ? SCX_DSQ_LOCAL_ON | rq->cpu : id; }

Task *Dsq::first() {
  machine::plain_read(&list, "a DSQ's list");
  for (DsqNode &node : list)
    if (!node.is_cursor) return &task_of(node);
  return nullptr;
}

Task *Dsq::next(Task &p) {
  for (auto it = std::next(list.iterator_to(p.dsq_node)); it != list.end(); ++it)
    if (!it->is_cursor) return &task_of(*it);
  return nullptr;
}

void Dsq::inserted(Task &p) {
  p.ts.scx.dsq_seq = ++seq;
  nr.store(nr.load() + 1);
  p.dsq = this;
}

void Dsq::insert_fifo(Task &p, bool head) {
  machine::plain_write(&list, "a DSQ's list");
  if (head)
    list.push_front(p.dsq_node);
  else
    list.push_back(p.dsq_node);
  inserted(p);
}

void Dsq::insert_vtime(Task &p) {
  machine::plain_write(&list, "a DSQ's list");
  auto at = priq.insert(p);  // After equal keys.
  if (at == priq.begin())
    list.push_front(p.dsq_node);
  else
    list.insert(std::next(list.iterator_to(std::prev(at)->dsq_node)), p.dsq_node);
  p.ts.scx.dsq_flags |= SCX_TASK_DSQ_ON_PRIQ;
  inserted(p);
}

void Dsq::unlink(Task &p) {
  machine::plain_write(&list, "a DSQ's list");
  CHECK(p.dsq == this && nr.load() > 0);
  // By its node: a program may have changed the vtime of a queued task, so the tree must not be searched.
  if (p.ts.scx.dsq_flags & SCX_TASK_DSQ_ON_PRIQ) {
    priq.erase(priq.iterator_to(p));
    p.ts.scx.dsq_flags &= ~SCX_TASK_DSQ_ON_PRIQ;
  }
  list.erase(list.iterator_to(p.dsq_node));
  nr.store(nr.load() - 1);
}

size_t DsqTable::slot_of(u64 id) const {
  size_t slot = hash(id) & (slots_.size() - 1);
  while (slots_[slot] && ids_[slot] != id) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

Dsq *DsqTable::find(u64 id) const { return slots_.empty() ? nullptr : slots_[slot_of(id)].get(); }

void DsqTable::grow() {
  std::vector<std::unique_ptr<Dsq>> old = std::move(slots_);
  std::vector<u64> old_ids = std::move(ids_);
  slots_ = std::vector<std::unique_ptr<Dsq>>(old.empty() ? 16 : old.size() * 2);
  ids_.assign(slots_.size(), 0);
  for (size_t i = 0; i < old.size(); i++) {
    if (!old[i]) continue;
    const size_t slot = slot_of(old_ids[i]);
    ids_[slot] = old_ids[i];
    slots_[slot] = std::move(old[i]);
  }
}

void DsqTable::insert(std::unique_ptr<Dsq> dsq) {
  if (2 * (count_ + 1) > slots_.size()) grow();
  const size_t slot = slot_of(dsq->id);
  CHECK(!slots_[slot]);
  ids_[slot] = dsq->id;
  slots_[slot] = std::move(dsq);
  count_++;
}

std::unique_ptr<Dsq> DsqTable::remove(u64 id) {
  if (slots_.empty()) return nullptr;
  size_t hole = slot_of(id);
  std::unique_ptr<Dsq> removed = std::move(slots_[hole]);
  if (!removed) return nullptr;
  count_--;
  // Close the gap: whoever probed past it moves up, so that a lookup may stop at the first free slot.
  const size_t mask = slots_.size() - 1;
  for (size_t i = (hole + 1) & mask; slots_[i]; i = (i + 1) & mask) {
    const size_t home = hash(ids_[i]) & mask;
    if (((i - home) & mask) < ((i - hole) & mask)) continue;
    slots_[hole] = std::move(slots_[i]);
    ids_[hole] = ids_[i];
    hole = i;
  }
  return removed;
}

}  // namespace uscx::sched
