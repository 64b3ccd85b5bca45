// SPDX-License-Identifier: GPL-2.0-only
// `uscx run [options] SCHEDULER [ARGS...]`: options come first, as in strace and perf; what follows SCHEDULER is its
// own.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/machine_options.h"
#include "cli/terminal.h"
#include "report/report.h"
#include "run/run_arguments.h"
#include "run/scan_json.h"
#include "run/scheduler.h"

namespace uscx::cli {
namespace {

constexpr const char *kFooter =
    "SCHEDULER is one of ours by name (uscx list schedulers), fair for no BPF\n"
    "scheduler, an object file (a path with a slash, or one that ends in .bpf.o),\n"
    "source (X.bpf.c, which clang compiles first), or a whole scheduler program: a\n"
    "path to something executable. ARGS go to it.\n"
    "\n"
    "Times are written 5ms, 200us, 1.5s. The report goes to standard output; the\n"
    "kernel log and the scheduler's own output go to standard error. Ctrl-C ends\n"
    "the run early, with a report.\n"
    "\n"
    "Examples:\n"
    "  uscx run scx_simple\n"
    "  uscx run --cpus 16 --duration 60s --trace qmap.pftrace scx_qmap -s 5000\n"
    "  uscx run --workload hogs:nice=-5/0/5 --cpus 1 fair\n"
    "  uscx run mine.bpf.c\n"
    "  uscx run --set slice_ns=5000000 --ops timeout_ms=2000 ./my.bpf.o\n"
    "  uscx run ./scx_qmap -s 5000\n"
    "  uscx run --topology 2n:4l:8c:2t --workload tasks.json --report json fair\n"
    "\n"
    "Exit status: 0 the scheduler was detached or ended without error; 2 bad input\n"
    "or a refused scheduler; 3 the scheduler ended with an error; 4 a task stalled;\n"
    "5 a condition of --fail-on was met; 70 a bug of uscx itself; 130 or 143 it was\n"
    "interrupted (SIGINT, SIGTERM).";

std::string describe_failure(void *) {
  return fmt::format("At virtual time {}, on CPU {}.", format_duration(machine::now_ns()), machine::this_cpu());
}

void print_report(const std::string &report) { std::fwrite(report.data(), 1, report.size(), stdout); }

int do_run(const CLI::App &command, const RunArguments &arguments) {
  const std::vector<std::string> rest = command.remaining();
  // Of bad options some may not have been read.
  const bool json = arguments.report == "json" || asks_for_json(rest);
  if (!rest.empty() && rest[0].starts_with("-")) return bad_input(unknown_word(command, rest[0]), json);
  Result<RunOptions> options = parse_run_options(arguments, rest);
  if (!options.ok()) return bad_input(options.status(), json);
  Result<std::optional<std::string>> usage = scheduler_usage(*options);
  if (!usage.ok()) return bad_input(usage.status(), json);
  if (usage->has_value()) return std::fputs((*usage)->c_str(), stdout), kExitOk;
  Terminal terminal(arguments.quiet);
  const InterruptGuard interrupt;
  options->hooks = text_hooks([&terminal](std::string_view text) { terminal.write(text); });
  options->hooks.progress = [&terminal](const Progress &progress) { terminal.show(progress); };
  options->hooks.stop = interrupt.stop();
  set_check_context(describe_failure, nullptr);
  nlohmann::ordered_json object;
  options->hooks.scanned = [&](const bpf::ScanResult &scan) { object = scan_json(options->scheduler, scan); };
  terminal.show_start(options->topology.nr_cpus());
  Result<RunResult> result = run(*options);
  set_check_context(nullptr, nullptr);
  terminal.end();
  if (!result.ok() && json) print_report(report::refusal_json(describe(*options), result.message(), object));
  if (!result.ok()) return bad_input(result.status());
  if (result->interrupted) result->info.interrupted = signal_name(interrupt.signal());
  print_report(report_of(*result, arguments.report, wants_colour(STDOUT_FILENO)));
  return result->interrupted ? kExitSignalled + interrupt.signal() : exit_status(*result);
}

// What a session, which has no end and only programs, does without.
void add_run_options(CLI::App *run, RunArguments &a) {
  run->add_option(
         "--machine", a.machine,
         "simulated (default), or threads: one thread a CPU,\nin real time; more CPUs than the host has share it")
      ->type_name("KIND");
  run->add_option("--duration", a.duration, "Virtual time to run (default 10s, or what the\nJSON file says)")
      ->type_name("TIME");
  run->add_option("--rtapp-logs", a.rtapp_logs,
                  "Writes the logs that rt-app would, of workloads in\nJSON, into this folder (docs/WORKLOADS.md)")
      ->type_name("DIR");
  run->add_option("--set", a.sets, "Sets a global variable of the BPF object; may be\nrepeated")
      ->type_name("VAR=VALUE")
      ->allow_extra_args(false);
  run->add_option("--ops", a.ops, "Sets a field of its sched_ext_ops, as in\ntimeout_ms=20; may be repeated")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  run->add_option("--recipe", a.recipe,
                  "What the object's own user half would do: globals,\nops, maps, programs, in JSON (docs/RECIPES.md)")
      ->type_name("FILE");
  run->add_option(
         "--fail-on", a.fail_on,
         "Exit status 5 if so: starved=TIME (a task waited\nlonger for a CPU), exit=error, wild-loads; may be\n"
         "repeated")
      ->type_name("CONDITION")
      ->allow_extra_args(false);
  run->add_option("--on-exit", a.on_exit,
                  "When the scheduler ends by itself: continue in the\nfair class (default), or stop the run")
      ->type_name("HOW");
  run->add_option("--dump", a.dump,
                  "Where the dump of a scheduler that ends with an\nerror goes, instead of standard error")
      ->type_name("FILE");
  run->add_flag("-q,--quiet", a.quiet, "No kernel log, no output of the scheduler");
  run->add_flag("-v,--verbose", a.verbose, "All that libbpf says, the verifier's log with it");
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
  set_usage(run, "[options] SCHEDULER [ARGS...]");
  run->get_formatter()->column_width(28);
  run->footer(kFooter);
  run->prefix_command();
  const auto arguments = std::make_shared<RunArguments>();
  add_machine_options(run, *arguments);
  add_run_options(run, *arguments);
  run->callback([&action, run, arguments] { action = [run, arguments] { return do_run(*run, *arguments); }; });
}

}  // namespace uscx::cli
