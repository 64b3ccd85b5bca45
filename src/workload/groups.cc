// SPDX-License-Identifier: GPL-2.0-only
#include "workload/groups.h"

#include <cerrno>
#include <cstring>

#include "base/units.h"
#include "sched/cgroup.h"
#include "workload/json_tree.h"

namespace uscx::workload {
namespace {

constexpr const char *kKeys = "weight=1..10000, nice=-20..19, max=max or QUOTA[/PERIOD], burst=TIME, idle=0|1, remove";

Result<u64> parse_us(std::string_view text) {
  Result<u64> ns = parse_duration(text);
  if (!ns.ok()) return ns.status();
  if (*ns % kNsPerUs) return Status::error("{} is not a whole number of microseconds", text);
  return *ns / kNsPerUs;
}

// "max", "20ms", "20ms/100ms", "max/50ms"
Status parse_max(std::string_view text, GroupSpec *spec) {
  const size_t slash = std::min(text.find('/'), text.size());
  const std::string_view quota = text.substr(0, slash);
  spec->quota_us = sched::kNoQuota;
  if (quota != "max") {
    Result<u64> us = parse_us(quota);
    if (!us.ok()) return us.status();
    spec->quota_us = *us;
  }
  if (slash == text.size()) return Status::ok_status();
  Result<u64> us = parse_us(text.substr(slash + 1));
  if (!us.ok()) return us.status();
  spec->period_us = *us;
  return Status::ok_status();
}

template <typename T>
Status take(Result<T> value, std::optional<T> *out) {
  if (!value.ok()) return value.status();
  *out = *value;
  return Status::ok_status();
}

Status parse_setting(std::string_view key, std::string_view value, GroupSpec *spec) {
  if (key == "weight") return take(parse_number(value, 1, 10000), &spec->weight);
  if (key == "nice") return take(parse_signed(value, -20, 19), &spec->nice);
  if (key == "max") return parse_max(value, spec);
  if (key == "burst") return take(parse_us(value), &spec->burst_us);
  if (key == "remove" && value.empty()) {
    spec->remove = true;
    return Status::ok_status();
  }
  if (key != "idle") return Status::error("unknown setting {}; it takes {}", quoted(key), kKeys);
  Result<u64> idle = parse_number(value, 0, 1);
  if (!idle.ok()) return idle.status();
  spec->idle = *idle == 1;
  return Status::ok_status();
}

Status failed(const GroupSpec &spec, const char *what, int error) {
  const char *reason = error == -EINVAL ? "not allowed for this group" : std::strerror(-error);
  return Status::error("cgroup {}: {}: {}", spec.path, what, reason);
}

Status remove_group(sched::CgroupTree &tree, const GroupSpec &spec) {
  sched::Cgroup *group = tree.find(spec.path);
  const int error = group ? tree.remove(*group) : -ENOENT;
  return error ? failed(spec, "remove", error) : Status::ok_status();
}

}  // namespace

Status check_group_path(std::string_view path) {
  if (path == "/") return Status::ok_status();
  if (!path.starts_with('/')) return Status::error("{} is not the path of a cgroup, such as /a/b", quoted(path));
  for (size_t start = 1; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == ".." || part.size() > 255 || part.find('\n') != part.npos)
      return Status::error("{} is not the path of a cgroup: a name is missing, too long, or not allowed", quoted(path));
    start = end + 1;
  }
  return Status::ok_status();
}

Result<GroupSpec> parse_group(std::string_view text) {
  GroupSpec spec;
  const size_t colon = std::min(text.find(':'), text.size());
  spec.path = text.substr(0, colon);
  if (Status status = check_group_path(spec.path); !status.ok()) return status;
  for (size_t start = colon + 1; start < text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string_view part = text.substr(start, end - start);
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    if (Status status = parse_setting(key, value, &spec); !status.ok())
      return status.at(fmt::format("{}: {}", spec.path, key));
    start = end + 1;
  }
  if (spec.weight && spec.nice) return Status::error("{}: weight and nice are the same setting", spec.path);
  return spec;
}

Status apply_group(sched::Kernel &kernel, const GroupSpec &spec) {
  sched::CgroupTree &tree = kernel.cgroups();
  if (spec.remove) return remove_group(tree, spec);
  int error = 0;
  sched::Cgroup *group = tree.make_path(spec.path, &error);
  if (!group) return failed(spec, "create", error);
  const scx_task_group &now = group->group().ts.scx;
  if (spec.idle && !*spec.idle && (error = tree.set_idle(*group, false))) return failed(spec, "idle", error);
  if (spec.weight && (error = tree.set_weight(*group, *spec.weight))) return failed(spec, "weight", error);
  if (spec.nice && (error = tree.set_weight_nice(*group, *spec.nice))) return failed(spec, "nice", error);
  if (spec.idle && *spec.idle && (error = tree.set_idle(*group, true))) return failed(spec, "idle", error);
  if (spec.quota_us || spec.period_us)
    error = tree.set_max(*group, spec.quota_us.value_or(now.bw_quota_us), spec.period_us.value_or(now.bw_period_us));
  if (error) return failed(spec, "max", error);
  if (spec.burst_us && (error = tree.set_burst(*group, *spec.burst_us))) return failed(spec, "burst", error);
  return Status::ok_status();
}

namespace {

using Attach = int (sched::CgroupTree::*)(sched::Cgroup &to, sched::Task &task);

Status move(sched::Kernel &kernel, const std::string &path, sched::Task &task, Attach attach) {
  const GroupSpec spec{.path = path};
  int error = 0;
  sched::Cgroup *group = kernel.cgroups().make_path(path, &error);
  if (!group) return failed(spec, "create", error);
  if ((error = (kernel.cgroups().*attach)(*group, task)))
    return failed(spec, fmt::format("move of {} [{}]", task.comm(), task.pid()).c_str(), error);
  return Status::ok_status();
}

}  // namespace

Status move_to_group(sched::Kernel &kernel, const std::string &path, sched::Task &task) {
  return move(kernel, path, task, &sched::CgroupTree::attach);
}

Status move_thread_to_group(sched::Kernel &kernel, const std::string &path, sched::Task &task) {
  return move(kernel, path, task, &sched::CgroupTree::attach_thread);
}

}  // namespace uscx::workload
