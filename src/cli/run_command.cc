// SPDX-License-Identifier: GPL-2.0-only
// `uscx run [options] SCHEDULER [ARGS...]`: options come first, as in strace and perf; what follows SCHEDULER is its
// own.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "cli/command.h"
#include "cli/terminal.h"
#include "machine/threads/thread_machine.h"
#include "report/report.h"
#include "run/recipe.h"
#include "run/run_arguments.h"
#include "run/scan_json.h"
#include "run/scheduler.h"

namespace uscx::cli {
namespace {

constexpr u64 kMinHz = 10, kMaxHz = 10000;
constexpr const char *kDefaultWorkload = "mixed";

constexpr const char *kFooter =
    "SCHEDULER is one of ours by name (uscx list schedulers), fair for no BPF\n"
    "scheduler, an object file (a path with a slash, or one that ends in .bpf.o), or\n"
    "a whole scheduler program: a path to something executable. ARGS go to it.\n"
    "\n"
    "Times are written 5ms, 200us, 1.5s. The report goes to standard output; the\n"
    "kernel log and the scheduler's own output go to standard error. Ctrl-C ends\n"
    "the run early, with a report.\n"
    "\n"
    "Examples:\n"
    "  uscx run scx_simple\n"
    "  uscx run --cpus 16 --duration 60s --trace qmap.pftrace scx_qmap -s 5000\n"
    "  uscx run --workload hogs:nice=-5/0/5 --cpus 1 fair\n"
    "  uscx run --set slice_ns=5000000 --ops timeout_ms=2000 ./my.bpf.o\n"
    "  uscx run ./scx_qmap -s 5000\n"
    "  uscx run --topology 2n:4l:8c:2t --workload tasks.json --report json fair\n"
    "\n"
    "Exit status: 0 the scheduler was detached or ended without error; 2 bad input\n"
    "or a refused scheduler; 3 the scheduler ended with an error; 4 a task stalled;\n"
    "70 a bug of uscx itself.";

class RunFormatter final : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App *, std::string) const override {
    return "Usage: uscx run [options] SCHEDULER [ARGS...]\n";
  }
};

Result<std::vector<Assignment>> parse_assignments(const std::vector<std::string> &texts, const char *option) {
  std::vector<Assignment> assignments;
  for (const std::string &text : texts) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
      return Status::error("{}: '{}' is not of the form {}", option, text,
                           std::string_view(option) == "--set" ? "VAR=VALUE" : "FIELD=VALUE");
    assignments.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  return assignments;
}

Result<machine::Topology> parse_machine(const RunArguments &arguments) {
  if (!arguments.cpus.empty() && !arguments.topology.empty())
    return Status::error("--cpus and --topology both say what the machine is; give one of them");
  if (!arguments.topology.empty()) {
    Result<machine::Topology> topology = machine::Topology::parse(arguments.topology);
    if (!topology.ok()) return topology.status().at("--topology");
    return topology;
  }
  Result<u64> cpus = parse_number(arguments.cpus.empty() ? "8" : arguments.cpus, 1, machine::kMaxCpus);
  if (!cpus.ok()) return cpus.status().at("--cpus");
  return machine::Topology::flat(static_cast<u32>(*cpus));
}

Status set_workloads(const RunArguments &arguments, RunOptions *options) {
  std::vector<std::string> texts = arguments.workloads;
  if (texts.empty()) texts.push_back(kDefaultWorkload);
  std::optional<u64> own_duration_ns;
  for (const std::string &text : texts) {
    Result<std::shared_ptr<const workload::Workload>> workload = workload::open_workload(text);
    if (!workload.ok()) return workload.status().at("--workload");
    if (const std::optional<u64> ns = (*workload)->duration_ns())
      own_duration_ns = std::max(own_duration_ns.value_or(0), *ns);
    options->workloads.push_back(workload.take());
  }
  if (arguments.duration.empty()) {
    if (own_duration_ns) options->duration_ns = *own_duration_ns;
    return Status::ok_status();
  }
  Result<u64> duration = parse_duration(arguments.duration);
  if (!duration.ok()) return duration.status().at("--duration");
  if (*duration == 0 || *duration > workload::kMaxDurationNs)
    return Status::error("--duration: {} is out of range; it takes more than 0, up to {}", arguments.duration,
                         format_duration(workload::kMaxDurationNs));
  options->duration_ns = *duration;
  return Status::ok_status();
}

