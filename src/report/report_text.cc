// SPDX-License-Identifier: GPL-2.0-only
// The text form of the report.
#include <algorithm>

#include "abi/scx.h"
#include "base/check.h"
#include "base/units.h"
#include "report/names.h"
#include "report/report.h"

namespace uscx::report {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kLabelColumns = 12;  // "Interrupted" fills them.
constexpr size_t kAllTasks = 20;      // Up to this many tasks are all shown.
constexpr size_t kTopTasks = 10;      // Of more, these.
constexpr size_t kMaxGroups = 20;
constexpr size_t kMaxLines = 10;  // Of log lines, wild loads, locks.

struct Style {
  const char *bold, *red, *green, *plain;
};
constexpr Style kNoColour = {"", "", "", ""};
constexpr Style kColour = {"\033[1m", "\033[31m", "\033[32m", "\033[0m"};

// One decimal, in integers.
std::string percent(u64 part, u64 whole) {
  if (whole == 0) return "-";
  const u64 tenths = static_cast<u64>((static_cast<unsigned __int128>(part) * 1000 + whole / 2) / whole);
  return fmt::format("{}.{}%", tenths / 10, tenths % 10);
}

// For narrow columns: at most three significant digits and a unit, rounded to nearest.
std::string short_duration(u64 ns) {
  constexpr std::pair<u64, const char *> kUnits[] = {{kNsPerSec, "s"}, {kNsPerMs, "ms"}, {kNsPerUs, "us"}};
  for (auto [unit, name] : kUnits) {
    if (ns < unit) continue;
    const u64 whole = ns / unit;
    if (whole >= 100) return fmt::format("{}{}", (ns + unit / 2) / unit, name);
    const u64 tenths = (ns + unit / 20) / (unit / 10);
    return tenths % 10 ? fmt::format("{}.{}{}", tenths / 10, tenths % 10, name)
                       : fmt::format("{}{}", tenths / 10, name);
  }
  return fmt::format("{}ns", ns);
}

std::string clip(const std::string &text, size_t columns) {
  return text.size() <= columns ? text : text.substr(0, columns - 1) + "~";
}

// Words of `text` in lines of at most kColumns, behind a label and indented as it is.
std::string labelled(const std::string &label, const std::string &text) {
  std::string out, line = fmt::format("{:<{}}", label, kLabelColumns);
  bool line_has_word = false;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", start), text.size());
    const std::string word = text.substr(start, end - start);
    start = end + 1;
    if (word.empty()) continue;
    if (line_has_word && line.size() + 1 + word.size() > kColumns) {
      out += line + "\n";
      line = std::string(kLabelColumns, ' ');
      line_has_word = false;
    }
    line += (line_has_word ? " " : "") + word;
    line_has_word = true;
  }
  return out + line + "\n";
}

std::string group_name(const std::string &name) {
  const size_t end = name.find_last_not_of("0123456789");
  if (end == std::string::npos || end + 1 == name.size()) return name;
  const size_t cut = std::string(".-:_/#").find(name[end]) != std::string::npos ? end : end + 1;
  return cut == 0 ? name : name.substr(0, cut) + "*";
}

struct Row {
  std::string name;
  u64 nr_tasks = 0;
  u64 cpu_time_ns = 0, min_ns = ~u64{0}, max_ns = 0;
  u64 switches = 0, migrations = 0;
};

// A task with its figures in the phase that the report is about.
struct ShownTask {
  const TaskMetrics *task;
  const TaskFigures *figures;
};

std::vector<ShownTask> tasks_of(const Metrics &metrics, Who who) {
  std::vector<ShownTask> shown;
  const std::vector<TaskMetrics> &tasks = metrics.tasks();
  for (size_t i = 0; i < tasks.size(); i++)
    if (tasks[i].who == who) shown.push_back({&tasks[i], &metrics.task_figures(metrics.subject(), i)});
  return shown;
}

// What all CPUs had to give.
u64 machine_ns(const Metrics &metrics) { return metrics.figures().duration_ns * metrics.nr_cpus(); }

