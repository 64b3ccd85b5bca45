// SPDX-License-Identifier: GPL-2.0-only
// Control groups as workloads and the command line write them: "PATH" or "PATH:KEY=VALUE,...", with the settings that
// the files of the cpu controller have.
//
// Threading: parsing anywhere; applying on a CPU without locks, or in host context.
#ifndef USCX_WORKLOAD_GROUPS_H_
#define USCX_WORKLOAD_GROUPS_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"
#include "sched/kernel.h"

namespace uscx::workload {

struct GroupSpec {
  std::string path;  // "/a/b"
  std::optional<u64> weight;
  std::optional<s64> nice;
  std::optional<u64> quota_us, period_us, burst_us;  // A quota of ~0 is none.
  std::optional<bool> idle;
  bool remove = false;
};

// A path with a slash in front, without empty parts, "." and "..".
Status check_group_path(std::string_view path);
Result<GroupSpec> parse_group(std::string_view text);

// Makes the groups of the path that are not there, and sets what the spec has. The error names the group.
Status apply_group(sched::Kernel &kernel, const GroupSpec &spec);
// Moves a task's process there.
Status move_to_group(sched::Kernel &kernel, const std::string &path, sched::Task &task);
// Moves one thread there.
Status move_thread_to_group(sched::Kernel &kernel, const std::string &path, sched::Task &task);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_GROUPS_H_
