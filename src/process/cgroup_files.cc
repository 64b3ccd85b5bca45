// SPDX-License-Identifier: GPL-2.0-only
#include "process/cgroup_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/units.h"

namespace uscx::process {

using sched::Cgroup;
using sched::CgroupTree;
using sched::Kernel;
using sched::TaskGroup;

namespace {

constexpr std::string_view kRoot = "/sys/fs/cgroup";

enum class Where : u8 { kEverywhere, kNotRoot, kCpu };  // kCpu: not the root, and with the controller.

bool is_there(const Cgroup &cgroup, Where where) {
  if (where == Where::kEverywhere) return true;
  return cgroup.parent && (where == Where::kNotRoot || cgroup.own_group);
}

std::string_view stripped(std::string_view text) {
  constexpr const char *kSpace = " \t\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Decimal, or hexadecimal after 0x.
template <typename T>
bool parse(std::string_view text, T *value) {
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value, hex ? 16 : 10);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// --- contents ---

std::string pids(Kernel &kernel, Cgroup &cgroup, bool threads) {
  std::string text;
  kernel.cgroups().for_each_task(cgroup, false, [&](const sched::Task &p) {
    if (threads || p.ts.tgid == p.ts.pid) text += fmt::format("{}\n", p.pid());
  });
  return text;
}
std::string procs(Kernel &kernel, Cgroup &cgroup) { return pids(kernel, cgroup, false); }
std::string threads(Kernel &kernel, Cgroup &cgroup) { return pids(kernel, cgroup, true); }

std::string controllers(Kernel &, Cgroup &cgroup) { return cgroup.own_group ? "cpu\n" : "\n"; }
std::string subtree_control(Kernel &, Cgroup &cgroup) { return cgroup.subtree_cpu ? "cpu\n" : "\n"; }
std::string type(Kernel &, Cgroup &) { return "domain\n"; }
std::string events(Kernel &, Cgroup &cgroup) {
  return fmt::format("populated {}\nfrozen 0\n", cgroup.populated() ? 1 : 0);
}
std::string statistics(Kernel &kernel, Cgroup &cgroup) {
  u32 live = 0, dying = 0;
  for (Cgroup *at = &cgroup; (at = kernel.cgroups().next(cgroup, at, sched::CssOrder::kPre));)
    (at->dead ? dying : live)++;
  return fmt::format("nr_descendants {}\nnr_dying_descendants {}\n", live, dying);
}

std::string weight(Kernel &, Cgroup &cgroup) { return fmt::format("{}\n", CgroupTree::weight_of(cgroup.group())); }
std::string weight_nice(Kernel &, Cgroup &cgroup) { return fmt::format("{}\n", CgroupTree::nice_of(cgroup.group())); }
std::string idle(Kernel &, Cgroup &cgroup) { return fmt::format("{}\n", cgroup.group().ts.scx.idle ? 1 : 0); }
std::string burst(Kernel &, Cgroup &cgroup) { return fmt::format("{}\n", cgroup.group().ts.scx.bw_burst_us); }
std::string max(Kernel &, Cgroup &cgroup) {
  const scx_task_group &scx = cgroup.group().ts.scx;
  if (scx.bw_quota_us == sched::kNoQuota) return fmt::format("max {}\n", scx.bw_period_us);
  return fmt::format("{} {}\n", scx.bw_quota_us, scx.bw_period_us);
}
std::string stat(Kernel &kernel, Cgroup &cgroup) {
  const sched::CpuUsage usage = kernel.cgroups().usage(cgroup);
  std::string text = fmt::format("usage_usec {}\nuser_usec {}\nsystem_usec {}\n", usage.total_ns / kNsPerUs,
                                 usage.user_ns / kNsPerUs, usage.system_ns / kNsPerUs);
  if (is_there(cgroup, Where::kCpu))
    text += "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\nnr_bursts 0\nburst_usec 0\n";
  return text;
}

// --- changes ---

int write_procs(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  int pid = 0;
  if (!parse(text, &pid) || pid < 0) return -EINVAL;
  sched::Task *task = pid ? kernel.find_task(pid) : kernel.this_rq().curr.get();
  return task ? kernel.cgroups().attach(cgroup, *task) : -ESRCH;
}

// FIDELITY: cpu-controller-only.
int write_type(Kernel &, Cgroup &, std::string_view text) { return text == "threaded" ? -EOPNOTSUPP : -EINVAL; }

int write_subtree_control(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  constexpr std::string_view kOthers[] = {"cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc", "dmem"};
  std::optional<bool> cpu;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    text = stripped(text.substr(end));
    if (word[0] != '+' && word[0] != '-') return -EINVAL;
    const std::string_view name = word.substr(1);
    if (std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers)) {
      if (word[0] == '+') return -ENOENT;
      continue;
    }
    if (name != "cpu") return -EINVAL;
    cpu = word[0] == '+';
  }
  return cpu ? kernel.cgroups().set_subtree_cpu(cgroup, *cpu) : 0;
}

int write_weight(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  u64 value = 0;
  return parse(text, &value) ? kernel.cgroups().set_weight(cgroup, value) : -EINVAL;
}
int write_weight_nice(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  s64 value = 0;
  return parse(text, &value) ? kernel.cgroups().set_weight_nice(cgroup, value) : -EINVAL;
}
int write_idle(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  s64 value = 0;
  return parse(text, &value) && (value == 0 || value == 1) ? kernel.cgroups().set_idle(cgroup, value) : -EINVAL;
}
int write_burst(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  u64 value = 0;
  return parse(text, &value) ? kernel.cgroups().set_burst(cgroup, value) : -EINVAL;
}
int write_max(Kernel &kernel, Cgroup &cgroup, std::string_view text) {
  const size_t space = std::min(text.find_first_of(" \t"), text.size());
  u64 quota_us = sched::kNoQuota, period_us = cgroup.group().ts.scx.bw_period_us;
  if (text.substr(0, space) != "max" && !parse(text.substr(0, space), &quota_us)) return -EINVAL;
  if (space < text.size() && !parse(stripped(text.substr(space)), &period_us)) return -EINVAL;
  return kernel.cgroups().set_max(cgroup, quota_us, period_us);
}

}  // namespace

