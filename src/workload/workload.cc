// SPDX-License-Identifier: GPL-2.0-only
#include "workload/workload.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

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

std::vector<RefusedTask> create_tasks(sched::Kernel &kernel, std::vector<PlannedTask> plan) {
  std::vector<RefusedTask> refused;
  for (PlannedTask &planned : plan) {
    sched::TaskSpec spec;
    spec.comm = planned.comm;
    spec.policy = planned.policy;
    spec.nice = planned.nice;
    spec.rt_priority = planned.rt_priority;
    spec.cpus = planned.cpus ? &*planned.cpus : nullptr;
    spec.behavior = std::move(planned.behavior);
    int error = 0;
    if (!kernel.create_task(std::move(spec), &error)) refused.push_back({planned.comm, error});
  }
  return refused;
}

}  // namespace uscx::workload