// The parts of "WHAT@TIME,..." lists.
struct TimedText {
  std::string what;
  u64 at_ns;
};
Result<std::vector<TimedText>> parse_timed(const std::vector<std::string> &texts, const char *option,
                                           const char *form) {
  std::vector<TimedText> parts;
  for (const std::string &text : texts) {
    for (size_t start = 0; start <= text.size();) {
      const size_t end = std::min(text.find(',', start), text.size());
      const std::string part = text.substr(start, end - start);
      start = end + 1;
      const size_t at = part.find('@');
      if (at == 0 || at == std::string::npos || at + 1 == part.size())
        return Status::error("{}: '{}' is not of the form {}", option, part, form);
      Result<u64> time = parse_duration(part.substr(at + 1));
      if (!time.ok()) return time.status().at(option);
      parts.push_back({part.substr(0, at), *time});
    }
  }
  return parts;
}

Status parse_sysrqs(const std::vector<std::string> &texts, RunOptions *options) {
  constexpr const char *kForm = "s@TIME or d@TIME";
  Result<std::vector<TimedText>> presses = parse_timed(texts, "--sysrq", kForm);
  if (!presses.ok()) return presses.status();
  for (const TimedText &press : *presses) {
    if (press.what != "s" && press.what != "d")
      return Status::error("--sysrq: '{}' is not of the form {}", press.what, kForm);
    options->sysrqs.push_back({press.what[0], press.at_ns});
  }
  return Status::ok_status();
}

Status parse_hotplugs(const std::vector<std::string> &texts, RunOptions *options) {
  Result<std::vector<TimedText>> actions = parse_timed(texts, "--hotplug", "CPU:off@TIME or CPU:on@TIME");
  if (!actions.ok()) return actions.status();
  const u32 nr_cpus = options->topology.nr_cpus();
  for (const TimedText &action : *actions) {
    Result<workload::CpuSwitch> what = workload::parse_cpu_switch(action.what);
    if (!what.ok()) return what.status().at("--hotplug");
    if (what->cpu >= nr_cpus)
      return Status::error("--hotplug: CPU {} is not there; the machine has CPUs 0 to {}", what->cpu, nr_cpus - 1);
    options->hotplugs.push_back({*what, action.at_ns});
  }
  return Status::ok_status();
}

Status parse_cgroups(const std::vector<std::string> &texts, RunOptions *options) {
  for (const std::string &text : texts) {
    Result<workload::GroupSpec> spec = workload::parse_group(text);
    if (!spec.ok()) return spec.status().at("--cgroup");
    if (spec->remove)
      return Status::error("--cgroup: {}: a group that is there from the start cannot be removed", text);
    options->cgroups.push_back(spec.take());
  }
  return Status::ok_status();
}

Status parse_alloc_failures(const std::vector<std::string> &texts, RunOptions *options) {
  constexpr u64 kMaxAllocations = 1000000000;
  for (const std::string &text : texts) {
    const size_t colon = text.find(':');
    const machine::AllocSite site = machine::alloc_site_named(std::string_view(text).substr(0, colon));
    if (site == machine::AllocSite::count)
      return Status::error("--fail-alloc: there is no site '{}' (see uscx list alloc-sites)", text.substr(0, colon));
    const bool lasts = text.back() == '+';
    u64 number = 1;
    if (colon != std::string::npos) {
      Result<u64> given = parse_number(text.substr(colon + 1, text.size() - colon - 1 - lasts), 1, kMaxAllocations);
      if (!given.ok()) return given.status().at("--fail-alloc");
      number = *given;
    }
    options->alloc_failures.push_back({site, number - 1, lasts});
  }
  return Status::ok_status();
}

