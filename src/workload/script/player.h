// SPDX-License-Identifier: GPL-2.0-only
// For tests: plays one task of a script on a machine of its own, where every step takes exactly its time.
#ifndef USCX_WORKLOAD_SCRIPT_PLAYER_H_
#define USCX_WORKLOAD_SCRIPT_PLAYER_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "machine/machine.h"
#include "workload/workload.h"

namespace uscx::workload {

inline std::string text_of(const sched::Step &step) {
  using sched::Step;
  switch (step.kind) {
    case Step::Kind::kRun: return "run " + format_duration(step.ns);
    case Step::Kind::kSleepUntil: return "sleep until " + format_duration(step.ns);
    case Step::Kind::kBlock: return "block";
    case Step::Kind::kYield: return "yield";
    case Step::Kind::kExit: return "exit";
  }
  return "?";
}

// Plays a task on a machine of its own: every step takes exactly its time. Behaviors of scripts never touch the kernel
// or the task, so what stands for those here is never looked at.
class Player {
 public:
  explicit Player(std::string_view json, size_t task = 0, u64 start_ns = 0) : now_ns_(start_ns) {
    auto workload = parse_workload(json, "test.json");
    EXPECT_TRUE(workload.ok()) << (workload.ok() ? "" : workload.message());
    auto plan = (*workload)->plan({.nr_cpus = 4});
    EXPECT_TRUE(plan.ok());
    behavior_ = std::move((*plan)[task].behavior);
  }
  // `late_ns` passes in addition, as if the CPU had been busy.
  std::string next(u64 late_ns = 0) {
    machine::exec().now_ns = now_ns_;
    const sched::Step step =
        behavior_->next(reinterpret_cast<sched::Kernel &>(unused_), reinterpret_cast<sched::Task &>(unused_));
    if (step.kind == sched::Step::Kind::kRun) now_ns_ += step.ns;
    if (step.kind == sched::Step::Kind::kSleepUntil) now_ns_ = step.ns;
    now_ns_ += late_ns;
    return text_of(step);
  }
  std::vector<std::string> all(size_t limit) {
    std::vector<std::string> steps;
    while (steps.size() < limit && (steps.empty() || steps.back() != "exit")) steps.push_back(next());
    return steps;
  }

 private:
  alignas(16) char unused_[16] = {};
  std::unique_ptr<sched::Behavior> behavior_;
  u64 now_ns_;
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_PLAYER_H_
