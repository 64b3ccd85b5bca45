// SPDX-License-Identifier: GPL-2.0-only
// The built-in workloads: behaviors first, then one block a workload in the table.
#include "workload/builtins.h"

#include <algorithm>

#include "base/rng.h"
#include "machine/machine.h"
#include "workload/builtin_scripts.h"

namespace uscx::workload {
namespace {

using sched::Step;

// Computes without end. The chunk only bounds a step's length; ending one changes nothing.
class Hog final : public sched::Behavior {
 public:
  Step next(sched::Kernel &, sched::Task &) override { return Step::run(kMaxDurationNs); }
};

// Runs a little, sleeps, and so on, both around a mean. Its stream is its own, so that what others do, and in which
// order, does not change its draws.
class Interactive final : public sched::Behavior {
 public:
  Interactive(u64 run_ns, u64 sleep_ns, u64 jitter_percent, Rng rng)
      : run_ns_(run_ns), sleep_ns_(sleep_ns), jitter_percent_(jitter_percent), rng_(rng) {}
  Step next(sched::Kernel &, sched::Task &) override {
    if (!started_) {  // Spread over one sleep, so that the tasks do not start in step.
      started_ = true;
      return Step::sleep_until(machine::now_ns() + rng_.below(sleep_ns_) + kMinStepNs);
    }
    run_next_ = !run_next_;
    return run_next_ ? Step::run(draw(run_ns_)) : Step::sleep_until(machine::now_ns() + draw(sleep_ns_));
  }

 private:
  u64 draw(u64 mean_ns) {
    const u64 spread_ns = mean_ns / 100 * jitter_percent_;
    return std::max(kMinStepNs, rng_.between(mean_ns - std::min(spread_ns, mean_ns), mean_ns + spread_ns));
  }
  const u64 run_ns_, sleep_ns_, jitter_percent_;
  Rng rng_;
  bool started_ = false;
  bool run_next_ = false;
};

// Two tasks that pass a token: whoever has it works, gives it to the other with a wakeup, and blocks.
struct Pair {
  sched::Task *task[2] = {nullptr, nullptr};
  u32 holder = 0;
};
class Player final : public sched::Behavior {
 public:
  Player(std::shared_ptr<Pair> pair, u32 side, u64 work_ns, bool sync)
      : pair_(std::move(pair)), side_(side), work_ns_(work_ns), sync_(sync) {}
  Step next(sched::Kernel &kernel, sched::Task &self) override {
    pair_->task[side_] = &self;
    if (worked_) {
      worked_ = false;
      pair_->holder = 1 - side_;
      // A partner that has not come here yet will find the token by itself.
      if (sched::Task *partner = pair_->task[1 - side_]) kernel.wake(*partner, sync_ ? u64{sched::WF_SYNC} : 0);
    }
    if (pair_->holder != side_) return Step::block();
    worked_ = true;
    return Step::run(work_ns_);
  }