std::vector<Row> group_rows(const std::vector<ShownTask> &tasks) {
  std::map<std::string, Row> groups;
  for (const auto &[task, figures] : tasks) {
    Row &row = groups[group_name(task->name)];
    row.nr_tasks++;
    row.cpu_time_ns += figures->cpu_time_ns;
    row.min_ns = std::min(row.min_ns, figures->cpu_time_ns);
    row.max_ns = std::max(row.max_ns, figures->cpu_time_ns);
    row.switches += figures->nvcsw + figures->nivcsw;
    row.migrations += figures->migrations;
  }
  std::vector<Row> rows;
  for (auto &[name, row] : groups) {
    row.name = name;
    rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row &a, const Row &b) { return a.cpu_time_ns > b.cpu_time_ns; });
  return rows;
}

std::string groups_text(const Metrics &metrics, const std::vector<ShownTask> &tasks, const Style &style) {
  const std::vector<Row> rows = group_rows(tasks);
  std::string out = fmt::format("\n{}{:<16} {:>6} {:>9} {:>7} {:>9} {:>9} {:>10} {:>7}{}\n", style.bold, "GROUP",
                                "TASKS", "CPU TIME", "MACHINE", "LEAST", "MOST", "SWITCHES", "MIGR", style.plain);
  for (size_t i = 0; i < rows.size() && i < kMaxGroups; i++) {
    const Row &row = rows[i];
    out += fmt::format("{:<16} {:>6} {:>9} {:>7} {:>9} {:>9} {:>10} {:>7}\n", clip(row.name, 16), row.nr_tasks,
                       short_duration(row.cpu_time_ns), percent(row.cpu_time_ns, machine_ns(metrics)),
                       short_duration(row.min_ns), short_duration(row.max_ns), row.switches, row.migrations);
  }
  if (rows.size() > kMaxGroups) out += fmt::format("... and {} more groups\n", rows.size() - kMaxGroups);
  return out;
}

std::string tasks_text(const Metrics &metrics, const Style &style) {
  std::vector<ShownTask> tasks = tasks_of(metrics, Who::kWorkload);
  if (tasks.empty()) return "";
  const size_t nr_tasks = tasks.size();
  std::string out;
  if (nr_tasks > kAllTasks) {
    out = groups_text(metrics, tasks, style);
    std::stable_sort(tasks.begin(), tasks.end(), [](const ShownTask &a, const ShownTask &b) {
      return a.figures->cpu_time_ns > b.figures->cpu_time_ns;
    });
    tasks.resize(kTopTasks);
    out += fmt::format("\nThe {} of {} tasks with most CPU time:", kTopTasks, nr_tasks);
  }
  out += fmt::format("\n{}{:<15} {:>6} {:>4} {:>8} {:>6} {:>7} {:>7} {:>5} {:>6} {:>7}{}\n", style.bold, "TASK", "PID",
                     "NICE", "CPU TIME", "CPU", "VOL", "INVOL", "MIGR", "W p50", "W p99", style.plain);
  for (const auto &[task, figures] : tasks) {
    const LatencyHistogram &wakeup = figures->wakeup;
    const bool woken = wakeup.count() != 0;
    out += fmt::format("{:<15} {:>6} {:>4} {:>8} {:>6} {:>7} {:>7} {:>5} {:>6} {:>7}\n", clip(task->name, 15),
                       task->pid, task->nice, short_duration(figures->cpu_time_ns),
                       percent(figures->cpu_time_ns, metrics.figures().duration_ns), figures->nvcsw, figures->nivcsw,
                       figures->migrations, woken ? short_duration(wakeup.percentile_ns(50)) : "-",
                       woken ? short_duration(wakeup.percentile_ns(99)) : "-");
  }
  return out;
}

std::string cgroups_text(const Metrics &metrics, const Style &style) {
  const std::map<u64, CgroupMetrics> all = metrics.cgroups();
  if (all.empty()) return "";
  std::string out = fmt::format("\n{}{:<32} {:>6} {:>9} {:>7}{}\n", style.bold, "CGROUP", "TASKS", "CPU TIME",
                                "MACHINE", style.plain);
  size_t shown = 0;
  for (const auto &[id, group] : all) {
    if (++shown > kMaxGroups) continue;
    const auto time = metrics.figures().cgroup_cpu_time_ns.find(id);
    const u64 time_ns = time == metrics.figures().cgroup_cpu_time_ns.end() ? 0 : time->second;
    out += fmt::format("{:<32} {:>6} {:>9} {:>7}\n", clip(group.path, 32), group.nr_tasks, short_duration(time_ns),
                       percent(time_ns, machine_ns(metrics)));
  }
  if (shown > kMaxGroups) out += fmt::format("... and {} more cgroups\n", shown - kMaxGroups);
  return out;
}

