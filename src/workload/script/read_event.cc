// SPDX-License-Identifier: GPL-2.0-only
// Events that take time: running, sleeping, timers, and accesses to memory and files.
#include <algorithm>

#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

namespace {

// What accesses cost. There is no memory here, so these are round figures of common machines: memset() at 10 GB/s, a
// loop over single bytes at 1 GB/s, a cache miss, a pointer in the next cache line, a write() to /dev/null.
constexpr u64 kSetBytesPerNs = 10;
constexpr u64 kTouchNs = 1, kMissNs = 100, kNextLineNs = 5, kWriteNs = 200;
constexpr s64 kMaxBytes = s64{1} << 40;

// A time, or text that says how it is drawn each time.
Status read_time(Scope &scope, const JsonNode &node, const JsonPath &path, u64 *ns, u32 *draw) {
  if (node.kind != Kind::kString || node.text.find(':') == std::string::npos)
    return read_duration(node, path, 0, ns, &scope.file.ours);
  Result<Distribution> distribution = Distribution::parse(node.text);
  if (!distribution.ok()) return distribution.status().at(path.text());
  std::vector<Distribution> &all = scope.file.script.distributions;
  all.push_back(distribution.take());
  *draw = static_cast<u32>(all.size());
  scope.file.ours = true;
  return Status::ok_status();
}

Status read_timed(Scope &scope, const JsonNode &node, const JsonPath &path, ScriptOp::Kind kind) {
  ScriptOp op{.kind = kind};
  if (Status status = read_time(scope, node, path, &op.ns, &op.draw); !status.ok()) return status;
  scope.add(op);
  return Status::ok_status();
}

void add_work(Scope &scope, u64 ns) {
  scope.add({.kind = ScriptOp::Kind::kWork, .ns = std::clamp<u64>(ns, kMinStepNs, kMaxDurationNs)});
}

}  // namespace

Status read_run(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_timed(scope, node, path, ScriptOp::Kind::kRun);
}

Status read_runtime(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_timed(scope, node, path, ScriptOp::Kind::kRuntime);
}

Status read_sleep(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_timed(scope, node, path, ScriptOp::Kind::kSleep);
}

Status read_yield(Scope &scope, const JsonNode &, const JsonPath &) {
  scope.add({.kind = ScriptOp::Kind::kYield});
  return Status::ok_status();
}

Status read_mem(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 bytes = 0;
  if (Status status = read_integer(node, path, 0, kMaxBytes, &bytes); !status.ok()) return status;
  add_work(scope, static_cast<u64>(bytes) / kSetBytesPerNs);
  return Status::ok_status();
}

Status read_iorun(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 bytes = 0;
  if (Status status = read_integer(node, path, 0, kMaxBytes, &bytes); !status.ok()) return status;
  const u64 buffer = scope.file.buffer_bytes;
  add_work(scope, (static_cast<u64>(bytes) + buffer - 1) / buffer * kWriteNs);
  return Status::ok_status();
}

// --- timer ---

namespace {

u32 timer_index(Scope &scope, const std::string &name) {
  if (name.starts_with("unique")) {
    std::vector<ScriptTimer> &own = scope.task->task.own_timers;
    const auto [it, is_new] = scope.task->own_timers.emplace(name, own.size());
    if (is_new) own.push_back({name});
    return kOwnTimer | it->second;
  }
  std::vector<ScriptTimer> &shared = scope.file.script.shared_timers;
  const auto [it, is_new] = scope.file.timers.emplace(name, shared.size());
  if (is_new) shared.push_back({name});
  return it->second;
}

}  // namespace

Status read_timer(Scope &scope, const JsonNode &node, const JsonPath &path) {
  ObjectScope timer;
  scope.object = &timer;
  if (Status status = read_members(kInTimer, scope, node, path); !status.ok()) return status;
  const u32 index = timer_index(scope, timer.ref);
  // One user who says so makes it absolute for all.
  if (timer.absolute) {
    if (index & kOwnTimer)
      scope.task->task.own_timers[index & ~kOwnTimer].absolute = true;
    else
      scope.file.script.shared_timers[index].absolute = true;
  }
  scope.add({.kind = ScriptOp::Kind::kTimer, .ns = timer.period_ns, .draw = timer.draw, .object = index});
  return Status::ok_status();
}

Status read_ref(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_string(node, path, &scope.object->ref);
}

Status read_mutex(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_string(node, path, &scope.object->mutex);
}

Status read_period(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_time(scope, node, path, &scope.object->period_ns, &scope.object->draw);
}

Status read_mode(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  scope.object->absolute = node.text.starts_with("absolute");
  if (!scope.object->absolute && node.text != "relative")
    scope.file.warn(path.text(), quoted(node.text) + " counts as \"relative\", as in rt-app");
  return Status::ok_status();
}

// --- memrun ---

Status read_memrun(Scope &scope, const JsonNode &node, const JsonPath &path) {
  ObjectScope run;
  scope.object = &run;
  if (Status status = read_members(kInMemrun, scope, node, path); !status.ok()) return status;
  if (run.type.empty() || run.size == 0 || run.count == 0) return error_at(path, "needs type, size and count");
  const u64 each_ns = run.type != "chase" ? kTouchNs : run.pattern == "random" ? kMissNs : kNextLineNs;
  add_work(scope, static_cast<u64>(run.count) * each_ns);
  return Status::ok_status();
}

Status read_memrun_type(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = read_string(node, path, &scope.object->type); !status.ok()) return status;
  if (node.text == "read" || node.text == "write" || node.text == "chase") return Status::ok_status();
  return error_at(path, "{} is unknown; it takes \"read\", \"write\" or \"chase\"", quoted(node.text));
}

Status read_memrun_pattern(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = read_string(node, path, &scope.object->pattern); !status.ok()) return status;
  if (node.text == "random" || node.text == "sequential") return Status::ok_status();
  return error_at(path, "{} is unknown; it takes \"random\" or \"sequential\"", quoted(node.text));
}

Status read_memrun_size(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_integer(node, path, 1, kMaxBytes, &scope.object->size);
}

Status read_memrun_count(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_integer(node, path, 1, kMaxBytes, &scope.object->count);
}

Status read_memrun_stride(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_integer(node, path, 1, kMaxBytes, &scope.object->stride);
}

}  // namespace uscx::workload
