// SPDX-License-Identifier: GPL-2.0-only
// Loading and unloading as a whole: memory that cannot be had, errors at each step, and that nothing is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <set>

#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {

namespace {

constexpr u64 kNsPerMs = 1000000;
constexpr u64 kQuietNs = 100 * kNsPerMs;  // All threads have ended, and all that waited for a grace period is freed.

// What a load may not leave behind.
struct Footing {
  explicit Footing(ExtMachine &m) {
    m.ext().settle();
    m.run_for(kQuietNs);
    live_bytes = m.ext().live_bytes();
    nr_tasks = m.kernel.nr_tasks();
    nr_schedulers = ExtInternal::impl(m.ext()).all.racy().size();
  }
  u64 live_bytes;
  u32 nr_tasks;
  size_t nr_schedulers;
  bool operator==(const Footing &) const = default;
};

// Reaches every allocation of a load.
struct ThoroughScheduler : TestScheduler {
  explicit ThoroughScheduler(ExtMachine &m) : TestScheduler("thorough", SCX_OPS_TID_TO_TASK) {
    on_init = [this, &m] { return m.ext().create_dsq(*Ext::sched_of(*this), 7, -1); };
    ready();
  }
};

int load_and_unload(ExtMachine &m, TestScheduler &s) {
  const int error = m.attach(s);
  if (!error) m.detach(s);
  return error;
}

}  // namespace

// The limits of the table and of DSQ ids: what is taken at each, and one beyond.
TEST(Life, LimitsAreTheKernels) {
  using Set = void (*)(OpsConfig & config, u64 value);
  const Set name = [](OpsConfig &c, u64 length) { c.name = std::string(length, 'n'); };
  const Set flags = [](OpsConfig &c, u64 value) { c.flags = value; };
  const Set batch = [](OpsConfig &c, u64 value) { c.dispatch_max_batch = static_cast<u32>(value); };
  const Set timeout = [](OpsConfig &c, u64 value) { c.timeout_ms = static_cast<u32>(value); };
  const Set dump = [](OpsConfig &c, u64 value) { c.exit_dump_len = static_cast<u32>(value); };
  const struct {
    const char *what;
    Set set;
    u64 limit;
    int at, beyond;
  } kLimits[] = {
      {"name, shortest", name, 0, -EINVAL, 0},
      {"name, longest", name, SCX_OPS_NAME_LEN - 1, 0, -EINVAL},
      {"flags", flags, SCX_OPS_ALL_FLAGS, 0, -EINVAL},
      {"dispatch_max_batch: 32 KiB of per-CPU memory", batch, 1015, 0, -ENOMEM},
      {"dispatch_max_batch, a round number", batch, 1023, -ENOMEM, -ENOMEM},
      {"dispatch_max_batch: INT_MAX", batch, INT_MAX, -ENOMEM, -E2BIG},
      {"timeout_ms: 30 s", timeout, 30000, 0, -E2BIG},
      {"exit_dump_len: what is used", dump, 1, 0, 0},
      {"exit_dump_len: INT_MAX, only beyond", dump, u64{INT_MAX} + 1, -ENOMEM, -ENOMEM},
  };
  ExtMachine m(2);
  for (const auto &limit : kLimits)
    for (u64 beyond : {0, 1}) {
      TestScheduler s("limits");
      limit.set(s.mutable_config(), limit.limit + beyond);
      EXPECT_EQ(load_and_unload(m, s.ready()), beyond ? limit.beyond : limit.at) << limit.what << " + " << beyond;
    }
  EXPECT_NE(std::find(m.log.begin(), m.log.end(), "illegal size (32800) or align (8) for percpu allocation"),
            m.log.end());
}

