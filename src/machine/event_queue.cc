// SPDX-License-Identifier: GPL-2.0-only
#include "machine/event_queue.h"

#include "base/check.h"

namespace uscx::machine {

SimEvent::~SimEvent() { CHECK(!queued(), "an event of CPU {} is destroyed while it is in the queue", cpu); }

EventQueue::~EventQueue() {
  fill_hole();
  for (u32 index = kRoot; index < end_; index++) events_[index]->heap_index = SimEvent::kNotQueued;
}

void EventQueue::schedule(SimEvent &event, u64 time_ns) { place(event, make_key(time_ns, next_seq_++)); }

void EventQueue::defer_first(u64 time_ns) {
  fill_hole();
  CHECK(!empty() && time_ns >= next_time_ns());
  sift_down(kRoot, make_key(time_ns, next_deferred_seq_++), *events_[kRoot]);
}

SimEvent *EventQueue::first_of(u32 cpu) const {
  u32 best = 0;
  for (u32 index = hole_ ? kRoot + 1 : kRoot; index < end_; index++)
    if (events_[index]->cpu == cpu && (!best || keys()[index] < keys()[best])) best = index;
  return best ? events_[best] : nullptr;
}

void EventQueue::rebind(u32 from_cpu, u32 to_cpu) {
  fill_hole();
  for (u32 index = kRoot; index < end_; index++)
    if (events_[index]->cpu == from_cpu) events_[index]->cpu = to_cpu;
}

void EventQueue::place(SimEvent &event, Key key) {
  if (!event.queued() && hole_) {
    hole_ = false;
    sift_down(kRoot, key, event);
    return;
  }
  fill_hole();
  if (!event.queued()) {
    grow();
    sift_up(end_ - 1, key, event);
  } else if (key < keys()[event.heap_index]) {
    sift_up(event.heap_index, key, event);
  } else {
    sift_down(event.heap_index, key, event);
  }
}

void EventQueue::remove(SimEvent &event) {
  fill_hole();
  const u32 index = event.heap_index;
  CHECK(events_[index] == &event);
  event.heap_index = SimEvent::kNotQueued;
  const Key last_key = keys()[end_ - 1];
  SimEvent &last = *events_[end_ - 1];
  drop_last();
  if (index == end_) return;
  if (index > kRoot && last_key < keys()[parent_of(index)])
    sift_up(index, last_key, last);
  else
    sift_down(index, last_key, last);
}

SimEvent &EventQueue::pop() {
  fill_hole();
  SimEvent &event = *events_[kRoot];
  event.heap_index = SimEvent::kNotQueued;
  hole_ = true;
  return event;
}

// Opens the place behind the last one.
void EventQueue::grow() {
  const u32 index = end_++;
  if (index < events_.size()) return;
  families_.emplace_back();
  events_.resize(families_.size() * kArity);
}

void EventQueue::drop_last() { keys()[--end_] = kNoKey; }

void EventQueue::fill_hole() {
  if (!hole_) return;
  hole_ = false;
  const Key last_key = keys()[end_ - 1];
  SimEvent &last = *events_[end_ - 1];
  drop_last();
  if (end_ > kRoot) sift_down(kRoot, last_key, last);
}

void EventQueue::sift_up(u32 index, Key key, SimEvent &event) {
  while (index > kRoot) {
    const u32 parent = parent_of(index);
    if (key > keys()[parent]) break;
    put(index, keys()[parent], *events_[parent]);
    index = parent;
  }
  put(index, key, event);
}

u32 EventQueue::least_child(u32 index) const {
  const u32 first = first_child_of(index);
  const Key *family = keys() + first;
  const u32 left = family[1] < family[0] ? 1 : 0;
  const u32 right = family[3] < family[2] ? 3 : 2;
  return first + (family[right] < family[left] ? right : left);
}

void EventQueue::sift_down(u32 index, Key key, SimEvent &event) {
  while (first_child_of(index) < end_) {
    const u32 least = least_child(index);
    if (key < keys()[least]) break;
    put(index, keys()[least], *events_[least]);
    index = least;
  }
  put(index, key, event);
}

}  // namespace uscx::machine
