// SPDX-License-Identifier: GPL-2.0-only
#include "process/proc_files.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "process/memory_size.h"
#include "process/mounts.h"
#include "process/pass_through.h"
#include "process/supervisor.h"
#include "process/task_files.h"
#include "sched/cgroup.h"

namespace uscx::process {

using bridge::Host;

namespace {

std::string line_of(u64 value) { return fmt::format("{}\n", value); }

u32 nr_running(Host &host) {
  u32 running = 0;
  for (u32 cpu = 0; cpu < host.kernel().nr_cpus(); cpu++) running += host.kernel().rq(cpu).nr_running;
  return running;
}

// Ticks of user code and of idleness, as far as they are known: what a CPU has run of its tasks. The sums count all
// CPUs, the lines below are those of CPUs that are online.
std::string stat_text(Host &host) {
  const u64 now = machine::now_ns() / (kNsPerSec / kUserHz);
  sched::Kernel &kernel = host.kernel();
  std::string lines;
  u64 busy_sum = 0, switches = 0;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    const sched::Rq &rq = kernel.rq(cpu);
    const u64 idle = std::min(now, rq.idle->ts.se.sum_exec_runtime / (kNsPerSec / kUserHz));
    busy_sum += now - idle;
    switches += rq.nr_switches;
    if (kernel.online_mask().test(cpu)) lines += fmt::format("cpu{} {} 0 0 {} 0 0 0 0 0 0\n", cpu, now - idle, idle);
  }
  return fmt::format(
      "cpu  {} 0 0 {} 0 0 0 0 0 0\n{}intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\n"
      "procs_blocked 0\n",
      busy_sum, now * kernel.nr_cpus() - busy_sum, lines, switches, Supervisor::kBootRealtimeNs / kNsPerSec,
      kernel.nr_tasks(), nr_running(host));
}

std::string uptime_text(Host &) {
  const u64 hundredths = machine::now_ns() / (kNsPerSec / 100);
  return fmt::format("{}.{:02} 0.00\n", hundredths / 100, hundredths % 100);
}

std::string loadavg_text(Host &host) {
  return fmt::format("0.00 0.00 0.00 {}/{} 0\n", nr_running(host), host.kernel().nr_tasks());
}

std::string meminfo_text(Host &) {
  constexpr u64 kTotal = kMemoryBytes / 1024;
  std::string text;
  for (const auto &[name, value] :
       {std::pair("MemTotal", kTotal), std::pair("MemFree", kTotal / 2), std::pair("MemAvailable", kTotal / 2),
        std::pair("Buffers", u64{0}), std::pair("Cached", u64{0}), std::pair("SwapCached", u64{0}),
        std::pair("SwapTotal", u64{0}), std::pair("SwapFree", u64{0})})
    text += fmt::format("{:<16}{:8} kB\n", fmt::format("{}:", name), value);
  return text;
}

std::string cpuinfo_text(Host &host) {
  const machine::Topology &topology = host.machine().topology();
  std::string text;
  for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++) {
    if (!host.kernel().online_mask().test(cpu)) continue;
    text += fmt::format(
        "processor\t: {}\nvendor_id\t: uscx\nmodel name\t: simulated CPU\nphysical id\t: {}\n"
        "core id\t\t: {}\n\n",
        cpu, topology.node_of(cpu), topology.core_of(cpu));
  }
  return text;
}

std::string cgroups_text(Host &host) {
  sched::CgroupTree &tree = host.kernel().cgroups();
  u64 groups = 0;
  for (sched::Cgroup *at = nullptr; (at = tree.next(tree.root(), at, sched::CssOrder::kPre));)
    groups += at->own_group != nullptr;
  return fmt::format("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t{}\t1\n", groups);
}

std::string release_line(Host &host) { return host.system().options().release + "\n"; }
std::string nothing(Host &) { return ""; }

template <u64 Value>
std::string constant(Host &) {
  return line_of(Value);
}

std::string uuid_text(Rng &random) {
  const u64 high = random.next(), low = random.next();
  constexpr u64 kVersion4 = 0x4000, kVariant = 0x8000;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}\n", high >> 32, high >> 16 & 0xffff,
                     (high & 0xfff) | kVersion4, (low >> 48 & 0x3fff) | kVariant, low & 0xffffffffffff);
}

constexpr const char *kUuid = "/proc/sys/kernel/random/uuid", *kBootId = "/proc/sys/kernel/random/boot_id";

// Directories with trees of their own, here only for the names above them.
constexpr const char *kTrees[] = {"/proc/self/.",           "/sys/devices/system/cpu/.", "/sys/devices/system/node/.",
                                  "/sys/fs/bpf/.",          "/sys/fs/cgroup/.",          "/sys/kernel/debug/sched/.",
                                  "/sys/kernel/sched_ext/."};

}  // namespace

