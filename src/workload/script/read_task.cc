// SPDX-License-Identifier: GPL-2.0-only
// A task and its phases.
#include <algorithm>

#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

Status read_instance(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 value = 0;
  if (Status status = read_integer(node, path, 0, kMaxTasks, &value); !status.ok()) return status;
  scope.task->task.instances = static_cast<u32>(value);
  return Status::ok_status();
}

// A round is counted before the count is compared, so that 0 is never met: it is for ever, as -1.
Status read_loop(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 value = 0;
  if (Status status = read_integer(node, path, kForever, INT32_MAX, &value); !status.ok()) return status;
  if (scope.phase)
    scope.phase->loop = value == 0 ? kForever : value;
  else
    scope.task->loop = value;
  return Status::ok_status();
}

Status read_delay(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (node.kind == Kind::kInteger && node.integer < 0) return Status::ok_status();  // As in rt-app.
  return read_duration(node, path, 0, &scope.task->task.delay_ns, &scope.file.ours);
}

Status read_start(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_duration(node, path, 0, &scope.task->task.start_ns, &scope.file.ours);
}

Status read_start_nice(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_integer(node, path, -20, 19, &scope.task->nice.emplace());
}

Status read_kthread(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_bool(node, path, &scope.task->task.kthread);
}

Status read_leading(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_bool(node, path, &scope.task->task.leading);
}

Status read_wakes(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kArray); !status.ok()) return status;
  if (node.children.empty()) return error_at(path, "is empty; it takes [[wake at, run for], ...]");
  u64 last_ns = 0;
  bool *unit = &scope.file.ours;
  for (size_t i = 0; i < node.children.size(); i++) {
    const JsonNode &pair = node.children[i];
    const JsonPath at = path.item(i);
    if (pair.kind != Kind::kArray || pair.children.size() != 2)
      return error_at(at, "is not a pair; it takes [wake at, run for]");
    ScriptWake wake{};
    if (Status status = read_duration(pair.children[0], at.item(0), 0, &wake.at_ns, unit); !status.ok()) return status;
    if (Status status = read_duration(pair.children[1], at.item(1), kMinStepNs, &wake.run_ns, unit); !status.ok())
      return status;
    if (wake.at_ns < last_ns) return error_at(at.item(0), "is earlier than the wake before it");
    last_ns = wake.at_ns;
    scope.task->task.wakes.push_back(wake);
  }
  return Status::ok_status();
}

namespace {

std::string event_list() {
  std::string out;
  for (const Key &key : keys())
    if (key.places & kEvent) out += (out.empty() ? "" : ", ") + std::string(key.name);
  return out;
}

Status read_phase(Scope &outer, const JsonNode &node, const JsonPath &path) {
  ScriptPhase phase;
  Scope scope = outer;
  scope.phase = &phase;
  scope.settings = &phase.settings;
  if (Status status = read_members(kInPhase, scope, node, path); !status.ok()) return status;
  if (phase.ops.empty()) return error_at(path, "has no event; it takes {}", event_list());
  outer.task->task.phases.push_back(std::move(phase));
  return Status::ok_status();
}

}  // namespace

Status read_phases(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  for (const JsonNode &phase : node.children)
    if (Status status = read_phase(scope, phase, path.member(phase)); !status.ok()) return status;
  return Status::ok_status();
}

