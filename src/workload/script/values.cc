// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/values.h"

#include "abi/kernel.h"
#include "base/units.h"
#include "workload/workload.h"

namespace uscx::workload {

using Kind = JsonNode::Kind;

Status expect(const JsonNode &node, const JsonPath &path, Kind kind) {
  if (node.kind == kind) return Status::ok_status();
  return error_at(path, "is {}; it takes {}", kind_text(node.kind), kind_text(kind));
}

Status read_integer(const JsonNode &node, const JsonPath &path, s64 low, s64 high, s64 *out) {
  if (node.kind != Kind::kInteger)
    return error_at(path, "is {}; it takes a whole number from {} to {}", kind_text(node.kind), low, high);
  if (node.integer < low || node.integer > high)
    return error_at(path, "{} is out of range; it takes {} to {}", node.integer, low, high);
  *out = node.integer;
  return Status::ok_status();
}

Status read_bool(const JsonNode &node, const JsonPath &path, bool *out) {
  if (Status status = expect(node, path, Kind::kBool); !status.ok()) return status;
  *out = node.integer != 0;
  return Status::ok_status();
}

Status read_string(const JsonNode &node, const JsonPath &path, std::string *out) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (node.text.empty()) return error_at(path, "is empty; it takes a name");
  *out = node.text;
  return Status::ok_status();
}

Status read_duration(const JsonNode &node, const JsonPath &path, u64 low_ns, u64 *out_ns, bool *has_unit) {
  u64 ns = 0;
  if (node.kind == Kind::kInteger) {
    if (node.integer < 0 || static_cast<u64>(node.integer) > kMaxDurationNs / kNsPerUs)
      return error_at(path, "{} is out of range; it takes microseconds up to {}", node.integer,
                      kMaxDurationNs / kNsPerUs);
    ns = static_cast<u64>(node.integer) * kNsPerUs;
  } else if (node.kind == Kind::kString) {
    Result<u64> parsed = parse_duration(node.text);
    if (!parsed.ok())
      return error_at(path, "{} is not a duration; it takes microseconds, or text such as \"5ms\"", quoted(node.text));
    ns = *parsed;
    *has_unit = true;
  } else {
    return error_at(path, "is {}; it takes microseconds, or text such as \"5ms\"", kind_text(node.kind));
  }
  if (ns < low_ns || ns > kMaxDurationNs)
    return error_at(path, "{} is out of range; it takes {} to {}", format_duration(ns), format_duration(low_ns),
                    format_duration(kMaxDurationNs));
  *out_ns = ns;
  return Status::ok_status();
}

namespace {

struct Policy {
  const char *name;
  int value;
};
constexpr Policy kPolicies[] = {{"SCHED_OTHER", SCHED_NORMAL}, {"SCHED_BATCH", SCHED_BATCH}, {"SCHED_IDLE", SCHED_IDLE},
                                {"SCHED_EXT", SCHED_EXT},      {"SCHED_FIFO", SCHED_FIFO},   {"SCHED_RR", SCHED_RR}};

}  // namespace

Status read_policy(const JsonNode &node, const JsonPath &path, int *out) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  std::string names;
  for (const Policy &policy : kPolicies) {
    if (node.text == policy.name) {
      *out = policy.value;
      return Status::ok_status();
    }
    names += (names.empty() ? "" : ", ") + std::string(policy.name);
  }
  return error_at(path, "policy {} is not supported; it takes {}", quoted(node.text), names);
}

const char *policy_name(int policy) {
  for (const Policy &known : kPolicies)
    if (known.value == policy) return known.name;
  return "?";
}

bool is_realtime(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

}  // namespace uscx::workload