// "1-3,5", as in the kernel's command line. CPU 0 keeps time and house for all others.
Result<std::vector<u32>> parse_cpu_list(const std::string &text, u32 nr_cpus, const char *option) {
  std::vector<u32> cpus;
  for (size_t start = 0; !text.empty() && start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string part = text.substr(start, end - start);
    start = end + 1;
    const size_t dash = std::min(part.find('-'), part.size());
    Result<u64> first = parse_number(part.substr(0, dash), 1, nr_cpus - 1);
    if (!first.ok()) return first.status().at(option);
    Result<u64> last = dash == part.size() ? *first : parse_number(part.substr(dash + 1), *first, nr_cpus - 1);
    if (!last.ok()) return last.status().at(option);
    for (u64 cpu = *first; cpu <= *last; cpu++) cpus.push_back(static_cast<u32>(cpu));
  }
  return cpus;
}

Status parse_isolation(const RunArguments &arguments, RunOptions *options) {
  const u32 nr_cpus = options->topology.nr_cpus();
  for (auto [text, option, cpus] : {std::tuple(&arguments.nohz_full, "--nohz-full", &options->nohz_full),
                                    std::tuple(&arguments.isolcpus, "--isolcpus", &options->isolated)}) {
    if (!text->empty() && nr_cpus == 1) return Status::error("{}: CPU 0 is the only one and keeps house", option);
    Result<std::vector<u32>> list = parse_cpu_list(*text, nr_cpus, option);
    if (!list.ok()) return list.status();
    *cpus = list.take();
  }
  return Status::ok_status();
}

Status check_machine(const RunArguments &arguments, RunOptions *options) {
  options->threads = arguments.machine == "threads";
  if (!options->threads && arguments.machine != "simulated")
    return Status::error("--machine: '{}' is unknown; it takes simulated or threads", arguments.machine);
  if (options->threads && options->topology.nr_cpus() > machine::ThreadMachine::kMaxCpus)
    return Status::error("--machine threads has at most {} CPUs, not {}", machine::ThreadMachine::kMaxCpus,
                         options->topology.nr_cpus());
  if (options->threads && !options->hotplugs.empty())
    return Status::error("--hotplug needs the simulated machine: CPUs of --machine threads do not go offline");
  return Status::ok_status();
}

// "call:N", or a time.
Status parse_kill(const std::string &text, KillPoint *kill) {
  constexpr std::string_view kCall = "call:";
  if (text.empty()) return Status::ok_status();
  Result<u64> point =
      text.starts_with(kCall) ? parse_number(text.substr(kCall.size()), 1, ~0ull) : parse_duration(text);
  if (!point.ok()) return point.status().at("--kill");
  (text.starts_with(kCall) ? kill->call : kill->at_ns) = *point;
  return Status::ok_status();
}

}  // namespace

Result<RunOptions> parse_run_options(const RunArguments &arguments, const std::vector<std::string> &rest) {
  RunOptions options;
  if (!rest.empty() && rest[0].starts_with("-"))
    return Status::error("unknown option {} (see uscx run --help)", rest[0]);
  if (rest.empty()) return Status::error("SCHEDULER is missing (see uscx run --help)");
  options.scheduler = rest[0];
  options.scheduler_args.assign(rest.begin() + 1, rest.end());

  Result<machine::Topology> topology = parse_machine(arguments);
  if (!topology.ok()) return topology.status();
  options.topology = topology.take();
  Result<u64> hz = parse_number(arguments.hz, kMinHz, kMaxHz);
  if (!hz.ok()) return hz.status().at("--hz");
  options.hz = static_cast<u32>(*hz);
  Result<u64> seed = parse_number(arguments.seed, 0, ~0ull);
  if (!seed.ok()) return seed.status().at("--seed");
  options.seed = *seed;
  if (arguments.report != "text" && arguments.report != "json")
    return Status::error("--report: '{}' is unknown; it takes text or json", arguments.report);
  if (Status status = set_workloads(arguments, &options); !status.ok()) return status;

  Result<std::vector<Assignment>> sets = parse_assignments(arguments.sets, "--set");
  if (!sets.ok()) return sets.status();
  options.sets = sets.take();
  Result<std::vector<Assignment>> ops = parse_assignments(arguments.ops, "--ops");
  if (!ops.ok()) return ops.status();
  options.ops = ops.take();
  if (!arguments.recipe.empty()) {
    if (!is_scheduler_file(options.scheduler))
      return Status::error("--recipe: it is for an object file, and {} is none", options.scheduler);
    Result<std::shared_ptr<const Recipe>> recipe = Recipe::read(arguments.recipe);
    if (!recipe.ok()) return recipe.status().at("--recipe");
    options.recipe = recipe.take();
  }
  if (Status status = parse_sysrqs(arguments.sysrqs, &options); !status.ok()) return status;
  if (Status status = parse_hotplugs(arguments.hotplugs, &options); !status.ok()) return status;
  if (Status status = parse_cgroups(arguments.cgroups, &options); !status.ok()) return status;
  if (Status status = parse_alloc_failures(arguments.alloc_failures, &options); !status.ok()) return status;
  if (Status status = parse_isolation(arguments, &options); !status.ok()) return status;
  if (Status status = check_machine(arguments, &options); !status.ok()) return status;
  if (Status status = parse_kill(arguments.kill, &options.kill); !status.ok()) return status;
  // The report for programs stands alone on standard output.
  if (arguments.report == "json") options.program_output_fd = STDERR_FILENO;
  options.trace_path = arguments.trace;
  options.use_jit = !arguments.interpreter;
  return options;
}

