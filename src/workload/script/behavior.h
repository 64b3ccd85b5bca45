// SPDX-License-Identifier: GPL-2.0-only
// What the threads of a script do.
//
// Threading: a behavior belongs to its thread; what it shares with others is in Play.
#ifndef USCX_WORKLOAD_SCRIPT_BEHAVIOR_H_
#define USCX_WORKLOAD_SCRIPT_BEHAVIOR_H_

#include <memory>
#include <optional>

#include "sched/behavior.h"
#include "workload/script/play.h"

namespace uscx::workload {

// A system call that does not sleep: a new nice value, or a sleep until a time that has passed.
inline constexpr u64 kShortCallNs = 200;

// The behavior of a thread that the play has.
std::unique_ptr<sched::Behavior> make_script_behavior(std::shared_ptr<Play> play, PlayThread &thread);
// The first thread of a process whose other threads are all of the play: it waits until they are gone.
std::unique_ptr<sched::Behavior> make_joining_behavior(std::shared_ptr<Play> play);
// A thread of the script as it is to be created.
PlannedTask plan_thread(const std::shared_ptr<Play> &play, PlayThread &thread, u32 nr_cpus);

// --- what a thread asks the kernel for (calls.cc); what is refused is in the kernel log, and the thread goes on ---
void tell(sched::Kernel &kernel, const sched::Task &self, const Status &status);
void fork_thread(const std::shared_ptr<Play> &play, sched::Kernel &kernel, sched::Task &self, u32 task);

// The scheduling parameters of one thread, as its phases set them.
class Settings {
 public:
  explicit Settings(const ScriptTask &task);
  // At the beginning of a round; true if anything was changed.
  bool apply(const Script &script, const ScriptSettings &settings, sched::Kernel &kernel, sched::Task &self);

 private:
  bool set_cpus(const std::vector<u32> &cpus, sched::Kernel &kernel, sched::Task &self);
  bool set_policy(const ScriptSettings &settings, sched::Kernel &kernel, sched::Task &self);

  bool has_phase_cpus_ = false;
  const std::vector<u32> *cpus_ = nullptr;  // Of the last phase; null: those it started with.
  std::optional<machine::CpuMask> first_cpus_;
  int policy_;
  u32 rt_priority_;
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_BEHAVIOR_H_