std::string task_label(const TaskMetrics &task) { return fmt::format("{}[{}]", task.name, task.pid); }

// How the tasks went on after an error, as far as the run has seen it.
std::string aftermath_text(const RunInfo &run, const Metrics &metrics) {
  const ExitMetrics &exit = metrics.exit();
  if (run.ended_at_exit || !exit.measured) return "";
  if (exit.nr_runnable == 0) return labelled("", "No task was runnable when the scheduler was gone.");
  if (exit.nr_stuck == 0)
    return labelled("", fmt::format("All tasks went on in the fair class: each of the {} that were runnable has run "
                                    "since.",
                                    exit.nr_runnable));
  std::string out =
      labelled("", fmt::format("{} of the {} tasks that were runnable when the scheduler was gone have not run since, "
                               "up to the end of the run:",
                               exit.nr_stuck, exit.nr_runnable));
  size_t shown = 0;
  std::string names;
  for (const TaskMetrics &task : metrics.tasks()) {
    if (!task.owed || task.on_cpu || shown++ >= kMaxLines) continue;
    names += (names.empty() ? "" : " ") + task_label(task);
  }
  return out + labelled("", names + (shown > kMaxLines ? " ..." : ""));
}

// How long the scheduler was there, where that is not the whole run.
std::string life_text(const Metrics &metrics) {
  if (metrics.subject() != Phase::kScheduler) return "";
  if (metrics.nr_lives() == 0) return labelled("Lived", "not at all: it ended before it was enabled.");
  const u64 after_ns = metrics.figures(Phase::kAfter).duration_ns;
  if (after_ns == 0 && metrics.nr_lives() == 1) return "";
  std::string text = format_duration(metrics.figures().duration_ns);
  if (metrics.nr_lives() > 1) text += fmt::format(", in {} lives", metrics.nr_lives());
  if (after_ns != 0)
    text += fmt::format("; the figures are of that time only, without {} in the fair class after it",
                        format_duration(after_ns));
  return labelled("Lived", text + ".");
}

std::string exit_text(const RunInfo &run, const Metrics &metrics, const Style &style) {
  const ExitMetrics &exit = metrics.exit();
  if (!exit.seen) return "";
  const bool error = exit.kind >= SCX_EXIT_ERROR;
  std::string line = fmt::format("{} ({}) at {}", exit_kind_name(exit.kind), exit.kind, format_duration(exit.time_ns));
  if (exit.cpu >= 0) line += fmt::format(" on CPU {}", exit.cpu);
  std::string out = labelled("Exit", line);
  if (*style.plain) out = (error ? style.red : style.green) + out.substr(0, out.size() - 1) + style.plain + "\n";
  if (!exit.reason.empty()) out += labelled("", exit.reason + (exit.message.empty() ? "" : ": " + exit.message));
  if (!run.exit_where.empty()) out += labelled("", "in " + run.exit_where);
  if (const std::string hint = hint_for(exit); !hint.empty()) out += labelled("", "Hint: " + hint);
  if (error) out += aftermath_text(run, metrics);
  return out + life_text(metrics);
}

// --- tasks that starve ---

// Where tasks wait, and what went in and out there.
std::string crowd_text(const Metrics &metrics, const Place &place) {
  switch (place.kind) {
    case Place::Kind::kNoQueue: return metrics.nr_lives() ? "in no queue of sched_ext" : "in their CPU's run queue";
    case Place::Kind::kCustody:
      return fmt::format("in the scheduler's custody (ops.enqueue took {}, {} came out)", metrics.custody_in(),
                         metrics.custody_out());
    case Place::Kind::kDsq: break;
  }
  const auto dsq = metrics.dsqs().find(place.dsq_id);
  CHECK(dsq != metrics.dsqs().end(), "a task waits in {}, which nobody used", dsq_name(place.dsq_id));
  return fmt::format("in {} ({} in, {} out)", dsq_name(place.dsq_id), dsq->second.inserts, dsq->second.removes);
}

std::string waiting_text(const Metrics &metrics, const std::vector<const OpenWait *> &waits) {
  constexpr size_t kNamed = 4;
  std::string names;
  for (size_t i = 0; i < waits.size() && i < kNamed; i++)
    names += fmt::format("{}{} since {}", i ? ", " : "", task_label(metrics.tasks()[waits[i]->task]),
                         format_duration(waits[i]->since_ns));
  if (waits.size() > kNamed) names += fmt::format(", and {} more", waits.size() - kNamed);
  return fmt::format("{} {}: {}.", waits.size(), crowd_text(metrics, waits[0]->place), names);
}

