// SPDX-License-Identifier: GPL-2.0-only
// The checks of a run's options (see run_arguments.h): each names the option at fault and what it takes.
#include "run/run_arguments.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>

#include "base/nearest.h"
#include "machine/threads/thread_machine.h"
#include "report/report.h"
#include "run/recipe.h"
#include "run/scheduler.h"

namespace uscx::cli {
namespace {

constexpr u64 kMinHz = 10, kMaxHz = 10000;
constexpr const char *kDefaultWorkload = "mixed";

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

std::vector<std::string> alloc_site_names() {
  std::vector<std::string> names;
  for (u32 i = 0; i < static_cast<u32>(machine::AllocSite::count); i++)
    names.emplace_back(machine::alloc_site_name(static_cast<machine::AllocSite>(i)));
  return names;
}

Status parse_alloc_failures(const std::vector<std::string> &texts, RunOptions *options) {
  constexpr u64 kMaxAllocations = 1000000000;
  for (const std::string &text : texts) {
    const size_t colon = text.find(':');
    const machine::AllocSite site = machine::alloc_site_named(std::string_view(text).substr(0, colon));
    if (site == machine::AllocSite::count)
      return Status::error("--fail-alloc: there is no site '{}'{}; see uscx list alloc-sites", text.substr(0, colon),
                           did_you_mean(text.substr(0, colon), alloc_site_names()));
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

Status parse_ends(const RunArguments &arguments, RunOptions *options) {
  if (arguments.on_exit != "stop" && arguments.on_exit != "continue")
    return Status::error("--on-exit: '{}' is unknown; it takes stop or continue", arguments.on_exit);
  options->end_at_exit = arguments.on_exit == "stop";
  for (const std::string &text : arguments.fail_on) {
    Result<FailOn> condition = parse_fail_on(text);
    if (!condition.ok()) return condition.status().at("--fail-on");
    options->fail_on.push_back(condition.take());
  }
  if (arguments.quiet && arguments.verbose) return Status::error("-q and -v exclude each other");
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
  if (Status status = parse_ends(arguments, &options); !status.ok()) return status;
  // The report for programs stands alone on standard output.
  if (arguments.report == "json") options.program_output_fd = STDERR_FILENO;
  options.trace_path = arguments.trace;
  options.rtapp_logs = arguments.rtapp_logs;
  options.use_jit = !arguments.interpreter;
  options.dump_path = arguments.dump;
  options.verbose = arguments.verbose;
  return options;
}

RunHooks text_hooks(std::function<void(std::string_view text)> write_text) {
  RunHooks hooks;
  // CPUs that are threads of the host write at the same time.
  auto write = [lock = std::make_shared<std::mutex>(), write_text = std::move(write_text)](std::string_view text) {
    std::lock_guard hold(*lock);
    write_text(text);
  };
  hooks.log = [write](u64 time_ns, const std::string &line) { write(report::format_log_line({time_ns, line}) + "\n"); };
  hooks.bpf_print = [write](u64 time_ns, const std::string &text) {
    const bool ends = !text.empty() && text.back() == '\n';
    write(report::format_log_line({time_ns, "bpf_trace_printk: " + text}) + (ends ? "" : "\n"));
  };
  hooks.output = write;
  return hooks;
}

std::string report_of(const RunResult &result, const std::string &format, bool terminal) {
  return format == "json" ? report::report_json(result.info, *result.metrics)
                          : report::report_text(result.info, *result.metrics, terminal);
}

}  // namespace uscx::cli
