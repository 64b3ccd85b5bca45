// SPDX-License-Identifier: GPL-2.0-only
// `uscx explore`, `uscx replay`, `uscx minimize`: interleavings of the core on small scenarios (docs/EXPLORE.md). A
// schedule that fails is a JSON file with the scenario, the mutation and the choices that differ from the default.
#include <nlohmann/json.hpp>

#include <fstream>

#include "cli/command.h"
#include "cli/run.h"
#include "scenario/scenario.h"

namespace uscx::cli {
namespace {

using machine::ExploreOptions;
using machine::ExploreResult;
using machine::Failure;
using machine::ScheduleResult;
using nlohmann::json;
using scenario::Scenario;
using sched::Mutation;

constexpr int kFormatVersion = 1;

struct ExploreArgs {
  std::string scenario, strategy = "random", mutation = "none", save;
  u32 depth = 3, bound = 2;
  u64 schedules = 1000, seed = 1, window_us = 20, steps = 400000;
};

struct Saved {
  const Scenario *scenario = nullptr;
  Mutation mutation = Mutation::none;
  Failure failure = Failure::kNone;
  machine::ExploreLimits limits;
  machine::Schedule schedule;
};

// A CHECK is our own bug, unless a bug was put in on purpose; the rest is the scheduler's, or of the order of locks.
int status_of(Failure failure) {
  if (failure == Failure::kNone) return kExitOk;
  return failure == Failure::kScheduler ? static_cast<int>(kExitSchedulerError) : kExitOurBug;
}

json to_json(const Saved &saved, const ScheduleResult &result) {
  json deviations = json::array();
  for (const auto &d : result.schedule) deviations.push_back({d.default_cpu, d.steps, d.visit, d.cpu});
  return {{"version", kFormatVersion},
          {"scenario", saved.scenario->name},
          {"mutation", sched::mutation_name(saved.mutation)},
          {"failure", machine::failure_name(result.failure)},
          {"text", result.text},
          {"window_ns", saved.limits.window_ns},
          {"max_steps", saved.limits.max_steps},
          {"deviations", std::move(deviations)}};
}

Failure failure_named(const std::string &name) {
  for (u32 i = 0; i <= static_cast<u32>(Failure::kCrash); i++)
    if (name == machine::failure_name(static_cast<Failure>(i))) return static_cast<Failure>(i);
  return Failure::kNone;
}

Result<Saved> load(const std::string &path) {
  std::ifstream file(path);
  if (!file) return Status::error("{}: cannot be read", path);
  const json tree = json::parse(file, nullptr, false);
  if (!tree.is_object() || tree.value("version", json()) != kFormatVersion)
    return Status::error("{}: not a schedule of version {}", path, kFormatVersion);
  Saved saved;
  for (const char *key : {"scenario", "mutation", "failure"})
    if (!tree.contains(key) || !tree[key].is_string()) return Status::error("{}: no text '{}'", path, key);
  saved.scenario = scenario::find_scenario(tree["scenario"].get<std::string>());
  if (!saved.scenario) return Status::error("{}: there is no scenario {}", path, tree["scenario"].dump());
  saved.mutation = sched::mutation_named(tree["mutation"].get<std::string>());
  if (saved.mutation == Mutation::count)
    return Status::error("{}: there is no mutation {}", path, tree["mutation"].dump());
  saved.failure = failure_named(tree["failure"].get<std::string>());
  for (const char *key : {"window_ns", "max_steps"})
    if (!tree.contains(key) || !tree[key].is_number_unsigned()) return Status::error("{}: no number '{}'", path, key);
  saved.limits.window_ns = tree["window_ns"].get<u64>();
  saved.limits.max_steps = tree["max_steps"].get<u64>();
  if (!tree.contains("deviations") || !tree["deviations"].is_array())
    return Status::error("{}: no list 'deviations'", path);
  for (const json &entry : tree["deviations"]) {
    bool good = entry.is_array() && entry.size() == 4;
    for (size_t i = 0; good && i < 4; i++) good = entry[i].is_number_unsigned();
    if (!good) return Status::error("{}: a deviation is four numbers, not {}", path, entry.dump());
    saved.schedule.push_back({entry[0].get<u32>(), entry[1].get<u64>(), entry[2].get<u32>(), entry[3].get<u32>()});
  }
  return saved;
}

Status save(const std::string &path, const Saved &saved, const ScheduleResult &result) {
  return write_file(path, to_json(saved, result).dump(1) + "\n");
}

void print_failure(const ScheduleResult &result) {
  fmt::print("{}: {}\n  {} steps, {} choices, {} of them against the default ({} preemptions)\n",
             machine::failure_name(result.failure), result.text, result.nr_steps, result.nr_points,
             result.schedule.size(), result.nr_switches);
}

// --- explore ---

Result<ExploreOptions> options_of(const ExploreArgs &args) {
  ExploreOptions options;
  if (args.strategy == "random")
    options.kind = ExploreOptions::Kind::kRandom;
  else if (args.strategy == "pct")
    options.kind = ExploreOptions::Kind::kPct;
  else if (args.strategy == "exhaustive")
    options.kind = ExploreOptions::Kind::kExhaustive;
  else
    return Status::error("option --strategy: random, pct or exhaustive, not {}", args.strategy);
  options.depth = args.depth;
  options.bound = args.bound;
  options.max_schedules = args.schedules;
  options.seed = args.seed;
  options.limits = {.window_ns = args.window_us * kNsPerUs, .max_steps = args.steps};
  return options;
}

int list() {
  fmt::print("Scenarios:\n");
  for (const Scenario &scenario : scenario::scenarios()) fmt::print("  {:<14} {}\n", scenario.name, scenario.text);
  fmt::print("\nMutations (--mutation), bugs on purpose:\n");
  for (u32 i = 1; i < static_cast<u32>(Mutation::count); i++)
    fmt::print("  {:<20} {}\n", sched::mutation_name(static_cast<Mutation>(i)),
               sched::mutation_text(static_cast<Mutation>(i)));
  return kExitOk;
}

int explore(const ExploreArgs &args) {
  if (args.scenario.empty()) return list();
  Saved saved;
  saved.scenario = scenario::find_scenario(args.scenario);
  if (!saved.scenario)
    return bad_input(Status::error("there is no scenario '{}' (uscx explore lists them); BPF objects are not explored",
                                   args.scenario));
  saved.mutation = sched::mutation_named(args.mutation);
  if (saved.mutation == Mutation::count)
    return bad_input(Status::error("option --mutation: there is no '{}' (uscx explore lists them)", args.mutation));
  Result<ExploreOptions> options = options_of(args);
  if (!options.ok()) return bad_input(options.status());
  saved.limits = options->limits;
  sched::active_mutation = saved.mutation;
  const ExploreResult result = machine::explore(saved.scenario->run, *options);
  fmt::print("{}: {} schedules{}, {} steps\n", saved.scenario->name, result.schedules,
             result.all ? fmt::format(" ({} of them equivalent to others), which are all", result.equivalent) : "",
             result.steps);
  if (result.failing.failure == Failure::kNone) {
    fmt::print("nothing found\n");
    return kExitOk;
  }
  print_failure(result.failing);
  if (!args.save.empty())
    if (Status status = save(args.save, saved, result.failing); !status.ok()) return bad_input(status);
  return status_of(result.failing.failure);
}

// --- replay, minimize ---

int replay(const std::string &path, u32 show_events) {
  Result<Saved> saved = load(path);
  if (!saved.ok()) return bad_input(saved.status());
  sched::active_mutation = saved->mutation;
  saved->limits.show_events = show_events;
  const ScheduleResult result = machine::replay(saved->scenario->run, saved->schedule, saved->limits);
  if (result.failure == Failure::kNone)
    fmt::print("the schedule ends without a failure\n");
  else
    print_failure(result);
  return status_of(result.failure);
}

int minimize(const std::string &path, const std::string &to) {
  Result<Saved> saved = load(path);
  if (!saved.ok()) return bad_input(saved.status());
  sched::active_mutation = saved->mutation;
  const machine::MinimizeResult best =
      machine::minimize(saved->scenario->run, saved->schedule, saved->failure, saved->limits);
  if (best.result.failure == Failure::kNone)
    return bad_input(Status::error("{}: the schedule does not fail as it says", path));
  fmt::print("{} choices became {}, in {} runs\n", saved->schedule.size(), best.result.schedule.size(), best.runs);
  print_failure(best.result);
  if (Status status = save(to.empty() ? path : to, *saved, best.result); !status.ok()) return bad_input(status);
  return kExitOk;
}

void add_replay_commands(CLI::App &app, Action &action) {
  const auto path = std::make_shared<std::string>(), to = std::make_shared<std::string>();
  const auto events = std::make_shared<u32>(0);
  CLI::App *replay_app = app.add_subcommand("replay", "Repeats a schedule that explore saved.");
  replay_app->add_option("FILE", *path, "The schedule")->required();
  replay_app->add_option("--events", *events, "Show so many of the last trace events")->type_name("N");
  replay_app->callback([&action, path, events] { action = [path, events] { return replay(*path, *events); }; });
  CLI::App *minimize_app = app.add_subcommand("minimize", "Finds the fewest choices that make a schedule fail.");
  minimize_app->add_option("FILE", *path, "The schedule; replaced, unless --save is given")->required();
  minimize_app->add_option("--save", *to, "Where the smaller one goes")->type_name("FILE");
  minimize_app->callback([&action, path, to] { action = [path, to] { return minimize(*path, *to); }; });
}

}  // namespace

void add_explore_commands(CLI::App &app, Action &action) {
  const auto args = std::make_shared<ExploreArgs>();
  CLI::App *command = app.add_subcommand("explore", "Runs a scenario in many orders of events.");
  command->add_option("SCENARIO", args->scenario, "Without one: lists scenarios and mutations");
  command->add_option("--strategy", args->strategy, "random (the default), pct or exhaustive")->type_name("NAME");
  command->add_option("--depth", args->depth, "Of pct: 3 by default")->type_name("N")->check(CLI::Range(1, 100));
  command->add_option("--bound", args->bound, "Of exhaustive: preemptions, 2 by default")->type_name("N");
  command->add_option("--schedules", args->schedules, "At most so many, 1000 by default")->type_name("N");
  command->add_option("--seed", args->seed, "1 by default")->type_name("N");
  command->add_option("--window-us", args->window_us, "How far apart events overlap, 20 by default")->type_name("N");
  command->add_option("--steps", args->steps, "A schedule that takes more makes no progress")->type_name("N");
  command->add_option("--mutation", args->mutation, "A bug on purpose")->type_name("NAME");
  command->add_option("--save", args->save, "Where a failing schedule goes")->type_name("FILE");
  command->callback([&action, args] { action = [args] { return explore(*args); }; });
  add_replay_commands(app, action);
}

}  // namespace uscx::cli
