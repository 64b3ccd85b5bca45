// SPDX-License-Identifier: GPL-2.0-only
#include "workload/workload.h"

#include <sys/stat.h>

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
  std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "re"));
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
  return text.ends_with(".json") || text.substr(0, text.find(':')).find('/') != std::string::npos;
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

void Launcher::create(PlannedTask planned) {
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
  int error = 0;
  if (!planned.cgroup.empty() && !(spec.cgroup = kernel_.cgroups().make_path(planned.cgroup, &error)))
    return on_refused_({planned.comm, error});
  if (!kernel_.create_task(std::move(spec), &error)) on_refused_({planned.comm, error});
}

}  // namespace uscx::workload
