// SPDX-License-Identifier: GPL-2.0-only
// What is being read of a task script, from the file down to one event: where the readers of keys put what they find.
#ifndef USCX_WORKLOAD_SCRIPT_SCOPE_H_
#define USCX_WORKLOAD_SCRIPT_SCOPE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "workload/script/script.h"

namespace uscx::workload {

// A name that must be a task's, checked when all tasks are known.
struct TaskReference {
  std::string path;
  std::string name;
};

// May it be a task's name?
bool is_comm(const std::string &name);

struct FileScope {
  Script script;
  bool ours = false;                // It has something that rt-app would not take.
  std::optional<bool> one_process;  // What the file says of it.
  int default_policy = SCHED_NORMAL;
  u64 buffer_bytes = 4 << 20;
  std::map<std::string, u32> timers, mutexes, conditions, semaphores, barriers, channels;
  std::vector<TaskReference> references;  // What ScriptOp::object, thread_of and parent are until then.

  void warn(const std::string &path, const std::string &text);
};

// Marks the number of one of the task's own timers, until it is known how many shared ones there are.
inline constexpr u32 kOwnTimer = 1u << 31;

struct TaskScope {
  ScriptTask task;
  std::optional<s64> loop, nice;
  ScriptPhase events;                     // Those of the task itself.
  std::map<std::string, u32> own_timers;  // Those that begin with "unique".
  std::vector<u32> barriers;              // One entry a use.
  bool obsolete = false;                  // It has keys of rt-app 0.x.
};

// The members of an event's object.
struct ObjectScope {
  std::string ref = "unknown", mutex = "unknown";
  u64 period_ns = 0;
  u32 draw = 0;  // As in ScriptOp.
  bool absolute = false;
  std::string type, pattern = "random";  // Of memrun.
  s64 size = 0, count = 0, stride = 64;
};

struct Scope {
  FileScope &file;
  TaskScope *task = nullptr;
  ScriptSettings *settings = nullptr;  // The task's or the phase's.
  ScriptPhase *phase = nullptr;        // Null in the task itself.
  ObjectScope *object = nullptr;

  std::vector<ScriptOp> &ops() { return phase ? phase->ops : task->events.ops; }
  void add(const ScriptOp &op) { ops().push_back(op); }
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_SCOPE_H_
