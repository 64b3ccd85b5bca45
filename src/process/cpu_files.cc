// SPDX-License-Identifier: GPL-2.0-only
#include "process/cpu_files.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "process/memory_size.h"
#include "sched/current.h"
#include "sched/hotplug.h"

namespace uscx::process {

using machine::CpuMask;
using machine::MaskView;
using sched::Kernel;

namespace {

constexpr std::string_view kCpuDir = "/sys/devices/system/cpu";
constexpr std::string_view kNodeDir = "/sys/devices/system/node";

// What one file is about.
struct Subject {
  Kernel &kernel;
  u32 number;  // The CPU's or node's.
  u32 cache;
  const machine::Topology &topology() const { return kernel.machine().topology(); }
};

std::string line_of(u64 value) { return fmt::format("{}\n", value); }
std::string list_of(MaskView mask) { return mask.to_list() + "\n"; }
std::string hex_of(MaskView mask) { return mask.to_hex() + "\n"; }

CpuMask online_of(const Subject &s, const CpuMask &cpus) {
  CpuMask mask = cpus;
  mask.and_with(s.kernel.online_mask());
  return mask;
}

template <typename Predicate>
CpuMask mask_where(const Subject &s, Predicate is_set) {
  CpuMask mask(s.kernel.nr_cpus());
  for (u32 cpu = 0; cpu < s.kernel.nr_cpus(); cpu++)
    if (is_set(cpu)) mask.set(cpu);
  return mask;
}

// --- all CPUs ---

std::string all_cpus(const Subject &s) { return list_of(s.topology().all()); }
std::string online_cpus(const Subject &s) { return list_of(s.kernel.online_mask()); }
std::string offline_cpus(const Subject &s) {
  return list_of(mask_where(s, [&s](u32 cpu) { return !s.kernel.online_mask().test(cpu); }));
}
std::string isolated_cpus(const Subject &s) {
  return list_of(mask_where(s, [&s](u32 cpu) { return s.kernel.rq(cpu).isolated; }));
}
std::string nohz_full_cpus(const Subject &s) {
  return list_of(mask_where(s, [&s](u32 cpu) { return s.kernel.rq(cpu).nohz_full; }));
}
std::string kernel_max(const Subject &) { return line_of(8191); }
std::string smt_active(const Subject &s) { return line_of(s.kernel.smt_active() ? 1 : 0); }
std::string smt_control(const Subject &s) { return s.kernel.smt_active() ? "on\n" : "notsupported\n"; }

// --- one CPU ---

std::string is_online(const Subject &s) { return line_of(s.kernel.online_mask().test(s.number) ? 1 : 0); }

// The writer waits until the CPU is gone or there.
int set_online(const Subject &s, std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return -EINVAL;
  sched::KthreadApi &writer = *sched::current_api();
  std::optional<int> result;
  s.kernel.hotplug().request(s.number, text[0] == '1', [&](int error) {
    result = error;
    s.kernel.wake(writer.self());
  });
  while (!result) writer.block();
  return *result;
}

std::string capacity(const Subject &) { return line_of(1024); }
std::string core_id(const Subject &s) { return line_of(s.topology().core_of(s.number)); }
std::string package_id(const Subject &s) { return line_of(s.topology().node_of(s.number)); }
std::string die_id(const Subject &) { return line_of(0); }
std::string cluster_id(const Subject &s) { return line_of(s.topology().llc_of(s.number)); }

CpuMask core_cpus(const Subject &s) { return online_of(s, s.topology().smt_mask(s.number)); }
CpuMask llc_cpus(const Subject &s) { return online_of(s, s.topology().llc_mask(s.topology().llc_of(s.number))); }
CpuMask package_cpus(const Subject &s) { return online_of(s, s.topology().node_mask(s.topology().node_of(s.number))); }

template <CpuMask (*Cpus)(const Subject &)>
std::string as_list(const Subject &s) {
  return list_of(Cpus(s));
}
template <CpuMask (*Cpus)(const Subject &)>
std::string as_hex(const Subject &s) {
  return hex_of(Cpus(s));
}

// --- its caches ---

// A core has level 1 and 2 to itself; an LLC is a level 3.
struct Cache {
  u32 level;
  const char *type;
  u32 kib, ways;
};
constexpr Cache kCaches[] = {
    {1, "Data", 32, 8}, {1, "Instruction", 32, 8}, {2, "Unified", 1024, 16}, {3, "Unified", 16384, 16}};
constexpr u32 kLineBytes = 64, kLlcLevel = 3;

bool is_llc(const Subject &s) { return kCaches[s.cache].level == kLlcLevel; }
std::string cache_id(const Subject &s) {
  return line_of(is_llc(s) ? s.topology().llc_of(s.number) : s.topology().core_of(s.number));
}
std::string cache_level(const Subject &s) { return line_of(kCaches[s.cache].level); }
std::string cache_type(const Subject &s) { return fmt::format("{}\n", kCaches[s.cache].type); }
std::string cache_size(const Subject &s) { return fmt::format("{}K\n", kCaches[s.cache].kib); }
std::string cache_line(const Subject &) { return line_of(kLineBytes); }
std::string cache_ways(const Subject &s) { return line_of(kCaches[s.cache].ways); }
std::string cache_sets(const Subject &s) {
  return line_of(kCaches[s.cache].kib * 1024 / kCaches[s.cache].ways / kLineBytes);
}
CpuMask sharers(const Subject &s) { return is_llc(s) ? llc_cpus(s) : core_cpus(s); }

// --- nodes ---

std::string all_nodes(const Subject &s) {
  CpuMask nodes(s.topology().nr_nodes());
  nodes.set_all();
  return list_of(nodes);
}
CpuMask node_cpus(const Subject &s) { return online_of(s, s.topology().node_mask(s.number)); }
// As in Linux, a node whose CPUs are all offline has none.
std::string nodes_with_cpus(const Subject &s) {
  CpuMask nodes(s.topology().nr_nodes());
  for (u32 node = 0; node < s.topology().nr_nodes(); node++)
    if (s.topology().node_mask(node).view().intersects(s.kernel.online_mask())) nodes.set(node);
  return list_of(nodes);
}
std::string node_meminfo(const Subject &s) {
  const u64 total = kMemoryBytes / s.topology().nr_nodes() / 1024;
  return fmt::format("Node {0} MemTotal:       {1:8} kB\nNode {0} MemFree:        {2:8} kB\n", s.number, total,
                     total / 2);
}
std::string distances(const Subject &s) {
  std::string text;
  for (u32 other = 0; other < s.topology().nr_nodes(); other++)
    text += fmt::format("{}{}", other ? " " : "", s.topology().node_distance(s.number, other));
  return text + "\n";
}

bool always(const Subject &) { return true; }
bool while_online(const Subject &s) { return s.kernel.online_mask().test(s.number); }
// The machine cannot do without its first CPU.
bool can_go(const Subject &s) { return s.number != 0; }

}  // namespace

struct CpuFiles::Row {
  std::string name;
  std::string (*text)(const Subject &);
  bool (*is_there)(const Subject &) = always;
  int (*write)(const Subject &, std::string_view text) = nullptr;
  u32 cache = 0;
};

namespace {

using Row = CpuFiles::Row;

const std::vector<Row> kAllCpusRows = {
    {"possible", all_cpus},        {"present", all_cpus},      {"online", online_cpus},
    {"offline", offline_cpus},     {"kernel_max", kernel_max}, {"isolated", isolated_cpus},
    {"nohz_full", nohz_full_cpus}, {"smt/active", smt_active}, {"smt/control", smt_control},
};

std::vector<Row> cpu_rows() {
  std::vector<Row> rows = {
      {"online", is_online, can_go, set_online},
      {"cpu_capacity", capacity, while_online},
      {"topology/core_id", core_id, while_online},
      {"topology/physical_package_id", package_id, while_online},
      {"topology/die_id", die_id, while_online},
      {"topology/cluster_id", cluster_id, while_online},
      {"topology/thread_siblings", as_hex<core_cpus>, while_online},
      {"topology/thread_siblings_list", as_list<core_cpus>, while_online},
      {"topology/core_cpus", as_hex<core_cpus>, while_online},
      {"topology/core_cpus_list", as_list<core_cpus>, while_online},
      {"topology/cluster_cpus", as_hex<llc_cpus>, while_online},
      {"topology/cluster_cpus_list", as_list<llc_cpus>, while_online},
      {"topology/core_siblings", as_hex<package_cpus>, while_online},
      {"topology/core_siblings_list", as_list<package_cpus>, while_online},
      {"topology/package_cpus", as_hex<package_cpus>, while_online},
      {"topology/package_cpus_list", as_list<package_cpus>, while_online},
      {"topology/die_cpus", as_hex<package_cpus>, while_online},
      {"topology/die_cpus_list", as_list<package_cpus>, while_online},
  };
  const std::vector<Row> of_each_cache = {
      {"id", cache_id},
      {"level", cache_level},
      {"type", cache_type},
      {"size", cache_size},
      {"coherency_line_size", cache_line},
      {"ways_of_associativity", cache_ways},
      {"number_of_sets", cache_sets},
      {"shared_cpu_list", as_list<sharers>},
      {"shared_cpu_map", as_hex<sharers>},
  };
  for (u32 cache = 0; cache < std::size(kCaches); cache++)
    for (const Row &row : of_each_cache)
      rows.push_back({fmt::format("cache/index{}/{}", cache, row.name), row.text, while_online, nullptr, cache});
  return rows;
}
const std::vector<Row> kCpuRows = cpu_rows();

const std::vector<Row> kAllNodesRows = {
    {"possible", all_nodes},          {"online", all_nodes}, {"has_cpu", nodes_with_cpus}, {"has_memory", all_nodes},
    {"has_normal_memory", all_nodes},
};
const std::vector<Row> kNodeRows = {
    {"cpulist", as_list<node_cpus>},
    {"cpumap", as_hex<node_cpus>},
    {"meminfo", node_meminfo},
    {"distance", distances},
};

// "/sys/devices/system/cpu/cpu3/..." gives 3 and what is left; the same of nodes.
bool take_cpu(std::string_view *path, u32 *cpu) {
  if (!path->starts_with(kCpuDir) || path->substr(kCpuDir.size(), 1) != "/") return false;
  std::string_view rest = path->substr(kCpuDir.size() + 1);
  if (!take_numbered(&rest, "cpu", cpu)) return false;
  *path = rest;
  return true;
}
bool take_node(std::string_view *path, u32 *node) {
  if (!path->starts_with(kNodeDir) || path->substr(kNodeDir.size(), 1) != "/") return false;
  std::string_view rest = path->substr(kNodeDir.size() + 1);
  if (!take_numbered(&rest, "node", node)) return false;
  *path = rest;
  return true;
}

}  // namespace

bool CpuFiles::covers(std::string_view path) const { return is_within(path, kCpuDir) || is_within(path, kNodeDir); }

CpuFiles::Place CpuFiles::find(std::string_view path) const {
  const machine::Topology &topology = kernel_.machine().topology();
  u32 number = 0;
  std::string_view rest = path;
  if (take_cpu(&rest, &number)) return number < topology.nr_cpus() ? Place{&kCpuRows, number, rest} : Place{};
  if (take_node(&rest, &number)) return number < topology.nr_nodes() ? Place{&kNodeRows, number, rest} : Place{};
  const bool cpus = is_within(path, kCpuDir);
  const std::string_view root = cpus ? kCpuDir : kNodeDir;
  return {cpus ? &kAllCpusRows : &kAllNodesRows, 0, path.substr(std::min(root.size() + 1, path.size()))};
}

std::vector<std::string_view> CpuFiles::names_of(const Place &place) const {
  std::vector<std::string_view> names;
  for (const Row &row : *place.rows)
    if (row.is_there({kernel_, place.number, row.cache})) names.emplace_back(row.name);
  return names;
}

const CpuFiles::Row *CpuFiles::find_row(const Place &place) const {
  if (!place.rows) return nullptr;
  for (const Row &row : *place.rows)
    if (row.name == place.rest && row.is_there({kernel_, place.number, row.cache})) return &row;
  return nullptr;
}

FileKind CpuFiles::kind(std::string_view path) const {
  if (!link_target(path).empty()) return FileKind::kLink;
  const Place place = find(path);
  return place.rows ? kind_among(names_of(place), place.rest) : FileKind::kAbsent;
}

bool CpuFiles::is_writable(std::string_view path) const {
  const Row *row = find_row(find(path));
  return row && row->write;
}

std::string CpuFiles::contents(std::string_view path) const {
  const Place place = find(path);
  const Row *row = find_row(place);
  return row ? row->text({kernel_, place.number, row->cache}) : "";
}

int CpuFiles::write(std::string_view path, std::string_view text) {
  const Place place = find(path);
  const Row *row = find_row(place);
  return row && row->write ? row->write({kernel_, place.number, row->cache}, text) : -ENODEV;
}

std::vector<FileName> CpuFiles::list(std::string_view path) const {
  const machine::Topology &topology = kernel_.machine().topology();
  const Place place = find(path);
  if (!place.rows) return {};
  std::vector<FileName> names = list_among(names_of(place), place.rest);
  if (!place.rest.empty()) return names;
  const auto add = [&names](const char *what, u32 number, FileKind kind) {
    names.push_back({fmt::format("{}{}", what, number), kind});
  };
  if (place.rows == &kCpuRows) add("node", topology.node_of(place.number), FileKind::kLink);
  for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++) {
    if (place.rows == &kAllCpusRows) add("cpu", cpu, FileKind::kDirectory);
    if (place.rows == &kNodeRows && linked(cpu, place.number)) add("cpu", cpu, FileKind::kLink);
  }
  for (u32 node = 0; place.rows == &kAllNodesRows && node < topology.nr_nodes(); node++)
    add("node", node, FileKind::kDirectory);
  return names;
}

// --- links ---

bool CpuFiles::linked(u32 cpu, u32 node) const {
  const machine::Topology &topology = kernel_.machine().topology();
  return cpu < topology.nr_cpus() && topology.node_of(cpu) == node;
}

std::string CpuFiles::follow(std::string path, bool last) const {
  for (;;) {
    u32 cpu = 0, node = 0;
    std::string_view rest = path;
    const bool from_node = take_node(&rest, &node);
    if (!(from_node ? take_numbered(&rest, "cpu", &cpu) : take_cpu(&rest, &cpu) && take_numbered(&rest, "node", &node)))
      return path;
    if (!linked(cpu, node) || (rest.empty() && !last)) return path;
    std::string to = from_node ? fmt::format("{}/cpu{}", kCpuDir, cpu) : fmt::format("{}/node{}", kNodeDir, node);
    path = rest.empty() ? std::move(to) : fmt::format("{}/{}", to, rest);
  }
}

std::string CpuFiles::link_target(std::string_view path) const {
  const std::string to = follow(std::string(path), true);
  return to == path ? std::string() : "../.." + to.substr(to.rfind("/", to.rfind('/') - 1));
}

}  // namespace uscx::process