struct CgroupFiles::File {
  const char *name;
  Where where;
  std::string (*read)(Kernel &kernel, Cgroup &cgroup);
  int (*write)(Kernel &kernel, Cgroup &cgroup, std::string_view text);  // Null: it is read only.
};

namespace {

constexpr CgroupFiles::File kFiles[] = {
    {"cgroup.type", Where::kNotRoot, type, write_type},
    {"cgroup.procs", Where::kEverywhere, procs, write_procs},
    {"cgroup.threads", Where::kEverywhere, threads, nullptr},
    {"cgroup.controllers", Where::kEverywhere, controllers, nullptr},
    {"cgroup.subtree_control", Where::kEverywhere, subtree_control, write_subtree_control},
    {"cgroup.events", Where::kNotRoot, events, nullptr},
    {"cgroup.stat", Where::kEverywhere, statistics, nullptr},
    {"cpu.stat", Where::kEverywhere, stat, nullptr},
    {"cpu.weight", Where::kCpu, weight, write_weight},
    {"cpu.weight.nice", Where::kCpu, weight_nice, write_weight_nice},
    {"cpu.max", Where::kCpu, max, write_max},
    {"cpu.max.burst", Where::kCpu, burst, write_burst},
    {"cpu.idle", Where::kCpu, idle, write_idle},
};
static_assert(std::size(kFiles) < sched::kCgroupIdStep);

struct Place {
  std::string_view parent, name;
};
Place split(std::string_view path) {
  const size_t slash = path.rfind('/');
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string_view below_root(std::string_view path) { return path.substr(std::min(kRoot.size(), path.size())); }

}  // namespace

bool CgroupFiles::covers(std::string_view path) const { return is_within(path, kRoot); }

CgroupFiles::Node CgroupFiles::find(std::string_view path) const {
  if (!covers(path)) return {};
  CgroupTree &tree = kernel_.cgroups();
  if (Cgroup *cgroup = tree.find(below_root(path))) return {cgroup, nullptr};
  const Place place = split(path);
  Cgroup *parent = covers(place.parent) ? tree.find(below_root(place.parent)) : nullptr;
  if (!parent) return {};
  for (const File &file : kFiles)
    if (place.name == file.name && is_there(*parent, file.where)) return {parent, &file};
  return {};
}

FileKind CgroupFiles::kind(std::string_view path) const {
  const Node node = find(path);
  if (!node.cgroup) return FileKind::kAbsent;
  return node.file ? FileKind::kFile : FileKind::kDirectory;
}

bool CgroupFiles::is_writable(std::string_view path) const {
  const Node node = find(path);
  return node.file && node.file->write;
}

u64 CgroupFiles::inode(std::string_view path) const {
  const Node node = find(path);
  if (!node.cgroup) return 0;
  return node.cgroup->id() + (node.file ? static_cast<u64>(node.file - kFiles) + 1 : 0);
}

std::string CgroupFiles::contents(std::string_view path) const {
  const Node node = find(path);
  return node.file ? node.file->read(kernel_, *node.cgroup) : "";
}

std::string CgroupFiles::path_of(u64 id) const {
  const Cgroup *cgroup = kernel_.cgroups().find_id(id);
  return cgroup && !cgroup->dead ? directory_of(*cgroup) : "";
}

std::string CgroupFiles::directory_of(const Cgroup &cgroup) const {
  return cgroup.parent ? std::string(kRoot) + kernel_.cgroups().path(cgroup) : std::string(kRoot);
}

std::vector<FileName> CgroupFiles::list(std::string_view path) const {
  std::vector<FileName> names;
  const Node node = find(path);
  if (!node.cgroup || node.file) return names;
  for (const File &file : kFiles)
    if (is_there(*node.cgroup, file.where)) names.push_back({file.name});
  for (const Cgroup *child : kernel_.cgroups().children_of(*node.cgroup))
    names.push_back({child->name, FileKind::kDirectory});
  return names;
}

int CgroupFiles::write(std::string_view path, std::string_view text) {
  const Node node = find(path);
  if (!node.file) return -ENODEV;  // It was there when it was opened.
  return node.file->write ? node.file->write(kernel_, *node.cgroup, stripped(text)) : -EACCES;
}

int CgroupFiles::make_directory(std::string_view path) {
  if (find(path).cgroup) return -EEXIST;
  const Place place = split(path);
  const Node parent = find(place.parent);
  if (!parent.cgroup) return -ENOENT;
  return parent.file ? -ENOTDIR : kernel_.cgroups().make(*parent.cgroup, place.name);
}

int CgroupFiles::remove_directory(std::string_view path) {
  const Node node = find(path);
  if (!node.cgroup) return -ENOENT;
  return node.file ? -ENOTDIR : kernel_.cgroups().remove(*node.cgroup);
}

std::string CgroupFiles::of_task(Kernel &kernel, const sched::Task &task) {
  const Cgroup &cgroup = *task.cgroup;
  return fmt::format("0::{}{}\n", kernel.cgroups().path(cgroup), cgroup.dead ? " (deleted)" : "");
}

}  // namespace uscx::process
