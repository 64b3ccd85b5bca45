// SPDX-License-Identifier: GPL-2.0-only
// The core on real threads, with schedulers loaded and unloaded while tasks do everything that tasks can do: nothing
// may fail, be reported by a sanitizer, or be left behind. USCX_TORTURE_ROUNDS sets how often.
#include <dirent.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include "load.h"
#include "sched/test_machine.h"
#include "schedulers.h"

namespace uscx::torture {
namespace {

using sched::TestMachine;

u32 nr_rounds() {
  const char *text = std::getenv("USCX_TORTURE_ROUNDS");
  return text ? static_cast<u32>(std::atoi(text)) : 1000;
}

u32 nr_entries(const char *path) {
  DIR *dir = opendir(path);
  CHECK(dir, "{}", path);
  u32 count = 0;
  while (readdir(dir)) count++;
  closedir(dir);
  return count;
}

// What must be the same before and after.
struct Holdings {
  u32 nr_tasks, nr_files, nr_threads;
  u64 kick_syncs_bytes;
  size_t nr_callbacks;
  bool operator==(const Holdings &) const = default;
  friend void PrintTo(const Holdings &h, std::ostream *out) {
    *out << h.nr_tasks << " tasks, " << h.nr_files << " files, " << h.nr_threads << " threads, " << h.kick_syncs_bytes
         << " bytes of sequence arrays, " << h.nr_callbacks << " RCU callbacks";
  }
};

struct Torture : testing::Test {
  explicit Torture(u32 nr_cpus = 4) : m(machine::Topology::flat(nr_cpus), {}, 1000, true) {
    // Threads that are made once and stay.
    const auto scheduler = make_scheduler(Policy::fifo, m.kernel);
    CHECK(load(*scheduler) == 0);
    m.kernel.ext().detach(*scheduler);
  }
  int load(TortureScheduler &scheduler) {
    const int error = m.kernel.ext().attach(scheduler);
    return error;
  }
  void run_until_true(const std::function<bool()> &done) {
    m.machine.run_while([&] { return !done(); }, ~u64{0});
    m.kernel.verify_all();
  }
  // All that is under way has ended.
  Holdings settled(u32 nr_tasks) {
    m.kernel.ext().settle();
    run_until_true(
        [&] { return m.kernel.rcu().nr_callbacks() == 0 && (!nr_tasks || m.kernel.nr_tasks() == nr_tasks); });
    return {m.kernel.nr_tasks(), nr_entries("/proc/self/fd"), nr_entries("/proc/self/task"),
            m.kernel.ext().kick_syncs_bytes(), m.kernel.rcu().nr_callbacks()};
  }
  Holdings settled() {
    // Until nothing changes any more: threads of the last unloading end one after the other.
    Holdings last = settled(0);
    for (;;) {
      m.run_for(20 * kNsPerMs);
      const Holdings now = settled(0);
      if (now == last) return now;
      last = now;
    }
  }
  void one_load(Policy policy, u64 ns) {
    const auto scheduler = make_scheduler(policy, m.kernel);
    ASSERT_EQ(load(*scheduler), 0) << policy_name(policy);
    if (scheduler->ends_by_itself())
      run_until_true([&] { return m.kernel.ext().exit_of(*scheduler) != nullptr; });
    else
      m.run_for(ns);
    m.kernel.verify_all();
    m.kernel.ext().detach(*scheduler);
    if (scheduler->ends_by_itself()) {
      EXPECT_GE(scheduler->exit_kind(), SCX_EXIT_ERROR) << policy_name(policy);
    } else {
      EXPECT_EQ(scheduler->exit_kind(), SCX_EXIT_UNREG) << policy_name(policy) << ": " << scheduler->exit_msg();
    }
    run_until_true([&] { return m.kernel.rcu().nr_callbacks() == 0; });  // Nothing calls the scheduler any more.
  }
  TestMachine m;
};

struct TortureOf : Torture, testing::WithParamInterface<Policy> {};

TEST_P(TortureOf, RunsUnderLoad) {
  const Holdings before = settled();
  {
    Load load(m.kernel);
    for (u32 i = 0; i < 3; i++) one_load(GetParam(), 40 * kNsPerMs);
    load.stop();
    run_until_true([&] { return load.stopped(); });
    EXPECT_GT(load.nr_steps(), 100u);
  }
  EXPECT_EQ(settled(before.nr_tasks), before);
}

std::vector<Policy> all_policies() {
  std::vector<Policy> all;
  for (u32 i = 0; i < static_cast<u32>(Policy::count); i++) all.push_back(static_cast<Policy>(i));
  return all;
}
INSTANTIATE_TEST_SUITE_P(Policies, TortureOf, testing::ValuesIn(all_policies()),
                         [](const auto &info) { return policy_name(info.param); });

TEST_F(Torture, LoadsAndUnloads) {
  const Holdings before = settled();
  {
    Load load(m.kernel);
    for (u32 i = 0; i < nr_rounds(); i++) one_load(static_cast<Policy>(i % static_cast<u32>(Policy::lossy)), 300000);
    load.stop();
    run_until_true([&] { return load.stopped(); });
  }
  EXPECT_EQ(settled(before.nr_tasks), before);
}

struct WideTorture : Torture {
  WideTorture() : Torture(8) {}
};

TEST_F(WideTorture, EightCpus) {
  const Holdings before = settled();
  {
    Load load(m.kernel);
    for (u32 i = 0; i < 2 * static_cast<u32>(Policy::count); i++)
      one_load(static_cast<Policy>(i % static_cast<u32>(Policy::count)), 10 * kNsPerMs);
    load.stop();
    run_until_true([&] { return load.stopped(); });
  }
  EXPECT_EQ(settled(before.nr_tasks), before);
}

}  // namespace
}  // namespace uscx::torture
