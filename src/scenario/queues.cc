// SPDX-License-Identifier: GPL-2.0-only
// Scenarios of queueing: who has a task, while it is taken away.
#include <algorithm>
#include <deque>
#include <map>

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

// Keeps waiting tasks in a queue of its own and hands them out in batches, over the shared DSQ. A task that runs must
// have been handed out since it was last queued.
struct QueueScheduler : sched::TestScheduler {
  QueueScheduler(sched::Ext &ext, u32 batch, machine::ExploreRun &run) : TestScheduler("queue") {
    on_init = [this, &ext] { return ext.create_dsq(*ext.sched_of(*this), kSharedDsq, -1); };
    on_enqueue = [this](Task &p, u64) {
      states[p.pid()].enqueues = p.ts.scx.ops_qseq;
      queue.push_back(&p);
    };
    on_dequeue = [this](Task &p, u64 deq_flags) {
      std::erase(queue, &p);
      // It goes on running; only what it may do has changed.
      if (deq_flags & SCX_DEQ_CORE_SCHED_EXEC) states[p.pid()].handed_out = states[p.pid()].enqueues;
    };
    on_dispatch = [this, &ext, batch](s32, Task *) {
      for (u32 i = 0; i < batch && !queue.empty(); i++) hand_out(ext);
      ext.dsq_move_to_local(*ext.sched_of(*this), kSharedDsq, 0);
    };
    on_running = [this, &run](Task &p) {
      const State &state = states[p.pid()];
      if (state.enqueues != state.handed_out)
        run.fail(machine::Failure::kScheduler,
                 fmt::format("{} [{}] runs, though it was queued {} times and handed out the {}th time", p.comm(),
                             p.pid(), state.enqueues, state.handed_out));
    };
  }
  void hand_out(sched::Ext &ext) {
    Task &p = *queue.front();
    queue.pop_front();
    ext.dsq_insert(*ext.sched_of(*this), p, kSharedDsq, kSliceNs, 0);
    // It may have been queued anew during the insert, which is then for that time, even if the callback has yet to say
    // so.
    states[p.pid()].handed_out = p.ts.scx.ops_qseq;
    for (int i = 0; i < 3; i++) machine::explore_point();  // A program looks at its maps.
  }
  struct State {  // The number of the last enqueue, and of the one that was answered last.
    u32 enqueues = 0, handed_out = 0;
  };
  std::map<int, State> states;
  std::deque<Task *> queue;
};

// Sends each waiting task to the next CPU, from whatever CPU dispatches.
struct SpreadScheduler : sched::TestScheduler {
  explicit SpreadScheduler(sched::Ext &ext) : TestScheduler("spread") {
    on_enqueue = [this](Task &p, u64) { queue.push_back(&p); };
    on_dequeue = [this](Task &p, u64) { std::erase(queue, &p); };
    on_dispatch = [this, &ext](s32, Task *) {
      if (queue.empty()) return;
      Task &p = *queue.front();
      queue.pop_front();
      const u32 cpu = p.ts.nr_cpus_allowed == 1 ? p.cpus->view().first() : turn++ % p.cpus->nr_cpus();
      ext.dsq_insert(*ext.sched_of(*this), p, SCX_DSQ_LOCAL_ON | cpu, kSliceNs, 0);
    };
  }
  std::deque<Task *> queue;
  u32 turn = 0;
};

// CPU 0 goes through the shared DSQ and moves what it finds there; the others just take the next task.
struct MoveScheduler : sched::TestScheduler {
  explicit MoveScheduler(sched::Ext &the_ext) : TestScheduler("move"), ext(the_ext) {
    on_init = [this] { return ext.create_dsq(self(), kSharedDsq, -1); };
    on_enqueue = [this](Task &p, u64 flags) { ext.dsq_insert(self(), p, kSharedDsq, kSliceNs, flags); };
    on_dispatch = [this](s32 cpu, Task *) {
      if (cpu == 0)
        move_some();
      else
        ext.dsq_move_to_local(self(), kSharedDsq, 0);
    };
  }
  void move_some() {
    alignas(8) bpf_iter_scx_dsq storage{};
    if (ext.iter_new(&self(), &storage, kSharedDsq, 0)) return;
    for (u32 i = 0; i < 2; i++) {
      Task *p = ext.iter_next(&storage);
      if (!p) break;
      for (int looks = 0; looks < 3; looks++) machine::explore_point();  // A program looks at its maps.
      ext.dsq_move(self(), &storage, *p, SCX_DSQ_LOCAL, 0, false);
    }
    ext.iter_destroy(&storage);
  }
  sched::ExtSched &self() { return *ext.sched_of(*this); }
  sched::Ext &ext;
};

}  // namespace

void run_fifo(machine::ExploreRun &run) {
  Stage stage(run, 3);
  FifoScheduler scheduler(stage.ext());
  stage.load(scheduler);
  Task *partner = nullptr;
  partner = &stage.script("sleeper",
                          [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::block() : Step::run(30000); });
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
  QueueScheduler scheduler(stage.ext(), 3, run);
  stage.load(scheduler);
  std::vector<Task *> tasks;
  for (int i = 0; i < 4; i++)
    tasks.push_back(&stage.script("work", [n = 0](Kernel &, Task &) mutable {
      n++;
      return n % 8 == 7 ? Step::sleep_until(machine::now_ns() + 10000) : n % 2 ? Step::yield() : Step::run(6000);
    }));
  stage.script("mover", [&stage, tasks, n = 0u](Kernel &kernel, Task &) mutable {
    n++;
    // One that waits: it may be about to be handed out.
    u32 which = n % 4;
    for (u32 i = 0; i < 4 && tasks[which]->ts.on_cpu; i++) which = (which + 1) % 4;
    kernel.set_cpus_allowed(*tasks[which], n % 2 ? stage.mask({n / 4 % 3}) : stage.mask({0, 1, 2}));
    return n % 5 ? Step::run(2000) : Step::yield();
  });
  stage.explore(scheduler, 400000);
}

