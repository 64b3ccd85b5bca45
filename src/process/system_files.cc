// SPDX-License-Identifier: GPL-2.0-only
#include "process/system_files.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/units.h"
#include "process/supervisor.h"
#include "sched/current.h"
#include "sched/ext/ext.h"
#include "sched/ext/ext_sched.h"
#include "sched/hotplug.h"

namespace uscx::process {
namespace {

constexpr const char *kCpuDir = "/sys/devices/system/cpu";
constexpr const char *kNodeDir = "/sys/devices/system/node";
constexpr const char *kScxDir = "/sys/kernel/sched_ext";

std::string number_line(u64 value) { return fmt::format("{}\n", value); }

std::string list_line(machine::MaskView mask) { return mask.to_list() + "\n"; }

// What is written to cpuN/online. The writer waits until the CPU is gone or there.
int set_online(sched::Kernel &kernel, u32 cpu, std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return -EINVAL;
  sched::KthreadApi &writer = *sched::current_api();
  std::optional<int> result;
  kernel.hotplug().request(cpu, text[0] == '1', [&](int error) {
    result = error;
    kernel.wake(writer.self());
  });
  while (!result) writer.block();
  return *result;
}

const char *state_name(u32 state) {
  switch (state) {
    case SCX_ENABLING: return "enabling";
    case SCX_ENABLED: return "enabled";
    case SCX_DISABLING: return "disabling";
    default: return "disabled";
  }
}

}  // namespace

SystemFiles::SystemFiles(bridge::Host &host, TaskFiles::CommandLine command_line)
    : host_(host), cgroups_(host.kernel()), tasks_(host.kernel(), std::move(command_line)) {
  for (const char *prefix : {"/sys/devices/system/cpu/", "/sys/devices/system/node/"}) files_.hide(prefix);
  names_.insert("/sys/fs/cgroup/cgroup.procs");  // So that /sys/fs has its directory.
  for (const char *name : {"/sys/kernel/btf/vmlinux", "/sys/kernel/sched_ext/hotplug_seq",
                           "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present"})
    names_.insert(name);
  add_sched_ext();
  add_cpus();
  add_nodes();
  add_proc();
  add_debug();
}

bool SystemFiles::names_change(const std::string &path) const { return CgroupFiles::covers(path) || fs().owns(path); }

u64 SystemFiles::magic(const std::string &path) const {
  constexpr u64 kCgroup2Magic = 0x63677270, kBpfFsMagic = 0xcafe4a11;
  return CgroupFiles::covers(path) ? kCgroup2Magic : kBpfFsMagic;
}

int SystemFiles::make_directory(const std::string &path) {
  return CgroupFiles::covers(path) ? cgroups_.make_directory(path) : fs().make_directory(path);
}

int SystemFiles::remove(const std::string &path, bool directory) {
  if (!CgroupFiles::covers(path)) return fs().remove(path, directory);
  return directory ? cgroups_.remove_directory(path) : -EPERM;
}

SystemFiles::~SystemFiles() {
  std::error_code ignored;
  if (!root_.empty()) std::filesystem::remove_all(root_, ignored);
  if (root_lock_ >= 0) ::close(root_lock_);
}

// Each place of directories is locked while its process lives; what a killed one has left goes when the next is made.
int SystemFiles::make_root() {
  constexpr const char *kPrefix = "uscx-files-";
  std::error_code error;
  for (const auto &entry : std::filesystem::directory_iterator("/tmp", error)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    const bool left =
        fd >= 0 && ::fstat(fd, &st) == 0 && st.st_uid == ::geteuid() && ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    std::error_code ignored;
    if (left) std::filesystem::remove_all(entry.path(), ignored);
    if (fd >= 0) ::close(fd);
  }
  std::string name = fmt::format("/tmp/{}XXXXXX", kPrefix);
  if (::mkdtemp(name.data()) == nullptr) return -errno;
  root_ = name;
  root_lock_ = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return root_lock_ >= 0 && ::flock(root_lock_, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
}

void SystemFiles::add_sched_ext() {
  sched::Ext &ext = host_.ext();
  const std::string dir = kScxDir;
  add(dir + "/state", [&ext] { return fmt::format("{}\n", state_name(ext.state())); });
  add(dir + "/switch_all", [&ext] { return number_line(ext.switched_all() ? 1 : 0); });
  add(dir + "/nr_rejected", [&ext] { return number_line(ext.nr_rejected()); });
  add(dir + "/enable_seq", [&ext] { return number_line(ext.enable_seq()); });
}

// Each has a directory as long as it is loaded, below that of the one that it is loaded under.
void SystemFiles::sync_schedulers(const std::string &path) {
  if (!path.starts_with(kScxDir)) return;
  std::map<std::string, Text> now;
  for (const sched::Ext::Loaded &loaded : host_.ext().loaded()) {
    const std::string dir = fmt::format("{}/{}/", kScxDir, loaded.path);
    now[dir + "ops"] = [text = loaded.name + "\n"] { return text; };
    now[dir + "events"] = [this, where = loaded.path] { return events_text(where); };
  }
  std::erase_if(scheduler_files_, [&](const std::string &file) {
    if (now.contains(file)) return false;
    files_.remove(file);
    names_.erase(file);
    if (!root_.empty()) std::filesystem::remove_all(root_ + file.substr(0, file.rfind('/')));
    return true;
  });
  for (auto &[file, text] : now) {
    scheduler_files_.insert(file);
    add(file, std::move(text));
  }
}

std::string SystemFiles::events_text(const std::string &where) {
  std::string lines;
  for (const sched::Ext::Loaded &loaded : host_.ext().loaded())
    if (loaded.path == where)
      for (const sched::EventName &event : sched::kEventNames)
        lines += fmt::format("{} {}\n", event.name, loaded.events.*event.counter);
  return lines;
}

void SystemFiles::add_cpus() {
  const machine::Topology &topology = host_.machine().topology();
  sched::Kernel &kernel = host_.kernel();
  const std::string dir = kCpuDir;
  add(dir + "/online", [&kernel] { return list_line(kernel.online_mask()); });
  add(dir + "/offline", [&kernel, &topology] {
    machine::CpuMask mask = topology.all();
    for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++)
      if (kernel.online_mask().test(cpu)) mask.clear(cpu);
    return list_line(mask);
  });
  add(dir + "/kernel_max", [] { return number_line(8191); });
  const auto list_where = [&kernel](bool sched::Rq::*flag) {
    machine::CpuMask mask(kernel.nr_cpus());
    for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
      if (kernel.rq(cpu).*flag) mask.set(cpu);
    return list_line(mask);
  };
  add(dir + "/isolated", [list_where] { return list_where(&sched::Rq::isolated); });
  add(dir + "/nohz_full", [list_where] { return list_where(&sched::Rq::nohz_full); });
  add(dir + "/smt/active", [&kernel] { return number_line(kernel.smt_active() ? 1 : 0); });
  add(dir + "/smt/control", [&kernel] { return std::string(kernel.smt_active() ? "on\n" : "notsupported\n"); });
  for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++) {
    const std::string here = fmt::format("{}/cpu{}", dir, cpu);
    const u32 llc = topology.llc_of(cpu), node = topology.node_of(cpu), core = topology.core_of(cpu);
    if (cpu > 0)
      add(
          here + "/online", [&kernel, cpu] { return number_line(kernel.online_mask().test(cpu) ? 1 : 0); },
          [&kernel, cpu](std::string_view text) { return set_online(kernel, cpu, text); });
    add(here + "/topology/core_id", [core] { return number_line(core); });
    add(here + "/topology/physical_package_id", [node] { return number_line(node); });
    add(here + "/topology/die_id", [] { return number_line(0); });
    add(here + "/topology/cluster_id", [llc] { return number_line(llc); });
    for (const char *name : {"thread_siblings_list", "core_cpus_list"})
      add(here + "/topology/" + name, [&topology, cpu] { return list_line(topology.smt_mask(cpu)); });
    for (const char *name : {"core_siblings_list", "package_cpus_list", "die_cpus_list"})
      add(here + "/topology/" + name, [&topology, node] { return list_line(topology.node_mask(node)); });
    add(here + "/cpu_capacity", [] { return number_line(1024); });
    add(fmt::format("{}/node{}/cpulist", here, node),
        [&topology, node] { return list_line(topology.node_mask(node)); });
    add_caches(cpu);
  }
}