TEST(Life, LimitsOfDsqIdsAndNodesAreTheKernels) {
  ExtMachine m(machine::Topology::parse("2n:1l:1c:1t").take());
  const struct {
    u64 id;
    s32 node;
    s32 result;
  } kCases[] = {
      {0, -1, 0},
      {0, -1, -EEXIST},
      {~u64{0} >> 1, -1, 0},
      {u64{1} << 63, -1, -EINVAL},
      {SCX_DSQ_GLOBAL, -1, -EINVAL},
      {SCX_DSQ_LOCAL_ON, -1, -EINVAL},
      {1, -2, -EINVAL},
      {1, 1, 0},
      {2, 2, -EINVAL},
  };
  TestScheduler s;
  s.on_init = [&] {
    for (const auto &c : kCases)
      EXPECT_EQ(m.ext().create_dsq(*Ext::sched_of(s), c.id, c.node), c.result) << c.id << " on node " << c.node;
    return 0;
  };
  EXPECT_EQ(load_and_unload(m, s.ready()), 0);
}

TEST(Life, AFailedAllocationAnywhereRefusesTheLoadAndLeavesNothing) {
  constexpr u32 kNrCpus = 520;  // Large enough for the arrays of SCX_KICK_WAIT to be mappings of their own.
  ExtMachine m(machine::Topology::parse("2n:4l:65c:1t").take());
  ASSERT_EQ(m.kernel.nr_cpus(), kNrCpus);
  ThoroughScheduler s(m);
  AllocFaults &faults = m.ext().alloc_faults();
  faults.fail(AllocSite::enable_helper);
  EXPECT_EQ(m.attach(s), -ENOMEM);
  ASSERT_EQ(load_and_unload(m, s), 0);  // The enabling thread stays from here on.
  const Footing before(m);
  u32 sites = 0;
  for (u32 i = static_cast<u32>(AllocSite::kick_syncs); i < static_cast<u32>(AllocSite::count); i++) {
    const AllocSite site = static_cast<AllocSite>(i);
    const u64 seen = faults.seen(site);
    ASSERT_EQ(load_and_unload(m, s), 0);
    const u64 per_load = faults.seen(site) - seen;
    ASSERT_GT(per_load, 0u) << alloc_site_name(site);
    for (u64 nth : std::set<u64>{0, 1 % per_load, per_load / 2, per_load - 1}) {
      SCOPED_TRACE(fmt::format("{} {}", alloc_site_name(site), nth));
      sites++;
      faults.fail(site, nth);
      // What fails within ops.init() is the scheduler's exit: attaching has begun.
      EXPECT_EQ(load_and_unload(m, s), site == AllocSite::user_dsq ? 0 : -ENOMEM);
      if (site == AllocSite::user_dsq) {
        EXPECT_EQ(s.exit_msg, "ops.init() failed (-12)");
      }
      EXPECT_EQ(m.ext().state(), SCX_DISABLED);
      EXPECT_EQ(Ext::sched_of(s), nullptr);
      EXPECT_EQ(Footing(m), before);
      EXPECT_EQ(load_and_unload(m, s), 0);
      EXPECT_EQ(Footing(m), before);
    }
  }
  EXPECT_GT(sites, static_cast<u32>(AllocSite::count) - static_cast<u32>(AllocSite::kick_syncs));
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Life, UnloadingAllocatesNothing) {
  ExtMachine m(4);
  ThoroughScheduler s(m);
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(kNsPerMs);
  AllocFaults &faults = m.ext().alloc_faults();
  u64 seen[static_cast<u32>(AllocSite::count)];
  for (u32 i = 0; i < std::size(seen); i++) seen[i] = faults.seen(static_cast<AllocSite>(i));
  m.detach(s);
  m.run_for(kQuietNs);
  for (u32 i = 0; i < std::size(seen); i++)
    EXPECT_EQ(faults.seen(static_cast<AllocSite>(i)), seen[i]) << alloc_site_name(static_cast<AllocSite>(i));
}

