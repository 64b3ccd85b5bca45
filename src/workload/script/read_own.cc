// SPDX-License-Identifier: GPL-2.0-only
// Events by which a task asks the kernel for something, most of them ours.
#include <algorithm>

#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;
using OpKind = ScriptOp::Kind;

namespace {

Status read_task_name(Scope &scope, const JsonNode &node, const JsonPath &path, u32 *reference) {
  std::string name;
  if (Status status = read_string(node, path, &name); !status.ok()) return status;
  *reference = static_cast<u32>(scope.file.references.size());
  scope.file.references.push_back({path.text(), name});
  return Status::ok_status();
}

Status read_task_event(Scope &scope, const JsonNode &node, const JsonPath &path, OpKind kind) {
  ScriptOp op{.kind = kind};
  if (Status status = read_task_name(scope, node, path, &op.object); !status.ok()) return status;
  scope.add(op);
  return Status::ok_status();
}

void add_group_event(Scope &scope, OpKind kind, GroupSpec spec) {
  std::vector<GroupSpec> &groups = scope.file.script.op_groups;
  scope.add({.kind = kind, .object = static_cast<u32>(groups.size())});
  groups.push_back(std::move(spec));
}

}  // namespace

Status read_fork(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_task_event(scope, node, path, OpKind::kFork);
}

Status read_join(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_task_event(scope, node, path, OpKind::kJoin);
}

Status read_thread_of(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_task_name(scope, node, path, &scope.task->task.thread_of.emplace());
}

Status read_parent(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_task_name(scope, node, path, &scope.task->task.parent.emplace());
}

Status read_exit(Scope &scope, const JsonNode &, const JsonPath &) {
  scope.add({.kind = OpKind::kExit});
  return Status::ok_status();
}

Status read_exec(Scope &scope, const JsonNode &node, const JsonPath &path) {
  std::string name;
  if (Status status = read_string(node, path, &name); !status.ok()) return status;
  if (!is_comm(name)) return error_at(path, "{} is no name for a task; it takes printable ASCII", quoted(name));
  scope.add({.kind = OpKind::kExec, .object = static_cast<u32>(scope.file.script.names.size())});
  scope.file.script.names.push_back(name);
  return Status::ok_status();
}

Status read_until(Scope &scope, const JsonNode &node, const JsonPath &path) {
  ScriptOp op{.kind = OpKind::kUntil};
  if (Status status = read_duration(node, path, 0, &op.ns, &scope.file.ours); !status.ok()) return status;
  scope.add(op);
  return Status::ok_status();
}

Status read_nice(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 value = 0;
  if (Status status = read_integer(node, path, -20, 19, &value); !status.ok()) return status;
  scope.add({.kind = OpKind::kNice, .number = static_cast<s32>(value)});
  return Status::ok_status();
}

Status read_sysrq(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (node.text != "s" && node.text != "d")
    return error_at(path, "{} is unknown; it takes \"s\" (eject the BPF scheduler) or \"d\" (dump its state)",
                    quoted(node.text));
  scope.add({.kind = node.text == "s" ? OpKind::kSysrqReset : OpKind::kSysrqDump});
  return Status::ok_status();
}

Status read_hotplug(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  Result<CpuSwitch> cpu_switch = parse_cpu_switch(node.text);
  if (!cpu_switch.ok()) return cpu_switch.status().at(path.text());
  u32 &highest = scope.task->task.highest_cpu_switched;
  highest = std::max(highest, cpu_switch->cpu);
  scope.add({.kind = OpKind::kHotplug, .cpu_switch = *cpu_switch});
  return Status::ok_status();
}

Status read_move(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (Status status = check_group_path(node.text); !status.ok()) return status.at(path.text());
  add_group_event(scope, OpKind::kMove, {.path = node.text});
  return Status::ok_status();
}

Status read_set_group(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  Result<GroupSpec> spec = parse_group(node.text);
  if (!spec.ok()) return spec.status().at(path.text());
  add_group_event(scope, OpKind::kSetGroup, spec.take());
  return Status::ok_status();
}

Status read_migrate_disable(Scope &scope, const JsonNode &, const JsonPath &) {
  scope.add({.kind = OpKind::kMigrateDisable});
  return Status::ok_status();
}

Status read_migrate_enable(Scope &scope, const JsonNode &, const JsonPath &) {
  scope.add({.kind = OpKind::kMigrateEnable});
  return Status::ok_status();
}

}  // namespace uscx::workload
