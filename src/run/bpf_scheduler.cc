// SPDX-License-Identifier: GPL-2.0-only
#include "run/bpf_scheduler.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "abi/scx.h"
#include "bpf/load/scan/scan.h"
#include "run/compile.h"
#include "run/recipe.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

using schedulers::ScxObject;
using Opened = Result<std::unique_ptr<ScxObject>>;

// What stdio writes, as text: user halves print as programs do.
template <typename Print>
std::string printed(Print print) {
  char *text = nullptr;
  size_t size = 0;
  std::FILE *file = open_memstream(&text, &size);
  CHECK(file != nullptr);
  print(file);
  std::fclose(file);
  std::string out(text, size);
  std::free(text);
  return out;
}

schedulers::Environment environment_of(bridge::Host &host) {
  schedulers::Environment environment;
  environment.hotplug_seq = [&host]() -> Result<u64> { return host.ext().hotplug_seq(); };
  environment.kernel_btf = host.system().kernel_btf().parsed();
  environment.nr_possible_cpus = host.kernel().nr_cpus();
  return environment;
}

class BpfScheduler : public SchedulerUnderTest {
 public:
  explicit BpfScheduler(const RunOptions &options) : options_(options) {}

  // A scheduler may ask to be loaded again when it ends (after CPU hotplug).
  Status run(RunHost &run) override {
    const bpf::BpfSystem::Scope scope(run.host().system());
    bool again = true;
    while (again) {
      if (Status status = live(run, &again); !status.ok()) return status;
    }
    return Status::ok_status();
  }

 protected:
  // The object, with all that is set before the load.
  virtual Opened open(bridge::Host &host) = 0;
  virtual std::string stats(const ScxObject &) { return ""; }
  // What else a user half does, before it attaches and after.
  virtual Status loaded(bridge::Host &, ScxObject &) { return Status::ok_status(); }
  virtual Status attached(bridge::Host &, ScxObject &) { return Status::ok_status(); }
  // Whether it attaches the scheduler at all.
  virtual bool attaches() const { return true; }
  // What it does while the scheduler is attached, `attached_ns` ago: it lets time pass, up to `ns`.
  virtual Status live_on(RunHost &run, ScxObject &, u64 /*attached_ns*/, u64 ns) {
    run.advance(ns);
    return Status::ok_status();
  }

  // It is detached, or has ended by itself.
  virtual void ended(RunHost &, const schedulers::ExitInfo &) {}

  Status assign(ScxObject &object) {
    for (const Assignment &set : options_.sets)
      if (Status status = object.set_variable(set.name, set.value); !status.ok()) return status.at("--set");
    for (const Assignment &set : options_.ops)
      if (Status status = object.set_ops_field(set.name, set.value); !status.ok()) return status.at("--ops");
    return Status::ok_status();
  }
  const RunOptions &options_;

 private:
  static constexpr u64 kStatsIntervalNs = kNsPerSec;

  Status live(RunHost &run, bool *again) {
    *again = false;
    Opened opened = open(run.host());
    if (!opened.ok()) return opened.status();
    ScxObject &object = **opened;
    if (Status status = object.load(); !status.ok()) return status;
    if (Status status = loaded(run.host(), object); !status.ok()) return status;
    if (!attaches()) {
      run.note("the scheduler is loaded and, as the recipe says, not attached: the fair class has all tasks");
      run.advance_to_end();
      return Status::ok_status();
    }
    if (Status status = object.attach(); !status.ok()) return status;
    const u64 attached_at = run.host().machine().loop_now_ns();
    if (Status status = attached(run.host(), object); !status.ok()) return status;
    while (!run.over() && !object.exited()) {
      run.print(stats(object));
      const u64 attached_ns = run.host().machine().loop_now_ns() - attached_at;
      if (Status status = live_on(run, object, attached_ns, kStatsIntervalNs); !status.ok()) return status;
    }
    object.detach();
    run.host().trace_wild_loads();  // While its programs are there.
    schedulers::ExitInfo info = exit_of(run.host(), object);
    if (!options_.dump_path.empty()) info.dump.clear();
    run.print(printed([&](std::FILE *out) { schedulers::print_exit(info, out); }));
    ended(run, info);
    *again = info.wants_restart() && !run.over();
    return Status::ok_status();
  }

  // A scheduler that keeps no record of its exit has one in the kernel.
  static schedulers::ExitInfo exit_of(bridge::Host &host, const ScxObject &object) {
    schedulers::ExitInfo info = object.exit_info();
    const sched::ExitRecord *record = host.ext().last_exit();
    if (info.kind != 0 || !record) return info;
    info.kind = record->kind;
    info.code = record->exit_code;
    if (record->exit_cpu >= 0) info.cpu = record->exit_cpu;
    info.reason = record->reason;
    info.msg = record->msg;
    info.dump = record->dump;
    return info;
  }
};

class OwnScheduler final : public BpfScheduler {
 public:
  OwnScheduler(std::unique_ptr<schedulers::UserHalf> half, const RunOptions &options)
      : BpfScheduler(options), half_(std::move(half)) {}

 protected:
  Opened open(bridge::Host &host) override {
    schedulers::set_libbpf_verbose(options_.verbose || half_->verbose());
    Opened opened = half_->open(environment_of(host));
    if (!opened.ok()) return opened;
    if (Status status = assign(**opened); !status.ok()) return status;
    return opened;
  }
  std::string stats(const ScxObject &object) override {
    return printed([&](std::FILE *out) { half_->print_stats(object, out); });
  }

 private:
  const std::unique_ptr<schedulers::UserHalf> half_;
};

class ObjectScheduler final : public BpfScheduler {
 public:
  ObjectScheduler(std::vector<u8> bytes, const RunOptions &options) : BpfScheduler(options), bytes_(std::move(bytes)) {}

