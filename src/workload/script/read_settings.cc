// SPDX-License-Identifier: GPL-2.0-only
// What tasks and phases both may say of scheduling.
#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

Status read_setting_policy(Scope &scope, const JsonNode &node, const JsonPath &path) {
  int policy = 0;
  if (Status status = read_policy(node, path, &policy); !status.ok()) return status;
  if (policy == SCHED_EXT) scope.file.ours = true;
  scope.settings->policy = policy;
  return Status::ok_status();
}

Status read_setting_priority(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 value = 0;
  if (Status status = read_integer(node, path, -20, 99, &value); !status.ok()) return status;
  scope.settings->priority = value;
  scope.settings->priority_path = path.text();
  return Status::ok_status();
}

Status read_cpus(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kArray); !status.ok()) return status;
  if (node.children.empty()) return error_at(path, "is empty; leave it out to allow all CPUs");
  for (size_t i = 0; i < node.children.size(); i++) {
    s64 cpu = 0;
    Status status = read_integer(node.children[i], path.item(i), 0, machine::kMaxCpus - 1, &cpu);
    if (!status.ok()) return status;
    scope.settings->cpus.push_back(static_cast<u32>(cpu));
  }
  scope.settings->cpus_path = path.text();
  return Status::ok_status();
}

Status read_taskgroup(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (node.text.empty()) return Status::ok_status();  // None, as in rt-app.
  if (Status status = check_group_path(node.text); !status.ok()) return status.at(path.text());
  std::vector<GroupSpec> &groups = scope.file.script.op_groups;
  scope.settings->group = static_cast<u32>(groups.size());
  scope.settings->group_path = path.text();
  groups.push_back({.path = node.text});
  return Status::ok_status();
}

Status read_dl_time(Scope &scope, const JsonNode &node, const JsonPath &path) {
  u64 ns = 0;
  if (Status status = read_duration(node, path, 0, &ns, &scope.file.ours); !status.ok()) return status;
  scope.file.warn(path.text(), "has no effect: there are no deadline tasks here, and no slices of a task's own");
  return Status::ok_status();
}

Status read_util(Scope &, const JsonNode &node, const JsonPath &path) {
  s64 value = 0;
  return read_integer(node, path, -1, 1024, &value);
}

Status read_membind(Scope &, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kArray); !status.ok()) return status;
  for (size_t i = 0; i < node.children.size(); i++) {
    s64 value = 0;
    if (Status status = read_integer(node.children[i], path.item(i), 0, INT32_MAX, &value); !status.ok()) return status;
  }
  return Status::ok_status();
}

}  // namespace uscx::workload
