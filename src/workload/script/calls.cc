// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "workload/script/behavior.h"
#include "workload/script/values.h"

namespace uscx::workload {

namespace {

Status failed(const char *what, int error) {
  return error ? Status::error("{}: {}", what, std::strerror(-error)) : Status::ok_status();
}

}  // namespace

void tell(sched::Kernel &kernel, const sched::Task &self, const Status &status) {
  if (!status.ok()) kernel.log(fmt::format("workload: {} [{}]: {}", self.comm(), self.pid(), status.message()));
}

// In the process of rt-app it is a thread, which has its maker's parent; else a process of its own.
void fork_thread(const std::shared_ptr<Play> &play, sched::Kernel &kernel, sched::Task &self, u32 task) {
  PlayThread *thread = play->fork_thread(task);
  if (!thread) {
    tell(kernel, self, Status::error("fork: too many of {}; the program ends", play->script().tasks[task].name));
    return play->end(kernel);
  }
  const bool is_thread = play->script().one_process;
  int error = 0;
  if (create_planned(kernel, plan_thread(play, *thread, kernel.nr_cpus()),
                     is_thread ? sched::task_of(self.ts.group_leader) : nullptr,
                     is_thread ? sched::task_of(self.ts.real_parent) : &self, &error))
    return;
  play->thread_gone(kernel, *thread);
  tell(kernel, self, failed("fork", error));
}

Settings::Settings(const ScriptTask &task) : policy_(task.policy), rt_priority_(task.rt_priority) {
  has_phase_cpus_ = std::any_of(task.phases.begin(), task.phases.end(),
                                [](const ScriptPhase &phase) { return !phase.settings.cpus.empty(); });
}

bool Settings::apply(const Script &script, const ScriptSettings &settings, sched::Kernel &kernel, sched::Task &self) {
  bool changed = has_phase_cpus_ && set_cpus(settings.cpus, kernel, self);
  changed |= (settings.policy || settings.priority) && set_policy(settings, kernel, self);
  if (settings.group) {
    tell(kernel, self, move_thread_to_group(kernel, script.op_groups[*settings.group].path, self));
    changed = true;
  }
  return changed;
}

// A phase without CPUs of its own goes back to those that the thread started with.
bool Settings::set_cpus(const std::vector<u32> &cpus, sched::Kernel &kernel, sched::Task &self) {
  if (!first_cpus_) first_cpus_ = *self.cpus;
  const std::vector<u32> *wanted = cpus.empty() ? nullptr : &cpus;
  if (wanted == cpus_) return false;
  cpus_ = wanted;
  machine::CpuMask mask = *first_cpus_;
  if (wanted) {
    mask = machine::CpuMask(kernel.nr_cpus());
    for (const u32 cpu : *wanted) mask.set(cpu);
  }
  tell(kernel, self, failed("cpus", kernel.set_cpus_allowed(self, mask)));
  return true;
}

// A policy without a priority brings its default; a priority alone keeps the policy.
bool Settings::set_policy(const ScriptSettings &settings, sched::Kernel &kernel, sched::Task &self) {
  policy_ = settings.policy.value_or(policy_);
  int nice = self.nice();
  if (is_realtime(policy_)) {
    const s64 kept = settings.policy ? kDefaultRtPriority : s64{rt_priority_};
    rt_priority_ = static_cast<u32>(settings.priority.value_or(kept));
  } else {
    rt_priority_ = 0;
    if (policy_ != SCHED_IDLE) nice = static_cast<int>(settings.priority.value_or(0));
  }
  tell(kernel, self, failed("policy", kernel.set_scheduler(self, policy_, rt_priority_, nice)));
  return true;
}

}  // namespace uscx::workload