// A core has level 1 and 2 to itself; an LLC is a level 3.
void SystemFiles::add_caches(u32 cpu) {
  struct Cache {
    u32 level;
    const char *type, *size;
  };
  constexpr Cache kCaches[] = {
      {1, "Data", "32K"}, {1, "Instruction", "32K"}, {2, "Unified", "1024K"}, {3, "Unified", "16384K"}};
  const machine::Topology &topology = host_.machine().topology();
  for (u32 index = 0; index < std::size(kCaches); index++) {
    const Cache &cache = kCaches[index];
    const std::string here = fmt::format("{}/cpu{}/cache/index{}", kCpuDir, cpu, index);
    const bool shared = cache.level == 3;
    const u32 id = shared ? topology.llc_of(cpu) : topology.core_of(cpu);
    add(here + "/id", [id] { return number_line(id); });
    add(here + "/level", [&cache] { return number_line(cache.level); });
    add(here + "/type", [&cache] { return fmt::format("{}\n", cache.type); });
    add(here + "/size", [&cache] { return fmt::format("{}\n", cache.size); });
    add(here + "/coherency_line_size", [] { return number_line(64); });
    add(here + "/shared_cpu_list", [&topology, cpu, shared] {
      return list_line(shared ? topology.llc_mask(topology.llc_of(cpu)) : topology.smt_mask(cpu));
    });
  }
}

