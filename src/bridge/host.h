// SPDX-License-Identifier: GPL-2.0-only
// Host: one simulated machine with its kernel and its bpf(2), put together. A run owns one: it constructs the host,
// loads and attaches a scheduler through libbpf inside a bpf::BpfSystem::Scope of system(), creates tasks, runs the
// machine, and reads the tracer. Only two things are global: the addresses of the region, and which Host runs programs
// on this thread now.
//
// Threading: the host's thread; exec_env() and exec_mode() on any CPU.
#ifndef USCX_BRIDGE_HOST_H_
#define USCX_BRIDGE_HOST_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "bpf/exec/exec.h"
#include "bpf/object/bpf_system.h"
#include "bridge/call_sites.h"
#include "bridge/objects.h"
#include "machine/machine.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"
#include "trace/tracer.h"

namespace uscx::bridge {

class KernelEnv;

struct HostConfig {
  machine::MachineConfig machine;
  bool use_jit = true;
  sched::KernelConfig kernel;
  bool explore = false;              // Programs yield and tell of their memory accesses in explore mode.
  std::vector<trace::Sink *> sinks;  // Not owned; from the first event on, the kernel's boot included.
};

class Host {
 public:
  static Result<std::unique_ptr<Host>> create(const HostConfig &config);
  ~Host();

  trace::Tracer &tracer() { return tracer_; }
  machine::Machine &machine() { return *machine_; }
  sched::Kernel &kernel() { return kernel_; }
  sched::Ext &ext() { return kernel_.ext(); }
  bpf::BpfSystem &system() { return *system_; }

  // Text that a program prints with bpf_printk, with its virtual time; also traced.
  void set_print_listener(std::function<void(u64 time_ns, const std::string &)> listener);
  // User space that polls a descriptor of the object is to look again. Called in the middle of a program.
  void set_wakeup_listener(std::function<void(bpf::Object &)> listener);

  // Where the user-space program runs that calls bpf(2) from outside of the machine.
  void set_user_cpu(u32 cpu);
  // The environment of programs on this CPU, up to date.
  const bpf::ExecEnv &exec_env();
  bpf::ExecMode exec_mode() const { return config_.use_jit ? bpf::ExecMode::kJit : bpf::ExecMode::kInterp; }

  // Writes a wild_load event for each source line that read what is not there. Call it once for each set of loaded
  // programs, when they have ended.
  void trace_wild_loads();

 private:
  explicit Host(const HostConfig &config);
  Status init();

  HostConfig config_;
  trace::Tracer tracer_;
  std::unique_ptr<machine::Machine> machine_;
  KernelObjects objects_;
  sched::Kernel kernel_;
  std::unique_ptr<KernelEnv> env_;
  BpfCallSites call_sites_;
  std::unique_ptr<bpf::BpfSystem> system_;
  std::vector<bpf::ExecEnv> exec_envs_;  // One a CPU, and the last for host context.
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_HOST_H_
