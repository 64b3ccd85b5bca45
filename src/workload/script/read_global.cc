// SPDX-License-Identifier: GPL-2.0-only
// The members of "global", "channels" and "resources".
#include <algorithm>

#include "workload/script/keys.h"
#include "workload/script/values.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

Status read_default_policy(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_policy(node, path, &scope.file.default_policy);
}

Status read_duration_key(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (node.kind == Kind::kString) {
    u64 ns = 0;
    if (Status status = read_duration(node, path, kMinStepNs, &ns, &scope.file.ours); !status.ok()) return status;
    scope.file.script.duration_ns = ns;
    return Status::ok_status();
  }
  s64 seconds = 0;
  if (Status status = read_integer(node, path, INT32_MIN, kMaxDurationNs / kNsPerSec, &seconds); !status.ok())
    return status;
  if (seconds > 0) scope.file.script.duration_ns = static_cast<u64>(seconds) * kNsPerSec;
  return Status::ok_status();
}

Status read_calibration(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (node.kind == Kind::kString) {
    const bool digits = node.text.size() > 3 && std::all_of(node.text.begin() + 3, node.text.end(),
                                                            [](char c) { return c >= '0' && c <= '9'; });
    if (node.text.starts_with("CPU") && digits) return Status::ok_status();
    return error_at(path, "{} is no CPU; it takes \"CPU0\" and so on, or nanoseconds", quoted(node.text));
  }
  s64 ns = 0;
  if (Status status = read_integer(node, path, 1, INT32_MAX, &ns); !status.ok()) return status;
  scope.file.script.log.ns_per_loop = static_cast<u64>(ns);
  return Status::ok_status();
}

// rt-app 1.0 has its test of the string the wrong way round, and people's files are as they are.
Status read_log_size(Scope &scope, const JsonNode &node, const JsonPath &path) {
  constexpr u64 kRowBytes = 88;  // rt-app's timing_point_t.
  ScriptLog &log = scope.file.script.log;
  if (node.kind == Kind::kString) {
    log.wanted = node.text == "disable";
    if (!log.wanted)
      scope.file.warn(path.text(), quoted(node.text) + " means no rows in rt-app 1.0; a number of MB writes them");
    return Status::ok_status();
  }
  s64 megabytes = 0;
  if (Status status = read_integer(node, path, 1, 1 << 20, &megabytes); !status.ok()) return status;
  log.ring_rows = (static_cast<u64>(megabytes) << 20) / kRowBytes;
  return Status::ok_status();
}

Status read_log_basename(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = read_string(node, path, &scope.file.script.log.basename); !status.ok()) return status;
  if (node.text.find('/') != std::string::npos || node.text.find('\0') != std::string::npos)
    return error_at(path, "{} is not the beginning of a file's name", quoted(node.text));
  return Status::ok_status();
}

Status read_ftrace(Scope &, const JsonNode &node, const JsonPath &path) {
  constexpr std::string_view kCategories[] = {"main", "task", "loop", "event", "stats", "none"};
  if (node.kind == Kind::kBool) return Status::ok_status();
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  for (size_t start = 0; start <= node.text.size();) {
    const size_t end = std::min(node.text.find(',', start), node.text.size());
    const std::string_view part = std::string_view(node.text).substr(start, end - start);
    if (std::find(std::begin(kCategories), std::end(kCategories), part) == std::end(kCategories))
      return error_at(path, "{} is no category; it takes a list of main, task, loop, event, stats, none", quoted(part));
    start = end + 1;
  }
  return Status::ok_status();
}

Status read_pi_enabled(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kBool); !status.ok()) return status;
  if (node.integer) scope.file.warn(path.text(), "mutexes do not inherit priority here");
  return Status::ok_status();
}

Status read_io_device(Scope &, const JsonNode &node, const JsonPath &path) { return expect(node, path, Kind::kString); }

Status read_mem_buffer_size(Scope &scope, const JsonNode &node, const JsonPath &path) {
  s64 bytes = 0;
  if (Status status = read_integer(node, path, 1, INT32_MAX, &bytes); !status.ok()) return status;
  scope.file.buffer_bytes = static_cast<u64>(bytes);
  return Status::ok_status();
}

Status read_cumulative_slack(Scope &scope, const JsonNode &node, const JsonPath &path) {
  return read_bool(node, path, &scope.file.script.log.cumulative_slack);
}

Status read_process(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (node.text != "one" && node.text != "each")
    return error_at(path, "{} is unknown; it takes \"one\" or \"each\"", quoted(node.text));
  scope.file.one_process = node.text == "one";
  return Status::ok_status();
}

Status read_channels(Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  std::vector<ScriptChannel> &channels = scope.file.script.channels;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    s64 capacity = 0;
    if (Status status = read_integer(member, at, 1, INT32_MAX, &capacity); !status.ok()) return status;
    if (!scope.file.channels.emplace(member.key, channels.size()).second) return error_at(at, "the key is there twice");
    channels.push_back({member.key, static_cast<u64>(capacity)});
  }
  return Status::ok_status();
}

Status read_resource_type(Scope &, const JsonNode &node, const JsonPath &path) {
  constexpr std::string_view kTypes[] = {"mutex", "wait", "signal", "broadcast", "sync", "sleep", "run", "timer"};
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (std::find(std::begin(kTypes), std::end(kTypes), node.text) != std::end(kTypes)) return Status::ok_status();
  return error_at(path, "{} is unknown; it takes mutex, wait, signal, broadcast, sync, sleep, run, timer",
                  quoted(node.text));
}

Status ignore_bool(Scope &, const JsonNode &node, const JsonPath &path) { return expect(node, path, Kind::kBool); }

Status ignore_string(Scope &, const JsonNode &node, const JsonPath &path) { return expect(node, path, Kind::kString); }

}  // namespace uscx::workload
