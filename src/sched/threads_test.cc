// SPDX-License-Identifier: GPL-2.0-only
// The core on the threaded machine, without sched_ext: what tasks do is really parallel here. Nothing is said about
// when something happens. The preset tsan runs these too.
#include <gtest/gtest.h>

#include <atomic>

#include "sched/native/machine.h"

namespace uscx::sched {
namespace {

constexpr u64 kUs = kNsPerUs;

struct Threads : testing::Test {
  TestMachine m{machine::Topology::flat(4), {}, 1000, true};
  // Until it is so, with the invariants checked whenever the machine stands still.
  void run_until_true(const std::function<bool()> &done) {
    m.machine.run_while(
        [&] {
          m.kernel.verify_all();
          return !done();
        },
        ~u64{0});
  }
  // Runs a little and sleeps a little, `rounds` times.
  Script::Fn worker(u32 rounds, std::atomic<u32> *done) {
    return [rounds, done, round = 0u](Kernel &, Task &) mutable {
      if (round == 2 * rounds) {
        ++*done;
        return Step::exit();
      }
      return round++ % 2 ? Step::sleep_until(machine::now_ns() + 50 * kUs) : Step::run(20 * kUs);
    };
  }
};

TEST_F(Threads, BootsAndStandsStill) {
  m.run_for(5 * kNsPerMs);
  m.kernel.verify_all();
  EXPECT_EQ(m.kernel.rcu().nr_callbacks(), 0u);
}

TEST_F(Threads, TasksRunSleepAndExit) {
  std::atomic<u32> done = 0;
  const u32 before = m.kernel.nr_tasks();
  for (u32 i = 0; i < 12; i++) m.script("worker", worker(20, &done));
  run_until_true([&] { return done == 12 && m.kernel.nr_tasks() == before; });
  run_until_true([&] { return m.kernel.rcu().nr_callbacks() == 0; });
}

TEST_F(Threads, HogsShareTheCpus) {
  std::vector<Task *> hogs;
  for (u32 i = 0; i < 8; i++) hogs.push_back(&m.hog());
  run_until_true([&] {
    return std::all_of(hogs.begin(), hogs.end(), [](Task *p) { return p->ts.se.sum_exec_runtime > 2 * kNsPerMs; });
  });
}

// Each wakes its partner and blocks; a lost wakeup ends the game.
TEST_F(Threads, PlayersWakeEachOther) {
  constexpr u32 kPairs = 4, kRounds = 200;
  struct Pair {
    std::atomic<Task *> players[2] = {};
    std::atomic<u32> turn = 0;
  } pairs[kPairs];
  std::atomic<u32> done = 0;
  for (Pair &pair : pairs)
    for (u32 side = 0; side < 2; side++)
      pair.players[side] = &m.script("player", [&pair, side, &done](Kernel &kernel, Task &) {
        const u32 turn = pair.turn;
        if (turn >= kRounds) {
          if (Task *other = pair.players[!side]) kernel.wake(*other);
          pair.players[side] = nullptr;
          done++;
          return Step::exit();
        }
        if (turn % 2 != side) return Step::block();
        pair.turn = turn + 1;
        if (Task *other = pair.players[!side]) kernel.wake(*other);
        return Step::run(kUs);
      });
  run_until_true([&] { return done == 2 * kPairs; });
}

TEST_F(Threads, ParentsForkAndChildrenExit) {
  std::atomic<u32> done = 0;
  constexpr u32 kParents = 4, kChildren = 25;
  const u32 before = m.kernel.nr_tasks();
  for (u32 i = 0; i < kParents; i++)
    m.script("parent", [this, &done, left = kChildren](Kernel &kernel, Task &self) mutable {
      if (left-- == 0) return Step::exit();
      kernel.create_task(TaskSpec{.comm = "child",
                                  .behavior = std::make_unique<Script>(worker(2, &done)),
                                  .parent = left % 2 ? &self : nullptr});
      return Step::run(10 * kUs);
    });
  run_until_true([&] { return done == kParents * kChildren && m.kernel.nr_tasks() == before; });
}

// Every property of tasks that run, sleep and wait is changed by others.
TEST_F(Threads, PropertiesChangeUnderWay) {
  constexpr u32 kTasks = 8, kChanges = 300;
  std::atomic<u32> done = 0, over = 0;
  std::vector<Task *> tasks;
  for (u32 i = 0; i < kTasks; i++) {
    tasks.push_back(&m.script("changed", [&over, round = 0](Kernel &, Task &) mutable {
      if (over) return Step::exit();
      return round++ % 3 ? Step::run(15 * kUs) : Step::sleep_until(machine::now_ns() + 30 * kUs);
    }));
    m.kernel.get_task(*tasks[i]);
  }
  for (u32 i = 0; i < 2; i++)
    m.script("changer", [this, &tasks, &done, i, n = 0u](Kernel &kernel, Task &) mutable {
      if (n++ == kChanges) {
        done++;
        return Step::exit();
      }
      Task &p = *tasks[(n * 7 + i) % kTasks];
      switch (n % 5) {
        case 0: kernel.set_user_nice(p, static_cast<int>(n % 40) - 20); break;
        case 1: kernel.set_cpus_allowed(p, m.mask({n % 4, (n / 5 + i) % 4})); break;
        case 2: kernel.set_scheduler(p, SCHED_FIFO, 1 + n % 9, 0); break;
        case 3: kernel.set_scheduler(p, n % 2 ? SCHED_NORMAL : SCHED_IDLE, 0, 0); break;
        default: kernel.set_cpus_allowed(p, m.machine.topology().all()); break;
      }
      return Step::run(5 * kUs);
    });
  run_until_true([&] { return done == 2; });
  over = 1;
  run_until_true([&] { return std::all_of(tasks.begin(), tasks.end(), [](Task *p) { return p->dead.get(); }); });
  m.machine.run_on(0, [&] {
    for (Task *p : tasks) m.kernel.put_task(*p);
  });
}

TEST_F(Threads, WorksRunAndAreWaitedFor) {
  const std::unique_ptr<KthreadWorker> owned = KthreadWorker::create(m.kernel, "worker", SCHED_FIFO, 10);
  KthreadWorker &worker = *owned;
  std::atomic<u32> ran = 0, synchronized = 0, flushed = 0;
  struct Job {
    Work work;
  } jobs[8];
  for (Job &job : jobs) job.work.fn = [&ran](KthreadApi &) { ran++; };
  for (u32 i = 0; i < 2; i++)
    m.kernel.create_kthread("user", [&, i](KthreadApi &self) {
      for (u32 n = 0; n < 4; n++) worker.queue(jobs[4 * i + n].work);
      worker.flush(self);
      flushed++;
      self.kernel().rcu().synchronize(self);
      synchronized++;
    });
  run_until_true([&] { return ran == 8 && flushed == 2 && synchronized == 2; });
}

}  // namespace
}  // namespace uscx::sched
