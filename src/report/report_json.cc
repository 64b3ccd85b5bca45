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
  if (whole == 0) return 0;
  const unsigned __int128 millionths = (static_cast<unsigned __int128>(part) * 1000000 + whole / 2) / whole;
  return static_cast<double>(static_cast<u64>(millionths)) / 1e6;
}

Json task_json(const TaskMetrics &task, const Metrics &metrics) {
  Json json;
  json["name"] = task.name;
  json["pid"] = task.pid;
  json["nice"] = task.nice;
  json["cpu_time_ns"] = task.cpu_time_ns;
  json["share"] = fraction(task.cpu_time_ns, metrics.duration_ns() * metrics.nr_cpus());
  json["picks"] = task.picks;
  json["picks"] = task.picks;
  json["nvcsw"] = task.nvcsw;
  json["nivcsw"] = task.nivcsw;
  json["migrations"] = task.migrations;
  json["wakeups"] = task.wakeups;
  json["wakeup_ns"] = {
      {"p50", task.wakeup.percentile_ns(50)}, {"p99", task.wakeup.percentile_ns(99)}, {"max", task.wakeup.max_ns()}};
  return json;
}

Json tasks_json(const Metrics &metrics, Who who) {
  Json json = Json::array();
  for (const TaskMetrics &task : metrics.tasks())
    if (task.who == who) json.push_back(task_json(task, metrics));
  return json;
}

Json exit_json(const ExitMetrics &exit) {
  Json json;
  json["kind"] = exit.kind;
  json["kind_name"] = exit_kind_name(exit.kind);
  json["code"] = exit.code;
  json["reason"] = exit.reason;
  json["message"] = exit.message;
  json["cpu"] = exit.cpu;
  if (exit.seen) {
    json["time_ns"] = exit.time_ns;
    json["runnable_tasks"] = exit.nr_runnable;
    json["stuck_tasks"] = exit.nr_stuck;
  }
  return json;
}

Json latency_json(const LatencyHistogram &latency) {
  Json json;
  for (u32 percent : {50, 90, 99}) json[fmt::format("p{}", percent)] = latency.percentile_ns(percent);
  json["max"] = latency.max_ns();
  json["count"] = latency.count();
  return json;
}

Json dispatch_json(const Metrics &metrics) {
  Json json;
  json["enqueues"] = metrics.enqueues();
  json["direct"] = metrics.direct_dispatches();
  json["local_inserts"] = metrics.local_inserts();
  json["global_inserts"] = metrics.global_inserts();
  json["user_inserts"] = metrics.user_inserts();
  json["bypass_inserts"] = metrics.bypass_inserts();
  json["kicks"] = metrics.kicks();
  json["dsqs"] = Json::array();
  for (const auto &[id, dsq] : metrics.dsqs())
    json["dsqs"].push_back({{"id", fmt::format("{:#x}", id)},
                            {"name", dsq_name(id)},
                            {"inserts", dsq.inserts},
                            {"removes", dsq.removes},
                            {"max_depth", dsq.max_depth}});
  return json;
}

Json lock_json(const Metrics &metrics) {
  Json json = Json::array();
  for (const auto &[name, lock] : metrics.locks())
    json.push_back({{"name", name}, {"waits", lock.waits}, {"wait_ns", lock.wait_ns}, {"max_ns", lock.max_ns}});
  return json;
}

Json asked_for_json(const RunInfo &run) {
  Json json;
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
  json["notes"] = run.notes;
  json["exit"] = exit_json(metrics.exit());
  const KickSyncsMetrics &syncs = metrics.kick_syncs();
  json["memory"]["kick_syncs_bytes"] = {{"before", syncs.before}, {"loaded", syncs.loaded}, {"after", syncs.after}};
  json["log"] = Json::array();
  for (const LogLine &line : metrics.log()) json["log"].push_back(format_log_line(line));
  json["latency"]["wakeup_ns"] = latency_json(metrics.wakeup());
  json["tasks"] = tasks_json(metrics, Who::kWorkload);
  json["kthreads"] = tasks_json(metrics, Who::kKthread);
  json["other_tasks"] = tasks_json(metrics, Who::kOther);
  json["cpus_busy"] = Json::array();
  for (u32 cpu = 0; cpu < metrics.nr_cpus(); cpu++)
    json["cpus_busy"].push_back(fraction(metrics.cpu_busy_ns(cpu), metrics.duration_ns()));
  if (!metrics.offline().empty()) {
    json["cpus_offline"] = Json::array();
    for (const OfflineTime &time : metrics.offline())
      json["cpus_offline"].push_back({{"cpu", time.cpu}, {"from_ns", time.from_ns}, {"until_ns", time.until_ns}});
  }
  if (const auto cgroups = metrics.cgroups(); !cgroups.empty()) {
    json["cgroups"] = Json::array();
    for (const auto &[id, group] : cgroups)
      json["cgroups"].push_back(
          {{"path", group.path}, {"id", id}, {"tasks", group.nr_tasks}, {"cpu_time_ns", group.cpu_time_ns}});
  }
  json["dispatch"] = dispatch_json(metrics);
  json["scx_events"] = Json::object();
  for (const auto &[name, count] : metrics.scx_events()) json["scx_events"][name] = count;
  json["wild_loads"] = Json::array();
  for (const auto &[place, count] : metrics.wild_loads())
    json["wild_loads"].push_back({{"location", place}, {"count", count}});
  json["arena_skips"] = Json::array();
  for (const auto &[place, count] : metrics.arena_skips())
    json["arena_skips"].push_back({{"location", place}, {"count", count}});
  json["lock_waits"] = lock_json(metrics);
  return to_text(json);
}

}  // namespace uscx::report
