// SPDX-License-Identifier: GPL-2.0-only
// A task script as a Workload.
#include "workload/json_tree.h"
#include "workload/script/behavior.h"
#include "workload/script/script.h"
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
  std::span<const std::string> warnings() const override { return script_->warnings; }

  Result<std::vector<PlannedTask>> plan(const Site &site) const override {
    std::vector<PlannedTask> plan;
    const auto play = std::make_shared<Play>(script_, name_, site);
    std::vector<std::shared_ptr<PlannedAnchor>> anchors(script_->tasks.size());
    const std::shared_ptr<PlannedAnchor> process = process_of(play);
    for (u32 i = 0; i < script_->tasks.size(); i++) {
      const ScriptTask &task = script_->tasks[i];
      if (Status status = check_cpus(task, site.nr_cpus); !status.ok()) return status;
      anchors[i] = std::make_shared<PlannedAnchor>();
      for (u32 instance = 0; instance < task.instances; instance++) {
        PlayThread &thread = play->add_thread(i, instance_comm(task.name, instance, task.instances));
        PlannedTask &planned = plan.emplace_back(plan_thread(play, thread, site.nr_cpus));
        if (instance == 0) planned.anchor = anchors[i];
        if (task.parent) planned.parent = anchors[*task.parent];
        if (task.thread_of)
          planned.leader = anchors[*task.thread_of];
        else if (!task.kthread)
          planned.leader = process;
      }
    }
    return plan;
  }

 private:
  std::shared_ptr<PlannedAnchor> process_of(const std::shared_ptr<Play> &play) const {
    if (!script_->one_process) return nullptr;
    auto anchor = std::make_shared<PlannedAnchor>();
    anchor->comm = "rt-app";
    anchor->behavior = make_joining_behavior(play);
    return anchor;
  }

  Status check_cpus(const ScriptTask &task, u32 nr_cpus) const {
    if (task.highest_cpu_switched >= nr_cpus)
      return Status::error("{}: tasks.{}: hotplug of CPU {}, which is not there; the machine has CPUs 0 to {}", name_,
                           task.name, task.highest_cpu_switched, nr_cpus - 1);
    if (Status status = check_cpus(task.settings, nr_cpus); !status.ok()) return status;
    for (const ScriptPhase &phase : task.phases)
      if (Status status = check_cpus(phase.settings, nr_cpus); !status.ok()) return status;
    return Status::ok_status();
  }
  Status check_cpus(const ScriptSettings &settings, u32 nr_cpus) const {
    for (const u32 cpu : settings.cpus)
      if (cpu >= nr_cpus)
        return Status::error("{}: {}: CPU {} is not there; the machine has CPUs 0 to {}", name_, settings.cpus_path,
                             cpu, nr_cpus - 1);
    return Status::ok_status();
  }

  const std::string name_;
  const std::shared_ptr<const Script> script_;
};

}  // namespace

PlannedTask plan_thread(const std::shared_ptr<Play> &play, PlayThread &thread, u32 nr_cpus) {
  const ScriptTask &task = play->script().tasks[thread.task];
  PlannedTask planned{.comm = thread.comm,
                      .policy = task.policy,
                      .nice = task.nice,
                      .rt_priority = task.rt_priority,
                      .cpus = std::nullopt,
                      .cgroup = task.cgroup,
                      .kthread = task.kthread,
                      .start_ns = task.start_ns,
                      .behavior = make_script_behavior(play, thread)};
  if (!task.settings.cpus.empty()) {
    planned.cpus.emplace(nr_cpus);
    for (const u32 cpu : task.settings.cpus) planned.cpus->set(cpu);
  }
  return planned;
}

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
  const auto refused = [&](const Status &status) {
    constexpr size_t kMaxMessage = 1000;
    return Status::error("{}: {}", name, printable(status.message(), kMaxMessage));
  };
  Result<JsonDocument> document = parse_lenient_json(json);
  if (!document.ok()) return refused(document.status());
  Result<Script> script = parse_script(document.take());
  if (!script.ok()) return refused(script.status());
  return std::shared_ptr<const Workload>(std::make_shared<ScriptWorkload>(name, script.take()));
}

}  // namespace uscx::workload