void run_affinity(machine::ExploreRun &run) {
  Stage stage(run, 3);
  FifoScheduler scheduler(stage.ext());
  stage.load(scheduler);
  std::vector<Task *> tasks;
  for (int i = 0; i < 4; i++)
    tasks.push_back(
        &stage.script("work", [n = 0](Kernel &, Task &) mutable { return n++ % 2 ? Step::yield() : Step::run(6000); }));
  stage.script("mover", [&stage, tasks, n = 0u](Kernel &kernel, Task &) mutable {
    n++;
    const u32 cpu = n / 4 % 3;
    Task &p = *tasks[n % 4];
    kernel.set_cpus_allowed(p, n / 12 % 2 ? stage.mask({p.cpu}) : stage.mask({cpu, (cpu + 1) % 3}));
    return n % 3 ? Step::run(2000) : Step::yield();
  });
  stage.explore(scheduler, 500000);
}

// Properties of tasks change while they are sent from CPU to CPU.
void run_spread(machine::ExploreRun &run) {
  Stage stage(run, 3);
  SpreadScheduler scheduler(stage.ext());
  stage.load(scheduler);
  std::vector<Task *> tasks;
  for (int i = 0; i < 4; i++)
    tasks.push_back(&stage.script("work", [n = 0](Kernel &, Task &) mutable {
      return n++ % 4 == 3 ? Step::sleep_until(machine::now_ns() + 8000) : Step::run(20000);
    }));
  stage.script("nicer", [tasks, n = 0](Kernel &kernel, Task &) mutable {
    n++;
    kernel.set_user_nice(*tasks[static_cast<size_t>(n % 4)], n % 5);
    return Step::run(6000);
  });
  stage.explore(scheduler, 800000);
}

// Tasks that end as soon as they run are moved.
void run_moves(machine::ExploreRun &run) {
  Stage stage(run, 3);
  MoveScheduler scheduler(stage.ext());
  stage.load(scheduler);
  for (int i = 0; i < 2; i++)
    stage.script("parent", [&stage, n = 0](Kernel &, Task &) mutable {
      if (n++ % 3) return Step::run(3000);
      for (int child = 0; child < 3; child++) stage.script("child", [](Kernel &, Task &) { return Step::exit(); });
      return Step::yield();
    });
  stage.explore(scheduler, 150000);
}

// Two tasks wake each other in turn; each goes to sleep while the other wakes it.
void run_ping_pong(machine::ExploreRun &run) {
  Stage stage(run, 4);
  FifoScheduler scheduler(stage.ext());
  stage.load(scheduler);
  Task *players[2] = {};
  u32 turn = 0, rounds = 0;
  for (u32 i = 0; i < 2; i++) {
    players[i] = &stage.script("player", [&, i](Kernel &kernel, Task &) {
      if (turn != i) return Step::block();
      turn = 1 - i;
      rounds++;
      if (players[1 - i]) kernel.wake(*players[1 - i]);
      return Step::block();
    });
    stage.kernel.get_task(*players[i]);
  }
  stage.run_for(1000);
  stage.kernel.wake(*players[turn]);
  stage.script("noise", [](Kernel &, Task &) { return Step::run(12000); });
  const u32 before = rounds;
  stage.explore(scheduler, 500000);
  constexpr u32 kFewestRounds = 5;
  if (rounds - before < kFewestRounds)
    run.fail(machine::Failure::kScheduler, fmt::format("both players sleep after {} rounds", rounds - before));
}

// The scheduler hands out a task that may not run on the CPU that asks, again and again.
void run_ineligible(machine::ExploreRun &run) {
  Stage stage(run, 2);
  sched::Ext &ext = stage.ext();
  sched::TestScheduler scheduler("ineligible");
  std::deque<Task *> queue;
  scheduler.on_enqueue = [&](Task &p, u64) {
    if (std::find(queue.begin(), queue.end(), &p) == queue.end()) queue.push_back(&p);
  };
  scheduler.on_dispatch = [&](s32, Task *) {
    if (queue.empty()) return;
    Task &p = *queue.front();
    queue.pop_front();
    queue.push_back(&p);
    ext.dsq_insert(*ext.sched_of(scheduler), p, SCX_DSQ_GLOBAL, kSliceNs, 0);
  };
  stage.load(scheduler);
  const CpuMask first = stage.mask({0}), second = stage.mask({1});
  stage.hog(0, &second);
  stage.hog(0, &second);
  auto nap = [n = 0](Kernel &, Task &) mutable {
    return n++ % 2 ? Step::sleep_until(machine::now_ns() + 20000) : Step::run(10000);
  };
  stage.spawn("nap", std::make_unique<sched::Script>(nap), 0, &first);
  stage.explore(scheduler, 300000);
}

}  // namespace uscx::scenario