void SystemFiles::add_nodes() {
  const machine::Topology &topology = host_.machine().topology();
  const std::string dir = kNodeDir;
  const auto nodes = [&topology] { return bpf::cpu_list_text(topology.nr_nodes()); };
  for (const char *name : {"/possible", "/online", "/has_cpu", "/has_memory", "/has_normal_memory"})
    add(dir + name, nodes);
  for (u32 node = 0; node < topology.nr_nodes(); node++) {
    const std::string here = fmt::format("{}/node{}", dir, node);
    for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++)
      if (topology.node_of(cpu) == node) names_.insert(fmt::format("{}/cpu{}/", here, cpu));
    add(here + "/cpulist", [&topology, node] { return list_line(topology.node_mask(node)); });
    add(here + "/meminfo", [this, node] {
      const u64 total = kMemoryBytes / host_.machine().topology().nr_nodes() / 1024;
      return fmt::format("Node {0} MemTotal:       {1:8} kB\nNode {0} MemFree:        {2:8} kB\n", node, total,
                         total / 2);
    });
    add(here + "/cpumap", [&topology, node] { return topology.node_mask(node).view().to_hex() + "\n"; });
    add(here + "/distance", [&topology, node] {
      std::string text;
      for (u32 other = 0; other < topology.nr_nodes(); other++)
        text += fmt::format("{}{}", other ? " " : "", topology.node_distance(node, other));
      return text + "\n";
    });
  }
}

u32 SystemFiles::nr_running() const {
  u32 running = 0;
  for (u32 cpu = 0; cpu < host_.kernel().nr_cpus(); cpu++) running += host_.kernel().rq(cpu).nr_running;
  return running;
}

// Ticks of user code and of idleness, as far as they are known: what a CPU has run of its tasks.
std::string SystemFiles::stat_text() {
  const u64 now = machine::now_ns() / (kNsPerSec / kUserHz);
  sched::Kernel &kernel = host_.kernel();
  std::string lines;
  u64 busy_sum = 0, switches = 0;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    const sched::Rq &rq = kernel.rq(cpu);
    const u64 idle = std::min(now, rq.idle->ts.se.sum_exec_runtime / (kNsPerSec / kUserHz));
    busy_sum += now - idle;
    switches += rq.nr_switches;
    lines += fmt::format("cpu{} {} 0 0 {} 0 0 0 0 0 0\n", cpu, now - idle, idle);
  }
  return fmt::format(
      "cpu  {} 0 0 {} 0 0 0 0 0 0\n{}intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\n"
      "procs_blocked 0\n",
      busy_sum, now * kernel.nr_cpus() - busy_sum, lines, switches, Supervisor::kBootRealtimeNs / kNsPerSec,
      kernel.nr_tasks(), nr_running());
}

