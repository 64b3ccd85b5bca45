// SPDX-License-Identifier: GPL-2.0-only
// The JSON form of the report.
#include <nlohmann/json.hpp>

#include "base/units.h"
#include "report/names.h"
#include "report/report.h"

namespace uscx::report {
namespace {

using Json = nlohmann::ordered_json;

double fraction(u64 part, u64 whole) {
  const unsigned __int128 millionths = (static_cast<unsigned __int128>(part) * 1000000 + whole / 2) / whole;
  return static_cast<double>(static_cast<u64>(millionths)) / 1e6;
}

Json share(u64 part, unsigned __int128 whole) {
  if (whole == 0) return nullptr;
  return fraction(part, static_cast<u64>(whole));
}

Json or_null(bool there, u64 value) { return there ? Json(value) : Json(nullptr); }

Json text_or_null(const std::string &text) { return text.empty() ? Json(nullptr) : Json(text); }

Json percentiles_json(const LatencyHistogram &latency, std::initializer_list<u32> percents) {
  Json json;
  const bool any = latency.count() != 0;
  for (u32 percent : percents) json[fmt::format("p{}", percent)] = or_null(any, latency.percentile_ns(percent));
  json["max"] = or_null(any, latency.max_ns());
  return json;
}

Json task_json(const TaskMetrics &task, const TaskFigures &own, const Figures &figures) {
  Json json;
  json["name"] = task.name;
  json["pid"] = task.pid;
  json["nice"] = task.nice;
  json["cpu_time_ns"] = own.cpu_time_ns;
  json["share"] =
      share(own.cpu_time_ns, static_cast<unsigned __int128>(figures.duration_ns) * figures.cpu_busy_ns.size());
  json["picks"] = own.picks;
  json["nvcsw"] = own.nvcsw;
  json["nivcsw"] = own.nivcsw;
  json["migrations"] = own.migrations;
  json["wakeups"] = own.wakeups;
  json["longest_wait_ns"] = own.longest_wait_ns;
  json["wakeup_ns"] = percentiles_json(own.wakeup, {50, 99});
  return json;
}

Json tasks_json(const Metrics &metrics, Phase phase, Who who) {
  Json json = Json::array();
  const std::vector<TaskMetrics> &tasks = metrics.tasks();
  for (size_t i = 0; i < tasks.size(); i++)
    if (tasks[i].who == who)
      json.push_back(task_json(tasks[i], metrics.task_figures(phase, i), metrics.figures(phase)));
  return json;
}

Json exit_json(const RunInfo &run, const ExitMetrics &exit) {
  Json json;
  json["kind"] = exit.kind;
  json["kind_name"] = exit_kind_name(exit.kind);
  json["code"] = exit.code;
  json["reason"] = exit.reason;
  json["message"] = exit.message;
  json["where"] = text_or_null(run.exit_where);
  json["hint"] = text_or_null(hint_for(exit));
  json["cpu"] = exit.cpu;
  if (exit.seen) {
    json["time_ns"] = exit.time_ns;
    json["runnable_tasks"] = exit.nr_runnable;
    json["stuck_tasks"] = or_null(!run.ended_at_exit, exit.nr_stuck);
  }
  return json;
}

Json latency_json(const Figures &figures) {
  Json json = percentiles_json(figures.wakeup, {50, 90, 99});
  json["count"] = figures.wakeup.count();
  json["open"] = figures.nr_open;
  json["longest_open"] = or_null(figures.nr_open != 0, figures.longest_open_ns);
  return json;
}

void add_dispatch_counts(const Figures &figures, Json *json) {
  (*json)["enqueues"] = figures.enqueues;
  (*json)["direct"] = figures.direct_dispatches;
  (*json)["local_inserts"] = figures.local_inserts;
  (*json)["global_inserts"] = figures.global_inserts;
  (*json)["user_inserts"] = figures.user_inserts;
  (*json)["bypass_inserts"] = figures.bypass_inserts;
  (*json)["kicks"] = figures.kicks;
}

Json dsqs_json(const Metrics &metrics) {
  Json json = Json::array();
  for (const auto &[id, dsq] : metrics.dsqs())
    json.push_back({{"id", fmt::format("{:#x}", id)},
                    {"name", dsq_name(id)},
                    {"inserts", dsq.inserts},
                    {"removes", dsq.removes},
                    {"max_depth", dsq.max_depth}});
  return json;
}

Json lock_json(const Figures &figures) {
  Json json = Json::array();
  for (const auto &[name, lock] : figures.locks)
    json.push_back({{"name", name}, {"waits", lock.waits}, {"wait_ns", lock.wait_ns}, {"max_ns", lock.max_ns}});
  return json;
}

Json starving_json(const Metrics &metrics) {
  Json json = Json::array();
  for (size_t i = 0; i < metrics.nr_starving(); i++) {
    const OpenWait &wait = metrics.open_waits()[i];
    const TaskMetrics &task = metrics.tasks()[wait.task];
    json.push_back({{"name", task.name},
                    {"pid", task.pid},
                    {"since_ns", wait.since_ns},
                    {"waited_ns", metrics.duration_ns() - wait.since_ns},
                    {"place", place_name(wait.place)}});
  }
  return json;
}

// What a phase has of its own. The same keys are at the top for the subject.
void add_figures(const Metrics &metrics, Phase phase, Json *json) {
  const Figures &figures = metrics.figures(phase);
  (*json)["latency"]["wakeup_ns"] = latency_json(figures);
  (*json)["tasks"] = tasks_json(metrics, phase, Who::kWorkload);
  (*json)["kthreads"] = tasks_json(metrics, phase, Who::kKthread);
  (*json)["other_tasks"] = tasks_json(metrics, phase, Who::kOther);
  (*json)["cpus_busy"] = Json::array();
  for (const u64 busy_ns : figures.cpu_busy_ns) (*json)["cpus_busy"].push_back(share(busy_ns, figures.duration_ns));
  add_dispatch_counts(figures, &(*json)["dispatch"]);
  (*json)["lock_waits"] = lock_json(figures);
}

Json phases_json(const Metrics &metrics) {
  Json json = Json::array();
  for (const Phase phase : kPhases) {
    const Figures &figures = metrics.figures(phase);
    const bool is_subject = phase == metrics.subject();
    if (figures.duration_ns == 0 && !is_subject) continue;
    Json one = {{"name", phase_name(phase)}, {"duration_ns", figures.duration_ns}, {"subject", is_subject}};
    if (!is_subject) add_figures(metrics, phase, &one);
    json.push_back(std::move(one));
  }
  return json;
}

Json cgroups_json(const Metrics &metrics) {
  Json json = Json::array();
  const std::map<u64, u64> &times = metrics.figures().cgroup_cpu_time_ns;
  for (const auto &[id, group] : metrics.cgroups()) {
    const auto time = times.find(id);
    json.push_back({{"path", group.path},
                    {"id", id},
                    {"tasks", group.nr_tasks},
                    {"cpu_time_ns", time == times.end() ? 0 : time->second}});
  }
  return json;
}

Json failed_json(const RunInfo &run) {
  Json json = Json::array();
  for (const FailedCondition &failed : run.failed)
    json.push_back({{"condition", failed.condition}, {"what", failed.what}});
  return json;
}

Json asked_for_json(const RunInfo &run) {
  Json json;
  json["version"] = kJsonVersion;
  json["scheduler"] = run.scheduler;
  json["workload"] = run.workload;
  json["cpus"] = run.cpus;
  json["machine"] = run.threads ? "threads" : "simulated";
  json["topology"] = run.topology;
  json["hz"] = run.hz;
  json["seed"] = run.seed;
  return json;
}

// Messages come from schedulers and need not be UTF-8.
std::string to_text(const Json &json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

std::string error_json(const std::string &error) {
  return to_text({{"version", kJsonVersion}, {"error", error}, {"missing", Json::array()}, {"object", nullptr}});
}

std::string refusal_json(const RunInfo &run, const std::string &error, const Json &object) {
  Json json = asked_for_json(run);
  json["error"] = error;
  json["missing"] = object.is_null() ? Json::array() : object.at("missing");
  json["object"] = object;
  return to_text(json);
}

std::string report_json(const RunInfo &run, const Metrics &metrics) {
  Json json = asked_for_json(run);
  json["duration_ns"] = run.duration_ns;
  json["events"] = run.events;
  json["wall_s"] = fraction(run.wall_ns, kNsPerSec);
  if (run.threads)
    json["trace_hash"] = nullptr;
  else
    json["trace_hash"] = fmt::format("{:016x}", run.trace_hash);
  json["interrupted"] = text_or_null(run.interrupted);
  json["failed"] = failed_json(run);
  json["notes"] = run.notes;
  json["lives"] = metrics.nr_lives();
  json["starving"] = starving_json(metrics);
  json["has_dispatch"] = run.has_dispatch ? Json(*run.has_dispatch) : Json(nullptr);
  json["exit"] = exit_json(run, metrics.exit());
  json["phases"] = phases_json(metrics);
  const KickSyncsMetrics &syncs = metrics.kick_syncs();
  json["memory"]["kick_syncs_bytes"] = {{"before", or_null(syncs.seen, syncs.before)},
                                        {"loaded", or_null(syncs.seen, syncs.loaded)},
                                        {"after", or_null(syncs.seen, syncs.after)}};
  json["log"] = Json::array();
  for (const LogLine &line : metrics.log()) json["log"].push_back(format_log_line(line));
  add_figures(metrics, metrics.subject(), &json);
  json["dispatch"]["dsqs"] = dsqs_json(metrics);
  if (!metrics.offline().empty()) {
    json["cpus_offline"] = Json::array();
    for (const OfflineTime &time : metrics.offline())
      json["cpus_offline"].push_back({{"cpu", time.cpu}, {"from_ns", time.from_ns}, {"until_ns", time.until_ns}});
  }
  if (Json cgroups = cgroups_json(metrics); !cgroups.empty()) json["cgroups"] = std::move(cgroups);
  json["scx_events"] = Json::object();
  for (const auto &[name, count] : metrics.scx_events()) json["scx_events"][name] = count;
  json["wild_loads"] = Json::array();
  for (const auto &[place, count] : metrics.wild_loads())
    json["wild_loads"].push_back({{"location", place}, {"count", count}});
  json["arena_skips"] = Json::array();
  for (const auto &[place, count] : metrics.arena_skips())
    json["arena_skips"].push_back({{"location", place}, {"count", count}});
  return to_text(json);
}

}  // namespace uscx::report
