// SPDX-License-Identifier: GPL-2.0-only
#include "cli/scheduler_registry.h"

#include <algorithm>
#include <cstring>

namespace uscx::cli {
namespace {

// Filled before main() by registrars in an order that nobody may rely on.
std::vector<BuiltinScheduler> &table() {
  static std::vector<BuiltinScheduler> schedulers;
  return schedulers;
}

}  // namespace

BuiltinSchedulerRegistrar::BuiltinSchedulerRegistrar(const BuiltinScheduler &scheduler) { table().push_back(scheduler); }

std::vector<BuiltinScheduler> builtin_schedulers() {
  std::vector<BuiltinScheduler> sorted = table();
  std::sort(sorted.begin(), sorted.end(),
            [](const BuiltinScheduler &a, const BuiltinScheduler &b) { return std::strcmp(a.name, b.name) < 0; });
  return sorted;
}

}  // namespace uscx::cli
