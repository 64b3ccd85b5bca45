// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for task scripts: whatever the bytes are, parsing gives a workload or one line of text, and a plan of a
// small machine can be made from the workload.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "workload/workload.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace uscx;
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  Result<std::shared_ptr<const workload::Workload>> parsed = workload::parse_workload(text, "fuzz");
  if (!parsed.ok()) {
    for (const char c : parsed.message()) CHECK(c >= ' ' && c < 0x7f, "byte {} in a message", static_cast<int>(c));
    return 0;
  }
  Result<std::vector<workload::PlannedTask>> plan = (*parsed)->plan({.nr_cpus = 4});
  if (!plan.ok()) return 0;
  CHECK(!plan->empty() && plan->size() <= workload::kMaxTasks);
  for (const workload::PlannedTask &task : *plan) {
    CHECK(!task.comm.empty() && task.comm.size() < TASK_COMM_LEN);
    for (const char c : task.comm) CHECK(c >= ' ' && c < 0x7f);
    CHECK(task.behavior != nullptr);
    CHECK(task.nice >= -20 && task.nice <= 19);
  }
  return 0;
}
