// SPDX-License-Identifier: GPL-2.0-only
#include "run/run.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>

#include "abi/scx.h"
#include "base/files.h"
#include "report/names.h"
#include "report/perfetto.h"
#include "run/scheduler.h"
#include "sched/hotplug.h"
#include "workload/script/log.h"

namespace uscx::cli {
namespace {

machine::CpuMask mask_of(const std::vector<u32> &cpus, u32 nr_cpus) {
  if (cpus.empty()) return {};
  machine::CpuMask mask(nr_cpus);
  for (const u32 cpu : cpus) mask.set(cpu);
  return mask;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The simulation goes in slices of virtual time, so that the caller's hooks get a word in between. Their length follows
// the host's speed, which changes nothing in the run: what happens does not depend on where run_until() stops.
class Slicer {
 public:
  u64 slice_ns() const { return slice_ns_; }
  void took(double wall_s) {
    if (wall_s > 0.1) slice_ns_ = std::max(kMinNs, slice_ns_ / 2);
    if (wall_s < 0.02) slice_ns_ = std::min(kMaxNs, slice_ns_ * 2);
  }

 private:
  static constexpr u64 kMinNs = 10 * kNsPerUs, kMaxNs = 10 * kNsPerSec;
  u64 slice_ns_ = kNsPerMs;
};

class Run final : public RunHost {
 public:
  Run(const RunOptions &options, bridge::Host &host, report::Metrics &metrics, workload::LogBook *logs)
      : options_(options),
        host_(host),
        metrics_(metrics),
        logs_(logs),
        start_(Clock::now()),
        launcher_(host.kernel(), [this](const workload::RefusedTask &task) { refused_[-task.error].add(task.comm); }) {}

  ~Run() override {
    for (SysrqTimer &timer : sysrq_timers_) host_.machine().cancel_timer(timer.event);
    for (HotplugTimer &timer : hotplug_timers_) host_.machine().cancel_timer(timer.event);
  }

  bridge::Host &host() override { return host_; }
  void advance(u64 ns) override { advance_until(std::min(end_ns_, now_ns() + ns)); }
  void advance_to_end() override { advance_until(end_ns_); }
  bool over() const override { return now_ns() >= end_ns_ || interrupted(); }
  void end_now() override { end_ns_ = now_ns(); }
  void print(std::string_view text) override {
    if (options_.hooks.output) options_.hooks.output(text);
  }
  void note(std::string_view line) override { keep_note(line, true); }
  // What comes up again is counted.
  std::vector<std::string> notes() {
    std::lock_guard guard(notes_mutex_);
    std::vector<std::string> lines;
    for (const Note &note : notes_)
      lines.push_back(note.times == 1 ? note.line : fmt::format("{} ({} times)", note.line, note.times));
    return lines;
  }
  void note_refused_tasks() {
    for (const auto &[error, refused] : refused_)
      note(fmt::format("{} {} could not be created, the first of them {}: {} (errno {})", refused.count,
                       refused.count == 1 ? "task" : "tasks", refused.first, std::strerror(error), error));
  }
  // The scheduler has ended by itself, for good.
  bool ended_at_exit() const { return ended_at_exit_; }

  bool interrupted() const { return options_.hooks.stop && options_.hooks.stop->load(std::memory_order_relaxed); }
  double wall_s() const { return seconds_since(start_); }

 private:
  u64 now_ns() const { return host_.machine().loop_now_ns(); }
  // From any CPU. The first of equal ones is shown, where that can be done.
  void keep_note(std::string_view line, bool show = false) {
    {
      std::lock_guard guard(notes_mutex_);
      for (Note &note : notes_)
        if (note.line == line) return (void)note.times++;
      notes_.push_back({std::string(line)});
    }
    if (show) print(fmt::format("uscx: {}\n", line));
  }

  // Keys are pressed on CPU 0, in interrupt context.
  struct SysrqTimer {
    machine::SimEvent event;
    Run *run = nullptr;
    char key = 0;
  };
  static void sysrq_fired(machine::SimEvent &event) {
    SysrqTimer &timer = *static_cast<SysrqTimer *>(event.owner);
    sched::Ext &ext = timer.run->host_.ext();
    if (timer.key == 's')
      ext.sysrq_reset();
    else
      timer.run->print(ext.sysrq_dump());
  }

  struct RefusedTasks {
    u64 count = 0;
    std::string first;
    void add(const std::string &comm) {
      if (count++ == 0) first = comm;
    }
  };
  struct Note {
    std::string line;
    u64 times = 1;
  };

  struct HotplugTimer {
    machine::SimEvent event;
    Run *run = nullptr;
    workload::CpuSwitch what;
  };
  static void hotplug_fired(machine::SimEvent &event) {
    HotplugTimer &timer = *static_cast<HotplugTimer *>(event.owner);
    timer.run->host_.kernel().hotplug().request(timer.what.cpu, timer.what.online);
  }

  void start_hotplug() {
    for (const HotplugAction &action : options_.hotplugs) {
      HotplugTimer &timer = hotplug_timers_.emplace_back();
      timer.run = this;
      timer.what = action.what;
      timer.event.owner = &timer;
      timer.event.fn = hotplug_fired;
      host_.machine().arm_timer(timer.event, std::max(action.at_ns, now_ns()));
    }
  }

  void start_workload() {
    if (started_) return;
    started_ = true;
    for (const SysrqPress &press : options_.sysrqs) {
      SysrqTimer &timer = sysrq_timers_.emplace_back();
      timer.run = this;
      timer.key = press.key;
      timer.event.owner = &timer;
      timer.event.fn = sysrq_fired;
      host_.machine().arm_timer(timer.event, std::max(press.at_ns, now_ns()));
    }
    start_hotplug();
    Result<std::vector<workload::PlannedTask>> tasks =
        plan_of(options_, {.logs = logs_, .say = [this](const std::string &text) { keep_note(text); }});
    CHECK(tasks.ok(), "a plan that was good is bad now");
    launcher_.launch(tasks.take(), [this] {
      tell_progress();
      return interrupted();
    });
  }

  void advance_until(u64 end_ns) {
    start_workload();
    while (now_ns() < std::min(end_ns, end_ns_) && !interrupted()) {
      const Clock::time_point before = Clock::now();
      run_slice(std::min(end_ns, now_ns() + slicer_.slice_ns()));
      slicer_.took(seconds_since(before));
      tell_progress();
    }
    // Detaching takes time too, which is not the workload's.
    if (over() && !metrics_.finished()) metrics_.finish(now_ns());
  }

  void tell_progress() {
    if (options_.hooks.progress) options_.hooks.progress({now_ns(), end_ns_, host_.machine().nr_events(), wall_s()});
  }

  void run_slice(u64 until_ns) {
    if (!options_.end_at_exit) return host_.machine().run_until(until_ns);
    host_.machine().run_while([this] { return !scheduler_gone(); }, until_ns);
    if (!scheduler_gone()) return;
    ended_at_exit_ = true;
    end_now();
  }

  bool scheduler_gone() {
    const sched::ExitRecord *record = host_.ext().last_exit();
    return record && host_.ext().state() == SCX_DISABLED && !(record->exit_code & SCX_ECODE_ACT_RESTART);
  }

  const RunOptions &options_;
  u64 end_ns_ = options_.duration_ns;
  bridge::Host &host_;
  report::Metrics &metrics_;
  workload::LogBook *const logs_;
  const Clock::time_point start_;
  workload::Launcher launcher_;
  Slicer slicer_;
  std::deque<SysrqTimer> sysrq_timers_;  // Their addresses stay, as do those of
  std::deque<HotplugTimer> hotplug_timers_;
  bool started_ = false, ended_at_exit_ = false;
  std::mutex notes_mutex_;
  std::vector<Note> notes_;
  std::map<int, RefusedTasks> refused_;  // By errno.
};

void connect_hooks(const RunHooks &hooks, bridge::Host &host) {
  if (hooks.log) host.kernel().set_log_listener(hooks.log);
  if (hooks.bpf_print) host.set_print_listener(hooks.bpf_print);
}

// Null if nobody wants them.
Result<std::unique_ptr<workload::LogBook>> open_logs(const RunOptions &options) {
  if (options.rtapp_logs.empty()) return std::unique_ptr<workload::LogBook>();
  Result<std::unique_ptr<workload::LogBook>> logs = workload::LogBook::create(options.rtapp_logs);
  if (!logs.ok()) return logs.status().at("--rtapp-logs");
  return logs;
}

}  // namespace

report::RunInfo describe(const RunOptions &options) {
  report::RunInfo info;
  info.scheduler = options.scheduler;
  for (const auto &workload : options.workloads)
    info.workload += (info.workload.empty() ? "" : " + ") + workload->name();
  info.topology = options.topology.to_string();
  info.cpus = options.topology.nr_cpus();
  info.hz = options.hz;
  info.seed = options.seed;
  info.threads = options.threads;
  return info;
}

Result<std::vector<workload::PlannedTask>> plan_of(const RunOptions &options, const PlanListeners &listeners) {
  const u32 nr_cpus = options.topology.nr_cpus();
  machine::CpuMask quiet(nr_cpus);
  for (const std::vector<u32> &cpus : {options.nohz_full, options.isolated})
    for (const u32 cpu : cpus) quiet.set(cpu);
  std::vector<workload::PlannedTask> all;
  for (u32 i = 0; i < options.workloads.size(); i++) {
    const workload::Site site{.nr_cpus = nr_cpus,
                              .seed = options.seed,
                              .index = i,
                              .quiet = quiet,
                              .logs = listeners.logs,
                              .say = listeners.say};
    Result<std::vector<workload::PlannedTask>> tasks = options.workloads[i]->plan(site);
    if (!tasks.ok()) return tasks.status();
    if (all.size() + tasks->size() > workload::kMaxTasks)
      return Status::error("the workloads have more than {} tasks in all", workload::kMaxTasks);
    std::move(tasks->begin(), tasks->end(), std::back_inserter(all));
  }
  return all;
}

Status make_groups(const RunOptions &options, const std::vector<workload::PlannedTask> &plan, sched::Kernel &kernel) {
  std::vector<workload::GroupSpec> all;
  for (const auto &workload : options.workloads)
    all.insert(all.end(), workload->groups().begin(), workload->groups().end());
  all.insert(all.end(), options.cgroups.begin(), options.cgroups.end());
  for (const workload::PlannedTask &task : plan)
    if (!task.cgroup.empty() && (all.empty() || all.back().path != task.cgroup)) all.push_back({.path = task.cgroup});
  Status status;
  if (all.empty()) return status;
  kernel.machine().run_on(0, [&] {
    for (const workload::GroupSpec &spec : all)
      if (status.ok()) status = workload::apply_group(kernel, spec);
  });
  return status;
}

Result<FailOn> parse_fail_on(const std::string &text) {
  constexpr std::string_view kStarved = "starved=";
  if (text == "exit=error") return FailOn{.what = FailOn::What::kExitError, .text = text};
  if (text == "wild-loads") return FailOn{.what = FailOn::What::kWildLoads, .text = text};
  if (!text.starts_with(kStarved))
    return Status::error("'{}' is no condition; it takes starved=TIME, exit=error or wild-loads", text);
  Result<u64> limit = parse_duration(std::string_view(text).substr(kStarved.size()));
  if (!limit.ok()) return limit.status().at("starved");
  return FailOn{.what = FailOn::What::kStarved, .limit_ns = *limit, .text = text};
}

namespace {

// Empty: not met.
std::string starved_text(const report::Metrics &metrics, u64 limit_ns) {
  size_t nr = 0;
  u64 longest_ns = 0;
  const report::TaskMetrics *longest = nullptr;
  for (size_t i = 0; i < metrics.tasks().size(); i++) {
    const u64 wait_ns = metrics.task_figures(metrics.subject(), i).longest_wait_ns;
    if (wait_ns <= limit_ns) continue;
    nr++;
    if (wait_ns <= longest_ns) continue;
    longest_ns = wait_ns;
    longest = &metrics.tasks()[i];
  }
  if (nr == 0) return "";
  return fmt::format("{} {} waited longer for a CPU, {}[{}] for {}", nr, nr == 1 ? "task" : "tasks", longest->name,
                     longest->pid, format_duration(longest_ns));
}

std::string met_text(const FailOn &asked, const report::Metrics &metrics) {
  switch (asked.what) {
    case FailOn::What::kStarved: return starved_text(metrics, asked.limit_ns);
    case FailOn::What::kExitError: {
      const report::ExitMetrics &exit = metrics.exit();
      if (!exit.seen || exit.kind < SCX_EXIT_ERROR) return "";
      return fmt::format("the scheduler ended with {}", report::exit_kind_name(exit.kind));
    }
    case FailOn::What::kWildLoads: break;
  }
  u64 count = 0;
  for (const auto &[place, at_place] : metrics.wild_loads()) count += at_place;
  if (count == 0) return "";
  return fmt::format("{} {} of what is not there, in {} {}", count, count == 1 ? "load" : "loads",
                     metrics.wild_loads().size(), metrics.wild_loads().size() == 1 ? "place" : "places");
}

// FIDELITY: flat-fair.
void note_of_groups(const RunOptions &options, const report::Metrics &metrics, RunHost &run) {
  if (metrics.subject() == report::Phase::kScheduler) return;
  std::set<std::string> paths;
  const auto look = [&](std::span<const workload::GroupSpec> groups) {
    for (const workload::GroupSpec &group : groups)
      if (group.weight || group.nice || group.quota_us || group.idle) paths.insert(group.path);
  };
  for (const auto &workload : options.workloads) look(workload->groups());
  look(options.cgroups);
  if (paths.empty()) return;
  run.note(
      fmt::format("the fair class makes nothing of the weights and limits of cgroups ({}): it shares CPUs among "
                  "tasks, as if there were no groups",
                  fmt::join(paths, ", ")));
}

Status write_dump(const RunOptions &options, const sched::ExitRecord &record) {
  if (options.dump_path.empty() || record.dump.empty()) return Status::ok_status();
  return write_file(options.dump_path, record.dump).at("--dump");
}

}  // namespace

std::vector<report::FailedCondition> failed_conditions(const std::vector<FailOn> &asked,
                                                       const report::Metrics &metrics) {
  std::vector<report::FailedCondition> failed;
  for (const FailOn &condition : asked)
    if (std::string what = met_text(condition, metrics); !what.empty()) failed.push_back({condition.text, what});
  return failed;
}

Result<RunResult> run(const RunOptions &options) {
  CHECK(!options.workloads.empty() && options.duration_ns > 0);
  Result<std::unique_ptr<SchedulerUnderTest>> scheduler = make_scheduler(options);
  if (!scheduler.ok()) return scheduler.status();
  return run(options, **scheduler);
}

Result<RunResult> run(const RunOptions &options, SchedulerUnderTest &scheduler) {
  RunResult result;
  result.metrics = std::make_unique<report::Metrics>(options.topology.nr_cpus());
  std::unique_ptr<report::PerfettoSink> perfetto;
  if (!options.trace_path.empty()) {
    Result<std::unique_ptr<report::PerfettoSink>> sink =
        report::PerfettoSink::create(options.trace_path, options.topology.nr_cpus());
    if (!sink.ok()) return sink.status();
    perfetto = sink.take();
  }
  Result<std::unique_ptr<workload::LogBook>> logs = open_logs(options);
  if (!logs.ok()) return logs.status();
  bridge::HostConfig config;
  config.machine = {.topology = options.topology, .hz = options.hz, .seed = options.seed, .threads = options.threads};
  config.use_jit = options.use_jit;
  config.kernel.nohz_full = mask_of(options.nohz_full, options.topology.nr_cpus());
  config.kernel.isolated = mask_of(options.isolated, options.topology.nr_cpus());
  config.sinks.push_back(result.metrics.get());
  if (perfetto) config.sinks.push_back(perfetto.get());
  config.sinks.insert(config.sinks.end(), options.hooks.sinks.begin(), options.hooks.sinks.end());
  Result<std::unique_ptr<bridge::Host>> created = bridge::Host::create(config);
  if (!created.ok()) return created.status();
  const std::unique_ptr<bridge::Host> host = created.take();
  connect_hooks(options.hooks, *host);
  for (const AllocFailure &failure : options.alloc_failures)
    host->ext().alloc_faults().fail(failure.site, failure.nth, failure.lasts);

  Run run(options, *host, *result.metrics, logs->get());
  Result<std::vector<workload::PlannedTask>> plan = plan_of(options);
  if (!plan.ok()) return plan.status();
  if (Status status = make_groups(options, *plan, host->kernel()); !status.ok()) return status;
  for (const auto &workload : options.workloads)
    for (const std::string &warning : workload->warnings()) run.note(workload->name() + ": " + warning);
  if (Status status = scheduler.run(run); !status.ok()) return status;
  run.advance_to_end();  // A scheduler that ended by itself leaves the rest of the run to the fair class.

  host->ext().settle();
  result.info = describe(options);
  result.info.wall_ns = static_cast<u64>(run.wall_s() * 1e9);
  result.info.events = host->tracer().nr_events();
  result.info.trace_hash = host->tracer().hash();
  result.info.duration_ns = result.metrics->duration_ns();
  note_of_groups(options, *result.metrics, run);
  run.note_refused_tasks();
  result.info.notes = run.notes();
  result.info.ended_at_exit = run.ended_at_exit();
  if (const sched::ExitRecord *record = host->ext().last_exit()) {
    result.info.has_dispatch = record->has_dispatch;
    result.info.exit_where = record->where;
    if (Status status = write_dump(options, *record); !status.ok()) return status;
  }
  result.info.failed = failed_conditions(options.fail_on, *result.metrics);
  result.interrupted = run.interrupted();
  if (perfetto) {
    if (Status status = perfetto->finish(host->tracer()); !status.ok()) return status;
  }
  if (*logs) {
    if (Status status = (*logs)->finish(); !status.ok()) return status.at("--rtapp-logs");
  }
  return result;
}

int exit_status(const RunResult &result) {
  if (!result.info.failed.empty()) return kExitFailOn;
  const report::ExitMetrics &exit = result.metrics->exit();
  if (!exit.seen || exit.kind < SCX_EXIT_ERROR) return kExitOk;
  return exit.kind == SCX_EXIT_ERROR_STALL ? kExitStall : kExitSchedulerError;
}

}  // namespace uscx::cli