// Each step of enabling that can fail, in order; what went before is undone.
TEST(Life, AnErrorAtEachStepOfEnablingIsUnwound) {
  struct Case {
    const char *text;
    std::function<void(TestScheduler &)> prepare;
    u32 kind;
    bool inited;
  };
  const Case cases[] = {
      {"ops.init() failed (-5)", [](TestScheduler &s) { s.on_init = [] { return -EIO; }; }, SCX_EXIT_ERROR, false},
      {"ops.init() returned an invalid errno 5", [](TestScheduler &s) { s.on_init = [] { return 5; }; }, SCX_EXIT_ERROR,
       false},
      {"expected hotplug seq", [](TestScheduler &s) { s.mutable_config().hotplug_seq = 1234; }, SCX_EXIT_UNREG_KERN,
       true},
      {"SCX_OPS_ENQ_LAST requires", [](TestScheduler &s) { s.mutable_config().flags = SCX_OPS_ENQ_LAST; },
       SCX_EXIT_ERROR, true},
      {"ops.init_task() failed (-12) for",
       [](TestScheduler &s) {
         s.on_init_task = [](Task &p, bool) { return p.comm() == std::string("odd") ? -12 : 0; };
       },
       SCX_EXIT_ERROR, true},
  };
  ExtMachine m(2);
  m.hog();
  m.spawn("odd", std::make_unique<Hog>());
  TestScheduler plain("plain");
  ASSERT_EQ(load_and_unload(m, plain.ready()), 0);
  const Footing before(m);
  for (const Case &c : cases) {
    SCOPED_TRACE(c.text);
    TestScheduler s("unlucky");
    s.on_init = [] { return 0; };
    c.prepare(s);
    EXPECT_EQ(m.attach(s.ready()), 0);
    EXPECT_EQ(s.exit_kind, c.kind);
    EXPECT_EQ(s.exit_msg.substr(0, std::string(c.text).size()), c.text);
    EXPECT_EQ((s.exit_flags & SCX_EFLAG_INITIALIZED) != 0, c.inited);
    EXPECT_EQ(m.ext().state(), SCX_DISABLED);
    for (const auto &[pid, life] : s.lives()) EXPECT_FALSE(life.inited || life.enabled) << pid;
    EXPECT_EQ(s.faults(), std::vector<std::string>());
    m.kernel.verify_all();
    m.detach(s);
    EXPECT_EQ(Footing(m), before);
  }
  EXPECT_EQ(load_and_unload(m, plain), 0);
}

// The core needs a thread of its own at an awkward time, and the scheduler says no.
TEST(Life, ASchedulerThatRefusesKernelThreadsDoesNotStopWork) {
  ExtMachine m(4);
  TestScheduler s("grudging");
  u32 refused = 0;
  s.on_init_task = [&](Task &p, bool fork) {
    const bool no = fork && p.is_kthread();
    refused += no;
    return no ? -EPERM : 0;
  };
  ASSERT_EQ(m.attach(s.ready()), 0);
  u32 done = 0;
  Work work;
  work.fn = [&](KthreadApi &) { done++; };
  for (u32 i = 0; i < 2; i++) {
    m.machine.run_on(2, [&] { m.kernel.works().queue_on(2, work); });
    m.run_for(kNsPerMs * 10);
  }
  EXPECT_EQ(done, 2u);
  EXPECT_EQ(refused, 2u);
  EXPECT_EQ(m.ext().last_exit(), nullptr);
  EXPECT_EQ(m.kernel.try_create_kthread("refused", [](KthreadApi &) {}), nullptr);
  m.detach(s);
  m.machine.run_on(2, [&] { m.kernel.works().queue_on(2, work); });
  m.run_for(kNsPerMs * 10);
  EXPECT_EQ(done, 3u);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Life, LoadsThatBeginWhileAnotherIsUnderWayAreRefusedOrWait) {
  ExtMachine m(2);
  TestScheduler a("a"), b("b");
  a.ready();
  b.ready();
  Ext::Load first(a), second(b);
  m.machine.run_on(0, [&] { m.ext().begin_attach(first); });
  m.machine.run_on(1, [&] { m.ext().begin_attach(second); });
  m.run_for(10 * kNsPerMs);
  ASSERT_TRUE(first.done.load_acquire() && second.done.load_acquire());
  EXPECT_EQ(first.result, 0);
  EXPECT_EQ(second.result, -EBUSY);
  m.machine.run_on(1, [&] { m.ext().begin_detach(a); });
  EXPECT_FALSE(m.ext().detached(a));
  m.run_for(100 * kNsPerMs);
  EXPECT_TRUE(m.ext().detached(a));
  m.machine.run_on(1, [&] { m.ext().release(a); });
  EXPECT_EQ(m.attach(b), 0);
  m.detach(b);
}

}  // namespace uscx::sched
