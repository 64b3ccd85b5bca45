// SPDX-License-Identifier: GPL-2.0-only
#include "process/task_files.h"

#include <errno.h>
#include <fmt/format.h>

#include "base/units.h"
#include "process/cgroup_files.h"
#include "process/mounts.h"
#include "process/pass_through.h"
#include "process/remote.h"

namespace uscx::process {

using sched::Kernel;
using sched::Task;

namespace {

constexpr std::string_view kProc = "/proc/";
constexpr u64 kTickNs = kNsPerSec / kUserHz;
constexpr u64 kAllCapabilities = (1ull << 41) - 1;  // All tasks are root's.

// What one file is about: a process as a whole, or one thread.
struct Subject {
  Kernel &kernel;
  const Task &task;
  bool whole;
  std::string host_directory;  // Empty: the host knows nothing of it.
};

struct State {
  char letter;
  const char *name;
};
State state_of(const Task &task) {
  const u32 state = task.state();
  if (state == TASK_RUNNING) return {'R', "running"};
  if (state & TASK_DEAD) return {'X', "dead"};
  return state & TASK_UNINTERRUPTIBLE ? State{'D', "disk sleep"} : State{'S', "sleeping"};
}

int parent_of(const Task &task) { return task.ts.real_parent ? task.ts.real_parent->pid : 0; }

std::string comm_text(const Subject &s) { return s.task.comm() + "\n"; }
std::string cgroup_text(const Subject &s) { return CgroupFiles::of_task(s.kernel, s.task); }
std::string cmdline_text(const Subject &s) {
  return s.host_directory.empty() ? "" : read_host_file(s.host_directory + "/cmdline");
}
std::string mounts(const Subject &) { return mounts_text(); }
std::string mountinfo(const Subject &) { return mountinfo_text(); }
std::string mountstats(const Subject &) { return mountstats_text(); }
std::string statm_text(const Subject &) { return "0 0 0 0 0 0 0\n"; }
std::string wchan_text(const Subject &) { return "0"; }
// Times on a CPU, waiting for one (which is not kept), and the number of turns.
std::string schedstat_text(const Subject &s) {
  return fmt::format("{} 0 {}\n", s.task.ts.se.sum_exec_runtime, s.task.ts.nvcsw + s.task.ts.nivcsw);
}

// What the machine has no idea of is 0.
std::string stat_text(const Subject &s) {
  const Task &task = s.task;
  u64 run_ns = 0, nr_threads = 0;
  s.kernel.for_each_task([&](const Task &thread) {
    if (thread.ts.tgid != task.ts.tgid) return;
    if (s.whole || &thread == &task) run_ns += thread.ts.se.sum_exec_runtime;
    nr_threads++;
  });
  return fmt::format(
      "{} ({}) {} {} {} {} 0 -1 {} 0 0 0 0 {} 0 0 0 {} {} {} 0 {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 {} {} {} 0 0 0 "
      "0 0 0 0 0 0 0 0\n",
      task.pid(), task.comm(), state_of(task).letter, parent_of(task), task.ts.tgid, task.ts.tgid, task.flags(),
      run_ns / kTickNs, 20 + task.nice(), task.nice(), nr_threads, task.ts.start_time / kTickNs, task.cpu,
      task.rt_priority, task.ts.policy);
}

std::string sched_text(const Subject &s) {
  const Task &task = s.task;
  const sched_entity &se = task.ts.se;
  const auto number = [](const char *name, s64 value) { return fmt::format("{:<45}:{:>21}\n", name, value); };
  const auto time = [](const char *name, u64 ns) {
    return fmt::format("{:<45}:{:>14}.{:06}\n", name, ns / kNsPerMs, ns % kNsPerMs);
  };
  std::string text =
      fmt::format("{} ({}, #threads: {})\n{:-<67}\n", task.comm(), task.pid(), task.ts.signal->nr_threads, "");
  text += time("se.exec_start", se.exec_start) + time("se.vruntime", se.vruntime) +
          time("se.sum_exec_runtime", se.sum_exec_runtime);
  text += number("nr_switches", static_cast<s64>(task.ts.nvcsw + task.ts.nivcsw)) +
          number("nr_voluntary_switches", static_cast<s64>(task.ts.nvcsw)) +
          number("nr_involuntary_switches", static_cast<s64>(task.ts.nivcsw));
  text += number("se.load.weight", static_cast<s64>(se.load.weight)) + number("policy", task.ts.policy) +
          number("prio", task.ts.prio);
  return text + number("ext.enabled", task.sched_class->rank() == sched::SchedClass::kExt);
}

std::string status_text(const Subject &s) {
  const Task &task = s.task;
  const State state = state_of(task);
  const machine::MaskView cpus(task.cpus_mask()->bits, s.kernel.nr_cpus());
  const u32 nr_nodes = s.kernel.machine().topology().nr_nodes();
  machine::CpuMask nodes(nr_nodes);
  for (u32 node = 0; node < nr_nodes; node++) nodes.set(node);
  std::string text =
      fmt::format("Name:\t{}\nUmask:\t0022\nState:\t{} ({})\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t0\n",
                  task.comm(), state.letter, state.name, task.ts.tgid, task.pid(), parent_of(task));
  const cred &cred = *task.ts.real_cred;
  text += fmt::format("Uid:\t{0}\t{1}\t{1}\t{1}\nGid:\t{2}\t{3}\t{3}\t{3}\nFDSize:\t64\nGroups:\t \nKthread:\t{4}\n",
                      cred.uid.val, cred.euid.val, cred.gid.val, cred.egid.val, task.is_kthread() ? 1 : 0);
  text += fmt::format("Threads:\t{}\nSigQ:\t0/0\n", task.ts.signal->nr_threads);
  for (const char *name : {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh"})
    text += fmt::format("{}:\t{:016x}\n", name, 0);
  for (const char *name : {"CapPrm", "CapEff", "CapBnd"}) text += fmt::format("{}:\t{:016x}\n", name, kAllCapabilities);
  text += fmt::format("CapAmb:\t{:016x}\n", 0);
  text += fmt::format("Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\nMems_allowed:\t{}\nMems_allowed_list:\t{}\n",
                      cpus.to_hex(), cpus.to_list(), nodes.view().to_hex(), nodes.view().to_list());
  return text +
         fmt::format("voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n", task.ts.nvcsw, task.ts.nivcsw);
}

}  // namespace

struct TaskFiles::File {
  const char *name;
  std::string (*text)(const Subject &subject);
  bool writable = false;
};

namespace {
constexpr TaskFiles::File kFiles[] = {
    {"cgroup", cgroup_text},  {"cmdline", cmdline_text}, {"comm", comm_text, true},
    {"mountinfo", mountinfo}, {"mounts", mounts},        {"sched", sched_text},
    {"stat", stat_text},      {"statm", statm_text},     {"schedstat", schedstat_text},
    {"status", status_text},  {"wchan", wchan_text},
};
constexpr TaskFiles::File kProcessFiles[] = {{"mountstats", mountstats}};
}  // namespace

const TaskFiles::File *TaskFiles::find_file(const Node &node) {
  for (const File &file : kFiles)
    if (file.name == node.rest) return &file;
  for (const File &file : kProcessFiles)
    if (!node.is_thread && file.name == node.rest) return &file;
  return nullptr;
}

bool TaskFiles::covers(std::string_view path) const {
  u32 pid = 0;
  return take_numbered(&path, kProc, &pid);
}

TaskFiles::Node TaskFiles::find(std::string_view path) const {
  u32 pid = 0, tid = 0;
  if (!take_numbered(&path, kProc, &pid)) return {};
  Task *task = kernel_.find_task(static_cast<int>(pid));
  if (!task) return {};
  if (path == "task") return {task, false, true};
  if (!take_numbered(&path, "task/", &tid)) return {task, false, false, path};
  Task *thread = kernel_.find_task(static_cast<int>(tid));
  if (!thread || thread->ts.tgid != task->ts.tgid) return {};
  return {thread, true, false, path};
}

std::string TaskFiles::host_directory(const Node &node) const {
  return host_directory_(node.task->ts.tgid, node.is_thread ? node.task->pid() : 0);
}

std::string TaskFiles::host_path(std::string_view path) const {
  const Node node = find(path);
  if (!node.task || !passes_through_of_process(node.rest)) return "";
  const std::string directory = host_directory(node);
  return directory.empty() ? "" : fmt::format("{}/{}", directory, node.rest);
}

FileKind TaskFiles::kind(std::string_view path) const {
  const Node node = find(path);
  if (!node.task) return FileKind::kAbsent;
  if (node.is_list || node.rest.empty()) return FileKind::kDirectory;
  return find_file(node) ? FileKind::kFile : FileKind::kAbsent;
}

bool TaskFiles::is_writable(std::string_view path) const {
  const Node node = find(path);
  const File *file = node.task ? find_file(node) : nullptr;
  return file && file->writable;
}

std::string TaskFiles::contents(std::string_view path) const {
  const Node node = find(path);
  const File *file = node.task ? find_file(node) : nullptr;
  return file ? file->text({kernel_, *node.task, !node.is_thread, host_directory(node)}) : "";
}

std::vector<FileName> TaskFiles::list(std::string_view path) const {
  const Node node = find(path);
  std::vector<FileName> names;
  if (!node.task || !node.rest.empty()) return names;
  if (node.is_list) {
    kernel_.for_each_task([&](const Task &thread) {
      if (thread.ts.tgid == node.task->ts.tgid && kernel_.find_task(thread.pid()))
        names.push_back({std::to_string(thread.pid()), FileKind::kDirectory});
    });
    return names;
  }
  for (const File &file : kFiles) names.push_back({file.name});
  for (const File &file : kProcessFiles)
    if (!node.is_thread) names.push_back({file.name});
  if (!node.is_thread) names.push_back({"task", FileKind::kDirectory});
  const std::string on_host = host_directory(node);
  if (on_host.empty()) return names;
  for (const PassThrough &row : list_pass_through()) {
    if (!std::string_view(row.path).starts_with(kOfProcess)) continue;
    const std::string name = row.path + kOfProcess.size();
    if (is_on_host(fmt::format("{}/{}", on_host, name))) names.push_back({name, row.kind});
  }
  return names;
}

std::vector<FileName> TaskFiles::list_processes() const {
  std::vector<FileName> names;
  // A task that exits is still there when its pid is not.
  kernel_.for_each_task([&](const Task &task) {
    if (task.pid() == task.ts.tgid && kernel_.find_task(task.pid()))
      names.push_back({std::to_string(task.pid()), FileKind::kDirectory});
  });
  return names;
}

// Only a name can be written.
int TaskFiles::write(std::string_view path, std::string_view text) {
  const Node node = find(path);
  if (!node.task) return -ESRCH;
  if (text.ends_with('\n')) text.remove_suffix(1);
  kernel_.rename(*node.task, text);
  return 0;
}

}  // namespace uscx::process
