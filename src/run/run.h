// SPDX-License-Identifier: GPL-2.0-only
// A run as a value: options in, result out, nothing kept in between, so that one process may do many. The command, the
// tests and the benchmarks all run through here.
//
// Invariants: the result's report and trace_hash are a function of the options (hooks and trace file apart), but for
// wall_s, and for addresses that a program prints (%p), which are the same only in runs that are a process's first; the
// trace file exists only if the run succeeded.
#ifndef USCX_RUN_RUN_H_
#define USCX_RUN_RUN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/alloc_faults.h"
#include "base/need.h"
#include "base/status.h"
#include "base/units.h"
#include "machine/topology.h"
#include "report/metrics.h"
#include "report/report.h"
#include "workload/workload.h"

namespace uscx::bpf {
struct ScanResult;
}

namespace uscx::cli {

class Recipe;

struct Assignment {
  std::string name, value;
};

struct SysrqPress {
  char key;  // 's' ejects the scheduler, 'd' dumps its state.
  u64 at_ns;
};

struct HotplugAction {
  workload::CpuSwitch what;
  u64 at_ns;
};

// The nth allocation at a site fails, counted from 0, and all after it if it lasts.
struct AllocFailure {
  machine::AllocSite site;
  u64 nth;
  bool lasts;
};

// What --fail-on asks for: the run counts as failed if it is so.
struct FailOn {
  enum class What : u8 { kStarved, kExitError, kWildLoads };
  What what;
  u64 limit_ns = 0;  // kStarved: a task was runnable, and on no CPU, for longer.
  std::string text;  // As it was given.
};
Result<FailOn> parse_fail_on(const std::string &text);
// Of what was asked for, what the run has met.
std::vector<report::FailedCondition> failed_conditions(const std::vector<FailOn> &asked,
                                                       const report::Metrics &metrics);

// When a scheduler program gets SIGKILL: before its call of that number (from 1), or at a virtual time. 0: never.
struct KillPoint {
  u64 call = 0;
  u64 at_ns = 0;
};

struct Progress {
  u64 now_ns, end_ns;  // Virtual.
  u64 events;
  double wall_s;
};

// What a caller may see of a run under way. None of it changes the run.
struct RunHooks {
  std::function<void(const bpf::ScanResult &scan)> scanned;             // An object, before it is loaded.
  std::function<void(u64 time_ns, const std::string &line)> log;        // A line of the kernel log.
  std::function<void(std::string_view text)> output;                    // The scheduler's own output, dumps included.
  std::function<void(u64 time_ns, const std::string &text)> bpf_print;  // bpf_printk().
  std::function<void(const Progress &progress)> progress;               // Some times a second.
  std::vector<trace::Sink *> sinks;                                     // Of the trace, from the first event on.
  const std::atomic<bool> *stop = nullptr;                              // Becomes true: end the run now, in good order.
};

struct RunOptions {
  std::string scheduler = "fair";
  std::vector<std::string> scheduler_args;
  std::vector<Assignment> sets, ops;
  std::shared_ptr<const Recipe> recipe;  // Of an object file; may be null.
  machine::Topology topology = machine::Topology::flat(8);
  u32 hz = 250;
  std::vector<std::shared_ptr<const workload::Workload>> workloads;
  std::vector<workload::GroupSpec> cgroups;  // Beside those of the workloads.
  u64 duration_ns = 10 * kNsPerSec;
  u64 seed = 1;
  std::vector<SysrqPress> sysrqs;
  std::vector<HotplugAction> hotplugs;
  std::vector<AllocFailure> alloc_failures;
  std::vector<u32> nohz_full, isolated;  // CPUs.
  KillPoint kill;
  bool end_at_exit = false;  // The run ends when the scheduler does, unless that asks to be loaded again.
  std::vector<FailOn> fail_on;
  std::string dump_path;      // Where the dump of an error exit goes; empty: to the scheduler's output.
  bool verbose = false;       // All that libbpf says.
  int program_output_fd = 1;  // Where a scheduler program's standard output goes.
  std::string trace_path;     // Empty: none.
  std::string rtapp_logs;     // The folder for the logs that rt-app would write; empty: none.
  bool use_jit = true;
  bool threads = false;  // The threaded machine: real work for real time, never twice the same.
  RunHooks hooks;
};

struct RunResult {
  std::unique_ptr<report::Metrics> metrics;
  report::RunInfo info;
  bool interrupted = false;
};

// The tasks of all workloads, planned anew each time: once before anything happens, so that a workload that does not
// fit is refused, and once to be played.
struct PlanListeners {
  workload::LogBook *logs = nullptr;
  std::function<void(const std::string &text)> say = nullptr;
};
Result<std::vector<workload::PlannedTask>> plan_of(const RunOptions &options, const PlanListeners &listeners = {});

// Makes the control groups that the options and the planned tasks name, as they are before any scheduler is loaded.
// Host context.
Status make_groups(const RunOptions &options, const std::vector<workload::PlannedTask> &plan, sched::Kernel &kernel);

// What was asked for, for the report.
report::RunInfo describe(const RunOptions &options);

// An error is bad input or a refused load; nothing is left behind.
Result<RunResult> run(const RunOptions &options);
// The same with something else in the scheduler's place.
class SchedulerUnderTest;
Result<RunResult> run(const RunOptions &options, SchedulerUnderTest &scheduler);

// The command's exit status for a run that took place.
enum ExitStatus : int {
  kExitOk = 0,
  kExitBadInput = kExitRefused,
  kExitSchedulerError = 3,
  kExitStall = 4,
  kExitFailOn = 5,       // Goes before the two above.
  kExitSignalled = 128,  // And the signal's number.
};
int exit_status(const RunResult &result);

}  // namespace uscx::cli

#endif  // USCX_RUN_RUN_H_
