// SPDX-License-Identifier: GPL-2.0-only
// The core on real threads, with schedulers loaded and unloaded while tasks do everything that tasks can do: nothing
// may fail, be reported by a sanitizer, or be left behind. USCX_TORTURE_ROUNDS sets how often.
#include <dirent.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include "load.h"
#include "sched/native/machine.h"
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
  u64 live_bytes, kick_syncs_bytes;
  size_t nr_callbacks;
  bool operator==(const Holdings &) const = default;
  friend void PrintTo(const Holdings &h, std::ostream *out) {
    *out << h.nr_tasks << " tasks, " << h.nr_files << " files, " << h.nr_threads << " threads, " << h.live_bytes
         << " live bytes, " << h.kick_syncs_bytes << " bytes of sequence arrays, " << h.nr_callbacks
         << " RCU callbacks";
  }
};

struct Torture : testing::Test {
  explicit Torture(u32 nr_cpus = 4) : m(machine::Topology::flat(nr_cpus), {}, 1000, true) {
    intern_all_masks();
    // Threads that are made once and stay.
    const auto scheduler = make_scheduler(Policy::fifo, m.kernel);
    CHECK(load(*scheduler) == 0);
    m.kernel.ext().detach(*scheduler);
  }
  // A mask that a task used once is kept: all are made now, so that live bytes say what loading leaves behind.
  void intern_all_masks() {
    const u32 nr_cpus = m.kernel.nr_cpus();
    for (u32 bits = 1; bits < 1u << nr_cpus; bits++) {
      machine::CpuMask mask(nr_cpus);
      for (u32 cpu = 0; cpu < nr_cpus; cpu++)
        if (bits >> cpu & 1) mask.set(cpu);
      m.kernel.mask_weight(m.kernel.intern_mask(mask));
      m.kernel.kernel_mask(m.kernel.intern_mask(mask));
    }
  }
  int load(TortureScheduler &scheduler) {
    const int error = m.kernel.ext().attach(scheduler);
    return error;
  }
  void run_until_true(const std::function<bool()> &done) {
    m.machine.run_while([&] { return !done(); }, ~u64{0});
    m.kernel.verify_all();
  }
  // What is held once there are so many tasks, and nothing changes any more: threads of the last unloading end one
  // after the other, and works follow grace periods.
  Holdings settled(u32 nr_tasks = 0) {
    Holdings last = look(nr_tasks);
    for (;;) {
      m.run_for(20 * kNsPerMs);
      const Holdings now = look(nr_tasks);
      if (now == last) return now;
      last = now;
    }
  }
  Holdings look(u32 nr_tasks) {
    m.kernel.ext().settle();
    run_until_true(
        [&] { return m.kernel.rcu().nr_callbacks() == 0 && (!nr_tasks || m.kernel.nr_tasks() == nr_tasks); });
    return {m.kernel.nr_tasks(),         nr_entries("/proc/self/fd"),       nr_entries("/proc/self/task"),
            m.kernel.ext().live_bytes(), m.kernel.ext().kick_syncs_bytes(), m.kernel.rcu().nr_callbacks()};
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

// A kernel thread that loads a scheduler again and again, and may be refused. What uses thread-local variables is not
// inlined into the code that suspends (machine/fiber.h).
class Loader {
 public:
  using Make = std::function<std::unique_ptr<TortureScheduler>()>;
  Loader(sched::Kernel &kernel, std::atomic<u32> &rounds_left, Make make)
      : kernel_(kernel), rounds_left_(rounds_left), make_(std::move(make)) {
    kernel_.create_kthread("loader", [this](sched::KthreadApi &self) { run(self); });
  }
  ~Loader() { CHECK(over()); }
  bool over() const { return over_.is_complete(); }
  u32 nr_won() const { return nr_won_; }
  u32 nr_refused() const { return nr_refused_; }

 private:
  void run(sched::KthreadApi &self) {
    while (begin()) {
      while (!loaded()) self.sleep(kLookNs);
      if (won()) {
        self.sleep(kLookNs);
        end();
        while (!ended()) self.sleep(kLookNs);
        release();
      }
    }
    over_.complete();
  }
  static constexpr u64 kLookNs = 50'000;
  [[gnu::noinline]] bool begin() {
    u32 left = rounds_left_;
    while (left && !rounds_left_.compare_exchange_weak(left, left - 1)) {
    }
    if (!left) return false;
    schedulers_.push_back(make_());
    load_ = std::make_unique<sched::Ext::Load>(*schedulers_.back());
    kernel_.ext().begin_attach(*load_);
    return true;
  }
  [[gnu::noinline]] bool loaded() { return load_->done.load_acquire(); }
  [[gnu::noinline]] bool won() {
    // A sub-scheduler finds none to be loaded below, or a place that is taken.
    const int result = load_->result;
    CHECK(result == 0 || result == -EBUSY || result == -ENODEV || result == -EOPNOTSUPP, "error {}", result);
    (load_->result ? nr_refused_ : nr_won_)++;
    return load_->result == 0;
  }
  [[gnu::noinline]] void end() { kernel_.ext().begin_detach(*schedulers_.back()); }
  [[gnu::noinline]] bool ended() { return kernel_.ext().detached(*schedulers_.back()); }
  [[gnu::noinline]] void release() {
    const TortureScheduler &scheduler = *schedulers_.back();
    kernel_.ext().release(*schedulers_.back());
    const bool in_order = scheduler.exit_kind() == SCX_EXIT_UNREG || scheduler.exit_kind() == SCX_EXIT_PARENT;
    CHECK(in_order, "exit kind {}: {}", scheduler.exit_kind(), scheduler.exit_msg());
  }

  sched::Kernel &kernel_;
  std::atomic<u32> &rounds_left_;
  const Make make_;
  std::unique_ptr<sched::Ext::Load> load_;
  std::vector<std::unique_ptr<TortureScheduler>> schedulers_;  // Until the end: their grace periods are over then.
  machine::Completion over_;
  u32 nr_won_ = 0, nr_refused_ = 0;
};

TEST_F(Torture, TwoLoadersRace) {
  const Holdings before = settled();
  std::atomic<u32> rounds_left = nr_rounds();
  auto make = [this](Policy policy) { return [this, policy] { return make_scheduler(policy, m.kernel); }; };
  Loader one(m.kernel, rounds_left, make(Policy::fifo)), other(m.kernel, rounds_left, make(Policy::kicks));
  {
    Load load(m.kernel);
    run_until_true([&] { return one.over() && other.over(); });
    load.stop();
    run_until_true([&] { return load.stopped(); });
  }
  EXPECT_GT(one.nr_won() + other.nr_won(), 0u);
  EXPECT_EQ(one.nr_won() + other.nr_won() + one.nr_refused() + other.nr_refused(), nr_rounds());
  EXPECT_EQ(settled(before.nr_tasks), before);
}

// Sub-schedulers of two groups, one below the other, come and go, while the root scheduler does so too.
TEST_F(Torture, SubSchedulersLoadAndUnload) {
  const Holdings before = settled();
  u32 nr_won = 0;
  {
    Load load(m.kernel);
    auto make = [this](const char *path) {
      return [this, path] { return make_tree_scheduler(m.kernel, m.kernel.cgroups().find(path)->id()); };
    };
    std::atomic<u32> rounds_left = nr_rounds() / 4;
    Loader child(m.kernel, rounds_left, make("/a")), grandchild(m.kernel, rounds_left, make("/a/b"));
    auto over = [&] { return child.over() && grandchild.over(); };
    while (!over()) one_load(Policy::tree, 5 * kNsPerMs);
    nr_won = child.nr_won() + grandchild.nr_won();
    load.stop();
    run_until_true([&] { return load.stopped(); });
    m.kernel.ext().settle();
  }
  EXPECT_GT(nr_won, 0u);
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