RunHooks text_hooks(std::function<void(std::string_view text)> write) {
  RunHooks hooks;
  hooks.log = [write](u64 time_ns, const std::string &line) { write(report::format_log_line({time_ns, line}) + "\n"); };
  hooks.bpf_print = [write](u64 time_ns, const std::string &text) {
    const bool ends = !text.empty() && text.back() == '\n';
    write(report::format_log_line({time_ns, "bpf_trace_printk: " + text}) + (ends ? "" : "\n"));
  };
  hooks.output = std::move(write);
  return hooks;
}

std::string report_of(const RunResult &result, const std::string &format, bool terminal) {
  return format == "json" ? report::report_json(result.info, *result.metrics)
                          : report::report_text(result.info, *result.metrics, terminal);
}

namespace {

std::string describe_failure(void *) {
  return fmt::format("At virtual time {}, on CPU {}.", format_duration(machine::now_ns()), machine::this_cpu());
}

void print_report(const std::string &report) { std::fwrite(report.data(), 1, report.size(), stdout); }

int do_run(const RunArguments &arguments, const std::vector<std::string> &rest) {
  Result<RunOptions> options = parse_run_options(arguments, rest);
  if (!options.ok()) return bad_input(options.status());
  Result<std::optional<std::string>> usage = scheduler_usage(*options);
  if (!usage.ok()) return bad_input(usage.status());
  if (usage->has_value()) return std::fputs((*usage)->c_str(), stdout), kExitOk;
  Terminal terminal;
  const InterruptGuard interrupt;
  options->hooks = text_hooks([&terminal](std::string_view text) { terminal.write(text); });
  options->hooks.progress = [&terminal](const Progress &progress) { terminal.show(progress); };
  options->hooks.stop = interrupt.stop();
  set_check_context(describe_failure, nullptr);
  nlohmann::ordered_json object;
  options->hooks.scanned = [&](const bpf::ScanResult &scan) { object = scan_json(options->scheduler, scan); };
  Result<RunResult> result = run(*options);
  set_check_context(nullptr, nullptr);
  terminal.clear();
  const bool json = arguments.report == "json";
  if (!result.ok() && json) print_report(report::refusal_json(describe(*options), result.message(), object));
  if (!result.ok()) return bad_input(result.status());
  print_report(report_of(*result, arguments.report, isatty(STDOUT_FILENO)));
  return exit_status(*result);
}

// What a session, which has no end and only programs, does without.
void add_run_options(CLI::App *run, RunArguments &a) {
  run->add_option(
         "--machine", a.machine,
         "simulated (default), or threads: one thread a CPU,\nin real time; more CPUs than the host has share it")
      ->type_name("KIND");
  run->add_option("--duration", a.duration, "Virtual time to run (default 10s, or what the\nJSON file says)")
      ->type_name("TIME");
  run->add_option("--set", a.sets, "Sets a global variable of the BPF object; may be\nrepeated")
      ->type_name("VAR=VALUE")
      ->allow_extra_args(false);
  run->add_option("--ops", a.ops, "Sets a field of its sched_ext_ops, as in\ntimeout_ms=20; may be repeated")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  run->add_option("--recipe", a.recipe,
                  "What the object's own user half would do: globals,\nops, maps, programs, in JSON (docs/RECIPES.md)")
      ->type_name("FILE");
  run->add_option("--kill", a.kill,
                  "Sends SIGKILL to a scheduler program, before its\nNth system call (call:N) or at a virtual time")
      ->type_name("POINT");
}

}  // namespace

