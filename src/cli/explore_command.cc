// SPDX-License-Identifier: GPL-2.0-only
// `uscx explore`, `uscx replay`, `uscx minimize`: interleavings of the core on small scenarios, and of schedulers in
// BPF with it (docs/EXPLORE.md). A schedule that fails is a JSON file with what was run and the choices that differ
// from the default.
#include "base/nearest.h"
#include "cli/command.h"
#include "cli/command_tree.h"
#include "run/explore_scheduler.h"
#include "run/program_scheduler.h"
#include "run/recipe.h"
#include "run/saved_schedule.h"
#include "run/scheduler.h"
#include "scenario/scenario.h"
#include "schedulers/user_half.h"

namespace uscx::cli {
namespace {

using machine::ExploreOptions;
using machine::ExploreResult;
using machine::Failure;
using machine::ScenarioFn;
using machine::ScheduleResult;
using scenario::Scenario;
using sched::Mutation;

constexpr const char *kDefaultCpus = "4";

struct ExploreArgs {
  std::string subject, strategy = "random", mutation = "none", save, races = "report";
  u32 depth = 3, bound = 2;
  u64 schedules = 1000, seed = 1, window_us = 20, steps = 0;
  SchedulerSubject scheduler;
};

// A CHECK is our own bug, unless a bug was put in on purpose; the rest is the scheduler's, or of the order of locks.
int status_of(Failure failure) {
  if (failure == Failure::kNone) return kExitOk;
  const bool of_scheduler = failure == Failure::kScheduler || failure == Failure::kProgramRace;
  return of_scheduler ? static_cast<int>(kExitSchedulerError) : kExitOurBug;
}

void print_failure(const ScheduleResult &result) {
  fmt::print("{}: {}\n  {} steps, {} choices, {} of them against the default ({} preemptions)\n",
             machine::failure_name(result.failure), result.text, result.nr_steps, result.nr_points,
             result.schedule.size(), result.nr_switches);
}

// --- what is explored ---

Result<SchedulerStage> stage_of(const SchedulerSubject &subject) {
  SchedulerStage stage;
  Result<RunOptions> options = parse_run_options(subject.run, subject.command);
  if (!options.ok()) return options.status();
  stage.options = options.take();
  if (stage.options.topology.nr_cpus() > 64)
    return Status::error("explore mode has at most 64 CPUs, not {}", stage.options.topology.nr_cpus());
  Result<u64> patience = parse_duration(subject.patience);
  if (!patience.ok()) return patience.status().at("--patience");
  stage.patience_ns = *patience;
  stage.with_load = subject.with_load;
  return stage;
}

// Calls `use` with what was saved, or is to be. The hashes in *saved must be those of this time, or 0, and are set.
Status with_subject(SavedSchedule *saved, const std::function<void(const ScenarioFn &)> &use) {
  if (saved->scenario) {
    use(saved->scenario->run);
    return Status::ok_status();
  }
  SchedulerSubject &subject = saved->scheduler;
  Result<SchedulerStage> stage = stage_of(subject);
  if (!stage.ok()) return stage.status();
  std::vector<std::string> files = subject.run.workloads;
  files.push_back(subject.run.recipe);
  if (const Recipe *recipe = stage->options.recipe.get())
    files.insert(files.end(), recipe->files().begin(), recipe->files().end());
  Result<u64> input_hash = hash_of_inputs(stage->options, files);
  if (!input_hash.ok()) return input_hash.status();
  if (subject.input_hash != 0 && subject.input_hash != *input_hash)
    return Status::error("{}, or a file that goes with it, is not what the schedule was saved for", subject.command[0]);
  subject.input_hash = *input_hash;
  Status result;
  const Status loaded = with_scheduler(*stage, [&](const ScenarioFn &scenario, u64 start_hash) {
    if (subject.start_hash != 0 && subject.start_hash != start_hash) {
      result = Status::error("{}: starts from another state than when the schedule was saved", subject.command[0]);
      return;
    }
    subject.start_hash = start_hash;
    use(scenario);
  });
  return loaded.ok() ? result : loaded;
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
  options.limits.window_ns = args.window_us * kNsPerUs;
  options.limits.max_steps = args.steps;
  if (args.races != "report" && args.races != "fail")
    return Status::error("option --races: report or fail, not {}", args.races);
  options.limits.races_fail = args.races == "fail";
  return options;
}

int list() {
  fmt::print("Scenarios:\n");
  for (const Scenario &scenario : scenario::scenarios()) fmt::print("  {:<14} {}\n", scenario.name, scenario.text);
  fmt::print("\nSchedulers, besides object files and fair:\n");
  for (const schedulers::Scheduler &scheduler : schedulers::schedulers())
    fmt::print("  {:<14} {}\n", scheduler.name, scheduler.help);
  fmt::print("\nMutations (--mutation), bugs on purpose:\n");
  for (u32 i = 1; i < static_cast<u32>(Mutation::count); i++)
    fmt::print("  {:<20} {}\n", sched::mutation_name(static_cast<Mutation>(i)),
               sched::mutation_text(static_cast<Mutation>(i)));
  return kExitOk;
}

std::vector<std::string> subject_names() {
  std::vector<std::string> names{"fair"};
  for (const Scenario &scenario : scenario::scenarios()) names.emplace_back(scenario.name);
  for (const schedulers::Scheduler &scheduler : schedulers::schedulers()) names.emplace_back(scheduler.name);
  return names;
}

std::vector<std::string> mutation_names() {
  std::vector<std::string> names;
  for (u32 i = 0; i < static_cast<u32>(Mutation::count); i++)
    names.emplace_back(sched::mutation_name(static_cast<Mutation>(i)));
  return names;
}

bool is_subject(const std::string &name) {
  const std::vector<std::string> names = subject_names();
  return is_scheduler_file(name) || std::find(names.begin(), names.end(), name) != names.end();
}

// A name of a scenario, or a scheduler as `uscx run` takes it.
Result<SavedSchedule> subject_of(const ExploreArgs &args, const std::vector<std::string> &rest) {
  SavedSchedule saved;
  saved.scenario = scenario::find_scenario(args.subject);
  saved.mutation = sched::mutation_named(args.mutation);
  if (saved.mutation == Mutation::count)
    return Status::error("option --mutation: there is no '{}'{}; uscx explore lists them", args.mutation,
                         did_you_mean(args.mutation, mutation_names()));
  if (saved.scenario) {
    if (!rest.empty()) return Status::error("a scenario takes no arguments ('{}')", rest[0]);
    return saved;
  }
  if (is_scheduler_file(args.subject) && is_program_file(args.subject))
    return Status::error("{}: a whole program cannot be explored; its object file can", args.subject);
  if (!is_subject(args.subject))
    return Status::error(
        "there is no scenario or scheduler '{}'{}; uscx explore lists them, and a file has a slash or ends in .bpf.o "
        "or .bpf.c",
        args.subject, did_you_mean(args.subject, subject_names()));
  saved.scheduler = args.scheduler;
  saved.scheduler.command = {args.subject};
  saved.scheduler.command.insert(saved.scheduler.command.end(), rest.begin(), rest.end());
  RunArguments &run = saved.scheduler.run;
  if (run.cpus.empty() && run.topology.empty()) run.cpus = kDefaultCpus;
  return saved;
}

void print_races(const ExploreResult &result) {
  if (result.races.empty()) return;
  fmt::print("races in the program's memory (schedules in which they were seen):\n");
  for (const ExploreResult::Race &race : result.races) fmt::print("  {:>6}  {}\n", race.schedules, race.text);
}

int explore(const CLI::App &command, ExploreArgs args) {
  const std::vector<std::string> rest = command.remaining();
  // A misspelt option leaves its value for the subject. Behind a subject it may be the scheduler's.
  if (args.subject.empty() || !is_subject(args.subject))
    for (const std::string &word : rest)
      if (word.starts_with("-")) return bad_input(unknown_word(command, word));
  if (args.subject.empty()) return list();
  Result<SavedSchedule> subject = subject_of(args, rest);
  if (!subject.ok()) return bad_input(subject.status());
  SavedSchedule saved = subject.take();
  // The accesses of programs are steps too.
  if (args.steps == 0) args.steps = saved.scenario ? 400000 : 4000000;
  Result<ExploreOptions> options = options_of(args);
  if (!options.ok()) return bad_input(options.status());
  saved.limits = options->limits;
  sched::active_mutation = saved.mutation;
  ExploreResult result;
  Status status =
      with_subject(&saved, [&](const ScenarioFn &scenario) { result = machine::explore(scenario, *options); });
  if (!status.ok()) return bad_input(status);
  fmt::print("{}: {} schedules{}, {} steps\n", args.subject, result.schedules,
             result.all ? fmt::format(" ({} of them equivalent to others), which are all", result.equivalent) : "",
             result.steps);
  print_races(result);
  if (result.failing.failure == Failure::kNone) {
    fmt::print("{}\n", result.races.empty() ? "nothing found" : "no failure found");
    return kExitOk;
  }
  print_failure(result.failing);
  if (!args.save.empty())
    if (Status written = save_schedule(args.save, saved, result.failing); !written.ok()) return bad_input(written);
  return status_of(result.failing.failure);
}

// --- replay, minimize ---

int replay(const std::string &path, u32 show_events) {
  Result<SavedSchedule> saved = load_schedule(path);
  if (!saved.ok()) return bad_input(saved.status());
  sched::active_mutation = saved->mutation;
  saved->limits.show_events = show_events;
  ScheduleResult result;
  const Status status = with_subject(
      &*saved, [&](const ScenarioFn &scenario) { result = machine::replay(scenario, saved->schedule, saved->limits); });
  if (!status.ok()) return bad_input(status.at(path));
  for (const std::string &race : result.races) fmt::print("race in the program's memory: {}\n", race);
  if (result.failure == Failure::kNone)
    fmt::print("the schedule ends without a failure\n");
  else
    print_failure(result);
  return status_of(result.failure);
}

int minimize(const std::string &path, const std::string &to) {
  Result<SavedSchedule> saved = load_schedule(path);
  if (!saved.ok()) return bad_input(saved.status());
  sched::active_mutation = saved->mutation;
  machine::MinimizeResult best;
  const Status status = with_subject(&*saved, [&](const ScenarioFn &scenario) {
    best = machine::minimize(scenario, saved->schedule, saved->failure, saved->limits);
  });
  if (!status.ok()) return bad_input(status.at(path));
  if (best.result.failure == Failure::kNone)
    return bad_input(Status::error("{}: the schedule does not fail as it says", path));
  fmt::print("{} choices became {}, in {} runs\n", saved->schedule.size(), best.result.schedule.size(), best.runs);
  print_failure(best.result);
  if (Status written = save_schedule(to.empty() ? path : to, *saved, best.result); !written.ok())
    return bad_input(written);
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

namespace {

constexpr const char *kFooter =
    "SCENARIO is a small machine with a native scheduler. SCHEDULER is what uscx run\n"
    "takes: one of ours, fair, or an object file. Options come before it, its own\n"
    "arguments behind it.\n"
    "\n"
    "Examples:\n"
    "  uscx explore                    lists scenarios, schedulers and mutations\n"
    "  uscx explore fifo --schedules 5000 --seed 7\n"
    "  uscx explore --cpus 4 --schedules 300 scx_qmap -s 5000\n"
    "  uscx explore --workload hogs --races fail --save race.json ./my.bpf.o\n"
    "  uscx explore --strategy pct --depth 4 --with-load scx_central\n"
    "\n"
    "Exit status: 0 nothing failed; 2 bad input or a refused scheduler; 3 the\n"
    "scheduler failed (ejected, a task starved, or a race with --races fail); 70 the\n"
    "core failed.";

void add_search_options(CLI::App *command, ExploreArgs &args) {
  command->add_option("--strategy", args.strategy, "random (the default), pct or exhaustive")->type_name("NAME");
  command->add_option("--depth", args.depth, "Of pct: 3 by default")->type_name("N")->check(CLI::Range(1, 100));
  command->add_option("--bound", args.bound, "Of exhaustive: preemptions, 2 by default")->type_name("N");
  command->add_option("--schedules", args.schedules, "At most so many, 1000 by default")->type_name("N");
  command->add_option("--seed", args.seed, "Of the strategy, 1 by default")->type_name("N");
  command->add_option("--window-us", args.window_us, "How far apart events overlap, 20 by default")->type_name("N");
  command->add_option("--steps", args.steps, "A schedule that takes more makes no progress")->type_name("N");
  command->add_option("--mutation", args.mutation, "A bug on purpose")->type_name("NAME");
  command->add_option("--save", args.save, "Where a failing schedule goes")->type_name("FILE");
}

void add_scheduler_options(CLI::App *command, ExploreArgs &args) {
  RunArguments &run = args.scheduler.run;
  command->add_option("--races", args.races, "Races in a program's memory: report or fail")->type_name("HOW");
  command->add_option("--cpus", run.cpus, "4 by default, at most 64")->type_name("N");
  command->add_option("--topology", run.topology, "As of uscx run, instead of --cpus")->type_name("SHAPE");
  command->add_option("--hz", run.hz, "Ticks per second, 250 by default")->type_name("N");
  command->add_option("--workload", run.workloads, "What tasks do, as of uscx run")
      ->type_name("WORKLOAD")
      ->allow_extra_args(false);
  command->add_option("--duration", run.duration, "Virtual time that is explored, 20ms by default")->type_name("TIME");
  command->add_option("--machine-seed", run.seed, "Of the machine and the workload, 1 by default")->type_name("N");
  command->add_option("--set", run.sets, "Sets a global variable of the BPF object")
      ->type_name("VAR=VALUE")
      ->allow_extra_args(false);
  command->add_option("--ops", run.ops, "Sets a field of its sched_ext_ops")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  command->add_option("--recipe", run.recipe, "As of uscx run")->type_name("FILE");
  command->add_option("--patience", args.scheduler.patience, "How long a task may wait for a CPU, 2s by default")
      ->type_name("TIME");
  command->add_flag("--with-load", args.scheduler.with_load, "Loading and unloading are explored too");
  command->add_flag("--interp", run.interpreter, "Runs BPF programs on the interpreter, not the JIT");
}

}  // namespace

void add_explore_commands(CLI::App &app, Action &action) {
  const auto args = std::make_shared<ExploreArgs>();
  CLI::App *command = app.add_subcommand("explore", "Runs a scenario or a scheduler in many orders.");
  command->add_option("SUBJECT", args->subject, "Without one: lists them")->type_name("SCENARIO | SCHEDULER");
  set_usage(command, "[options] [SCENARIO | SCHEDULER [ARGS...]]");
  add_search_options(command, *args);
  add_scheduler_options(command, *args);
  command->allow_extras();
  command->footer(kFooter);
  command->callback([&action, command, args] { action = [command, args] { return explore(*command, *args); }; });
  add_replay_commands(app, action);
}

}  // namespace uscx::cli
