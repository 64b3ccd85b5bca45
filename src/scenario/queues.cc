// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of queueing: who has a task, while it is taken away.
#include <algorithm>
#include <deque>

#include "scenario/scenario.h"

namespace uscx::scenario {

using machine::CpuMask;
using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kSharedDsq = 7;
constexpr u64 kSliceNs = 100000;

// One shared DSQ.
struct FifoScheduler : sched::TestScheduler {
  explicit FifoScheduler(sched::Ext &ext) : TestScheduler("fifo") {
    on_init = [this, &ext] { return ext.create_dsq(self(ext), kSharedDsq, -1); };
    on_enqueue = [this, &ext](Task &p, u64 flags) { ext.dsq_insert(self(ext), p, kSharedDsq, kSliceNs, flags); };
    on_dispatch = [this, &ext](s32, Task *) { ext.dsq_move_to_local(self(ext), kSharedDsq, 0); };
  }
  sched::ExtSched &self(sched::Ext &ext) { return *ext.sched_of(*this); }
};

// Sends each waiting task to a CPU of its choice, from whatever CPU dispatches, in batches.
struct QueueScheduler : sched::TestScheduler {
  explicit QueueScheduler(sched::Ext &ext, u32 batch) : TestScheduler("queue") {
    on_enqueue = [this](Task &p, u64) { queue.push_back(&p); };
    on_dequeue = [this](Task &p, u64) { std::erase(queue, &p); };
    on_dispatch = [this, &ext, batch](s32, Task *) {
      for (u32 i = 0; i < batch && !queue.empty(); i++) {
        Task &p = *queue.front();
        queue.pop_front();
        const CpuMask &allowed = *p.cpus;
        u32 cpu = allowed.view().next(turn++ % allowed.nr_cpus());
        if (cpu >= allowed.nr_cpus()) cpu = allowed.view().first();
        ext.dsq_insert(*ext.sched_of(*this), p, SCX_DSQ_LOCAL_ON | cpu, kSliceNs, 0);
      }
    };
  }
  std::deque<Task *> queue;
  u32 turn = 0;
};

}  // namespace

void run_fifo(machine::ExploreRun &run) {
  Stage stage(run, 3);
  FifoScheduler scheduler(stage.ext());
  stage.load(scheduler);
  Task *partner = nullptr;
  partner = &stage.script("sleeper", [n = 0](Kernel &, Task &) mutable {
    return n++ % 2 ? Step::block() : Step::run(30000);
  });
  stage.kernel.get_task(*partner);
  stage.script("waker", [partner, n = 0](Kernel &kernel, Task &) mutable {
    kernel.wake(*partner);
    return n++ % 3 ? Step::run(20000) : Step::yield();
  });
  stage.script("napper", [n = 0](Kernel &, Task &) mutable {
    return n++ % 2 ? Step::sleep_until(machine::now_ns() + 25000) : Step::run(15000);
  });
  stage.script("parent", [&stage, n = 0](Kernel &, Task &) mutable {
    if (n++ % 4) return Step::run(40000);
    stage.script("child", [left = 2](Kernel &, Task &) mutable { return left-- ? Step::run(10000) : Step::exit(); });
    return Step::run(5000);
  });
  stage.script("mover", [&stage, partner, n = 0u](Kernel &kernel, Task &) mutable {
    if (n++ % 2) return Step::run(35000);
    const u32 cpu = n / 2 % 3;
    kernel.set_cpus_allowed(*partner, stage.mask({cpu, (cpu + 1) % 3}));
    return Step::run(1000);
  });
  stage.explore(scheduler, 1000000);
}

void run_requeue(machine::ExploreRun &run) {
  Stage stage(run, 3);
  QueueScheduler scheduler(stage.ext(), 3);
  stage.load(scheduler);
  std::vector<Task *> tasks;
  for (int i = 0; i < 4; i++)
    tasks.push_back(&stage.script("work", [n = 0](Kernel &, Task &) mutable {
      return n++ % 4 == 3 ? Step::sleep_until(machine::now_ns() + 10000) : Step::run(25000);
    }));
  stage.script("mover", [&stage, tasks, n = 0u](Kernel &kernel, Task &) mutable {
    n++;
    kernel.set_cpus_allowed(*tasks[n % 4], stage.mask({n / 4 % 3}));
    return Step::run(7000);
  });
  stage.explore(scheduler, 1000000);
}

void run_affinity(machine::ExploreRun &run) {
  Stage stage(run, 2);
  FifoScheduler scheduler(stage.ext());
  stage.load(scheduler);
  std::vector<Task *> tasks;
  for (int i = 0; i < 3; i++)
    tasks.push_back(&stage.script("work", [](Kernel &, Task &) { return Step::run(30000); }));
  stage.script("mover", [&stage, tasks, n = 0u](Kernel &kernel, Task &) mutable {
    n++;
    Task &p = *tasks[n % 3];
    if (n / 3 % 2)
      kernel.set_cpus_allowed(p, stage.mask({n / 6 % 2}));
    else
      kernel.set_cpus_allowed(p, stage.mask({0, 1}));
    return Step::run(9000);
  });
  stage.explore(scheduler, 1000000);
}

}  // namespace uscx::scenario