void add_machine_options(CLI::App *app, RunArguments &a) {
  app->add_option("--cpus", a.cpus, "Number of CPUs, 1 to 8192 (default 8)")->type_name("N");
  app->add_option("--topology", a.topology,
                  "Nodes, LLCs per node, cores per LLC and threads\nper core: 2n:4l:8c:2t has 128 CPUs")
      ->type_name("SHAPE");
  app->add_option("--hz", a.hz, "Ticks per second, 10 to 10000 (default 250)")->type_name("N");
  app->add_option("--workload", a.workloads,
                  "What the tasks do: NAME[:KEY=VALUE,...] (see\nuscx list workloads) or a JSON file; may be\n"
                  "repeated (default mixed)")
      ->type_name("WORKLOAD")
      ->allow_extra_args(false);
  app->add_option("--seed", a.seed, "Seed of all randomness (default 1)")->type_name("N");
  app->add_option("--sysrq", a.sysrqs,
                  "Presses SysRq keys: s@TIME ejects the scheduler,\nd@TIME dumps its state; as in d@1s,s@2s")
      ->type_name("KEY@TIME,...")
      ->allow_extra_args(false);
  app->add_option("--cgroup", a.cgroups,
                  "A control group and its settings, as in\n/web:weight=300,max=50ms/100ms; may be repeated")
      ->type_name("PATH[:KEY=VALUE,...]")
      ->allow_extra_args(false);
  app->add_option("--hotplug", a.hotplugs,
                  "Takes CPUs offline and brings them online again,\nas in 2:off@1s,2:on@2s; CPU 0 stays")
      ->type_name("CPU:off@TIME,...")
      ->allow_extra_args(false);
  app->add_option(
         "--fail-alloc", a.alloc_failures,
         "The Nth allocation at SITE (uscx list alloc-sites)\nfails, by default the first; with N+ all after it\n"
         "too; may be repeated")
      ->type_name("SITE[:N[+]]")
      ->allow_extra_args(false);
  app->add_option("--nohz-full", a.nohz_full, "CPUs that stop their tick while one task runs, as\nin 1-3,5; not CPU 0")
      ->type_name("LIST");
  app->add_option("--isolcpus", a.isolcpus,
                  "CPUs that only tasks run on that ask for them;\nsched_ext schedulers refuse such a machine")
      ->type_name("LIST");
  app->add_option("--trace", a.trace, "Writes a trace that opens in Perfetto")->type_name("FILE");
  app->add_option("--report", a.report, "text or json (default text)")->type_name("FORMAT");
  app->add_flag("--interp", a.interpreter, "Runs BPF programs on the interpreter, not the JIT");
}

void add_run_command(CLI::App &app, Action &action) {
  CLI::App *run = app.add_subcommand("run", "Runs a scheduler on a simulated machine, and reports.");
  const auto formatter = std::make_shared<RunFormatter>();
  formatter->column_width(28);
  run->formatter(formatter);
  run->footer(kFooter);
  run->prefix_command();
  const auto arguments = std::make_shared<RunArguments>();
  add_machine_options(run, *arguments);
  add_run_options(run, *arguments);
  run->callback(
      [&action, run, arguments] { action = [run, arguments] { return do_run(*arguments, run->remaining()); }; });
}

}  // namespace uscx::cli
