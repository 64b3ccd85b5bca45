// SPDX-License-Identifier: GPL-2.0-only
#include "load.h"

namespace uscx::torture {

using sched::Kernel;
using sched::Step;
using sched::Task;

namespace {

constexpr u64 kUs = 1000;

}  // namespace

// Counts itself as long as it is there.
class Load::Body final : public sched::Behavior {
 public:
  Body(Load &load, Fn fn) : load_(load), fn_(std::move(fn)) { load_.nr_left_++; }
  ~Body() override { load_.nr_left_--; }
  Step next(Kernel &kernel, Task &self) override {
    load_.nr_steps_.fetch_add(1, std::memory_order_relaxed);
    return load_.over_ ? Step::exit() : fn_(kernel, self);
  }

 private:
  Load &load_;
  Fn fn_;
};

Load::Load(Kernel &kernel) : kernel_(kernel), groups_(kernel) {
  add_workers();
  for (Pair &pair : pairs_) add_pair(pair);
  for (u32 i = 0; i < 2; i++) add_forker(i);
  for (u32 i = 0; i < 2; i++) add_changer(i);
  for (u32 i = 0; i < 2; i++) add_mover(i);
}

Load::~Load() {
  CHECK(stopped());
  kernel_.machine().run_on(0, [this] {
    for (Task *p : workers_) kernel_.put_task(*p);
    for (Pair &pair : pairs_)
      for (auto &player : pair.players) kernel_.put_task(*player.load());
  });
}

void Load::stop() {
  over_ = true;
  kernel_.machine().run_on(0, [this] {
    for (Pair &pair : pairs_)
      for (auto &player : pair.players) kernel_.wake(*player.load());
  });
}

Task &Load::spawn(const std::string &comm, Fn fn, Task *parent) {
  int error = 0;
  Task *p = kernel_.create_task(
      sched::TaskSpec{.comm = comm, .behavior = std::make_unique<Body>(*this, std::move(fn)), .parent = parent},
      &error);
  CHECK(p, "error {}", error);
  return *p;
}

// Run, sleep, yield, and now and then hold on to a CPU.
void Load::add_workers() {
  for (u32 i = 0; i < kWorkers; i++) {
    workers_[i] = &spawn(fmt::format("worker-{}", i), [i, n = 0u](Kernel &kernel, Task &self) mutable {
      n++;
      if (n % 16 == 5) kernel.migrate_disable(self);
      if (n % 16 == 9) kernel.migrate_enable(self);
      if (n % 11 == i) return Step::yield();
      return n % 3 ? Step::run((1 + i) * kUs) : Step::sleep_until(machine::now_ns() + (5 + 3 * i) * kUs);
    });
    kernel_.get_task(*workers_[i]);
  }
}

void Load::add_pair(Pair &pair) {
  for (u32 side = 0; side < 2; side++) {
    pair.players[side] = &spawn("player", [&pair, side](Kernel &kernel, Task &) {
      const u32 turn = pair.turn;
      if (turn % 2 != side) return Step::block();
      pair.turn = turn + 1;
      if (Task *other = pair.players[!side]) kernel.wake(*other);
      return Step::run(kUs);
    });
    kernel_.get_task(*pair.players[side].load());
  }
}

void Load::add_forker(u32 index) {
  spawn(fmt::format("forker-{}", index), [this, n = 0u](Kernel &, Task &self) mutable {
    if (n++ % 2) return Step::sleep_until(machine::now_ns() + 40 * kUs);
    auto child = [left = 3u](Kernel &, Task &) mutable {
      return left-- ? (left % 2 ? Step::run(2 * kUs) : Step::sleep_until(machine::now_ns() + 40 * kUs)) : Step::exit();
    };
    // A scheduler that is being ejected may refuse it.
    int error = 0;
    kernel_.create_task(sched::TaskSpec{.comm = "child",
                                        .behavior = std::make_unique<Body>(*this, child),
                                        .parent = n % 4 == 1 ? &self : nullptr,
                                        .cgroup = groups_.pick(n / 2)},
                        &error);
    return Step::run(2 * kUs);
  });
}

void Load::change(Task &p, u32 n) {
  const u32 nr_cpus = kernel_.nr_cpus();
  machine::CpuMask mask(nr_cpus);
  switch (n % 8) {
    case 0: kernel_.set_user_nice(p, static_cast<int>(n % 40) - 20); break;
    case 1:
      mask.set(n % nr_cpus);
      mask.set((n / 8) % nr_cpus);
      kernel_.set_cpus_allowed(p, mask);
      break;
    case 3: kernel_.set_scheduler(p, SCHED_FIFO, 1 + n % 9, 0); break;
    case 4: kernel_.set_scheduler(p, SCHED_NORMAL, 0, 0); break;
    case 5: kernel_.set_scheduler(p, n % 16 == 5 ? SCHED_EXT : SCHED_BATCH, 0, 5); break;
    case 6: kernel_.set_scheduler(p, SCHED_NORMAL, 0, -5); break;
    default: kernel_.set_cpus_allowed(p, kernel_.machine().topology().all()); break;
  }
}

void Load::add_changer(u32 index) {
  spawn(fmt::format("changer-{}", index), [this, n = index](Kernel &, Task &) mutable {
    n += 2;
    if (n % 4 < 2) return Step::sleep_until(machine::now_ns() + 40 * kUs);
    change(*workers_[(n * 7 / 2) % kWorkers], n / 2);
    return Step::run(2 * kUs);
  });
}

void Load::add_mover(u32 index) {
  spawn(fmt::format("mover-{}", index), [this, n = index](Kernel &, Task &) mutable {
    n += 2;
    if (n % 4 < 2) return Step::sleep_until(machine::now_ns() + 40 * kUs);
    groups_.change(*workers_[(n * 5 / 2) % kWorkers], n * 11 / 2);
    return Step::run(2 * kUs);
  });
}

}  // namespace uscx::torture
