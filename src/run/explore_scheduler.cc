// SPDX-License-Identifier: GPL-2.0-only
#include "run/explore_scheduler.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "abi/scx.h"
#include "base/hash.h"
#include "bpf/exec/program.h"
#include "bpf/maps/arena_name.h"
#include "bridge/host.h"
#include "run/scheduler.h"
#include "schedulers/user_half.h"

namespace uscx::cli {
namespace {

using machine::ExploreRun;
using machine::Failure;

// After what is explored the machine goes on without other orders, so that what is on its way arrives. Then who still
// waits gets a second look, after all of the patience.
constexpr u64 kSettleNs = 100 * kNsPerMs;
constexpr u64 kSuspiciousNs = 50 * kNsPerMs;

std::string access_text(const machine::ProgramAccess &access) {
  const auto *program = static_cast<const bpf::Program *>(access.program);
  return fmt::format("{}{} at {}", access.atomic ? "atomic " : "", access.write ? "write" : "read",
                     program->place(access.insn));
}

// The same text whichever of the two came first.
std::string race_text(bridge::Host &host, const machine::ProgramRace &race) {
  std::string one = access_text(race.first), other = access_text(race.second);
  if (other < one) std::swap(one, other);
  const u64 address = std::max(race.first.address, race.second.address);
  const bpf::Prog *const program = static_cast<const bpf::Program *>(race.first.program)->owner();
  const std::string where =
      program ? bpf::address_text_of(host.system(), *program, address) : host.system().address_text(address);
  return fmt::format("{}: {} and {}", where, one, other);
}

// ", though CPU 2 is idle and it may run there"; empty if none is.
std::string idle_cpu_text(sched::Kernel &kernel, const sched::Task &p) {
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
    if (kernel.rq(cpu).curr == kernel.rq(cpu).idle && p.allowed_on(cpu))
      return fmt::format(", though CPU {} is idle and it may run there", cpu);
  return "";
}

// Who has waited for longer than that; empty if nobody has.
std::string find_waiting(bridge::Host &host, u64 longer_than_ns) {
  sched::Kernel &kernel = host.kernel();
  const u64 tick_ns = host.machine().tick_ns(), now = host.machine().loop_now_ns() / tick_ns;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    for (const sched::Task &p : kernel.rq(cpu).ext.runnable_list.racy()) {
      const u64 waited_ns = (now - p.ts.scx.runnable_at) * tick_ns;
      if (waited_ns > longer_than_ns)
        return fmt::format("{} [{}] has waited for {}{}", p.comm(), p.pid(), format_duration(waited_ns),
                           idle_cpu_text(kernel, p));
    }
  }
  return "";
}

void check_exit(bridge::Host &host, ExploreRun &run) {
  const sched::ExitRecord *exit = host.ext().last_exit();
  if (exit && exit->kind >= SCX_EXIT_ERROR)
    run.fail(Failure::kScheduler, fmt::format("the scheduler was ejected: {} ({})", exit->reason, exit->msg));
}

// Host context, no Explorer. The last words on a schedule.
void check_end(bridge::Host &host, const SchedulerStage &stage, ExploreRun &run) {
  machine::Machine &machine = host.machine();
  machine.run_until(machine.loop_now_ns() + kSettleNs);
  host.kernel().verify_all();
  check_exit(host, run);
  if (find_waiting(host, std::min(kSuspiciousNs, stage.patience_ns)).empty()) return;
  machine.run_until(machine.loop_now_ns() + stage.patience_ns);
  check_exit(host, run);
  const std::string waiting = find_waiting(host, stage.patience_ns);
  if (!waiting.empty()) run.fail(Failure::kScheduler, waiting);
}

// Only simulated machines are explored.
machine::SimMachine &simulated(bridge::Host &host) { return static_cast<machine::SimMachine &>(host.machine()); }

void watch(machine::Explorer &explorer, bridge::Host &host) {
  explorer.set_quiet_check([&host] { host.kernel().verify_all(); });
  explorer.set_race_text([&host](const machine::ProgramRace &race) { return race_text(host, race); });
}

Result<std::unique_ptr<bridge::Host>> make_host(const RunOptions &options) {
  bridge::HostConfig config;
  config.machine = {.topology = options.topology, .hz = options.hz, .seed = options.seed};
  config.use_jit = options.use_jit;
  config.explore = true;
  return bridge::Host::create(config);
}

// What a scheduler's user half sees: a run that is over once time was to pass for the first time.
class StageHost final : public RunHost {
 public:
  StageHost(bridge::Host &host, const RunOptions &options, std::function<void()> pass)
      : host_(host),
        launcher_(host.kernel(), [](const workload::RefusedTask &) {}),
        options_(options),
        pass_(std::move(pass)) {}

