// SPDX-License-Identifier: GPL-2.0-only
#include "cli/scheduler.h"

#include "cli/object_scheduler.h"
#include "cli/run.h"
#include "cli/scheduler_registry.h"

namespace uscx::cli {
namespace {

// No BPF scheduler: all tasks are in the fair class.
class FairOnly final : public SchedulerUnderTest {
 public:
  Status run(RunHost &run) override {
    run.advance_to_end();
    return Status::ok_status();
  }
};

// One of ours. Its main() is the user half; time passes while it sleeps.
class Builtin final : public SchedulerUnderTest, private SchedulerHost {
 public:
  Builtin(const BuiltinScheduler &scheduler, const RunOptions &options) : scheduler_(scheduler), options_(options) {}

  Status run(RunHost &run) override {
    run_ = &run;
    std::vector<std::string> args = {scheduler_.name};
    args.insert(args.end(), options_.scheduler_args.begin(), options_.scheduler_args.end());
    std::vector<char *> argv;
    for (std::string &arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    const bpf::BpfSystem::Scope scope(run.host().system());
    const int status = scheduler_.main(static_cast<int>(args.size()), argv.data(), *this);
    const bool attached = run.host().ext().enable_seq() > 0;
    run_ = nullptr;
    if (status != 0 && !attached) return Status::error("");  // It has said why.
    return Status::ok_status();
  }

 private:
  int configure(struct bpf_object *object) override {
    const Status status = assign_all(object, options_.sets, options_.ops);
    if (status.ok()) return 0;
    print(fmt::format("uscx: {}\n", status.message()));
    return -EINVAL;
  }
  void sleep_ns(uint64_t ns) override { run_->advance(ns); }
  bool exit_requested() const override { return run_->over(); }
  void print(std::string_view text) override { run_->print(text); }

  const BuiltinScheduler scheduler_;
  const RunOptions &options_;
  RunHost *run_ = nullptr;
};

}  // namespace

bool is_scheduler_file(std::string_view name) {
  return name.find('/') != std::string_view::npos || name.ends_with(".bpf.o");
}

Result<std::unique_ptr<SchedulerUnderTest>> make_scheduler(const RunOptions &options) {
  using Made = std::unique_ptr<SchedulerUnderTest>;
  if (is_scheduler_file(options.scheduler)) return make_object_scheduler(options);
  if (options.scheduler == "fair") {
    if (!options.scheduler_args.empty()) return Status::error("fair takes no arguments");
    if (!options.sets.empty() || !options.ops.empty()) return Status::error("fair has no object for --set and --ops");
    return Made(std::make_unique<FairOnly>());
  }
  std::string known = "fair";
  for (const BuiltinScheduler &scheduler : builtin_schedulers()) {
    if (options.scheduler == scheduler.name) return Made(std::make_unique<Builtin>(scheduler, options));
    known += std::string(", ") + scheduler.name;
  }
  return Status::error("unknown scheduler '{}'; ours are {}, and a file has a slash or ends in .bpf.o", options.scheduler,
                       known);
}

}  // namespace uscx::cli