struct ProcFiles::Row {
  const char *path;
  std::string (*text)(Host &host);
};

namespace {

constexpr ProcFiles::Row kRows[] = {
    {"/proc/cgroups", cgroups_text},
    {"/proc/cmdline", [](Host &) { return std::string("root=/dev/root\n"); }},
    {"/proc/cpuinfo", cpuinfo_text},
    {"/proc/filesystems", [](Host &) { return filesystems_text(); }},
    {"/proc/loadavg", loadavg_text},
    {"/proc/meminfo", meminfo_text},
    {"/proc/modules", nothing},
    {"/proc/mounts", [](Host &) { return mounts_text(); }},
    {"/proc/stat", stat_text},
    {"/proc/swaps", [](Host &) { return std::string("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"); }},
    {"/proc/sys/kernel/cap_last_cap", constant<40>},
    {"/proc/sys/kernel/hostname", [](Host &) { return std::string("uscx\n"); }},
    {"/proc/sys/kernel/kptr_restrict", constant<0>},
    {"/proc/sys/kernel/ngroups_max", constant<65536>},
    {"/proc/sys/kernel/osrelease", release_line},
    {"/proc/sys/kernel/ostype", [](Host &) { return std::string("Linux\n"); }},
    {"/proc/sys/kernel/perf_event_max_sample_rate", constant<100000>},
    {"/proc/sys/kernel/perf_event_max_stack", constant<127>},
    {"/proc/sys/kernel/perf_event_mlock_kb", constant<516>},
    {"/proc/sys/kernel/perf_event_paranoid", constant<2>},
    {"/proc/sys/kernel/pid_max", constant<4194304>},
    {"/proc/sys/kernel/sched_rr_timeslice_ms", constant<100>},
    {"/proc/sys/kernel/sched_rt_period_us", constant<1000000>},
    {"/proc/sys/kernel/tainted", constant<0>},
    {"/proc/sys/kernel/unprivileged_bpf_disabled", constant<2>},
    {"/proc/sys/net/core/bpf_jit_enable", constant<1>},
    {"/proc/sys/net/core/bpf_jit_harden", constant<0>},
    {"/proc/sys/net/core/bpf_jit_kallsyms", constant<0>},
    {"/proc/uptime", uptime_text},
    {"/proc/version", [](Host &host) { return "Linux version " + release_line(host); }},
};

bool of_kernel(std::string_view path) { return is_within(path, "/proc") || is_within(path, "/sys"); }

}  // namespace

ProcFiles::ProcFiles(Host &host) : host_(host), random_(host.machine().seed(), "uuid"), boot_id_(uuid_text(random_)) {}

bool ProcFiles::covers(std::string_view path) const { return of_kernel(path); }

// Of all files, without the first slash.
std::vector<std::string> ProcFiles::names(bool with_hosts) const {
  std::vector<std::string> names;
  const auto add = [&names](std::string_view path) { names.emplace_back(path.substr(1)); };
  for (const Row &row : kRows) add(row.path);
  add(kUuid);
  add(kBootId);
  for (const std::string &path : host_.system().files().paths())
    if (of_kernel(path)) add(path);
  for (const char *tree : kTrees) add(tree);
  for (const PassThrough &row : list_pass_through())
    if (with_hosts && !std::string_view(row.path).starts_with(kOfProcess) && is_on_host(row.path)) add(row.path);
  return names;
}

// A file of ours may be in a directory of the host's.
FileKind ProcFiles::kind(std::string_view path) const {
  if (!passes_through(path)) return kind_among(names(true), path.substr(1));
  const FileKind own = kind_among(names(false), path.substr(1));
  return own == FileKind::kFile ? own : FileKind::kAbsent;
}

std::vector<FileName> ProcFiles::list(std::string_view path) const {
  std::vector<FileName> found = list_among(names(true), path.substr(1));
  for (FileName &name : found) {
    const PassThrough *row = passes_through(fmt::format("{}/{}", path, name.name));
    if (row) name.kind = row->kind;
    if (path == "/proc" && name.name == "self") name.kind = FileKind::kLink;
  }
  return found;
}

std::string ProcFiles::contents(std::string_view path) const {
  if (path == kUuid) return uuid_text(random_);
  if (path == kBootId) return boot_id_;
  for (const Row &row : kRows)
    if (path == row.path) return row.text(host_);
  return host_.system().files().contents(path);
}

int ProcFiles::write(std::string_view, std::string_view) { return -EACCES; }

}  // namespace uscx::process
