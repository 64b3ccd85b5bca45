// SPDX-License-Identifier: GPL-2.0-only
#include "machine/event_queue.h"

#include <algorithm>

#include "base/check.h"

namespace uscx::machine {
namespace {
constexpr u32 kArity = 4;
}  // namespace

SimEvent::~SimEvent() { CHECK(!queued(), "an event of CPU {} is destroyed while it is in the queue", cpu); }

EventQueue::~EventQueue() {
  fill_hole();
  for (Slot &slot : heap_) slot.event->heap_index = SimEvent::kNotQueued;
}

void EventQueue::schedule(SimEvent &event, u64 time_ns) { place(event, Slot{time_ns, next_seq_++, &event}); }

void EventQueue::defer_first(u64 time_ns) {
  fill_hole();
  CHECK(!heap_.empty() && time_ns >= heap_[0].time_ns);
  sift_down(0, Slot{time_ns, next_deferred_seq_++, heap_[0].event});
}

SimEvent *EventQueue::first_of(u32 cpu) const {
  const Slot *best = nullptr;
  for (size_t i = hole_ ? 1 : 0; i < heap_.size(); i++)
    if (heap_[i].event->cpu == cpu && (!best || before(heap_[i], *best))) best = &heap_[i];
  return best ? best->event : nullptr;
}

void EventQueue::place(SimEvent &event, Slot slot) {
  if (!event.queued() && hole_) {
    hole_ = false;
    sift_down(0, slot);
    return;
  }
  fill_hole();
  if (!event.queued()) {
    heap_.emplace_back();
    sift_up(static_cast<u32>(heap_.size() - 1), slot);
  } else if (before(slot, heap_[event.heap_index])) {
    sift_up(event.heap_index, slot);
  } else {
    sift_down(event.heap_index, slot);
  }
}

void EventQueue::cancel(SimEvent &event) {
  if (!event.queued()) return;
  fill_hole();
  const u32 index = event.heap_index;
  CHECK(heap_[index].event == &event);
  event.heap_index = SimEvent::kNotQueued;
  const Slot last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  if (index > 0 && before(last, heap_[(index - 1) / kArity]))
    sift_up(index, last);
  else
    sift_down(index, last);
}

SimEvent &EventQueue::pop() {
  fill_hole();
  SimEvent &event = *heap_[0].event;
  event.heap_index = SimEvent::kNotQueued;
  hole_ = true;
  return event;
}

void EventQueue::fill_hole() {
  if (!hole_) return;
  hole_ = false;
  const Slot last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) sift_down(0, last);
}

void EventQueue::sift_up(u32 index, Slot slot) {
  while (index > 0) {
    const u32 parent = (index - 1) / kArity;
    if (!before(slot, heap_[parent])) break;
    heap_[index] = heap_[parent];
    heap_[index].event->heap_index = index;
    index = parent;
  }
  heap_[index] = slot;
  slot.event->heap_index = index;
}

u32 EventQueue::least_child(u32 index) const {
  const u32 first = index * kArity + 1;
  const u32 end = std::min<u32>(first + kArity, static_cast<u32>(heap_.size()));
  u32 least = first;
  for (u32 child = first + 1; child < end; child++)
    if (before(heap_[child], heap_[least])) least = child;
  return least;
}

void EventQueue::sift_down(u32 index, Slot slot) {
  const u32 size = static_cast<u32>(heap_.size());
  while (index * kArity + 1 < size) {
    const u32 least = least_child(index);
    if (!before(heap_[least], slot)) break;
    heap_[index] = heap_[least];
    heap_[index].event->heap_index = index;
    index = least;
  }
  heap_[index] = slot;
  slot.event->heap_index = index;
}

}  // namespace uscx::machine