 private:
  const std::shared_ptr<Pair> pair_;
  const u32 side_;
  const u64 work_ns_;
  const bool sync_;
  bool worked_ = false;
};

Result<std::vector<PlannedTask>> plan_hogs(const Values &values, const Site &) {
  const std::vector<int> &nices = values.nices("nice");
  u32 count = static_cast<u32>(values.number("tasks"));
  if (count == 0) count = nices.size() > 1 ? static_cast<u32>(nices.size()) : 4;
  std::vector<PlannedTask> plan;
  for (u32 i = 0; i < count; i++)
    plan.push_back(
        {.comm = fmt::format("hog-{}", i), .nice = nices[i % nices.size()], .behavior = std::make_unique<Hog>()});
  return plan;
}

machine::CpuMask only(u32 cpu, u32 nr_cpus) {
  machine::CpuMask mask(nr_cpus);
  mask.set(cpu);
  return mask;
}

// What a worker of the kernel needs for what it does now and then: as in the reference traces of a real kernel, where
// some 8 kernel threads wake up a second and CPU, each for 20 to 40 us.
constexpr u64 kKworkerRunNs = 25 * kNsPerUs;

Result<std::vector<PlannedTask>> plan_mixed(const Values &values, const Site &site) {
  const u64 nr_hogs = values.number("hogs") ? values.number("hogs") : (site.nr_cpus + 1) / 2;
  const u64 nr_interactive = values.number("interactive") ? values.number("interactive") : site.nr_cpus * u64{4};
  std::vector<PlannedTask> plan;
  for (u32 i = 0; i < nr_hogs; i++)
    plan.push_back({.comm = fmt::format("hog-{}", i), .behavior = std::make_unique<Hog>()});
  for (u32 i = 0; i < nr_interactive; i++) {
    Rng rng(site.seed, fmt::format("workload.{}.mixed.interactive.{}", site.index, i));
    plan.push_back({.comm = fmt::format("inter-{}", i),
                    .behavior = std::make_unique<Interactive>(values.number("run"), values.number("sleep"),
                                                              values.number("jitter"), rng)});
  }
  for (u32 cpu = 0; cpu < site.nr_cpus; cpu++) {
    if (site.quiet.nr_cpus() && site.quiet.test(cpu)) continue;
    Rng rng(site.seed, fmt::format("workload.{}.mixed.kworker.{}", site.index, cpu));
    plan.push_back({.comm = fmt::format("kworker/{}:{}", cpu, site.index + 1),
                    .cpus = only(cpu, site.nr_cpus),
                    .kthread = true,
                    .behavior = std::make_unique<Interactive>(kKworkerRunNs, values.number("kworkers"),
                                                              values.number("jitter"), rng)});
  }
  return plan;
}

Result<std::vector<PlannedTask>> plan_pingpong(const Values &values, const Site &) {
  std::vector<PlannedTask> plan;
  for (u32 i = 0; i < values.number("pairs"); i++) {
    const auto pair = std::make_shared<Pair>();
    for (u32 side = 0; side < 2; side++)
      plan.push_back({.comm = fmt::format("{}-{}", side == 0 ? "ping" : "pong", i),
                      .behavior = std::make_unique<Player>(pair, side, values.number("work"), values.number("sync"))});
  }
  return plan;
}

constexpr s64 kMinStep = kMinStepNs, kHour = 3600 * s64{kNsPerSec};
using Kind = Parameter::Kind;
constexpr const char *kSimple = "simple", *kBenchmarks = "benchmarks", *kApplications = "applications",
                     *kStress = "stress";

}  // namespace

const Parameter kGroupParameter = {"cgroup", Parameter::Kind::kGroup,
                                   "",       0,
                                   0,        "path of the control group of its tasks, as in /a/b (default: the root)"};

const std::vector<Builtin> &builtins() {
  static const std::vector<Builtin> table = {
      {"hogs",
       kSimple,
       "Tasks that compute without end. No randomness.",
       {{"tasks", Kind::kCount, "", 1, kMaxTasks, "how many (default: 4, or one per nice value)"},
        {"nice", Kind::kNiceList, "0", -20, 19, "their nice values in turn, as in -5/0/5"},
        kGroupParameter},
       plan_hogs},
      {"mixed",
       kSimple,
       "Hogs, interactive tasks that run and sleep with seeded jitter, and each CPU's kworker.",
       {{"hogs", Kind::kCount, "", 1, kMaxTasks, "how many hogs (default: one per two CPUs)"},
        {"interactive", Kind::kCount, "", 1, kMaxTasks, "how many interactive tasks (default: four per CPU)"},
        {"run", Kind::kDuration, "1ms", kMinStep, kHour, "mean time an interactive task runs"},
        {"sleep", Kind::kDuration, "10ms", kMinStep, kHour, "mean time it then sleeps"},
        {"kworkers", Kind::kDuration, "200ms", kMinStep, kHour, "mean time a CPU's kworker sleeps"},
        {"jitter", Kind::kCount, "50", 0, 100, "percent by which all vary around their means"},
        kGroupParameter},
       plan_mixed},
      {"pingpong",
       kSimple,
       "Pairs of tasks that wake each other in turn. No randomness.",
       {{"pairs", Kind::kCount, "1", 1, kMaxTasks / 2, "how many pairs"},
        {"work", Kind::kDuration, "10us", kMinStep, kHour, "CPU time a turn takes"},
        {"sync", Kind::kCount, "1", 0, 1, "1: wake as a pipe does, about to sleep; 0: without that hint"},
        kGroupParameter},
       plan_pingpong},
      {"schbench",
       kBenchmarks,
       "Workers that a message thread wakes, then think and work; after Chris Mason's schbench.",
       {{"messages", Kind::kCount, "1", 1, 1000, "message threads"},
        {"workers", Kind::kCount, "", 1, kMaxTasks, "workers of each (default: CPUs / message threads)"},
        {"think", Kind::kDuration, "100us", 0, kHour, "sleep at the beginning of a request"},
        {"work", Kind::kTimes, "5ms", 0, 0, "CPU time of a request"},
        {"post", Kind::kDuration, "1us", kMinStep, kHour, "CPU time of a message thread for each wakeup"},
        kGroupParameter},
       plan_schbench},
      {"hackbench",
       kBenchmarks,
       "Groups of senders and receivers over sockets that hold a bounded number of messages. No randomness.",
       {{"groups", Kind::kCount, "1", 1, 1000, "groups"},
        {"pairs", Kind::kCount, "20", 1, 100, "senders, and receivers, of a group"},
        {"loops", Kind::kCount, "100", 1, 1000000, "messages of each sender to each receiver"},
        {"buffer", Kind::kCount, "277", 1, 1000000, "messages that a socket holds (212992 bytes, 768 each)"},
        {"work", Kind::kDuration, "1us", kMinStep, kHour, "CPU time to send or to receive one"},
        kGroupParameter},
       plan_hackbench},
      {"build",
       kBenchmarks,
       "make: a compiler for each unit, never more at once than there are jobs, then a linker.",
       {{"jobs", Kind::kCount, "", 1, 100000, "jobs at once (default: one per CPU)"},
        {"units", Kind::kCount, "1000", 1, kMaxTasks, "units to compile"},
        {"compile", Kind::kTimes, "lognormal:60ms/80", 0, 0, "CPU time of a unit"},
        {"read", Kind::kTimes, "exponential:2ms", 0, 0, "time it sleeps first, as for its files"},
        {"link", Kind::kDuration, "500ms", kMinStep, kHour, "CPU time of the linker"},
        kGroupParameter},
       plan_build},
      {"server",
       kApplications,
       "Requests at random times, whether its workers keep up or not (open loop).",
       {{"rate", Kind::kCount, "1000", 1, 10000000, "requests a second"},
        {"workers", Kind::kCount, "", 1, kMaxTasks, "worker threads (default: two per CPU)"},
        {"service", Kind::kTimes, "exponential:1ms", 0, 0, "CPU time of a request"},
        kGroupParameter},
       plan_server},
      {"game",
       kApplications,
       "A frame after the other with worker threads for pieces of it, and compilers in the background.",
       {{"fps", Kind::kCount, "60", 1, 1000, "frames a second"},
        {"prepare", Kind::kTimes, "lognormal:3ms/20", 0, 0, "CPU time before pieces are handed out"},
        {"workers", Kind::kCount, "", 1, 1000, "worker threads, a piece each (default: one per two CPUs)"},
        {"piece", Kind::kTimes, "lognormal:2ms/40", 0, 0, "CPU time of a piece"},
        {"draw", Kind::kTimes, "lognormal:3ms/20", 0, 0, "CPU time after the last piece"},
        {"compilers", Kind::kCount, "4", 0, kMaxTasks, "tasks that compute in the background"},
        {"nice", Kind::kNiceList, "0", -20, 19, "their nice value"},
        kGroupParameter},
       plan_game},
      {"forkstorm",
       kStress,
       "Processes that hardly live. No randomness but in their times.",
       {{"tasks", Kind::kCount, "1000000", 1, 100000000, "how many in all"},
        {"alive", Kind::kCount, "1000", 1, 500000, "the most at once"},
        {"makers", Kind::kCount, "", 1, 10000, "tasks that make them (default: one per CPU)"},
        {"run", Kind::kTimes, "20us", 0, 0, "CPU time of each"},
        kGroupParameter},
       plan_forkstorm},
  };
  return table;
}

}  // namespace uscx::workload