namespace {

// rt-app's priority is the nice value of a normal task and the real-time priority of another.
Status check_priority(const ScriptSettings &settings, int policy) {
  if (!settings.priority || policy == SCHED_IDLE) return Status::ok_status();
  const s64 priority = *settings.priority;
  if (is_realtime(policy) ? priority >= 1 : priority <= 19) return Status::ok_status();
  return Status::error("{}: {} is out of range; {}", settings.priority_path, priority,
                       is_realtime(policy) ? fmt::format("{} takes 1 to 99", policy_name(policy))
                                           : "the nice value of a normal task is -20 to 19");
}

Status settle_policies(const TaskScope &scope, const JsonPath &path, int default_policy, ScriptTask &task) {
  const ScriptSettings &settings = task.settings;
  if (settings.priority && scope.nice) return error_at(path, "has both priority and nice; they are the same");
  task.policy = settings.policy.value_or(default_policy);
  if (is_realtime(task.policy) && scope.nice)
    return error_at(path, "nice is not for {}; it takes priority, 1 to 99", policy_name(task.policy));
  if (Status status = check_priority(settings, task.policy); !status.ok()) return status;
  if (is_realtime(task.policy))
    task.rt_priority = static_cast<u32>(settings.priority.value_or(kDefaultRtPriority));
  else if (task.policy != SCHED_IDLE || scope.nice)
    task.nice = static_cast<int>(scope.nice ? *scope.nice : settings.priority.value_or(0));
  // What a phase sets stays until another sets it again.
  int policy = task.policy;
  for (const ScriptPhase &phase : task.phases) {
    policy = phase.settings.policy.value_or(policy);
    if (Status status = check_priority(phase.settings, policy); !status.ok()) return status;
  }
  return Status::ok_status();
}

Status settle_events(TaskScope &scope, const JsonPath &path, FileScope &file) {
  ScriptTask &task = scope.task;
  const bool has_events = !scope.events.ops.empty();
  if (has_events && !task.phases.empty()) return error_at(path, "has events beside phases; put them into a phase");
  // A task without phases is one: 0 is for ever there.
  const s64 loop = scope.loop.value_or(kForever);
  task.loop = task.phases.empty() && loop == 0 ? kForever : loop;
  if (has_events) task.phases.push_back(std::move(scope.events));
  if (!task.phases.empty() && !task.wakes.empty())
    return error_at(path, "has both events and wakes; it takes one of them");
  const bool idle = task.phases.empty() && task.wakes.empty();
  if (idle && !scope.obsolete) return error_at(path, "does nothing; it takes phases, wakes, or {}", event_list());
  if (idle)
    file.warn(path.text(), "has nothing but keys of rt-app before 1.0, and ends at once");
  else if (scope.obsolete)
    file.warn(path.text(),
              "has keys of rt-app before 1.0 (exec, period, deadline, lock_order, resources), now ignored");
  return Status::ok_status();
}

Status read_task(FileScope &file, const JsonNode &node, const JsonPath &path) {
  if (!is_comm(node.key)) return error_at(path, "a task's name takes one or more printable ASCII characters");
  TaskScope scope;
  scope.task.name = node.key;
  Scope all{.file = file, .task = &scope, .settings = &scope.task.settings, .phase = nullptr, .object = nullptr};
  if (Status status = read_members(kInTask, all, node, path); !status.ok()) return status;
  if (Status status = settle_events(scope, path, file); !status.ok()) return status;
  if (Status status = settle_policies(scope, path, file.default_policy, scope.task); !status.ok()) return status;
  ScriptTask &task = scope.task;
  if (task.settings.group) task.cgroup = file.script.op_groups[*task.settings.group].path;
  for (const u32 barrier : scope.barriers) file.script.barriers[barrier].users += task.instances;
  file.script.tasks.push_back(std::move(task));
  return Status::ok_status();
}

}  // namespace

// Names become comms, which reports print as they are, cut to 15 bytes.
bool is_comm(const std::string &name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

Status read_tasks(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  u64 nr_tasks = 0;
  for (const JsonNode &task : node.children) {
    const JsonPath at = path.member(task);
    if (Status status = read_task(scope.file, task, at); !status.ok()) return status;
    nr_tasks += scope.file.script.tasks.back().instances;
    if (nr_tasks > kMaxTasks) return error_at(at, "more than {} tasks in all", kMaxTasks);
  }
  if (node.children.empty()) return error_at(path, "is empty; it takes one member a task");
  if (nr_tasks == 0) return error_at(path, "all have instance 0, so that none would begin");
  return Status::ok_status();
}

}  // namespace uscx::workload
