// SPDX-License-Identifier: GPL-2.0-only
// Task scripts: the parsed form of rt-app's JSON (the subset in docs/WORKLOADS.md), and the behavior that plays it.
//
// Threading: a Script is constant once parsed. Timers that several tasks name are shared by them, as in rt-app; they
// belong to one plan and so to one machine.
#ifndef USCX_WORKLOAD_SCRIPT_H_
#define USCX_WORKLOAD_SCRIPT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "sched/behavior.h"
#include "workload/json_tree.h"
#include "workload/workload.h"

namespace uscx::workload {

inline constexpr s64 kForever = -1;

struct ScriptOp {
  enum class Kind : u8 {
    kRun,            // Use ns of CPU time.
    kRuntime,        // Compute until ns of virtual time have passed.
    kSleep,          // From now on, ns.
    kTimerRelative,  // Sleep to the timer's next period; a missed one restarts the timer from now.
    kTimerAbsolute,  // The same, but missed periods are made up for.
    kUntil,          // Sleep until the virtual time ns.
    kNice,           // Take this nice value.
    kSysrqReset,     // SysRq-S: the BPF scheduler is ejected.
    kSysrqDump,      // SysRq-D: its state is dumped to the trace.
    kMove,           // Goes into a control group.
    kSetGroup,       // Changes a control group.
    kHotplug,        // A CPU goes offline or comes online; the task waits until it has.
  };
  Kind kind = Kind::kRun;
  u64 ns = 0;
  s32 nice = 0;
  u32 timer = 0;  // Index into the timers: shared ones first, then the task's own.
  CpuSwitch cpu_switch;
  u32 group = 0;  // Index into Script::op_groups.
};

struct ScriptPhase {
  s64 loop = 1;
  std::vector<ScriptOp> ops;
};

struct ScriptWake {
  u64 at_ns;
  u64 run_ns;
};

struct ScriptTask {
  std::string name;
  u32 instances = 1;
  s64 loop = kForever;
  u64 start_ns = 0;
  u64 delay_ns = 0;
  int policy = SCHED_NORMAL;
  int nice = 0;
  u32 rt_priority = 0;
  std::vector<u32> cpus;  // Empty: all.
  std::string cpus_path;
  std::string cgroup;  // Empty: the root.
  bool kthread = false;
  std::vector<ScriptPhase> phases;
  std::vector<ScriptWake> wakes;  // Instead of phases: absolute times.
  u32 nr_own_timers = 0;
  u32 highest_cpu_switched = 0;
};

struct Script {
  std::optional<u64> duration_ns;
  std::vector<ScriptTask> tasks;
  std::vector<std::string> shared_timers;
  std::vector<GroupSpec> groups;     // There from the start.
  std::vector<GroupSpec> op_groups;  // What events name.
};

// Messages have the JSON path but no file name.
Result<Script> parse_script(const JsonNode &root);

// When a timer fires next; 0 until it is first used.
using TimerTable = std::vector<u64>;

// Plays one instance of task `index` of the script.
std::unique_ptr<sched::Behavior> make_script_behavior(std::shared_ptr<const Script> script, size_t index,
                                                      std::shared_ptr<TimerTable> shared_timers);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_H_
