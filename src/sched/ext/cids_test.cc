// SPDX-License-Identifier: GPL-2.0-only
// Cids: their order, the scheduler's own order, and what speaks of them in the core.
#include "sched/ext/cids.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "sched/native/scheduler.h"

namespace uscx::sched {

namespace {

constexpr u64 kNsPerMs = 1000000;

Step run_and_sleep(Kernel &, Task &) {
  return machine::now_ns() / kNsPerMs % 2 ? Step::run(kNsPerMs) : Step::sleep_until(machine::now_ns() + kNsPerMs);
}

std::vector<s32> order_of(const Cids &cids) {
  std::vector<s32> cpus;
  for (u32 cid = 0; cid < cids.nr(); cid++) {
    cpus.push_back(cids.cpu_of(cid));
    EXPECT_EQ(cids.cid_of(static_cast<u32>(cpus.back())), static_cast<s32>(cid));
  }
  return cpus;
}

// Everything goes to one CPU, by its cid.
struct OneCid : TestScheduler {
  explicit OneCid(ExtMachine &machine) : TestScheduler("one_cid") {
    config_.cid_form = true;
    on_select_cpu = [](Task &, s32 prev_cpu, u64) { return prev_cpu; };
    on_enqueue = [this, &machine](Task &p, u64) {
      machine.ext().dsq_insert(*Ext::sched_of(*this), p,
                               p.nr_cpus_allowed() > 1 ? SCX_DSQ_LOCAL_ON | u64{cid} : u64{SCX_DSQ_LOCAL},
                               SCX_SLICE_DFL, 0);
    };
  }
  u32 cid = 0;
};

}  // namespace

TEST(Cids, FollowTheShape) {
  const machine::Topology topology = machine::Topology::parse("2n:1l:2c:2t").take();
  Cids cids(topology);
  EXPECT_FALSE(cids.built());
  EXPECT_EQ(cids.cid_of(3), -EINVAL);
  cids.build(topology.all());
  // CPUs 0 to 3 are first threads, 4 to 7 second ones; node 0 has 0, 1, 4, 5.
  EXPECT_EQ(order_of(cids), (std::vector<s32>{0, 4, 1, 5, 2, 6, 3, 7}));
  const scx_cid_topo t = cids.topo(7);
  EXPECT_EQ(t.core_cid, 6);
  EXPECT_EQ(t.core_idx, 3);
  EXPECT_EQ(t.llc_cid, 4);
  EXPECT_EQ(t.llc_idx, 1);
  EXPECT_EQ(t.node_cid, 4);
  EXPECT_EQ(t.node_idx, 1);
}

TEST(Cids, CpusThatAreOfflineComeLastWithoutAPlace) {
  const machine::Topology topology = machine::Topology::parse("2n:1l:2c:2t").take();
  Cids cids(topology);
  machine::CpuMask online = topology.all();
  online.clear(0);
  online.clear(5);
  cids.build(online);
  EXPECT_EQ(order_of(cids), (std::vector<s32>{4, 1, 2, 6, 3, 7, 0, 5}));
  EXPECT_EQ(cids.topo(1).core_cid, 1);
  EXPECT_EQ(cids.topo(5).node_cid, 2);
  EXPECT_EQ(cids.topo(6).node_cid, -1);
}

TEST(Cids, AnOrderOfOnesOwnIsAPermutation) {
  const machine::Topology topology = machine::Topology::flat(3);
  Cids cids(topology);
  cids.build(topology.all());
  const s32 twice[] = {0, 1, 1}, beyond[] = {0, 3, 1}, reversed[] = {2, 1, 0};
  EXPECT_EQ(cids.override_order(twice), "cid 1 assigned to multiple cpus");
  EXPECT_EQ(cids.override_order(beyond), "invalid cid 3");
  EXPECT_EQ(order_of(cids), (std::vector<s32>{0, 1, 2}));
  EXPECT_EQ(cids.topo(1).core_cid, 1);
  EXPECT_EQ(cids.override_order(reversed), "");
  EXPECT_EQ(order_of(cids), (std::vector<s32>{2, 1, 0}));
  EXPECT_EQ(cids.topo(1).core_cid, -1);
}

TEST(CidForm, LocalDsqsAreNamedByCid) {
  ExtMachine m(4);
  OneCid s(m);
  const s32 order[] = {3, 2, 1, 0};
  s.on_init = [&] { return m.ext().cid_override(*Ext::sched_of(s), order, sizeof(order)), 0; };
  s.ready();
  s.cid = 0;
  Task &p = m.script("sleeper", run_and_sleep);
  ASSERT_EQ(m.attach(s), 0);
  m.run_checked(20 * kNsPerMs);
  EXPECT_EQ(p.cpu, 3u);
  s.cid = 2;
  m.run_checked(20 * kNsPerMs);
  EXPECT_EQ(p.cpu, 1u);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, u32{SCX_EXIT_UNREG}) << s.exit_msg;
}

TEST(CidForm, WrongCidsAreErrors) {
  ExtMachine m(4);
  OneCid s(m);
  s.ready();
  s.cid = 4;
  m.script("sleeper", run_and_sleep);
  ASSERT_EQ(m.attach(s), 0);
  m.run_checked(20 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.exit_kind, u32{SCX_EXIT_ERROR});
  EXPECT_EQ(s.exit_msg, "invalid cid 4");
}

TEST(CidForm, AnOverrideOfTheWrongSizeIsAnError) {
  ExtMachine m(4);
  OneCid s(m);
  const s32 order[] = {3, 2, 1};
  s.on_init = [&] { return m.ext().cid_override(*Ext::sched_of(s), order, sizeof(order)), 0; };
  s.ready();
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.exit_msg, "scx_bpf_cid_override: expected 16 bytes, got 12");
  m.detach(s);
}

TEST(CidForm, OnlyItMayTakeSubSchedulers) {
  struct Parent : TestScheduler {
    Parent() : TestScheduler("parent") {
      implement(Op::sub_attach);
      ready();
    }
  };
  ExtMachine m(2);
  Parent s;
  ASSERT_EQ(m.attach(s), 0);
  EXPECT_EQ(s.exit_kind, u32{SCX_EXIT_ERROR});
  m.detach(s);
}

}  // namespace uscx::sched
