// SPDX-License-Identifier: GPL-2.0-only
// What loading and unloading a scheduler costs on machines of several sizes: real time, the payload of the arrays
// behind SCX_KICK_WAIT, and the memory that this process has resident.
#include <unistd.h>

#include <cstdio>

#include "base/units.h"
#include "bench/timing.h"
#include "sched/native/scheduler.h"

namespace uscx::bench {
namespace {

constexpr double kMs = 1e3;

double resident_mib() {
  unsigned long long size = 0, resident = 0;
  std::FILE *file = std::fopen("/proc/self/statm", "r");
  CHECK(file && std::fscanf(file, "%llu %llu", &size, &resident) == 2, "/proc/self/statm cannot be read");
  std::fclose(file);
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

void measure(u32 nr_cpus) {
  sched::ExtMachine m(nr_cpus);
  sched::TestScheduler scheduler("loaded");
  scheduler.on_dispatch = [](s32, sched::Task *) {};
  scheduler.ready(false);
  m.run_for(kNsPerMs);
  const double before = resident_mib();
  const double load_s = seconds([&] { CHECK(m.attach(scheduler) == 0); });
  m.run_for(kNsPerMs);
  const u64 syncs = m.ext().kick_syncs_bytes();
  const double loaded = resident_mib();
  const double unload_s = seconds([&] { m.detach(scheduler); });
  m.ext().settle();
  m.run_for(100 * kNsPerMs);
  CHECK(m.ext().kick_syncs_bytes() == 0);
  std::printf("%6u %10.2f %10.2f %18llu %10.1f %10.1f %10.1f\n", nr_cpus, load_s * kMs, unload_s * kMs,
              static_cast<unsigned long long>(syncs), before, loaded, resident_mib());
}

}  // namespace
}  // namespace uscx::bench

int main() {
  std::printf("Loading a scheduler: real milliseconds, bytes of the arrays behind SCX_KICK_WAIT, resident MiB\n");
  std::printf("%6s %10s %10s %18s %10s %10s %10s\n", "CPUs", "load ms", "unload ms", "kick_syncs bytes", "before",
              "loaded", "after");
  for (const unsigned nr_cpus : {64u, 1024u, 8192u}) uscx::bench::measure(nr_cpus);
}