void SystemFiles::add_proc() {
  sched::Kernel &kernel = host_.kernel();
  add("/proc/stat", [this] { return stat_text(); });
  add("/proc/uptime", [] {
    const u64 hundredths = machine::now_ns() / (kNsPerSec / 100);
    return fmt::format("{}.{:02} 0.00\n", hundredths / 100, hundredths % 100);
  });
  add("/proc/loadavg",
      [this, &kernel] { return fmt::format("0.00 0.00 0.00 {}/{} 0\n", nr_running(), kernel.nr_tasks()); });
  add("/proc/meminfo", [] {
    constexpr u64 kTotal = kMemoryBytes / 1024;
    std::string text;
    for (const auto &[name, value] :
         {std::pair("MemTotal", kTotal), std::pair("MemFree", kTotal / 2), std::pair("MemAvailable", kTotal / 2),
          std::pair("Buffers", u64{0}), std::pair("Cached", u64{0}), std::pair("SwapCached", u64{0}),
          std::pair("SwapTotal", u64{0}), std::pair("SwapFree", u64{0})})
      text += fmt::format("{:<16}{:8} kB\n", fmt::format("{}:", name), value);
    return text;
  });
  add("/proc/version", [this] { return fmt::format("Linux version {}\n", host_.system().options().release); });
  add("/proc/sys/kernel/osrelease", [this] { return fmt::format("{}\n", host_.system().options().release); });
  add("/proc/cpuinfo", [this] {
    const machine::Topology &topology = host_.machine().topology();
    std::string text;
    for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++)
      text += fmt::format(
          "processor\t: {}\nvendor_id\t: uscx\nmodel name\t: simulated CPU\nphysical id\t: {}\n"
          "core id\t\t: {}\n\n",
          cpu, topology.node_of(cpu), topology.core_of(cpu));
    return text;
  });
}

// --- paths ---

void SystemFiles::add(const std::string &path, Text contents, Writer write) {
  files_.add(path, std::move(contents));
  names_.insert(path);
  if (write) writers_[path] = std::move(write);
}

bool SystemFiles::is_directory(const std::string &path) {
  sync_schedulers(path);
  if (path == "/proc") return true;
  if (TaskFiles::covers(path)) return tasks_.is_directory(path);
  if (CgroupFiles::covers(path)) return cgroups_.is_directory(path);
  if (fs().owns(path)) return fs().kind(path) == bpf::BpfFs::Kind::kDirectory;
  const std::string below = path + "/";
  const auto it = names_.lower_bound(below);
  return it != names_.end() && it->starts_with(below) && kind(below) == Kind::kAbsent;
}

SystemFiles::Kind SystemFiles::kind(const std::string &path) {
  sync_schedulers(path);
  if (TaskFiles::covers(path)) return tasks_.is_file(path) ? Kind::kOurs : Kind::kAbsent;
  if (CgroupFiles::covers(path)) return cgroups_.is_file(path) ? Kind::kOurs : Kind::kAbsent;
  if (fs().owns(path)) return fs().kind(path) == bpf::BpfFs::Kind::kFile ? Kind::kOurs : Kind::kAbsent;
  const Kind here = files_.kind(path), there = host_.system().files().kind(path);
  if (here == Kind::kOurs || there == Kind::kOurs) return Kind::kOurs;
  return here == Kind::kAbsent ? here : there;
}

const SystemFiles::Writer *SystemFiles::writer(const std::string &path) {
  if (cgroups_.is_writable(path))
    return &(writers_[path] = [this, path](std::string_view text) { return cgroups_.write(path, text); });
  if (tasks_.is_writable(path))
    return &(writers_[path] = [this, path](std::string_view text) { return tasks_.write(path, text); });
  if (TaskFiles::covers(path)) return nullptr;
  const auto it = writers_.find(path);
  return it == writers_.end() ? nullptr : &it->second;
}

