// SPDX-License-Identifier: GPL-2.0-only
// The scheduler's files in debugfs: what is on each CPU, and the reservations of the deadline servers, which can be
// written.
#include <errno.h>
#include <fmt/format.h>

#include <charconv>

#include "process/system_files.h"

namespace uscx::process {
namespace {

constexpr const char *kDebugDir = "/sys/kernel/debug/sched";

std::string debug_line(const char *name, u64 value) { return fmt::format("  .{:<30}: {}\n", name, value); }

}  // namespace

void SystemFiles::add_debug() {
  const std::string dir = kDebugDir;
  add(dir + "/debug", [this] { return debug_text(); });
  for (u32 cpu = 0; cpu < host_.kernel().nr_cpus(); cpu++) {
    add_dl_server(fmt::format("{}/fair_server/cpu{}", dir, cpu), cpu, false);
    add_dl_server(fmt::format("{}/ext_server/cpu{}", dir, cpu), cpu, true);
  }
}

void SystemFiles::add_dl_server(const std::string &dir, u32 cpu, bool ext) {
  sched::Kernel &kernel = host_.kernel();
  sched::DlServer &server = ext ? kernel.rq(cpu).ext_server : kernel.rq(cpu).fair_server;
  // A file for each of two numbers, of which the other one stays.
  const auto parameter = [&](const char *name, u64 sched::DlServer::*number) {
    const auto write = [&kernel, &server, number](std::string_view text) {
      u64 value = 0;
      if (std::from_chars(text.begin(), text.end(), value).ec != std::errc()) return -EINVAL;
      const bool runtime = number == &sched::DlServer::runtime_ns;
      return kernel.dl_server_set(server, runtime ? value : server.runtime_ns, runtime ? server.period_ns : value);
    };
    add(
        dir + "/" + name, [&server, number] { return fmt::format("{}\n", server.*number); }, write);
  };
  parameter("runtime", &sched::DlServer::runtime_ns);
  parameter("period", &sched::DlServer::period_ns);
}

std::string SystemFiles::debug_text() {
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