std::string starving_text(const RunInfo &run, const Metrics &metrics, const Style &style) {
  if (metrics.nr_starving() == 0) return "";
  std::map<Place, std::vector<const OpenWait *>> by_place;
  size_t nr_live = 0;
  for (const TaskMetrics &task : metrics.tasks()) nr_live += task.who == Who::kWorkload && !task.exited;
  size_t nr_workload = 0;
  for (size_t i = 0; i < metrics.nr_starving(); i++) {
    const OpenWait &wait = metrics.open_waits()[i];
    by_place[wait.place].push_back(&wait);
    nr_workload += metrics.tasks()[wait.task].who == Who::kWorkload;
  }
  const u64 longest_ns = metrics.duration_ns() - metrics.open_waits()[0].since_ns;
  std::string line = fmt::format("{} of {} tasks", nr_workload, nr_live);
  if (const size_t others = metrics.nr_starving() - nr_workload; others != 0)
    line += fmt::format(" and {} other {}", others, others == 1 ? "thread" : "threads");
  line += fmt::format(" wait for a CPU at the end of the run, for {} or more, the longest for {}",
                      format_duration(Metrics::kStarvedNs), short_duration(longest_ns));
  std::string out = labelled("Starving", line + ".");
  if (*style.plain) out = style.red + out.substr(0, out.size() - 1) + style.plain + "\n";
  size_t shown = 0;
  for (const auto &[place, waits] : by_place)
    if (shown++ < kMaxLines) out += labelled("", waiting_text(metrics, waits));
  if (shown > kMaxLines) out += labelled("", fmt::format("... and in {} more queues", shown - kMaxLines));
  if (!run.has_dispatch || metrics.exit().measured) return out;
  return out + labelled("", *run.has_dispatch ? "The scheduler has an ops.dispatch."
                                              : "The scheduler has no ops.dispatch, which hands on what is in custody "
                                                "or in a DSQ of its own.");
}

std::string failed_text(const RunInfo &run, const Style &style) {
  std::string out;
  for (const FailedCondition &failed : run.failed)
    out += labelled(out.empty() ? "Failed" : "", fmt::format("--fail-on {}: {}.", failed.condition, failed.what));
  return out.empty() || !*style.plain ? out : style.red + out.substr(0, out.size() - 1) + style.plain + "\n";
}

std::string machine_text(const Metrics &metrics) {
  const Figures &figures = metrics.figures();
  u64 total_ns = 0, least_ns = ~u64{0}, most_ns = 0;
  for (const u64 busy_ns : figures.cpu_busy_ns) {
    total_ns += busy_ns;
    least_ns = std::min(least_ns, busy_ns);
    most_ns = std::max(most_ns, busy_ns);
  }
  std::string line = percent(total_ns, machine_ns(metrics));
  if (metrics.nr_cpus() > 1)
    line += fmt::format(" (least {}, most {})", percent(least_ns, figures.duration_ns),
                        percent(most_ns, figures.duration_ns));
  std::string out = labelled("CPUs busy", line);
  const LatencyHistogram &wakeup = figures.wakeup;
  if (wakeup.count()) {
    std::string text = fmt::format("{}, latency p50 {}, p90 {}, p99 {}, max {}", wakeup.count(),
                                   short_duration(wakeup.percentile_ns(50)), short_duration(wakeup.percentile_ns(90)),
                                   short_duration(wakeup.percentile_ns(99)), short_duration(wakeup.max_ns()));
    if (figures.nr_open) text += fmt::format("; {} of them still waiting", figures.nr_open);
    out += labelled("Wakeups", text);
  }
  if (figures.enqueues + figures.local_inserts + figures.global_inserts + figures.user_inserts)
    out += labelled("Dispatch", fmt::format("{} enqueues, {} direct; inserts: {} local, {} global, {} user; {} kicks",
                                            figures.enqueues, figures.direct_dispatches, figures.local_inserts,
                                            figures.global_inserts, figures.user_inserts, figures.kicks));
  return out;
}

// "and N more" after the first kMaxLines of a list.
std::string more(size_t size, const char *what) {
  return size > kMaxLines ? labelled("", fmt::format("... and {} more {}", size - kMaxLines, what)) : "";
}