 protected:
  // The scan comes between two opens: the first says what constants the object will have.
  Opened open(bridge::Host &host) override {
    schedulers::set_libbpf_verbose(options_.verbose);
    Opened first = open_bytes(bytes_, host);
    if (!first.ok()) return first;
    Result<bpf::ScanResult> scan = scan_with(**first, host);
    if (!scan.ok()) return scan.status().at(options_.scheduler);
    if (options_.hooks.scanned) options_.hooks.scanned(*scan);
    for (const bpf::ScanResult::ProgramInfo &program : scan->programs)
      if (program.loaded && program.section.starts_with("syscall")) user_run_.insert(program.name);
    if (!scan->missing.empty())
      return Status::error("{}: needs what is not there: {}", options_.scheduler, fmt::join(scan->missing, "; "));
    if (scan->unreached.empty()) return first;
    return open_bytes(bpf::weaken_unreached(bytes_, *scan), host);
  }
  Status loaded(bridge::Host &host, ScxObject &object) override {
    return options_.recipe ? options_.recipe->before_attach(target(host, object)).at("--recipe") : Status::ok_status();
  }
  bool attaches() const override { return attaches_; }
  Status attached(bridge::Host &host, ScxObject &object) override {
    step_ns_ = 0;
    return options_.recipe ? options_.recipe->after_attach(target(host, object)).at("--recipe") : Status::ok_status();
  }
  // Up to the recipe's next step, if it is due by then.
  Status live_on(RunHost &run, ScxObject &object, u64 attached_ns, u64 ns) override {
    const std::optional<u64> next = options_.recipe ? options_.recipe->next_step(step_ns_) : std::nullopt;
    if (!next || *next > attached_ns + ns) return BpfScheduler::live_on(run, object, attached_ns, ns);
    run.advance(*next - std::min(*next, attached_ns));  // A step that takes time may delay the next.
    if (run.over() || object.exited()) return Status::ok_status();
    step_ns_ = *next;
    return options_.recipe->run_step(target(run.host(), object), *next).at("--recipe");
  }

  // What the user half would have done may be why.
  void ended(RunHost &run, const schedulers::ExitInfo &info) override {
    constexpr const char *kAdvice = "run its program instead, or give --recipe (docs/RECIPES.md)";
    if (options_.recipe) return;
    if (!user_run_.empty())
      run.note(fmt::format("{} has programs that only its user half runs ({}): {}", options_.scheduler,
                           fmt::join(user_run_, ", "), kAdvice));
    else if (info.kind >= SCX_EXIT_ERROR)
      run.note(fmt::format("{} ran without its user half; if that sets globals, ops or maps, {}", options_.scheduler,
                           kAdvice));
  }

 private:
  Recipe::Target target(bridge::Host &host, ScxObject &object) {
    return {.object = &object,
            .machine = {.topology = &options_.topology,
                        .hz = options_.hz,
                        .types = bpf_object__btf(object.object()),
                        .saved = &saved_},
            .saved = &saved_,
            .set_user_cpu = [&host](u32 cpu) { host.set_user_cpu(cpu); }};
  }
  Opened open_bytes(const std::vector<u8> &bytes, bridge::Host &host) {
    const size_t slash = options_.scheduler.rfind('/');
    const std::string name = slash == std::string::npos ? options_.scheduler : options_.scheduler.substr(slash + 1);
    Opened opened = ScxObject::open_memory(name, bytes, environment_of(host));
    if (!opened.ok()) return opened;
    if (options_.recipe) {
      const Recipe::Target goal = target(host, **opened);
      if (Status status = options_.recipe->before_load(goal); !status.ok()) return status.at("--recipe");
      Result<bool> attach = options_.recipe->attaches(goal);
      if (!attach.ok()) return attach.status().at("--recipe");
      attaches_ = *attach;
    }
    if (Status status = assign(**opened); !status.ok()) return status;
    return opened;
  }
  Result<bpf::ScanResult> scan_with(ScxObject &object, bridge::Host &host) {
    bpf::ScanTarget target = bpf::ScanTarget::of_system(host.system());
    target.set_rodata = [&object](const std::string &section, std::span<u8> bytes) {
      // libbpf's names of data maps end in their section's.
      bpf_map *map;
      bpf_object__for_each_map(map, object.object()) {
        size_t size = 0;
        const void *value = bpf_map__initial_value(map, &size);
        if (value && size == bytes.size() && std::string_view(bpf_map__name(map)).ends_with(section))
          std::memcpy(bytes.data(), value, size);
      }
    };
    if (options_.recipe) target.loads = object.program_loads();
    return bpf::scan_object(bytes_, target);
  }

  const std::vector<u8> bytes_;
  std::set<std::string> user_run_;
  bool attaches_ = true;
  RecipeSaved saved_;
  u64 step_ns_ = 0;  // The recipe's last step that was run, since the attach.
};

}  // namespace

Result<std::unique_ptr<SchedulerUnderTest>> make_object_scheduler(const RunOptions &options) {
  if (!options.scheduler_args.empty())
    return Status::error("{}: an object file takes no arguments ('{}'); options come before it", options.scheduler,
                         options.scheduler_args[0]);
  Result<std::vector<u8>> bytes = read_object(options.scheduler);
  if (!bytes.ok()) return bytes.status();
  return std::unique_ptr<SchedulerUnderTest>(std::make_unique<ObjectScheduler>(bytes.take(), options));
}

std::unique_ptr<SchedulerUnderTest> make_own_scheduler(std::unique_ptr<schedulers::UserHalf> half,
                                                       const RunOptions &options) {
  return std::make_unique<OwnScheduler>(std::move(half), options);
}

}  // namespace uscx::cli