  bridge::Host &host() override { return host_; }
  void advance(u64) override { advance_to_end(); }
  void advance_to_end() override {
    if (over_) return;
    over_ = true;
    Result<std::vector<workload::PlannedTask>> tasks = plan_of(options_);
    CHECK(tasks.ok(), "a plan that was good is bad now");
    const Status groups = make_groups(options_, *tasks, host_.kernel());
    CHECK(groups.ok(), "{}", groups.message());
    launcher_.launch(tasks.take());
    pass_();
  }
  bool over() const override { return over_; }
  void end_now() override { over_ = true; }
  void print(std::string_view) override {}
  void note(std::string_view) override {}

 private:
  bridge::Host &host_;
  workload::Launcher launcher_;
  const RunOptions &options_;
  const std::function<void()> pass_;
  bool over_ = false;
};

// In the process of one schedule, everything from the start.
void explore_whole_life(const SchedulerStage &stage, ExploreRun &run) {
  run.begin(true);
  Result<std::unique_ptr<bridge::Host>> created = make_host(stage.options);
  Result<std::unique_ptr<SchedulerUnderTest>> scheduler = make_scheduler(stage.options);
  CHECK(created.ok() && scheduler.ok(), "what was good is bad now");
  bridge::Host &host = **created;
  {
    machine::Explorer explorer(simulated(host), run);
    watch(explorer, host);
    StageHost stage_host(host, stage.options, [&] {
      host.machine().run_until(host.machine().loop_now_ns() + stage.options.duration_ns);
      check_exit(host, run);
    });
    if (Status status = (*scheduler)->run(stage_host); !status.ok())
      run.fail(Failure::kScheduler, "not loaded: " + status.message());
  }
  host.machine().run_until(host.machine().loop_now_ns() + kSettleNs);
  host.kernel().verify_all();
  check_exit(host, run);
}

void explore_attached(const SchedulerStage &stage, bridge::Host &host, ExploreRun &run) {
  host.system().unshare_maps();
  {
    machine::Explorer explorer(simulated(host), run);
    watch(explorer, host);
    host.machine().run_until(host.machine().loop_now_ns() + stage.options.duration_ns);
  }
  check_end(host, stage, run);
}

// Schedules that start from a loaded scheduler each need its memory for themselves.
Status check_memory(bridge::Host &host) {
  for (const std::shared_ptr<bpf::Map> &map : host.system().maps())
    if (!map->can_unshare())
      return Status::error(
          "map {}: its type shares memory with user space in a way that schedules cannot take apart; with --with-load "
          "each schedule makes its own",
          map->attr().name);
  return Status::ok_status();
}

Result<std::vector<u8>> bytes_of_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status::error("{}: cannot be read", path);
  return std::vector<u8>(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

Result<u64> hash_of_inputs(const RunOptions &options, const std::vector<std::string> &files) {
  Hash64 hash;
  if (is_scheduler_file(options.scheduler)) {
    Result<std::vector<u8>> bytes = bytes_of_file(options.scheduler);
    if (!bytes.ok()) return bytes.status();
    hash.add_bytes(bytes->data(), bytes->size());
  } else if (const schedulers::Scheduler *own = schedulers::find_scheduler(options.scheduler)) {
    const std::unique_ptr<schedulers::UserHalf> half = own->make();
    hash.add_bytes(half->object().data(), half->object().size());
  }
  for (const std::string &file : files) {
    // The name of a built-in workload is no file's.
    Result<std::vector<u8>> bytes = bytes_of_file(file);
    if (bytes.ok()) hash.add_bytes(bytes->data(), bytes->size());
  }
  return hash.value();
}

Status with_scheduler(const SchedulerStage &stage, const ScenarioUser &use) {
  Result<std::unique_ptr<SchedulerUnderTest>> scheduler = make_scheduler(stage.options);
  if (!scheduler.ok()) return scheduler.status();
  if (Result<std::vector<workload::PlannedTask>> plan = plan_of(stage.options); !plan.ok()) return plan.status();
  Result<std::unique_ptr<bridge::Host>> created = make_host(stage.options);
  if (!created.ok()) return created.status();
  bridge::Host &host = **created;
  Status memory;
  StageHost stage_host(host, stage.options, [&] {
    const u64 start_hash = host.tracer().hash();
    if (!stage.with_load && !(memory = check_memory(host)).ok()) return;
    if (stage.with_load)
      use([&stage](ExploreRun &run) { explore_whole_life(stage, run); }, start_hash);
    else
      use([&stage, &host](ExploreRun &run) { explore_attached(stage, host, run); }, start_hash);
  });
  if (Status status = (*scheduler)->run(stage_host); !status.ok()) return status;
  if (stage_host.over()) return memory;
  const sched::ExitRecord *exit = host.ext().last_exit();
  return Status::error("{}: the scheduler ended before its workload began{}", stage.options.scheduler,
                       exit ? fmt::format(": {} ({})", exit->reason, exit->msg) : "");
}

}  // namespace uscx::cli
