// SPDX-License-Identifier: GPL-2.0-only
// From the JSON tree to a Script: the file as a whole.
#include <algorithm>

#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

void FileScope::warn(const std::string &path, const std::string &text) {
  constexpr size_t kMaxWarnings = 20;
  if (script.warnings.size() < kMaxWarnings) script.warnings.push_back(path + ": " + text);
}

Status read_global(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_members(kInGlobal, scope, node, path);
}

Status read_resources(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  for (const JsonNode &member : node.children)
    if (Status status = read_members(kInResource, scope, member, path.member(member)); !status.ok()) return status;
  return Status::ok_status();
}

// {"/a": "weight=200,max=20ms/100ms", ...}
Status read_groups(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    if (Status status = expect(member, at, Kind::kString); !status.ok()) return status;
    Result<GroupSpec> spec = parse_group(member.key + ":" + member.text);
    if (!spec.ok()) return spec.status().at(at.text());
    if (spec->remove) return error_at(at, "a group that is there from the start cannot be removed");
    scope.file.script.groups.push_back(spec.take());
  }
  return Status::ok_status();
}

namespace {

// The places of own timers are known once all shared ones are.
void number_own_timers(Script &script) {
  const u32 nr_shared = static_cast<u32>(script.shared_timers.size());
  for (ScriptTask &task : script.tasks)
    for (ScriptPhase &phase : task.phases)
      for (ScriptOp &op : phase.ops)
        if (op.kind == ScriptOp::Kind::kTimer && (op.object & kOwnTimer))
          op.object = nr_shared + (op.object & ~kOwnTimer);
}

Status resolve(const FileScope &file, const std::map<std::string, u32> &tasks, u32 *reference) {
  const TaskReference &name = file.references[*reference];
  const auto found = tasks.find(name.name);
  if (found == tasks.end()) return Status::error("{}: {} is no task of this file", name.path, quoted(name.name));
  *reference = found->second;
  return Status::ok_status();
}

// Tasks are created in the order of the file, and who is named must be there.
Status resolve_earlier(const FileScope &file, const std::map<std::string, u32> &tasks, u32 self, u32 *reference) {
  const TaskReference name = file.references[*reference];
  if (Status status = resolve(file, tasks, reference); !status.ok()) return status;
  const ScriptTask &other = file.script.tasks[*reference];
  if (*reference >= self || other.instances == 0 || other.start_ns > file.script.tasks[self].start_ns)
    return Status::error("{}: task {} is not there yet then; put it above, with no later start", name.path,
                         quoted(name.name));
  return Status::ok_status();
}

Status resolve_all(FileScope &file) {
  std::map<std::string, u32> tasks;
  for (u32 i = 0; i < file.script.tasks.size(); i++) tasks.emplace(file.script.tasks[i].name, i);
  for (u32 i = 0; i < file.script.tasks.size(); i++) {
    ScriptTask &task = file.script.tasks[i];
    const std::string path = "tasks." + task.name;
    for (std::optional<u32> *other : {&task.thread_of, &task.parent})
      if (*other)
        if (Status status = resolve_earlier(file, tasks, i, &**other); !status.ok()) return status;
    if (task.thread_of && file.script.tasks[*task.thread_of].thread_of)
      return Status::error("{}.thread_of: {} is a thread of another task itself", path,
                           quoted(file.script.tasks[*task.thread_of].name));
    for (ScriptPhase &phase : task.phases)
      for (ScriptOp &op : phase.ops)
        if (op.kind == ScriptOp::Kind::kFork || op.kind == ScriptOp::Kind::kJoin)
          if (Status status = resolve(file, tasks, &op.object); !status.ok()) return status;
  }
  return Status::ok_status();
}

}  // namespace

Result<Script> parse_script(JsonDocument document) {
  JsonNode &root = document.root;
  const JsonPath top;
  if (root.kind != Kind::kObject) return Status::error("is {}; it takes an object with tasks", kind_text(root.kind));
  // Tasks go last: what holds for all of them is known then.
  const auto is_other = [](const JsonNode &node) { return node.key != "tasks"; };
  std::stable_partition(root.children.begin(), root.children.end(), is_other);
  FileScope file;
  Scope scope{.file = file, .task = nullptr, .settings = nullptr, .phase = nullptr, .object = nullptr};
  if (document.rest_line)
    file.warn(fmt::format("line {}", document.rest_line), "what stands behind the end of the object is ignored");
  if (Status status = read_members(kInRoot, scope, root, top); !status.ok()) return status;
  if (file.script.tasks.empty()) return Status::error("tasks is missing: an object with one member a task");
  if (Status status = resolve_all(file); !status.ok()) return status;
  number_own_timers(file.script);
  file.script.one_process = file.one_process.value_or(!file.ours);
  return std::move(file.script);
}

}  // namespace uscx::workload
