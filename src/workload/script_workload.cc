// SPDX-License-Identifier: GPL-2.0-only
// A task script as a Workload. Nothing here calls the scheduler core, so that the parser can be tested and fuzzed
// alone.
#include "workload/json_tree.h"
#include "workload/script.h"
#include "workload/workload.h"

namespace uscx::workload {
namespace {

class ScriptWorkload final : public Workload {
 public:
  ScriptWorkload(std::string name, Script script)
      : name_(std::move(name)), script_(std::make_shared<const Script>(std::move(script))) {}
  const std::string &name() const override { return name_; }
  std::optional<u64> duration_ns() const override { return script_->duration_ns; }
  std::span<const GroupSpec> groups() const override { return script_->groups; }

  Result<std::vector<PlannedTask>> plan(const Site &site) const override {
    std::vector<PlannedTask> plan;
    const auto timers = std::make_shared<TimerTable>(script_->shared_timers.size());
    for (size_t i = 0; i < script_->tasks.size(); i++) {
      const ScriptTask &task = script_->tasks[i];
      if (task.highest_cpu_switched >= site.nr_cpus)
        return Status::error("{}: tasks.{}: hotplug of CPU {}, which is not there; the machine has CPUs 0 to {}", name_,
                             task.name, task.highest_cpu_switched, site.nr_cpus - 1);
      std::optional<machine::CpuMask> cpus;
      if (!task.cpus.empty()) {
        cpus.emplace(site.nr_cpus);
        for (const u32 cpu : task.cpus) {
          if (cpu >= site.nr_cpus)
            return Status::error("{}: {}: CPU {} is not there; the machine has CPUs 0 to {}", name_, task.cpus_path,
                                 cpu, site.nr_cpus - 1);
          cpus->set(cpu);
        }
      }
      for (u32 instance = 0; instance < task.instances; instance++)
        plan.push_back({.comm = instance_comm(task.name, instance, task.instances),
                        .policy = task.policy,
                        .nice = task.nice,
                        .rt_priority = task.rt_priority,
                        .cpus = cpus,
                        .cgroup = task.cgroup,
                        .kthread = task.kthread,
                        .start_ns = task.start_ns,
                        .behavior = make_script_behavior(script_, i, timers)});
    }
    return plan;
  }

 private:
  const std::string name_;
  const std::shared_ptr<const Script> script_;
};

}  // namespace

Result<CpuSwitch> parse_cpu_switch(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view state = text.substr(colon);
  Result<u64> cpu = parse_number(text.substr(0, colon), 0, machine::kMaxCpus - 1);
  if (!cpu.ok() || (state != ":off" && state != ":on"))
    return Status::error("'{}' is not of the form CPU:off or CPU:on", text);
  if (*cpu == 0) return Status::error("'{}': CPU 0 cannot be taken offline", text);
  return CpuSwitch{static_cast<u32>(*cpu), state == ":on"};
}

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

}  // namespace uscx::workload
