// SPDX-License-Identifier: GPL-2.0-only
#include "process/task_files.h"

#include <errno.h>
#include <fmt/format.h>

#include <charconv>

#include "base/units.h"
#include "process/cgroup_files.h"

namespace uscx::process {

using sched::Kernel;
using sched::Task;

namespace {

constexpr std::string_view kProc = "/proc/";
constexpr std::string_view kTask = "/task";
constexpr u64 kTickNs = kNsPerSec / kUserHz;
constexpr u64 kAllCapabilities = (1ull << 41) - 1;  // All tasks are root's.

// What one file is about: a process as a whole, or one thread.
struct Subject {
  Kernel &kernel;
  const Task &task;
  bool whole;
  const TaskFiles::CommandLine &command_line;
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

// The number after which nothing, or a slash, comes; 0 if there is none. What is left stays in `text`.
int take_pid(std::string_view *text) {
  int pid = 0;
  const auto [end, error] = std::from_chars(text->begin(), text->end(), pid);
  if (error != std::errc() || pid <= 0 || (end != text->end() && *end != '/')) return 0;
  text->remove_prefix(static_cast<size_t>(end - text->begin()));
  return pid;
}

std::string comm_text(const Subject &s) { return s.task.comm() + "\n"; }
std::string cgroup_text(const Subject &s) { return CgroupFiles::of_task(s.kernel, s.task); }
std::string cmdline_text(const Subject &s) { return s.command_line(s.task.ts.tgid); }

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
    {"cgroup", cgroup_text}, {"cmdline", cmdline_text}, {"comm", comm_text, true},
    {"stat", stat_text},     {"status", status_text},
};
}  // namespace

const TaskFiles::File *TaskFiles::find_file(std::string_view name) {
  for (const File &file : kFiles)
    if (file.name == name) return &file;
  return nullptr;
}

bool TaskFiles::covers(std::string_view path) {
  if (!path.starts_with(kProc)) return false;
  path.remove_prefix(kProc.size());
  return take_pid(&path) != 0;
}

bool TaskFiles::has(std::string_view rest) {
  if (rest == kTask || (rest.starts_with(kTask) && rest[kTask.size()] == '/')) return true;
  return !rest.empty() && find_file(rest.substr(1)) != nullptr;
}

TaskFiles::Node TaskFiles::find(std::string_view path) const {
  Node node;
  if (!path.starts_with(kProc)) return node;
  path.remove_prefix(kProc.size());
  Task *task = kernel_.find_task(take_pid(&path));
  if (!task) return node;
  if (path.starts_with(kTask) && (path.size() == kTask.size() || path[kTask.size()] == '/')) {
    path.remove_prefix(kTask.size());
    if (path.empty()) return {task, false, true, nullptr};
    path.remove_prefix(1);
    const Task *leader = task;
    task = kernel_.find_task(take_pid(&path));
    if (!task || task->ts.tgid != leader->ts.tgid) return node;
    node.is_thread = true;
  }
  if (!path.empty() && !(node.file = find_file(path.substr(1)))) return {};
  node.task = task;
  return node;
}

bool TaskFiles::is_directory(std::string_view path) const {
  const Node node = find(path);
  return node.task && !node.file;
}
bool TaskFiles::is_file(std::string_view path) const { return find(path).file != nullptr; }
bool TaskFiles::is_writable(std::string_view path) const {
  const File *file = find(path).file;
  return file && file->writable;
}

std::string TaskFiles::contents(std::string_view path) const {
  const Node node = find(path);
  return node.file ? node.file->text({kernel_, *node.task, !node.is_thread, command_line_}) : "";
}

std::vector<std::string> TaskFiles::list(std::string_view path) const {
  const Node node = find(path);
  std::vector<std::string> names;
  if (node.is_list) {
    kernel_.for_each_task([&](const Task &thread) {
      if (thread.ts.tgid == node.task->ts.tgid) names.push_back(fmt::format("{}/", thread.pid()));
    });
    return names;
  }
  for (const File &file : kFiles) names.emplace_back(file.name);
  if (!node.is_thread) names.emplace_back("task/");
  return names;
}

std::vector<std::string> TaskFiles::list_processes() const {
  std::vector<std::string> names;
  kernel_.for_each_task([&](const Task &task) {
    if (task.pid() == task.ts.tgid) names.push_back(fmt::format("{}/", task.pid()));
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
