// SPDX-License-Identifier: GPL-2.0-only
// Task scripts: the parsed form of rt-app's JSON and of our keys beside it (docs/WORKLOADS.md). Names that tasks share
// (timers, mutexes, conditions, ...) are numbers here: indices into the Script's lists.
//
// Threading: a Script is constant once parsed.
#ifndef USCX_WORKLOAD_SCRIPT_SCRIPT_H_
#define USCX_WORKLOAD_SCRIPT_SCRIPT_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "workload/distribution.h"
#include "workload/json_tree.h"
#include "workload/workload.h"

namespace uscx::workload {

inline constexpr s64 kForever = -1;
inline constexpr s64 kDefaultRtPriority = 10;  // rt-app's, of a real-time policy without a priority.

inline constexpr u32 kMaxRtAppForks = 1024;  // Of one task.

struct ScriptOp {
  enum class Kind : u8 {
    kRun,      // Use ns of CPU time.
    kWork,     // The same for what rt-app does not count as running: memory and file accesses.
    kRuntime,  // Compute until ns of virtual time have passed.
    kSleep,    // From now on, ns.
    kTimer,    // Sleep to the next period of timer `object`.
    kUntil,    // Sleep until the virtual time ns.
    kYield,
    kLock,  // Mutex `object`.
    kUnlock,
    kWait,       // On condition `object`, while mutex `mutex` is free.
    kSignal,     // One waiter of condition `object`.
    kBroadcast,  // All of them.
    kBarrier,
    kSemPost,
    kSemWait,
    kFork,        // One more thread of task `object`.
    kJoin,        // Sleep until no thread of task `object` is left.
    kSend,        // A message into channel `object`, once there is room.
    kReceive,     // One out of it, once there is one.
    kExit,        // The end of the thread.
    kExec,        // Takes the name `object`.
    kNice,        // Take the nice value `number`.
    kSysrqReset,  // SysRq-S: the BPF scheduler is ejected.
    kSysrqDump,   // SysRq-D: its state is dumped to the trace.
    kMove,        // Goes into control group `object`.
    kSetGroup,    // Changes control group `object`.
    kHotplug,     // A CPU goes offline or comes online; the task waits until it has.
    kMigrateDisable,
    kMigrateEnable,
  };
  Kind kind = Kind::kRun;
  u64 ns = 0;
  u32 draw = 0;  // 1 + index into Script::distributions, from which ns comes each time; 0: it is constant.
  u32 object = 0;
  u32 mutex = 0;
  s32 number = 0;
  CpuSwitch cpu_switch = {};
};

// What a task has for all of its life, and a phase for each of its rounds.
struct ScriptSettings {
  std::vector<u32> cpus;  // Empty: none are given.
  std::string cpus_path;
  std::optional<int> policy;
  std::optional<s64> priority;
  std::string priority_path;
  std::optional<u32> group;  // Index into Script::op_groups.
  std::string group_path;
};

struct ScriptPhase {
  s64 loop = 1;
  ScriptSettings settings;
  std::vector<ScriptOp> ops;
};

struct ScriptWake {
  u64 at_ns;
  u64 run_ns;
};

struct ScriptTimer {
  std::string name;
  bool absolute = false;
};

struct ScriptTask {
  std::string name;
  u32 instances = 1;
  s64 loop = kForever;
  u64 start_ns = 0;
  u64 delay_ns = 0;
  ScriptSettings settings;
  int policy = SCHED_NORMAL;
  int nice = 0;
  u32 rt_priority = 0;
  std::string cgroup;  // Empty: the root.
  bool kthread = false;
  bool leading = false;             // The run of all tasks ends with the last of these.
  std::optional<u32> thread_of;     // The task whose first instance leads this one's process.
  std::optional<u32> parent;        // The task whose first instance is its parent.
  std::vector<ScriptPhase> phases;  // None: it does nothing.
  std::vector<ScriptWake> wakes;    // Instead of phases: absolute times.
  std::vector<ScriptTimer> own_timers;
  u32 highest_cpu_switched = 0;
};

struct ScriptBarrier {
  std::string name;
  u64 users = 0;  // How many tasks have to come.
};

struct ScriptChannel {
  std::string name;
  u64 capacity = 0;  // Messages.
};

// What becomes of rt-app's logs, if somebody wants them.
struct ScriptLog {
  bool wanted = true;
  u64 ring_rows = 0;  // 0: all; else only the last ones are kept.
  std::string basename = "rt-app";
  bool cumulative_slack = false;
  u64 ns_per_loop = 100;  // rt-app's pLoad.
};

struct Script {
  std::optional<u64> duration_ns;
  std::vector<ScriptTask> tasks;
  bool one_process = false;  // All tasks are threads of one process, as those of rt-app.
  std::vector<ScriptTimer> shared_timers;
  std::vector<std::string> mutexes, conditions, semaphores;
  std::vector<ScriptBarrier> barriers;
  std::vector<ScriptChannel> channels;
  std::vector<Distribution> distributions;
  std::vector<std::string> names;    // What tasks take at an exec.
  std::vector<GroupSpec> groups;     // There from the start.
  std::vector<GroupSpec> op_groups;  // What events and settings name.
  ScriptLog log;
  std::vector<std::string> warnings;
};

// Messages have the JSON path but no file name.
Result<Script> parse_script(JsonDocument document);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_SCRIPT_H_