std::string offline_text(const Metrics &metrics) {
  std::string out;
  size_t i = 0;
  for (const OfflineTime &time : metrics.offline())
    if (i++ < kMaxLines)
      out += labelled(
          i == 1 ? "Offline" : "",
          fmt::format("CPU {} from {} to {}", time.cpu, format_duration(time.from_ns), format_duration(time.until_ns)));
  return out + more(metrics.offline().size(), "times");
}

std::string findings_text(const Metrics &metrics) {
  std::string out;
  size_t i = 0;
  for (const auto &[name, count] : metrics.scx_events())
    if (count) out += labelled(i++ ? "" : "Events", fmt::format("{} {}", name, count));
  i = 0;
  for (const auto &[place, count] : metrics.wild_loads())
    if (i++ < kMaxLines) out += labelled(i == 1 ? "Wild loads" : "", fmt::format("{} at {} (read as 0)", count, place));
  out += more(metrics.wild_loads().size(), "places");
  i = 0;
  for (const auto &[place, count] : metrics.arena_skips())
    if (i++ < kMaxLines)
      out += labelled(i == 1 ? "Arena stores" : "", fmt::format("{} to missing pages, at {} (skipped)", count, place));
  out += more(metrics.arena_skips().size(), "places");
  i = 0;
  const std::map<std::string, LockMetrics> &locks = metrics.figures().locks;
  for (const auto &[name, lock] : locks)
    if (i++ < kMaxLines)
      out += labelled(i == 1 ? "Lock waits" : "",
                      fmt::format("{}: {} in {} waits, longest {}", name, short_duration(lock.wait_ns), lock.waits,
                                  short_duration(lock.max_ns)));
  return out + more(locks.size(), "locks");
}

std::string memory_text(const Metrics &metrics) {
  const KickSyncsMetrics &syncs = metrics.kick_syncs();
  if (!syncs.seen) return "";
  return labelled("Kick syncs", fmt::format("{} bytes before the load, {} loaded, {} after", syncs.before, syncs.loaded,
                                            syncs.after));
}

std::string kthreads_text(const Metrics &metrics) {
  u64 time_ns = 0;
  const std::vector<ShownTask> tasks = tasks_of(metrics, Who::kKthread);
  for (const ShownTask &task : tasks) time_ns += task.figures->cpu_time_ns;
  if (tasks.empty()) return "";
  return labelled("Kthreads", fmt::format("{}, {} of CPU time", tasks.size(), short_duration(time_ns)));
}

}  // namespace

std::string format_log_line(const LogLine &line) {
  return fmt::format("[{:5}.{:06}] {}", line.time_ns / kNsPerSec, line.time_ns % kNsPerSec / kNsPerUs, line.text);
}

std::string report_text(const RunInfo &run, const Metrics &metrics, bool colour) {
  const Style &style = colour ? kColour : kNoColour;
  std::string out = labelled("Scheduler", run.scheduler);
  if (colour) out = style.bold + out.substr(0, out.size() - 1) + style.plain + "\n";
  if (!run.interrupted.empty())
    out += labelled("Interrupted", fmt::format("by {} at {}", run.interrupted, format_duration(run.duration_ns)));
  out += failed_text(run, style) + starving_text(run, metrics, style);
  out += labelled("Machine", fmt::format("{} {} ({}), {} Hz{}", run.cpus, run.cpus == 1 ? "CPU" : "CPUs", run.topology,
                                         run.hz, run.threads ? ", on threads" : ""));
  out += labelled("Workload", fmt::format("{}, seed {}", run.workload, run.seed));
  if (run.threads)
    out += labelled("Run", fmt::format("{} of real time, {} events; no two runs are the same",
                                       format_duration(run.duration_ns), run.events));
  else  // The hash has a line of its own: how long a run took in real time must not decide where lines are broken.
    out += labelled("Run", fmt::format("{} of virtual time in {}, {} events", format_duration(run.duration_ns),
                                       short_duration(run.wall_ns), run.events)) +
           labelled("Trace", fmt::format("{:016x}", run.trace_hash));
  for (const std::string &note : run.notes) out += labelled("Note", note);
  out += exit_text(run, metrics, style) + machine_text(metrics) + offline_text(metrics) + kthreads_text(metrics) +
         memory_text(metrics) + findings_text(metrics);
  return out + cgroups_text(metrics, style) + tasks_text(metrics, style);
}

}  // namespace uscx::report
