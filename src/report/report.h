// SPDX-License-Identifier: GPL-2.0-only
// A run's report, as text for people and as JSON for programs. Both are pure functions of what the run was (RunInfo)
// and what its trace says (Metrics, finished); only here do integers become fractions and percentages.
#ifndef USCX_REPORT_REPORT_H_
#define USCX_REPORT_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "report/metrics.h"

namespace uscx::report {

// A condition of --fail-on that the run has met.
struct FailedCondition {
  std::string condition;  // "starved=1s"
  std::string what;       // "28 tasks waited longer, hog-4[104] for 9.9s"
};

struct RunInfo {
  std::string scheduler;
  std::string workload;
  std::string topology;  // "2n:4l:8c:2t"
  u32 cpus = 0;
  u32 hz = 0;
  u64 seed = 0;
  bool threads = false;  // On the threaded machine: times are real, and the trace has no hash.
  u64 duration_ns = 0;   // The machine's.
  u64 wall_ns = 0;
  u64 events = 0;
  u64 trace_hash = 0;
  std::vector<std::string> notes;  // What was said of the run while it ran, as of a program's thread that is a CPU hog.
  std::optional<bool> has_dispatch;  // Whether the scheduler has an ops.dispatch, if there was one.
  std::string exit_where;            // The callback and source line that an error exit comes from, if known.
  bool ended_at_exit = false;        // The run ended when the scheduler did.
  std::string interrupted;           // The signal that ended the run early, or nothing.
  std::vector<FailedCondition> failed;
};

// One JSON object, indented, with a final newline; docs/report.schema.json says what is in it, and kJsonVersion counts
// changes that readers have to know of. Fractions are rounded to six decimals. A value that there is not is null.
// Figures are those of the subject phase (metrics.h); `phases` has the others'. Of a task, `share` is its CPU time over
// what all CPUs had to give (1 is the whole machine for the whole phase). trace_hash is 16 hexadecimal digits, since
// many readers of JSON lose the low bits of large numbers; on threads it is null. Log lines have the time in front, as
// dmesg prints them.
constexpr int kJsonVersion = 1;
std::string report_json(const RunInfo &run, const Metrics &metrics);

// Of a run that was refused: what was asked for, as above, and `error`. `object` says what an object file has and
// needs; null for other schedulers. What `object` has as "missing" stands at the top too.
std::string refusal_json(const RunInfo &run, const std::string &error, const nlohmann::ordered_json &object);

// Of a command line that made no sense: `error`, and null or nothing where there are no answers.
std::string error_json(const std::string &error);

// At most 80 columns. With many tasks, the table has those with most CPU time, after one row for each group of tasks
// whose names differ by a number at the end only. `colour` is for terminals.
std::string report_text(const RunInfo &run, const Metrics &metrics, bool colour = false);

// What helps against an error that can have one cause only; or nothing.
std::string hint_for(const ExitMetrics &exit);

// "[    1.234567] line"
std::string format_log_line(const LogLine &line);

}  // namespace uscx::report

#endif  // USCX_REPORT_REPORT_H_
