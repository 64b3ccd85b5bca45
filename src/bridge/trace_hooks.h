// SPDX-License-Identifier: GPL-2.0-only
// Runs the tracing programs that are attached to a point of the kernel. The core calls this only while programs are
// attached.
//
// Threading: as sched::TraceHooks. running_ of a CPU is used by that CPU alone.
#ifndef USCX_BRIDGE_TRACE_HOOKS_H_
#define USCX_BRIDGE_TRACE_HOOKS_H_

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "bpf/object/hooks.h"
#include "sched/trace_hooks.h"

namespace uscx::bridge {

class Host;

class TraceHookRunner final : public sched::TraceHooks {
 public:
  explicit TraceHookRunner(Host &host);

  // From when there is a system: its table, which outlives this but for the programs in it.
  void watch(bpf::HookTable &table);
  void fire(sched::TracePoint point, u64 a0, u64 a1, u64 a2, u64 a3) override;
  // The kernel function of this name is entered, or returns; the last argument is then what it returns.
  void fire_function(std::string_view name, bool on_exit, std::initializer_list<u64> args);

 private:
  void run(const bpf::HookTable::Attached &attached, u32 hook, bool on_exit, std::span<const u64> args);

  Host &host_;
  bpf::HookTable *table_ = nullptr;
  // Programs in the middle of a run, by CPU (the last for host context): one that happens to fire its own hook is not
  // run again, as in the kernel.
  std::vector<std::vector<const bpf::Prog *>> running_;
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_TRACE_HOOKS_H_
