// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/host.h"

#include "abi/btf.h"
#include "bpf/exec/program.h"
#include "bpf/object/hooks.h"
#include "bpf/object/prog.h"
#include "bridge/env.h"
#include "bridge/scx_ops.h"
#include "bridge/tcp_ops.h"

namespace uscx::bridge {

namespace {
trace::Tracer &with_sinks(trace::Tracer &tracer, const std::vector<trace::Sink *> &sinks) {
  for (trace::Sink *sink : sinks) tracer.add_sink(sink);
  return tracer;
}
}  // namespace

Host::Host(const HostConfig &config)
    : config_(config),
      tracer_(config.machine.topology.nr_cpus()),
      machine_(machine::Machine::create(config.machine, with_sinks(tracer_, config.sinks))),
      kernel_(*machine_, objects_, config.kernel),
      env_(std::make_unique<KernelEnv>(*this)),
      exec_envs_(config.machine.topology.nr_cpus() + 1) {
  for (u32 cpu = 0; cpu < machine_->nr_cpus(); cpu++) exec_envs_[cpu].cpu = cpu;
  for (bpf::ExecEnv &env : exec_envs_) env.listener = env_.get();
}

Result<std::unique_ptr<Host>> Host::create(const HostConfig &config) {
  std::unique_ptr<Host> host(new Host(config));
  if (Status status = host->init(); !status.ok()) return status;
  return host;
}

Status Host::init() {
  bpf::BpfSystem::Options options;
  const std::span<const std::byte> base = abi::base_btf();
  options.base_btf = {reinterpret_cast<const u8 *>(base.data()), base.size()};
  options.nr_possible_cpus = kernel_.nr_cpus();
  options.hz = machine_->hz();
  options.use_jit = config_.use_jit;
  options.explore = config_.explore;
  for (bool cid_form : {false, true}) options.struct_ops.push_back(std::make_unique<SchedExtType>(*this, cid_form));
  options.struct_ops.push_back(std::make_unique<TcpCongestionType>());
  Result<std::unique_ptr<bpf::BpfSystem>> system = bpf::BpfSystem::create(*env_, std::move(options));
  if (!system.ok()) return system.status();
  system_ = system.take();
  env_->watch_hooks();
  ext().set_call_sites(&call_sites_);
  system_->files().add("/sys/kernel/sched_ext/hotplug_seq",
                       [this] { return fmt::format("{}\n", ext().hotplug_seq()); });
  system_->files().add("/sys/devices/system/cpu/online",
                       [this] { return kernel_.online_mask().view().to_list() + "\n"; });
  objects_.set_owner_freed_listener([this](void *object) { system_->owner_freed(object); });
  return Status();
}

Host::~Host() {
  // What programs are attached to goes first, as long as grace periods end.
  if (system_) system_->hooks().clear();
  // Objects go before the kernel they refer to; tasks that the kernel frees afterwards have no storage left.
  kernel_.rcu().drain();
  objects_.set_owner_freed_listener(nullptr);
  system_.reset();
}

void Host::set_print_listener(std::function<void(u64, const std::string &)> listener) {
  env_->on_print = std::move(listener);
}

void Host::set_wakeup_listener(std::function<void(bpf::Object &)> listener) { env_->on_wakeup = std::move(listener); }

void Host::set_user_cpu(u32 cpu) {
  CHECK(cpu + 1 < exec_envs_.size());
  exec_envs_.back().cpu = cpu;
  env_->set_user_cpu(cpu);
}

const bpf::ExecEnv &Host::exec_env() {
  const u32 place = machine::exec().on_cpu ? machine::this_cpu() : machine_->nr_cpus();
  exec_envs_[place].current_task = reinterpret_cast<u64>(env_->current_task());
  return exec_envs_[place];
}

void Host::trace_wild_loads() {
  for (const std::shared_ptr<bpf::Prog> &prog : system_->programs()) {
    if (!prog->program()) continue;
    for (const bpf::WildLoad &load : prog->program()->wild_loads())
      machine_->trace(trace::EventType::wild_load,
                      tracer_.text(prog->name() + ": " + prog->program()->place(load.insn)), load.count);
  }
}

}  // namespace uscx::bridge
