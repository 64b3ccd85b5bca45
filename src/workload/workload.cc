// SPDX-License-Identifier: GPL-2.0-only
#include "workload/workload.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "sched/cgroup.h"
#include "workload/builtins.h"
#include "workload/json_tree.h"

namespace uscx::workload {
namespace {

struct FileCloser {
  void operator()(std::FILE *file) const { std::fclose(file); }
};

Result<std::string> read_file(const std::string &path) {
  std::unique_ptr<std::FILE, FileCloser> file(path == "-" ? fdopen(dup(0), "re") : std::fopen(path.c_str(), "re"));
  if (!file) return Status::error("{}: {}", path, std::strerror(errno));
  struct stat info;
  if (fstat(fileno(file.get()), &info) == 0 && S_ISDIR(info.st_mode)) return Status::error("{}: is a directory", path);
  std::string text;
  char buffer[65536];
  size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    text.append(buffer, got);
    if (text.size() > kMaxJsonBytes) break;  // The parser says so.
  }
  if (std::ferror(file.get())) return Status::error("{}: {}", path, std::strerror(errno));
  return text;
}

// A slash behind the colon belongs to a value, as in hogs:nice=-5/0/5.
bool is_file(const std::string &text) {
  return text == "-" || text.ends_with(".json") || text.substr(0, text.find(':')).find('/') != std::string::npos;
}

}  // namespace

Result<std::shared_ptr<const Workload>> open_workload(const std::string &text) {
  if (!is_file(text)) return open_builtin(text);
  Result<std::string> json = read_file(text);
  if (!json.ok()) return json.status();
  return parse_workload(*json, text);
}

struct Launcher::Later {
  Launcher &launcher;
  PlannedTask planned;
  machine::SimEvent timer;
};

Launcher::Launcher(sched::Kernel &kernel, std::function<void(const RefusedTask &)> on_refused)
    : kernel_(kernel), on_refused_(std::move(on_refused)) {}

Launcher::~Launcher() {
  for (const std::unique_ptr<Later> &later : later_) kernel_.machine().cancel_timer(later->timer);
}

void Launcher::launch(std::vector<PlannedTask> plan, const std::function<bool()> &stop) {
  for (PlannedTask &planned : plan) {
    if (stop && stop()) return;
    const u64 start_ns = planned.start_ns;
    if (start_ns <= machine::now_ns()) {
      create(std::move(planned));
      continue;
    }
    later_.push_back(std::unique_ptr<Later>(new Later{*this, std::move(planned), {fired, nullptr, 0}}));
    later_.back()->timer.owner = later_.back().get();
    kernel_.machine().arm_timer(later_.back()->timer, start_ns);
  }
}

void Launcher::fired(machine::SimEvent &event) {
  Later &later = *static_cast<Later *>(event.owner);
  later.launcher.create(std::move(later.planned));
}

sched::Task *create_planned(sched::Kernel &kernel, PlannedTask planned, sched::Task *leader, sched::Task *parent,
                            int *error) {
  sched::TaskSpec spec;
  spec.comm = planned.comm;
  spec.policy = planned.policy;
  spec.nice = planned.nice;
  spec.rt_priority = planned.rt_priority;
  spec.cpus = planned.cpus ? &*planned.cpus : nullptr;
  if (planned.kthread) {
    spec.kind = sched::TaskKind::kKthread;
    spec.extra_flags = PF_KTHREAD;
  }
  spec.behavior = std::move(planned.behavior);
  spec.leader = leader;
  spec.parent = parent;
  if (!planned.cgroup.empty() && !(spec.cgroup = kernel.cgroups().make_path(planned.cgroup, error))) return nullptr;
  return kernel.create_task(std::move(spec), error);
}

// The anchor's task, made if it is not there yet; false if there is none (any more).
bool Launcher::find(PlannedAnchor *anchor, sched::Task **task) {
  if (!anchor) return true;
  if (anchor->behavior) {
    int error = 0;
    PlannedTask first{
        .comm = anchor->comm, .cpus = std::nullopt, .cgroup = "", .behavior = std::move(anchor->behavior)};
    if (sched::Task *made = create_planned(kernel_, std::move(first), nullptr, nullptr, &error))
      anchor->pid = made->pid();
    else
      on_refused_({anchor->comm, error});
  }
  *task = anchor->pid ? kernel_.find_task(anchor->pid) : nullptr;
  return *task && !(*task)->is_exiting();
}

void Launcher::create(PlannedTask planned) {
  sched::Task *leader = nullptr, *parent = nullptr;
  const RefusedTask gone{planned.comm, -ESRCH};
  if (!find(planned.leader.get(), &leader) || !find(planned.parent.get(), &parent)) return on_refused_(gone);
  const std::shared_ptr<PlannedAnchor> anchor = planned.anchor;
  int error = 0;
  const sched::Task *made = create_planned(kernel_, std::move(planned), leader, parent, &error);
  if (!made) return on_refused_({gone.comm, error});
  if (anchor) anchor->pid = made->pid();
}

}  // namespace uscx::workload
