// SPDX-License-Identifier: GPL-2.0-only
// The kernel's scx_flatcg and scx_pair, unmodified programs, judged by the trace: flatcg gives each group the share
// that the weights on its path say, and pair lets the two CPUs of a pair run one group at a time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "abi/scx.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

constexpr u64 kDurationNs = 10 * kNsPerSec;
constexpr u64 kWarmUpNs = 2 * kNsPerSec;

// What CPUs run, by control group.
class GroupWatch : public trace::Sink {
 public:
  explicit GroupWatch(u32 nr_cpus) : cpus_(nr_cpus) {}
  void on_event(const trace::Event &event, const trace::Tracer &tracer) override {
    using trace::EventType;
    if (event.type == EventType::cgroup_mkdir) paths[event.args[0]] = tracer.text_of(event.args[1]);
    if (event.type == EventType::cgroup_attach) group_of_[event.args[0]] = event.args[1];
    if (event.type == EventType::sched_switch) switched(event);
  }

  std::map<u64, std::string> paths;
  std::map<std::string, u64> ran_ns;  // From the end of the warm-up to the end of the run.
  // Of CPUs i and i + n/2: how long both have run groups, and how long two of them.
  u64 both_ns = 0, differing_ns = 0;

 private:
  static constexpr u64 kRootGroup = 1;
  struct Cpu {
    u64 pid = 0, group = 0, since_ns = 0;
  };

  void switched(const trace::Event &event) {
    Cpu &cpu = cpus_[event.cpu];
    Cpu &other = cpus_[(event.cpu + cpus_.size() / 2) % cpus_.size()];
    const u64 now = event.time_ns;
    if (now > kWarmUpNs && now <= kDurationNs) account(cpu, other, now);
    cpu = {event.args[2], group_of(event.args[2]), now};
  }
  u64 group_of(u64 pid) const {
    const auto it = group_of_.find(pid);
    return pid == 0 ? 0 : it == group_of_.end() ? kRootGroup : it->second;
  }
  void account(const Cpu &cpu, const Cpu &other, u64 now) {
    if (cpu.group > kRootGroup) ran_ns[paths[cpu.group]] += now - std::max(cpu.since_ns, kWarmUpNs);
    // What kernel threads of the root group do is short, and not the pair's subject.
    if (cpu.group <= kRootGroup || other.group <= kRootGroup) return;
    const u64 together_ns = now - std::max({cpu.since_ns, other.since_ns, kWarmUpNs});
    both_ns += together_ns;
    if (cpu.group != other.group) differing_ns += together_ns;
  }

  std::vector<Cpu> cpus_;
  std::map<u64, u64> group_of_;
};

std::string program(const char *name) { return std::string(TEST_PROGRAMS "/") + name; }

void run_program(const char *name, u32 cpus, const std::vector<std::string> &cgroups,
                 const std::vector<std::string> &workloads, GroupWatch *watch) {
  RunOptions options;
  options.scheduler = program(name);
  options.topology = machine::Topology::flat(cpus);
  options.duration_ns = kDurationNs;
  options.program_output_fd = STDERR_FILENO;
  for (const std::string &text : cgroups) options.cgroups.push_back(workload::parse_group(text).take());
  for (const std::string &text : workloads) options.workloads.push_back(workload::open_workload(text).take());
  options.hooks.sinks.push_back(watch);
  Result<RunResult> result = run(options);
  ASSERT_TRUE(result.ok()) << result.message();
  EXPECT_EQ(result->metrics->exit().kind, static_cast<u64>(SCX_EXIT_UNREG)) << result->metrics->exit().message;
}

TEST(Flatcg, SharesFollowTheWeightsOfAllLevels) {
  if (!std::filesystem::exists(program("scx_flatcg"))) GTEST_SKIP() << "`make programs` builds it";
  GroupWatch watch(4);
  // /a has 300 of 400, and its children share that 1:2.
  run_program("scx_flatcg", 4, {"/a:weight=300", "/a/x:weight=100", "/a/y:weight=200", "/b:weight=100"},
              {"hogs:tasks=8,cgroup=/a/x", "hogs:tasks=8,cgroup=/a/y", "hogs:tasks=8,cgroup=/b"}, &watch);
  u64 all_ns = 0;
  for (const auto &[path, ns] : watch.ran_ns) all_ns += ns;
  EXPECT_GT(all_ns, 4 * (kDurationNs - kWarmUpNs) * 95 / 100) << "the CPUs are busy";
  const std::map<std::string, double> expected = {{"/a/x", 25.0}, {"/a/y", 50.0}, {"/b", 25.0}};
  for (const auto &[path, share] : expected)
    EXPECT_NEAR(100.0 * static_cast<double>(watch.ran_ns[path]) / static_cast<double>(all_ns), share, 2.0) << path;
}

// One CPU starts on the next group when the other is not in its last one's tasks any more, or has only one that it
// keeps because ops.dispatch gave it nothing (SCX_EV_DISPATCH_KEEP_LAST): that one still runs for a moment. Without
// pairs the same tasks differ most of the time.
TEST(Pair, BothCpusOfAPairRunOneGroup) {
  if (!std::filesystem::exists(program("scx_pair"))) GTEST_SKIP() << "`make programs` builds it";
  const std::vector<std::string> groups = {"/a", "/b", "/c"};
  // Kernel threads are in the root group, which is none of the three.
  const std::vector<std::string> workloads = {"mixed:kworkers=3600s,cgroup=/a", "mixed:kworkers=3600s,cgroup=/b",
                                              "hogs:tasks=8,cgroup=/c"};
  GroupWatch paired(8), unpaired(8);
  run_program("scx_pair", 8, groups, workloads, &paired);
  run_program("scx_simple", 8, groups, workloads, &unpaired);
  EXPECT_GT(paired.both_ns, kDurationNs) << "of four pairs";
  EXPECT_EQ(paired.ran_ns.size(), 3u);
  EXPECT_LT(paired.differing_ns, paired.both_ns / 100);
  EXPECT_GT(unpaired.differing_ns, unpaired.both_ns / 4);
}

}  // namespace
}  // namespace uscx::cli
