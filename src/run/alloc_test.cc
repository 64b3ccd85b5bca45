// SPDX-License-Identifier: GPL-2.0-only
// Memory that cannot be had while a BPF scheduler is loaded, at each place in turn: the load is refused with an error
// that says so, nothing is left, and the next load works.
#include <dirent.h>
#include <gtest/gtest.h>

#include <set>

#include "base/units.h"
#include "bridge/host.h"
#include "schedulers/user_half.h"

namespace uscx::cli {
namespace {

using machine::AllocFaults;
using machine::AllocSite;

constexpr u64 kQuietNs = 100 * kNsPerMs;

u32 open_descriptors() {
  u32 count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

struct Footing {
  explicit Footing(bridge::Host &host) {
    host.ext().settle();
    host.machine().run_until(host.machine().loop_now_ns() + kQuietNs);
    live_bytes = host.ext().live_bytes();
    tasks = host.kernel().nr_tasks();
    programs = host.system().programs().size();
    maps = host.system().maps().size();
    descriptors = open_descriptors();
  }
  u64 live_bytes;
  u32 tasks, descriptors;
  size_t programs, maps;
  bool operator==(const Footing &) const = default;
};

// What went wrong, or nothing.
std::string load_and_unload(bridge::Host &host) {
  const bpf::BpfSystem::Scope scope(host.system());
  schedulers::Environment environment;
  environment.kernel_btf = host.system().kernel_btf().parsed();
  environment.nr_possible_cpus = host.kernel().nr_cpus();
  auto object = schedulers::make_scx_simple()->open(environment);
  if (!object.ok()) return object.message();
  if (const Status status = (*object)->load(); !status.ok()) return status.message();
  if (const Status status = (*object)->attach(); !status.ok()) return status.message();
  host.machine().run_until(host.machine().loop_now_ns() + kNsPerMs);
  (*object)->detach();
  const sched::ExitRecord *exit = host.ext().last_exit();
  return exit->kind >= SCX_EXIT_ERROR ? exit->msg : "";
}

TEST(FailAlloc, EachPlaceOfALoad) {
  bridge::HostConfig config;
  config.machine.topology = machine::Topology::flat(6);
  auto created = bridge::Host::create(config);
  ASSERT_TRUE(created.ok()) << created.message();
  bridge::Host &host = **created;
  ASSERT_EQ(load_and_unload(host), "");  // Libraries and threads that stay.
  AllocFaults &faults = host.ext().alloc_faults();
  const Footing before(host);
  u64 seen[static_cast<u32>(AllocSite::count)], per_load[static_cast<u32>(AllocSite::count)];
  for (u32 i = 0; i < std::size(seen); i++) seen[i] = faults.seen(static_cast<AllocSite>(i));
  ASSERT_EQ(load_and_unload(host), "");
  for (u32 i = 0; i < std::size(seen); i++) per_load[i] = faults.seen(static_cast<AllocSite>(i)) - seen[i];
  ASSERT_EQ(Footing(host), before);
  for (u32 i = 0; i < std::size(seen); i++) {
    const AllocSite site = static_cast<AllocSite>(i);
    // The thread is there since the first load, and scx_simple does not look tasks up.
    if (site == AllocSite::enable_helper || site == AllocSite::tid_hash) continue;
    ASSERT_GT(per_load[i], 0u) << alloc_site_name(site);
    u32 refused = 0;
    for (u64 run = 0; run < 2 * per_load[i]; run++) {
      const u64 nth = run / 2;
      const bool lasts = run % 2;
      SCOPED_TRACE(fmt::format("{}:{}{}", alloc_site_name(site), nth + 1, lasts ? "+" : ""));
      faults.fail(site, nth, lasts);
      const std::string error = load_and_unload(host);
      faults.stop(site);
      // libbpf tries out what the kernel can do, and takes a failure for a no; and what has failed it loads once more,
      // to have a log.
      if (!error.empty()) {
        refused++;
        EXPECT_TRUE(error.find("Cannot allocate memory") != std::string::npos || error.find("-12") != std::string::npos)
            << error;
      }
      EXPECT_EQ(host.ext().state(), SCX_DISABLED);
      EXPECT_EQ(Footing(host), before);
    }
    EXPECT_GT(refused, 0u) << alloc_site_name(site);
    EXPECT_EQ(load_and_unload(host), "") << "after " << alloc_site_name(site);
  }
}

}  // namespace
}  // namespace uscx::cli
