// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of loading, unloading and ending. Nothing may be left behind: memory, threads, descriptors.
#include <dirent.h>

#include <algorithm>
#include <cerrno>

#include "scenario/scenario.h"

namespace uscx::scenario {

using machine::Failure;
using sched::Ext;
using sched::Kernel;
using sched::KthreadApi;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kNsPerMs = 1000000;
constexpr u64 kLoaderPollNs = 4000;
constexpr u64 kLoadersLimitNs = 200 * kNsPerMs;

u32 open_descriptors() {
  u32 count = 0;
  DIR *folder = opendir("/proc/self/fd");
  CHECK(folder, "no /proc/self/fd");
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

// What is there when no scheduler is loaded and all has settled.
struct Footing {
  explicit Footing(Stage &stage) {
    stage.ext().settle();
    stage.run_for(100 * kNsPerMs);
    live_bytes = stage.ext().live_bytes();
    nr_tasks = stage.kernel.nr_tasks();
    descriptors = open_descriptors();
    callbacks = stage.kernel.rcu().nr_callbacks();
  }
  u64 live_bytes;
  u32 nr_tasks, descriptors;
  size_t callbacks;
  std::string text() const {
    return fmt::format("{} bytes, {} tasks, {} descriptors, {} callbacks", live_bytes, nr_tasks, descriptors,
                       callbacks);
  }
};

// The first load makes threads that stay.
Footing footing_after_a_load(Stage &stage, sched::TestScheduler &scheduler) {
  stage.load(scheduler);
  stage.detach(scheduler);
  return Footing(stage);
}

void expect_nothing_left(Stage &stage, const Footing &before) {
  const Footing after(stage);
  if (after.text() != before.text())
    stage.run.fail(Failure::kScheduler, fmt::format("before: {}; after: {}", before.text(), after.text()));
}

void expect_in_order(Stage &stage, const sched::TestScheduler &scheduler) {
  if (!scheduler.faults().empty())
    stage.run.fail(Failure::kScheduler, "callbacks out of order: " + scheduler.faults().front());
}

// A program that loads its scheduler, leaves it there for a moment, and unloads it.
struct Loader {
  sched::TestScheduler *scheduler;
  u32 rounds;
  u32 loads = 0;
  bool done = false;

  void round(Stage &stage, KthreadApi &self) {
    Ext::Load load(*scheduler);
    stage.ext().begin_attach(load);
    while (!load.done.load_acquire()) self.sleep(kLoaderPollNs);
    if (load.result == -EBUSY) return self.sleep(kLoaderPollNs);
    if (load.result) stage.run.fail(Failure::kScheduler, fmt::format("a load ends with {}", load.result));
    loads++;
    self.sleep(2 * kLoaderPollNs);
    stage.ext().begin_detach(*scheduler);
    while (!stage.ext().detached(*scheduler)) self.sleep(kLoaderPollNs);
    stage.ext().release(*scheduler);
    if (scheduler->exit_kind != SCX_EXIT_UNREG)
      stage.run.fail(Failure::kScheduler, "the scheduler was ejected: " + scheduler->exit_msg);
  }
  void start(Stage &stage) {
    stage.kernel.create_kthread("loader", [this, &stage](KthreadApi &self) {
      for (u32 i = 0; i < rounds; i++) round(stage, self);
      done = true;
    });
  }
};

// Tasks that come and go until `over`.
void add_restless_tasks(Stage &stage, const bool &over) {
  stage.script("parent", [&stage, &over, n = 0](Kernel &, Task &) mutable {
    if (over) return Step::exit();
    if (n++ % 3) return n % 2 ? Step::run(9000) : Step::yield();
    stage.script("child", [left = 2](Kernel &, Task &) mutable { return left-- ? Step::run(5000) : Step::exit(); });
    return Step::run(3000);
  });
  stage.script("work", [&over, n = 0](Kernel &, Task &) mutable {
    if (over) return Step::exit();
    if (n % 4 == 1) return n++, Step::yield();
    return n++ % 4 ? Step::run(12000) : Step::sleep_until(machine::now_ns() + 7000);
  });
}

void explore_loaders(Stage &stage, std::initializer_list<Loader *> loaders) {
  bool over = false;
  {
    machine::Explorer explorer(stage.machine, stage.run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    add_restless_tasks(stage, over);
    for (Loader *loader : loaders) loader->start(stage);
    const u64 limit_ns = stage.machine.loop_now_ns() + kLoadersLimitNs;
    auto done = [&] { return std::all_of(loaders.begin(), loaders.end(), [](Loader *l) { return l->done; }); };
    while (!done() && stage.machine.loop_now_ns() < limit_ns) stage.run_for(20000);
    if (!done()) stage.run.fail(Failure::kScheduler, "loading and unloading does not come to an end");
    over = true;
    stage.run_for(400000);
  }
  stage.kernel.verify_all();
}

}  // namespace

void run_reload(machine::ExploreRun &run) {
  Stage stage(run, 2);
  sched::TestScheduler scheduler("again");
  const Footing before = footing_after_a_load(stage, scheduler);
  Loader loader{&scheduler, kLoadsPerSchedule};
  explore_loaders(stage, {&loader});
  if (loader.loads != kLoadsPerSchedule) run.fail(Failure::kScheduler, fmt::format("{} loads", loader.loads));
  expect_in_order(stage, scheduler);
  expect_nothing_left(stage, before);
}

// Who comes second is refused.
void run_race_load(machine::ExploreRun &run) {
  Stage stage(run, 2);
  sched::TestScheduler first("first"), second("second");
  const Footing before = footing_after_a_load(stage, first);
  second.ready();
  Loader loaders[] = {{&first, kLoadsPerSchedule}, {&second, kLoadsPerSchedule}};
  explore_loaders(stage, {&loaders[0], &loaders[1]});
  if (loaders[0].loads + loaders[1].loads == 0) run.fail(Failure::kScheduler, "no load succeeds");
  expect_in_order(stage, first);
  expect_in_order(stage, second);
  expect_nothing_left(stage, before);
}

// Callbacks that take their time; the end comes in the middle of them.
void run_busy_unload(machine::ExploreRun &run) {
  Stage stage(run, 3);
  Ext &ext = stage.ext();
  sched::TestScheduler scheduler("busy");
  auto take_time = [] {
    for (int i = 0; i < 6; i++) machine::explore_point();
  };
  scheduler.on_select_cpu = [&](Task &, s32 prev_cpu, u64) { return take_time(), prev_cpu; };
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    take_time();
    ext.dsq_insert(*ext.sched_of(scheduler), p, SCX_DSQ_GLOBAL, 20000, flags);
    take_time();
  };
  scheduler.on_dispatch = [&](s32, Task *) { take_time(); };
  scheduler.on_running = [&](Task &) { take_time(); };
  scheduler.on_stopping = [&](Task &, bool) { take_time(); };
  const Footing before = footing_after_a_load(stage, scheduler);
  stage.load(scheduler);
  bool over = false;
  for (int i = 0; i < 4; i++)
    stage.script("work", [&over, n = 0](Kernel &, Task &) mutable {
      if (over) return Step::exit();
      return n++ % 3 ? Step::run(4000) : n % 2 ? Step::yield() : Step::sleep_until(machine::now_ns() + 5000);
    });
  {
    machine::Explorer explorer(stage.machine, run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    stage.run_for(60000);
    stage.detach(scheduler);
    over = true;
    stage.run_for(200000);
  }
  if (scheduler.exit_kind != SCX_EXIT_UNREG)
    run.fail(Failure::kScheduler, "the scheduler was ejected: " + scheduler.exit_msg);
  expect_in_order(stage, scheduler);
  expect_nothing_left(stage, before);
}

// Whoever is first decides why; the others change nothing.
void run_exit_race(machine::ExploreRun &run) {
  Stage stage(run, 3);
  Ext &ext = stage.ext();
  sched::TestScheduler scheduler("torn");
  bool armed = false;
  u32 exits = 0;
  auto leave = [&](s64 code) {
    if (armed && ext.sched_of(scheduler))
      ext.exit(*ext.sched_of(scheduler), SCX_EXIT_UNREG_BPF, code, fmt::format("{}", code));
  };
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    leave(1);
    ext.dsq_insert(*ext.sched_of(scheduler), p, SCX_DSQ_GLOBAL, 20000, flags);
  };
  scheduler.on_dispatch = [&](s32, Task *) { leave(2); };
  scheduler.on_running = [&](Task &) { leave(3); };
  scheduler.on_stopping = [&](Task &, bool) { leave(4); };
  scheduler.on_exit = [&](const scx_exit_info &info) {
    exits++;
    if (fmt::format("{}", info.exit_code) != info.msg)
      run.fail(Failure::kScheduler, fmt::format("exit code {} has the message {}", info.exit_code, info.msg));
  };
  stage.load(scheduler);
  for (int i = 0; i < 6; i++)
    stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 3 ? Step::run(4000) : Step::yield(); });
  stage.run_for(kNsPerMs);
  {
    machine::Explorer explorer(stage.machine, run);
    explorer.set_quiet_check([&] { stage.kernel.verify_all(); });
    armed = true;
    stage.run_for(300000);
  }
  if (exits != 1 || scheduler.exit_kind != SCX_EXIT_UNREG_BPF || ext.state() != SCX_DISABLED)
    run.fail(Failure::kScheduler,
             fmt::format("{} exits, of kind {}, state {}", exits, scheduler.exit_kind, ext.state()));
  expect_in_order(stage, scheduler);
  stage.detach(scheduler);
}

void run_watchdog(machine::ExploreRun &run) {
  constexpr u32 kTimeoutMs = 40;
  Stage stage(run, 2);
  Ext &ext = stage.ext();
  sched::TestScheduler scheduler("watched");
  scheduler.mutable_config().timeout_ms = kTimeoutMs;
  scheduler.on_enqueue = [&](Task &p, u64 flags) {
    ext.dsq_insert(*ext.sched_of(scheduler), p, SCX_DSQ_GLOBAL, kNsPerMs, flags);
  };
  stage.load(scheduler);
  stage.hog();
  stage.hog();
  stage.explore(scheduler, 4 * kTimeoutMs * kNsPerMs);
}

}  // namespace uscx::scenario
