// SPDX-License-Identifier: GPL-2.0-only
#include "trace/tracer.h"

#include <gtest/gtest.h>

#include <set>

namespace uscx::trace {
namespace {

TEST(Tracer, InfoComesFromTheTable) {
  EXPECT_STREQ(event_info(EventType::sched_switch).name, "sched_switch");
  EXPECT_STREQ(event_info(EventType::sched_switch).args[3], "prev_runnable");
  EXPECT_STREQ(event_info(EventType::task_exit).args[1], "_");
}

TEST(Tracer, TextIdsGrowFromOne) {
  Tracer tracer(1);
  EXPECT_EQ(tracer.text(""), 0u);
  EXPECT_EQ(tracer.text("a"), 1u);
  EXPECT_EQ(tracer.text("b"), 2u);
  EXPECT_EQ(tracer.text("a"), 1u);
  const std::string &kept = tracer.text_of(1);
  for (int i = 0; i < 1000; i++) tracer.text(std::to_string(i));
  EXPECT_EQ(kept, "a");
  EXPECT_EQ(tracer.text_of(0), "");
}

TEST(Tracer, HashTakesTheTextNotItsId) {
  Tracer a(1), b(1), c(1);
  b.text("something that was registered before");
  a.emit(EventType::log, 0, 5, a.text("hello"));
  b.emit(EventType::log, 0, 5, b.text("hello"));
  c.emit(EventType::log, 0, 5, c.text("hullo"));
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_NE(a.hash(), c.hash());
}

TEST(Tracer, HashDependsOnTheOrder) {
  Tracer a(1), b(1);
  a.emit(EventType::task_exit, 0, 5, 1);
  a.emit(EventType::task_exit, 0, 5, 2);
  b.emit(EventType::task_exit, 0, 5, 2);
  b.emit(EventType::task_exit, 0, 5, 1);
  EXPECT_NE(a.hash(), b.hash());
}

// Each field, each single bit of it, and each swap of two arguments gives another hash.
TEST(Tracer, HashDependsOnEveryBit) {
  std::set<u64> hashes;
  size_t nr_variants = 0;
  const auto add = [&](EventType type, u32 cpu, u64 time, u64 a0, u64 a1, u64 a2, u64 a3) {
    Tracer tracer(16);
    tracer.emit(type, cpu, time, a0, a1, a2, a3);
    hashes.insert(tracer.hash());
    nr_variants++;
  };
  const EventType type = EventType::dsq_insert;
  add(type, 0, 0, 0, 0, 0, 0);
  add(EventType::sched_switch, 0, 0, 0, 0, 0, 0);
  for (u32 cpu = 1; cpu < 16; cpu++) add(type, cpu, 0, 0, 0, 0, 0);
  for (u32 bit = 0; bit < 64; bit++) {
    const u64 value = u64{1} << bit;
    add(type, 0, value, 0, 0, 0, 0);
    add(type, 0, 0, value, 0, 0, 0);
    add(type, 0, 0, 0, value, 0, 0);
    add(type, 0, 0, 0, 0, value, 0);
    add(type, 0, 0, 0, 0, 0, value);
  }
  EXPECT_EQ(hashes.size(), nr_variants);
}

// The value is part of what a run promises: a change of it breaks every recorded trace_hash.
TEST(Tracer, HashIsTheSameEverywhere) {
  Tracer tracer(4);
  EXPECT_EQ(tracer.hash(), 0x4b94c92f673e703full);
  tracer.emit(EventType::task_new, 1, 1000, 42, tracer.text("hog"), static_cast<u64>(-5), 0);
  tracer.emit(EventType::sched_switch, 3, 2000, 0, 0, 42, 0);
  EXPECT_EQ(tracer.hash(), 0xc94fbcfdc3abe8b6ull);
}

TEST(Tracer, RecorderKeepsTheLastEvents) {
  Tracer tracer(2);
  tracer.emit(EventType::mark, 0, 1, 0, 1);
  EXPECT_TRUE(tracer.recent().empty());
  constexpr u64 kKept = 64;
  tracer.keep_recent(kKept);
  EXPECT_TRUE(tracer.recent().empty());
  for (u64 i = 0; i < kKept + 10; i++) tracer.emit(EventType::mark, 0, i, 0, i);
  tracer.emit(EventType::mark, 1, 7, 0, 99);
  const std::vector<Event> recent = tracer.recent();
  ASSERT_EQ(recent.size(), kKept);
  EXPECT_EQ(recent.front().time_ns, 11u);
  EXPECT_EQ(recent.back().cpu, 1u);
  EXPECT_EQ(recent.back().args[1], 99u);
}

TEST(Tracer, SinksSeeEveryEventInOrder) {
  struct Counter : Sink {
    std::string seen;
    void on_event(const Event &event, const Tracer &tracer) override {
      seen += tracer.text_of(event.args[0]) + std::to_string(event.cpu);
    }
  };
  Tracer tracer(2), silent(2);
  Counter one, two;
  tracer.add_sink(&one);
  tracer.add_sink(&two);
  for (Tracer *t : {&tracer, &silent}) {
    t->emit(EventType::log, 1, 1, t->text("x"));
    t->emit(EventType::log, 0, 1, t->text("y"));
  }
  EXPECT_EQ(one.seen, "x1y0");
  EXPECT_EQ(two.seen, one.seen);
  EXPECT_EQ(tracer.hash(), silent.hash());
  EXPECT_EQ(tracer.nr_events(), 2u);
}

}  // namespace
}  // namespace uscx::trace
