// SPDX-License-Identifier: GPL-2.0-only
#include "machine/event_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <tuple>

#include "base/rng.h"

namespace uscx::machine {
namespace {

TEST(EventQueue, TieGoesToTheOneScheduledFirst) {
  EventQueue queue;
  SimEvent a, b, c;
  queue.schedule(a, 5);
  queue.schedule(b, 5);
  queue.schedule(c, 4);
  queue.schedule(a, 5);  // Scheduled again: now it comes after b.
  EXPECT_EQ(&queue.pop(), &c);
  EXPECT_EQ(&queue.pop(), &b);
  EXPECT_EQ(&queue.pop(), &a);
  EXPECT_TRUE(queue.empty());
}

TEST(EventQueue, DeferredComesBeforeOthersOfItsTime) {
  EventQueue queue;
  SimEvent late, a, b;
  queue.schedule(late, 10);
  queue.schedule(a, 1);
  queue.schedule(b, 2);
  queue.defer_first(10);
  queue.defer_first(10);
  EXPECT_EQ(&queue.pop(), &a);
  EXPECT_EQ(&queue.pop(), &b);
  EXPECT_EQ(&queue.pop(), &late);
}

TEST(EventQueue, IsEmptiedByItsDestruction) {
  SimEvent event;
  {
    EventQueue queue;
    queue.schedule(event, 1);
    EXPECT_TRUE(event.queued());
  }
  EXPECT_FALSE(event.queued());
}

// Random schedules, moves, cancels, deferrals and pops against a sorted map.
TEST(EventQueue, BehavesAsASortedMap) {
  struct Key {
    u64 time;
    bool native;
    u64 seq;
    bool operator<(const Key &o) const { return std::tie(time, native, seq) < std::tie(o.time, o.native, o.seq); }
  };
  for (u64 seed = 1; seed <= 20; seed++) {
    Rng rng(seed, "event_queue_test");
    std::deque<SimEvent> events(1 + rng.below(200));
    EventQueue queue;
    std::map<Key, SimEvent *> model;
    std::map<SimEvent *, Key> keys;
    u64 seq = 0;
    const auto drop = [&](SimEvent &event) {
      const auto found = keys.find(&event);
      if (found == keys.end()) return;
      model.erase(found->second);
      keys.erase(found);
    };
    const auto put = [&](SimEvent &event, u64 time, bool native) {
      drop(event);
      keys[&event] = Key{time, native, seq++};
      model[keys[&event]] = &event;
    };
    for (u32 round = 0; round < 5000; round++) {
      SimEvent &event = events[rng.below(events.size())];
      const u64 action = rng.below(8);
      if (action < 4) {
        const u64 time = rng.below(100);
        queue.schedule(event, time);
        put(event, time, true);
      } else if (action == 4) {
        queue.cancel(event);
        drop(event);
      } else if (!model.empty() && action == 5) {
        const u64 time = queue.next_time_ns() + rng.below(20);
        SimEvent &first = *model.begin()->second;
        queue.defer_first(time);
        put(first, time, false);
      } else if (!model.empty()) {
        SimEvent &first = *model.begin()->second;
        ASSERT_EQ(queue.next_time_ns(), model.begin()->first.time);
        ASSERT_EQ(&queue.pop(), &first);
        drop(first);
        ASSERT_FALSE(first.queued());
      }
      ASSERT_EQ(queue.size(), model.size());
      ASSERT_EQ(event.queued(), keys.count(&event) == 1);
      if (event.queued()) {
        ASSERT_EQ(queue.time_of(event), keys[&event].time);
      }
    }
  }
}

}  // namespace
}  // namespace uscx::machine
