// SPDX-License-Identifier: GPL-2.0-only
#include "workload/workload.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "workload/builtins.h"
#include "workload/json_tree.h"
#include "workload/script.h"

namespace uscx::workload {
namespace {

class ScriptWorkload final : public Workload {
 public:
  ScriptWorkload(std::string name, Script script)
      : name_(std::move(name)), script_(std::make_shared<const Script>(std::move(script))) {}
  const std::string &name() const override { return name_; }
  std::optional<u64> duration_ns() const override { return script_->duration_ns; }

  Result<std::vector<PlannedTask>> plan(const Site &site) const override {
    std::vector<PlannedTask> plan;
    const auto timers = std::make_shared<TimerTable>(script_->shared_timers.size());
    for (size_t i = 0; i < script_->tasks.size(); i++) {
      const ScriptTask &task = script_->tasks[i];
      std::optional<machine::CpuMask> cpus;
      if (!task.cpus.empty()) {
        cpus.emplace(site.nr_cpus);
        for (const u32 cpu : task.cpus) {
          if (cpu >= site.nr_cpus)
            return Status::error("{}: {}: CPU {} is not there; the machine has CPUs 0 to {}", name_, task.cpus_path, cpu,
                                 site.nr_cpus - 1);
          cpus->set(cpu);
        }
      }
      for (u32 instance = 0; instance < task.instances; instance++)
        plan.push_back({.comm = instance_comm(task.name, instance, task.instances),
                        .policy = task.policy,
                        .nice = task.nice,
                        .rt_priority = task.rt_priority,
                        .cpus = cpus,
                        .behavior = make_script_behavior(script_, i, timers)});
    }
    return plan;
  }

 private:
  const std::string name_;
  const std::shared_ptr<const Script> script_;
};

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

bool is_file(const std::string &text) { return text.find('/') != std::string::npos || text.ends_with(".json"); }

}  // namespace

std::string instance_comm(std::string_view name, u32 index, u32 instances) {
  constexpr size_t kMaxComm = TASK_COMM_LEN - 1;
  if (instances == 1) return std::string(name.substr(0, kMaxComm));
  const std::string number = fmt::format("-{}", index);
  return std::string(name.substr(0, kMaxComm - number.size())) + number;
}

Result<std::shared_ptr<const Workload>> parse_workload(std::string_view json, const std::string &name) {
  Result<JsonNode> root = parse_json(json);
  if (!root.ok()) return root.status().at(name);
  Result<Script> script = parse_script(*root);
  if (!script.ok()) return script.status().at(name);
  return std::shared_ptr<const Workload>(std::make_shared<ScriptWorkload>(name, script.take()));
}

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
