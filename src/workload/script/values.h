// SPDX-License-Identifier: GPL-2.0-only
// JSON values as the types that keys have. An error has the path and what is allowed there.
#ifndef USCX_WORKLOAD_SCRIPT_VALUES_H_
#define USCX_WORKLOAD_SCRIPT_VALUES_H_

#include <string>
#include <utility>

#include "workload/json_tree.h"

namespace uscx::workload {

template <typename... Args>
Status error_at(const JsonPath &path, fmt::format_string<Args...> format, Args &&...args) {
  const std::string place = path.text();
  return Status::error("{}{}", place.empty() ? "" : place + ": ", fmt::format(format, std::forward<Args>(args)...));
}

Status expect(const JsonNode &node, const JsonPath &path, JsonNode::Kind kind);
Status read_integer(const JsonNode &node, const JsonPath &path, s64 low, s64 high, s64 *out);
Status read_bool(const JsonNode &node, const JsonPath &path, bool *out);
Status read_string(const JsonNode &node, const JsonPath &path, std::string *out);  // Not an empty one.
// A number counts microseconds, as in rt-app; a string has its unit, and sets *has_unit.
Status read_duration(const JsonNode &node, const JsonPath &path, u64 low_ns, u64 *out_ns, bool *has_unit);
Status read_policy(const JsonNode &node, const JsonPath &path, int *out);
const char *policy_name(int policy);
bool is_realtime(int policy);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_VALUES_H_
