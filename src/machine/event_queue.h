// SPDX-License-Identifier: GPL-2.0-only
// The simulated machine's event queue: the future of the machine in virtual time. Events are ordered by time, and
// events of the same time by the sequence number of their scheduling, so that ties never depend on an address. An Event
// is embedded in its owner (a CPU's tick, a task's sleep timer) and is in the queue at most once; scheduling it again
// moves it. Deferred events, whose CPU was busy when they arrived, come before all other events of the same time, in
// the order in which they were deferred: they arrived earlier. Not synchronised.
#ifndef USCX_MACHINE_EVENT_QUEUE_H_
#define USCX_MACHINE_EVENT_QUEUE_H_

#include <cstddef>
#include <vector>

#include "base/types.h"
#include "machine/racy.h"

namespace uscx::machine {

struct SimEvent;
using SimEventFn = void (*)(SimEvent &event);

struct SimEvent {
  SimEventFn fn = nullptr;
  void *owner = nullptr;  // For fn's use.
  Racy<u32> cpu = 0;      // The CPU on which fn runs (see Machine).
  static constexpr u32 kNotQueued = ~0u;
  Racy<u32> heap_index = kNotQueued;  // Changed with the queue's lock held, on threads.
  Racy<u32> home = 0;                 // On threads: the CPU whose queue it is in, or was in last.
  bool queued() const { return heap_index != kNotQueued; }
  SimEvent() = default;
  SimEvent(SimEventFn f, void *o, u32 c) : fn(f), owner(o), cpu(c) {}
  SimEvent(const SimEvent &) = delete;
  SimEvent &operator=(const SimEvent &) = delete;
  ~SimEvent();  // CHECKs that it is not queued.
};

class EventQueue {
 public:
  EventQueue() = default;
  EventQueue(const EventQueue &) = delete;
  EventQueue &operator=(const EventQueue &) = delete;
  ~EventQueue();                                // What is still queued is then not queued; it does not fire.
  void schedule(SimEvent &event, u64 time_ns);  // Moves it if it is queued; it then gets a new sequence number.
  void cancel(SimEvent &event) {                // No-op if it is not queued, as most are.
    if (event.queued()) remove(event);
  }
  bool empty() const { return size() == 0; }
  u64 next_time_ns() const { return time_of_key(keys()[least()]); }
  u64 time_of(const SimEvent &event) const { return time_of_key(keys()[event.heap_index]); }
  SimEvent &first() const { return *events_[least()]; }
  // The first event of one CPU, or null. Walks over the queue: for explore mode.
  SimEvent *first_of(u32 cpu) const;
  SimEvent &pop();
  void rebind(u32 from_cpu, u32 to_cpu);  // Events of one CPU are another's from now on, at the same times.
  // Moves the first event to time_ns, which is not earlier, as a deferred one.
  void defer_first(u64 time_ns);
  size_t size() const { return end_ - kRoot - (hole_ ? 1 : 0); }

 private:
  // A 4-ary heap. The keys stand apart from what they belong to, and siblings in one cache line: a level costs one miss
  // and three comparisons without a branch. Keys behind the last one are the greatest, so that a family is always full.
  using Key = unsigned __int128;  // Time, then sequence number.
  static constexpr u32 kArity = 4;
  static constexpr u32 kRoot = 3;  // Families then start at multiples of four.
  static constexpr Key kNoKey = ~Key{0};
  struct alignas(64) Family {
    Key keys[kArity] = {kNoKey, kNoKey, kNoKey, kNoKey};
  };
  static Key make_key(u64 time_ns, u64 seq) { return Key{time_ns} << 64 | seq; }
  static u64 time_of_key(Key key) { return static_cast<u64>(key >> 64); }
  static u32 parent_of(u32 index) { return index / kArity + 2; }
  static u32 first_child_of(u32 index) { return (index - 2) * kArity; }
  Key *keys() { return families_.data()->keys; }
  const Key *keys() const { return families_.data()->keys; }
  void put(u32 index, Key key, SimEvent &event) {
    keys()[index] = key;
    events_[index] = &event;
    event.heap_index = index;
  }
  void place(SimEvent &event, Key key);
  void remove(SimEvent &event);
  // The index of the first event; the queue is not empty.
  u32 least() const { return hole_ ? least_child(kRoot) : kRoot; }
  u32 least_child(u32 index) const;
  void grow();
  void drop_last();
  void fill_hole();
  void sift_up(u32 index, Key key, SimEvent &event);
  void sift_down(u32 index, Key key, SimEvent &event);
  std::vector<Family> families_ = std::vector<Family>(2);
  std::vector<SimEvent *> events_ = std::vector<SimEvent *>(2 * kArity);  // By the same index.
  u32 end_ = kRoot;                                                       // Behind the last.
  // After pop() the root is a hole, until the next event is put there: what is handled usually schedules its like
  // again, and one descent then does for both.
  bool hole_ = false;
  u64 next_deferred_seq_ = 0;
  u64 next_seq_ = u64{1} << 63;  // Above all of the deferred ones.
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EVENT_QUEUE_H_
