// SPDX-License-Identifier: GPL-2.0-only
// Built-in workloads that are task scripts with their parameters filled in: what docs/WORKLOADS.md says of scripts
// holds for them. Each models one thing that people measure schedulers with.
//
// Threading: pure functions.
#ifndef USCX_WORKLOAD_BUILTIN_SCRIPTS_H_
#define USCX_WORKLOAD_BUILTIN_SCRIPTS_H_

#include <vector>

#include "workload/builtins.h"

namespace uscx::workload {

Result<std::vector<PlannedTask>> plan_schbench(const Values &values, const Site &site);
Result<std::vector<PlannedTask>> plan_hackbench(const Values &values, const Site &site);
Result<std::vector<PlannedTask>> plan_build(const Values &values, const Site &site);
Result<std::vector<PlannedTask>> plan_server(const Values &values, const Site &site);
Result<std::vector<PlannedTask>> plan_game(const Values &values, const Site &site);
Result<std::vector<PlannedTask>> plan_forkstorm(const Values &values, const Site &site);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_BUILTIN_SCRIPTS_H_
