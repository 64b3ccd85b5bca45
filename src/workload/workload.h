// SPDX-License-Identifier: GPL-2.0-only
// A workload: the tasks of a run and what they do. It is a value: parsed once, constant from then on, and good for any
// number of runs, because plan() makes fresh task behaviors for each. docs/WORKLOADS.md is its description for people.
//
// Threading: a Workload may be read by several threads. The behaviors of one plan share state (timers, partners) and
// belong to the machine that runs them.
//
// Invariants: a plan is a function of (workload, site); every round of every task's loop takes virtual time, so that no
// script can stop the clock.
#ifndef USCX_WORKLOAD_WORKLOAD_H_
#define USCX_WORKLOAD_WORKLOAD_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "machine/cpumask.h"
#include "sched/behavior.h"
#include "sched/kernel.h"
#include "workload/groups.h"

namespace uscx::workload {

class LogBook;  // workload/script/log.h

inline constexpr u32 kMaxTasks = 1000000;
inline constexpr u64 kMaxDurationNs = 1000000 * kNsPerSec;
// Shorter steps would only slow the simulation down: a system call takes longer.
inline constexpr u64 kMinStepNs = 100;

// A task that planned ones refer to, as the first of their process or their parent: one of the plan, or one that is
// made when the first of them is.
struct PlannedAnchor {
  std::string comm;
  std::unique_ptr<sched::Behavior> behavior;  // Null: a planned task is the anchor.
  int pid = 0;                                // Once it is there.
};

struct PlannedTask {
  std::string comm;
  int policy = SCHED_NORMAL;
  int nice = 0;
  u32 rt_priority = 0;
  std::optional<machine::CpuMask> cpus;  // Without a value: all.
  std::string cgroup;                    // "/a/b"; empty: the root.
  bool kthread = false;                  // A kernel thread: a child of kthreadd without memory of its own.
  u64 start_ns = 0;                      // Virtual time at which the task is created; in the past: at once.
  std::unique_ptr<sched::Behavior> behavior;
  std::shared_ptr<PlannedAnchor> anchor = nullptr;  // What this task is to others; null: nothing.
  std::shared_ptr<PlannedAnchor> leader = nullptr;  // Null: a process of its own.
  std::shared_ptr<PlannedAnchor> parent = nullptr;  // Null: init, or kthreadd.
};

// A CPU that is taken away or given back.
struct CpuSwitch {
  u32 cpu = 0;
  bool online = false;
};
// "2:off", "2:on".
Result<CpuSwitch> parse_cpu_switch(std::string_view text);

// What a plan may depend on.
struct Site {
  u32 nr_cpus = 1;
  u64 seed = 1;
  u32 index = 0;  // Position among the run's workloads, so that two of a kind draw from different random streams.
  machine::CpuMask quiet = {};  // CPUs that kernel threads leave alone (--nohz-full, --isolcpus); empty: none.
  LogBook *logs = nullptr;      // Where rt-app's logs go; null: nowhere.
  // Told, from any CPU, what is to stand in the report: that tasks cannot go on.
  std::function<void(const std::string &text)> say = nullptr;
};

class Workload {
 public:
  virtual ~Workload() = default;
  // How a person named it: "hogs:tasks=4", a file's path.
  virtual const std::string &name() const = 0;
  // How long the workload itself says it takes.
  virtual std::optional<u64> duration_ns() const { return std::nullopt; }
  // The control groups that are to be there, with their settings, before any scheduler is.
  virtual std::span<const GroupSpec> groups() const { return {}; }
  // What its reader should know: keys without effect, for instance.
  virtual std::span<const std::string> warnings() const { return {}; }
  // The tasks in creation order. Fails if the workload does not fit the machine (a CPU that is not there).
  virtual Result<std::vector<PlannedTask>> plan(const Site &site) const = 0;
};

// "NAME[:KEY=VALUE,...]" of a built-in, or a file: a path with a slash, one that ends in .json, or -
// for standard input.
Result<std::shared_ptr<const Workload>> open_workload(const std::string &text);
// The text of a task script; `name` is put in front of messages.
Result<std::shared_ptr<const Workload>> parse_workload(std::string_view json, const std::string &name);

// A task that could not be created: the loaded scheduler's init_task refused it, or its control group.
struct RefusedTask {
  std::string comm;
  int error;  // -errno
};

// Creates a planned task, whatever its start; null and -errno if it is refused. `leader` and `parent` may be null.
sched::Task *create_planned(sched::Kernel &kernel, PlannedTask planned, sched::Task *leader, sched::Task *parent,
                            int *error);

// Creates the tasks of a plan, each at its time. Must not outlive the kernel.
class Launcher {
 public:
  Launcher(sched::Kernel &kernel, std::function<void(const RefusedTask &)> on_refused);
  ~Launcher();
  // From host context, in order, until `stop` says so. Those whose time is still to come are created from a timer.
  void launch(std::vector<PlannedTask> plan, const std::function<bool()> &stop = {});

 private:
  struct Later;
  void create(PlannedTask planned);
  bool find(PlannedAnchor *anchor, sched::Task **task);
  static void fired(machine::SimEvent &event);

  sched::Kernel &kernel_;
  std::function<void(const RefusedTask &)> on_refused_;
  std::vector<std::unique_ptr<Later>> later_;
};

// The comm of one of several instances, within the 15 characters that a comm has: the name gives way, not the number.
std::string instance_comm(std::string_view name, u32 index, u32 instances);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_WORKLOAD_H_
