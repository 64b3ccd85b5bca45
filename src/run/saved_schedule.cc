// SPDX-License-Identifier: GPL-2.0-only
#include "run/saved_schedule.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace uscx::cli {

using machine::Failure;
using machine::ScheduleResult;
using nlohmann::json;
using sched::Mutation;

namespace {

constexpr int kFormatVersion = 2;

json to_json(const SchedulerSubject &subject) {
  return {{"command", subject.command},
          {"set", subject.run.sets},
          {"ops", subject.run.ops},
          {"recipe", subject.run.recipe},
          {"workload", subject.run.workloads},
          {"cpus", subject.run.cpus},
          {"topology", subject.run.topology},
          {"hz", subject.run.hz},
          {"seed", subject.run.seed},
          {"duration", subject.run.duration},
          {"patience", subject.patience},
          {"interp", subject.run.interpreter},
          {"with_load", subject.with_load},
          {"input_hash", subject.input_hash},
          {"start_hash", subject.start_hash}};
}

Status from_json(const json &tree, SchedulerSubject *subject) {
  struct Text {
    const char *key;
    std::string *value;
  };
  struct Texts {
    const char *key;
    std::vector<std::string> *value;
  };
  RunArguments &run = subject->run;
  auto is_text = [](const json &value) { return value.is_string(); };
  for (const Texts &texts :
       {Texts{"command", &subject->command}, {"set", &run.sets}, {"ops", &run.ops}, {"workload", &run.workloads}}) {
    const json list = tree.value(texts.key, json());
    if (!list.is_array() || !std::all_of(list.begin(), list.end(), is_text))
      return Status::error("scheduler: no list of texts '{}'", texts.key);
    *texts.value = list.get<std::vector<std::string>>();
  }
  if (subject->command.empty()) return Status::error("scheduler: no command");
  for (const Text &text : {Text{"cpus", &run.cpus},
                           {"topology", &run.topology},
                           {"hz", &run.hz},
                           {"seed", &run.seed},
                           {"duration", &run.duration},
                           {"patience", &subject->patience},
                           {"recipe", &run.recipe}}) {
    const json value = tree.value(text.key, json());
    if (!value.is_string()) return Status::error("scheduler: no text '{}'", text.key);
    *text.value = value.get<std::string>();
  }
  const json interp = tree.value("interp", json()), with_load = tree.value("with_load", json());
  const json input = tree.value("input_hash", json()), start = tree.value("start_hash", json());
  if (!interp.is_boolean() || !with_load.is_boolean() || !input.is_number_unsigned() || !start.is_number_unsigned())
    return Status::error("scheduler: 'interp', 'with_load', 'input_hash' or 'start_hash' is missing");
  run.interpreter = interp.get<bool>();
  subject->with_load = with_load.get<bool>();
  subject->input_hash = input.get<u64>();
  subject->start_hash = start.get<u64>();
  return Status::ok_status();
}

json to_json(const SavedSchedule &saved, const ScheduleResult &result) {
  json deviations = json::array();
  for (const auto &d : result.schedule) deviations.push_back({d.default_cpu, d.steps, d.visit, d.cpu});
  return {{"version", kFormatVersion},
          {saved.scenario ? "scenario" : "scheduler",
           saved.scenario ? json(saved.scenario->name) : to_json(saved.scheduler)},
          {"mutation", sched::mutation_name(saved.mutation)},
          {"failure", machine::failure_name(result.failure)},
          {"text", result.text},
          {"window_ns", saved.limits.window_ns},
          {"max_steps", saved.limits.max_steps},
          {"races_fail", saved.limits.races_fail},
          {"deviations", std::move(deviations)}};
}

Failure failure_named(const std::string &name) {
  for (u32 i = 0; i <= static_cast<u32>(Failure::kProgramRace); i++)
    if (name == machine::failure_name(static_cast<Failure>(i))) return static_cast<Failure>(i);
  return Failure::kNone;
}

// What is run: a scenario, or a scheduler.
Status read_subject(const json &tree, SavedSchedule *saved) {
  if (tree.contains("scheduler") && !tree["scheduler"].is_object()) return Status::error("'scheduler' is no object");
  if (tree.contains("scheduler")) return from_json(tree["scheduler"], &saved->scheduler);
  if (!tree.contains("scenario") || !tree["scenario"].is_string()) return Status::error("no text 'scenario'");
  saved->scenario = scenario::find_scenario(tree["scenario"].get<std::string>());
  if (!saved->scenario) return Status::error("there is no scenario {}", tree["scenario"].dump());
  return Status::ok_status();
}

Status read_limits(const json &tree, machine::ExploreLimits *limits) {
  if (!tree.contains("races_fail") || !tree["races_fail"].is_boolean()) return Status::error("'races_fail' is missing");
  limits->races_fail = tree["races_fail"].get<bool>();
  for (const char *key : {"window_ns", "max_steps"})
    if (!tree.contains(key) || !tree[key].is_number_unsigned()) return Status::error("no number '{}'", key);
  limits->window_ns = tree["window_ns"].get<u64>();
  limits->max_steps = tree["max_steps"].get<u64>();
  if (limits->max_steps == 0) return Status::error("'max_steps' is 0");
  return Status::ok_status();
}

// The default CPU, steps, visit and CPU of a choice.
Status read_deviations(const json &tree, machine::Schedule *schedule) {
  if (!tree.contains("deviations") || !tree["deviations"].is_array()) return Status::error("no list 'deviations'");
  for (const json &entry : tree["deviations"]) {
    auto is_u32 = [&](size_t i) { return entry[i].is_number_unsigned() && entry[i].get<u64>() <= ~u32{0}; };
    const bool good =
        entry.is_array() && entry.size() == 4 && is_u32(0) && entry[1].is_number_unsigned() && is_u32(2) && is_u32(3);
    if (!good) return Status::error("deviation {} is not four numbers", schedule->size() + 1);
    schedule->push_back({entry[0].get<u32>(), entry[1].get<u64>(), entry[2].get<u32>(), entry[3].get<u32>()});
  }
  return Status::ok_status();
}

}  // namespace

Result<SavedSchedule> parse_schedule(std::string_view text) {
  const json tree = json::parse(text, nullptr, false);
  if (!tree.is_object() || tree.value("version", json()) != kFormatVersion)
    return Status::error("not a schedule of version {}", kFormatVersion);
  SavedSchedule saved;
  for (const char *key : {"mutation", "failure"})
    if (!tree.contains(key) || !tree[key].is_string()) return Status::error("no text '{}'", key);
  if (Status status = read_subject(tree, &saved); !status.ok()) return status;
  saved.mutation = sched::mutation_named(tree["mutation"].get<std::string>());
  if (saved.mutation == Mutation::count) return Status::error("there is no mutation {}", tree["mutation"].dump());
  saved.failure = failure_named(tree["failure"].get<std::string>());
  if (Status status = read_limits(tree, &saved.limits); !status.ok()) return status;
  if (Status status = read_deviations(tree, &saved.schedule); !status.ok()) return status;
  return saved;
}

Result<SavedSchedule> load_schedule(const std::string &path) {
  Result<std::vector<u8>> bytes = read_file(path);
  if (!bytes.ok()) return bytes.status();
  Result<SavedSchedule> saved = parse_schedule({reinterpret_cast<const char *>(bytes->data()), bytes->size()});
  if (!saved.ok()) return saved.status().at(path);
  return saved;
}

Status save_schedule(const std::string &path, const SavedSchedule &saved, const ScheduleResult &result) {
  return write_file(path, to_json(saved, result).dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace uscx::cli
