// SPDX-License-Identifier: GPL-2.0-only
#include "process/debug_files.h"

#include <errno.h>
#include <fmt/format.h>

#include <charconv>

#include "base/units.h"

namespace uscx::process {
namespace {

constexpr std::string_view kDir = "/sys/kernel/debug/sched";
constexpr const char *kServers[] = {"fair_server", "ext_server"};
struct ServerFile {
  const char *name;
  u64 sched::DlServer::*number;
};
constexpr ServerFile kServerFiles[] = {{"runtime", &sched::DlServer::runtime_ns},
                                       {"period", &sched::DlServer::period_ns}};

std::string debug_line(const char *name, u64 value) { return fmt::format("  .{:<30}: {}\n", name, value); }

// What comes after the directory of the scheduler.
std::string_view below(std::string_view path) { return path.substr(std::min(kDir.size() + 1, path.size())); }

}  // namespace

bool DebugFiles::covers(std::string_view path) const { return is_within(path, kDir); }

DebugFiles::Parameter DebugFiles::find(std::string_view path) const {
  path = below(path);
  for (const char *server : kServers) {
    u32 cpu = 0;
    std::string_view rest = path;
    if (!take_numbered(&rest, std::string(server) + "/cpu", &cpu) || cpu >= host_.kernel().nr_cpus()) continue;
    sched::Rq &rq = host_.kernel().rq(cpu);
    for (const ServerFile &file : kServerFiles)
      if (rest == file.name) return {server == kServers[0] ? &rq.fair_server : &rq.ext_server, file.number};
    if (rest.empty()) return {&rq.fair_server, nullptr};
  }
  return {};
}

FileKind DebugFiles::kind(std::string_view path) const {
  const Parameter parameter = find(path);
  if (parameter.server) return parameter.number ? FileKind::kFile : FileKind::kDirectory;
  path = below(path);
  if (path == "debug") return FileKind::kFile;
  return path.empty() || path == kServers[0] || path == kServers[1] ? FileKind::kDirectory : FileKind::kAbsent;
}

bool DebugFiles::is_writable(std::string_view path) const { return find(path).number != nullptr; }

std::string DebugFiles::contents(std::string_view path) const {
  const Parameter parameter = find(path);
  return parameter.number ? fmt::format("{}\n", parameter.server->*parameter.number) : debug_text();
}

std::vector<FileName> DebugFiles::list(std::string_view path) const {
  std::vector<FileName> names;
  if (below(path).empty()) {
    names.push_back({"debug"});
    for (const char *server : kServers) names.push_back({server, FileKind::kDirectory});
  } else if (find(path).server) {
    for (const ServerFile &file : kServerFiles) names.push_back({file.name});
  } else {
    for (u32 cpu = 0; cpu < host_.kernel().nr_cpus(); cpu++)
      names.push_back({fmt::format("cpu{}", cpu), FileKind::kDirectory});
  }
  return names;
}

// A file for each of two numbers, of which the other one stays.
int DebugFiles::write(std::string_view path, std::string_view text) {
  const auto [server, number] = find(path);
  u64 value = 0;
  if (!number || std::from_chars(text.begin(), text.end(), value).ec != std::errc()) return -EINVAL;
  const bool runtime = number == &sched::DlServer::runtime_ns;
  return host_.kernel().dl_server_set(*server, runtime ? value : server->runtime_ns,
                                      runtime ? server->period_ns : value);
}

std::string DebugFiles::debug_text() const {
  sched::Kernel &kernel = host_.kernel();
  const u64 now_us = machine::now_ns() / kNsPerUs;
  std::string text =
      fmt::format("Sched Debug Version: v0.11, {}\n{:<40}: {}.{:06}\n{:<40}: {}\n\n", host_.system().options().release,
                  "ktime", now_us / 1000, now_us % 1000, "jiffies", kernel.jiffies());
  const u64 total = kernel.dl_total_bandwidth();
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    const sched::Rq &rq = kernel.rq(cpu);
    if (!kernel.online_mask().test(cpu)) continue;
    text += fmt::format("cpu#{}\n", cpu) + debug_line("nr_running", rq.nr_running) +
            debug_line("nr_switches", rq.nr_switches) + debug_line("curr->pid", static_cast<u64>((*rq.curr).pid())) +
            "\n";
    text += fmt::format("cfs_rq[{}]:/\n", cpu) + debug_line("nr_queued", rq.fair.nr_queued) + "\n";
    text += fmt::format("dl_rq[{}]:\n", cpu) + debug_line("dl_nr_running", rq.nr_running_servers) +
            debug_line("dl_bw->bw", sched::kMaxDlBandwidth) + debug_line("dl_bw->total_bw", total) + "\n";
  }
  return text;
}

}  // namespace uscx::process
