// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for task scripts: whatever the bytes are, parsing gives a workload or one line of text; a plan for a small
// machine can be made from the workload, and what it plans can be played there for a while.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "sched/native/machine.h"
#include "workload/workload.h"

namespace {

using namespace uscx;

// Short, and few tasks: many inputs are worth more than long runs.
constexpr size_t kMaxPlayed = 40;
constexpr u64 kPlayNs = 5 * kNsPerMs;

void play(const workload::Workload &workload, std::vector<workload::PlannedTask> plan, u32 nr_cpus) {
  sched::TestMachine m(nr_cpus);
  m.machine.run_on(0, [&] {
    for (const workload::GroupSpec &group : workload.groups()) (void)workload::apply_group(m.kernel, group);
  });
  workload::Launcher launcher(m.kernel, [](const workload::RefusedTask &) {});
  launcher.launch(std::move(plan));
  m.run_for(kPlayNs);
  m.kernel.verify_all();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  constexpr u32 kCpus = 4;
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  Result<std::shared_ptr<const workload::Workload>> parsed = workload::parse_workload(text, "fuzz");
  if (!parsed.ok()) {
    for (const char c : parsed.message()) CHECK(c >= ' ' && c < 0x7f, "byte {} in a message", static_cast<int>(c));
    return 0;
  }
  Result<std::vector<workload::PlannedTask>> plan = (*parsed)->plan({.nr_cpus = kCpus});
  if (!plan.ok()) return 0;
  CHECK(!plan->empty() && plan->size() <= workload::kMaxTasks);
  for (const workload::PlannedTask &task : *plan) {
    CHECK(!task.comm.empty() && task.comm.size() < TASK_COMM_LEN);
    for (const char c : task.comm) CHECK(c >= ' ' && c < 0x7f);
    CHECK(task.behavior != nullptr);
    CHECK(task.nice >= -20 && task.nice <= 19);
  }
  if (plan->size() <= kMaxPlayed) play(**parsed, plan.take(), kCpus);
  return 0;
}