int SystemFiles::open(const std::string &path) {
  sync_schedulers(path);
  if (TaskFiles::covers(path)) return bpf::VirtualFiles::open_text(tasks_.contents(path));
  if (CgroupFiles::covers(path)) return bpf::VirtualFiles::open_text(cgroups_.contents(path));
  if (fs().owns(path)) return -EIO;
  return (files_.kind(path) == Kind::kOurs ? files_ : host_.system().files()).open(path);
}

std::string SystemFiles::normalize(std::string_view path) const {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string result;
  for (std::string_view part : parts) result.append("/").append(part);
  if (!root_.empty() && result.starts_with(root_)) result.erase(0, root_.size());
  return result.empty() ? "/" : follow_node_link(std::move(result));
}

// A node's directory has a link to each of its CPUs.
std::string SystemFiles::follow_node_link(std::string path) const {
  const machine::Topology &topology = host_.machine().topology();
  u32 node = 0, cpu = 0;
  int length = 0;
  if (!path.starts_with(kNodeDir) ||
      std::sscanf(path.c_str(), "/sys/devices/system/node/node%u/cpu%u%n", &node, &cpu, &length) != 2)
    return path;
  const std::string rest = path.substr(static_cast<size_t>(length));
  const bool there = cpu < topology.nr_cpus() && topology.node_of(cpu) == node && (rest.empty() || rest[0] == '/');
  return there ? fmt::format("{}/cpu{}{}", kCpuDir, cpu, rest) : path;
}

std::set<std::string> SystemFiles::list(const std::string &path) const {
  if (CgroupFiles::covers(path)) {
    const std::vector<std::string> names = cgroups_.list(path);
    return {names.begin(), names.end()};
  }
  if (TaskFiles::covers(path)) {
    const std::vector<std::string> names = tasks_.list(path);
    return {names.begin(), names.end()};
  }
  std::set<std::string> names;
  if (path == "/proc")
    for (std::string &name : tasks_.list_processes()) names.insert(std::move(name));
  if (fs().owns(path))
    for (const std::string &one : fs().paths_in(path))
      names.insert(one.substr(path.size() + 1) + (fs().kind(one) == bpf::BpfFs::Kind::kDirectory ? "/" : ""));
  const std::string below = path + "/";
  for (auto it = names_.lower_bound(below); it != names_.end() && it->starts_with(below); ++it) {
    const std::string rest = it->substr(below.size());
    const size_t slash = rest.find('/');
    names.insert(slash == std::string::npos ? rest : rest.substr(0, slash + 1));
  }
  return names;
}

int SystemFiles::open_directory(const std::string &path) {
  if (root_.empty())
    if (const int error = make_root(); error != 0) return error;
  std::error_code error;
  const std::string real = root_ + path;
  std::filesystem::create_directories(real, error);
  const std::set<std::string> names = list(path);
  // Some names come and go.
  for (const auto &entry : std::filesystem::directory_iterator(real, error)) {
    const std::string name = entry.path().filename();
    if (!names.contains(name) && !names.contains(name + "/")) std::filesystem::remove_all(entry.path(), error);
  }
  for (const std::string &name : names) {
    const std::string place = real + "/" + name;
    if (name.ends_with('/')) {
      std::filesystem::create_directory(place, error);
      continue;
    }
    const int file = ::open(place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    if (file >= 0) ::close(file);
  }
  const int fd = ::open(real.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int SystemFiles::open_for_writing(const std::string &path) {
  const int fd = open(path);
  if (fd < 0) return fd;
  struct stat st;
  CHECK(::fstat(fd, &st) == 0);
  written_[{st.st_dev, st.st_ino}] = path;
  return fd;
}

const std::string *SystemFiles::written_file(const std::pair<dev_t, ino_t> &identity) const {
  const auto it = written_.find(identity);
  return it == written_.end() ? nullptr : &it->second;
}

}  // namespace uscx::process
