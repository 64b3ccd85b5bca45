// SPDX-License-Identifier: GPL-2.0-only
// Events by which tasks wait for each other and wake each other.
#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {
namespace {

using OpKind = ScriptOp::Kind;

// The number of a name, which its first user makes.
u32 number_of(const std::string &name, std::map<std::string, u32> &numbers, std::vector<std::string> &names) {
  const auto [it, is_new] = numbers.emplace(name, names.size());
  if (is_new) names.push_back(name);
  return it->second;
}
u32 mutex_of(Scope &scope, const std::string &name) {
  return number_of(name, scope.file.mutexes, scope.file.script.mutexes);
}
u32 condition_of(Scope &scope, const std::string &name) {
  return number_of(name, scope.file.conditions, scope.file.script.conditions);
}
u32 semaphore_of(Scope &scope, const std::string &name) {
  return number_of(name, scope.file.semaphores, scope.file.script.semaphores);
}

Status read_named(Scope &scope, const JsonNode &node, const JsonPath &path, OpKind kind,
                  u32 (*number)(Scope &scope, const std::string &name)) {
  std::string name;
  if (Status status = read_string(node, path, &name); !status.ok()) return status;
  scope.add({.kind = kind, .object = number(scope, name)});
  return Status::ok_status();
}

// {"ref": CONDITION, "mutex": MUTEX}
Status read_wait_object(Scope &scope, const JsonNode &node, const JsonPath &path, ScriptOp *op) {
  ObjectScope wait;
  scope.object = &wait;
  if (Status status = read_members(kInWait, scope, node, path); !status.ok()) return status;
  *op = {.kind = OpKind::kWait, .object = condition_of(scope, wait.ref), .mutex = mutex_of(scope, wait.mutex)};
  return Status::ok_status();
}

u32 channel_of(Scope &scope, const std::string &name) {
  const auto found = scope.file.channels.find(name);
  return found == scope.file.channels.end() ? ~0u : found->second;
}

Status read_channel(Scope &scope, const JsonNode &node, const JsonPath &path, OpKind kind) {
  if (Status status = read_named(scope, node, path, kind, channel_of); !status.ok()) return status;
  if (scope.ops().back().object == ~0u)
    return error_at(path, "{} is no channel; \"channels\" says which there are", quoted(node.text));
  return Status::ok_status();
}

}  // namespace

Status read_lock(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kLock, mutex_of);
}

Status read_unlock(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kUnlock, mutex_of);
}

Status read_signal(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kSignal, condition_of);
}

Status read_broad(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kBroadcast, condition_of);
}

Status read_wait(Scope &scope, const JsonNode &node, const JsonPath &path) {
  ScriptOp wait;
  if (Status status = read_wait_object(scope, node, path, &wait); !status.ok()) return status;
  scope.add(wait);
  return Status::ok_status();
}

// It does not take the mutex: files put a lock and an unlock around it.
Status read_sync(Scope &scope, const JsonNode &node, const JsonPath &path) {
  ScriptOp wait;
  if (Status status = read_wait_object(scope, node, path, &wait); !status.ok()) return status;
  scope.add({.kind = OpKind::kSignal, .object = wait.object});
  scope.add(wait);
  return Status::ok_status();
}

// By the value, as in rt-app 1.0, whose files suspend on names that are no task's; without one, or with one that is no
// name, by the task's.
Status read_suspend(Scope &scope, const JsonNode &node, const JsonPath &) {
  const bool named = node.kind == JsonNode::Kind::kString && !node.text.empty();
  const std::string &name = named ? node.text : scope.task->task.name;
  const u32 mutex = mutex_of(scope, name);
  scope.add({.kind = OpKind::kLock, .object = mutex});
  scope.add({.kind = OpKind::kWait, .object = condition_of(scope, name), .mutex = mutex});
  scope.add({.kind = OpKind::kUnlock, .object = mutex});
  return Status::ok_status();
}

Status read_resume(Scope &scope, const JsonNode &node, const JsonPath &path) {
  std::string name;
  if (Status status = read_string(node, path, &name); !status.ok()) return status;
  const u32 mutex = mutex_of(scope, name);
  scope.add({.kind = OpKind::kLock, .object = mutex});
  scope.add({.kind = OpKind::kBroadcast, .object = condition_of(scope, name)});
  scope.add({.kind = OpKind::kUnlock, .object = mutex});
  return Status::ok_status();
}

Status read_barrier(Scope &scope, const JsonNode &node, const JsonPath &path) {
  std::string name;
  if (Status status = read_string(node, path, &name); !status.ok()) return status;
  std::vector<ScriptBarrier> &barriers = scope.file.script.barriers;
  const auto [it, is_new] = scope.file.barriers.emplace(name, barriers.size());
  if (is_new) barriers.push_back({name});
  scope.task->barriers.push_back(it->second);
  scope.add({.kind = OpKind::kBarrier, .object = it->second});
  return Status::ok_status();
}

Status read_sem_post(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kSemPost, semaphore_of);
}

Status read_sem_wait(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_named(scope, node, path, OpKind::kSemWait, semaphore_of);
}

Status read_send(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_channel(scope, node, path, OpKind::kSend);
}

Status read_receive(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_channel(scope, node, path, OpKind::kReceive);
}

}  // namespace uscx::workload
