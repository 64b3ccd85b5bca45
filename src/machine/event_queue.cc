// SPDX-License-Identifier: GPL-2.0-only
#include "machine/event_queue.h"

#include "base/check.h"

namespace uscx::machine {
namespace {
constexpr u32 kArity = 4;
}  // namespace

SimEvent::~SimEvent() { CHECK(!queued(), "an event of CPU {} is destroyed while it is in the queue", cpu); }

EventQueue::~EventQueue() {
  for (Slot &slot : heap_) slot.event->heap_index = SimEvent::kNotQueued;
}

void EventQueue::schedule(SimEvent &event, u64 time_ns) { place(event, Slot{time_ns, next_seq_++, &event}); }

void EventQueue::defer_first(u64 time_ns) {
  CHECK(!heap_.empty() && time_ns >= heap_[0].time_ns);
  sift_down(0, Slot{time_ns, next_deferred_seq_++, heap_[0].event});
}

void EventQueue::place(SimEvent &event, Slot slot) {
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
  const u32 hole = event.heap_index;
  CHECK(heap_[hole].event == &event);
  event.heap_index = SimEvent::kNotQueued;
  const Slot last = heap_.back();
  heap_.pop_back();
  if (hole == heap_.size()) return;
  if (hole > 0 && before(last, heap_[(hole - 1) / kArity]))
    sift_up(hole, last);
  else
    sift_down(hole, last);
}

SimEvent &EventQueue::pop() {
  SimEvent &event = *heap_[0].event;
  event.heap_index = SimEvent::kNotQueued;
  const Slot last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) sift_down(0, last);
  return event;
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

void EventQueue::sift_down(u32 index, Slot slot) {
  const u32 size = static_cast<u32>(heap_.size());
  for (;;) {
    const u32 first_child = index * kArity + 1;
    if (first_child >= size) break;
    u32 least = first_child;
    const u32 end = first_child + kArity < size ? first_child + kArity : size;
    for (u32 child = first_child + 1; child < end; child++)
      if (before(heap_[child], heap_[least])) least = child;
    if (!before(heap_[least], slot)) break;
    heap_[index] = heap_[least];
    heap_[index].event->heap_index = index;
    index = least;
  }
  heap_[index] = slot;
  slot.event->heap_index = index;
}

}  // namespace uscx::machine
