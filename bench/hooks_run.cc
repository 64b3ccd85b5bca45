// SPDX-License-Identifier: GPL-2.0-only
// One measurement for hooks_bench, which runs two builds of it in turn: with explore mode's hooks in the core and with
// none. Prints the events per second of processor time of a machine in run mode: the difference is too small for the
// clock on the wall of a host that does other work.
#include <cstdio>
#include <ctime>

#include "base/units.h"
#include "sched/native/scheduler.h"

namespace uscx::bench {
namespace {

constexpr u32 kCpus = 16, kTasks = 48;
constexpr u64 kVirtualNs = 1500 * kNsPerMs;
constexpr u64 kSharedDsq = 7;

double run() {
  sched::ExtMachine m(kCpus);
  sched::Ext &ext = m.ext();
  sched::TestScheduler scheduler("fifo");
  auto self = [&]() -> sched::ExtSched & { return *ext.sched_of(scheduler); };
  scheduler.on_init = [&] { return ext.create_dsq(self(), kSharedDsq, -1); };
  scheduler.on_enqueue = [&](sched::Task &p, u64 flags) { ext.dsq_insert(self(), p, kSharedDsq, kNsPerMs, flags); };
  scheduler.on_dispatch = [&](s32, sched::Task *) { ext.dsq_move_to_local(self(), kSharedDsq, 0); };
  scheduler.ready(false);
  CHECK(m.attach(scheduler) == 0);
  for (u32 i = 0; i < kTasks; i++)
    m.script("work", [n = i](sched::Kernel &, sched::Task &) mutable {
      return n++ % 3 ? sched::Step::run(40000) : sched::Step::sleep_until(machine::now_ns() + 30000);
    });
  const u64 before = m.machine.nr_events();
  const std::clock_t start = std::clock();
  m.run_for(kVirtualNs);
  const double used_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  return static_cast<double>(m.machine.nr_events() - before) / used_s;
}

}  // namespace
}  // namespace uscx::bench

int main() { std::printf("%.0f\n", uscx::bench::run()); }
