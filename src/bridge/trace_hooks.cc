// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/trace_hooks.h"

#include <algorithm>

#include "bpf/exec/exec.h"
#include "bpf/object/prog.h"
#include "bridge/call_frames.h"
#include "bridge/env.h"
#include "bridge/host.h"
#include "bridge/scx_ops.h"
#include "bridge/trace_contexts.h"

namespace uscx::bridge {

namespace {

using sched::TracePoint;

struct Place {
  u32 hook;
  bool on_exit;
};

// Where a point of the core is in the table of hooks.
Place place_of(TracePoint point) {
  struct Name {
    bpf::HookKind kind;
    const char *name;
    bool on_exit;
  };
  static constexpr Name kNames[] = {{bpf::HookKind::kTracepoint, "sched_switch", false},
                                    {bpf::HookKind::kTracepoint, "sched_waking", false},
                                    {bpf::HookKind::kTracepoint, "sched_wakeup", false},
                                    {bpf::HookKind::kTracepoint, "sched_wakeup_new", false},
                                    {bpf::HookKind::kTracepoint, "sched_migrate_task", false},
                                    {bpf::HookKind::kTracepoint, "sched_process_exit", false},
                                    {bpf::HookKind::kTracepoint, "task_newtask", false},
                                    {bpf::HookKind::kTracepoint, "task_rename", false},
                                    {bpf::HookKind::kTracepoint, "cgroup_mkdir", false},
                                    {bpf::HookKind::kTracepoint, "cgroup_rmdir", false},
                                    {bpf::HookKind::kTracepoint, "cgroup_attach_task", false},
                                    {bpf::HookKind::kFunction, "scx_tick", false},
                                    {bpf::HookKind::kFunction, "scx_tick", true}};
  static_assert(std::size(kNames) == static_cast<size_t>(TracePoint::count));
  static const std::vector<Place> &places = *[] {
    auto *made = new std::vector<Place>();
    for (const Name &name : kNames) {
      const s32 hook = bpf::find_hook(name.kind, name.name);
      CHECK(hook >= 0, "no hook {}", name.name);
      made->push_back({static_cast<u32>(hook), name.on_exit});
    }
    return made;
  }();
  return places[static_cast<size_t>(point)];
}

}  // namespace

TraceHookRunner::TraceHookRunner(Host &host) : host_(host), running_(host.kernel().nr_cpus() + 1) {}

void TraceHookRunner::watch(bpf::HookTable &table) {
  table_ = &table;
  table.set_listener([this] { host_.kernel().set_trace_hooks(table_->any() ? this : nullptr); });
}

void TraceHookRunner::fire(TracePoint point, u64 a0, u64 a1, u64 a2, u64 a3) {
  const Place place = place_of(point);
  const bpf::HookTable::Attached *attached = table_->at(place.hook, place.on_exit);
  if (attached == nullptr) return;
  const u64 args[] = {a0, a1, a2, a3};
  run(*attached, place.hook, place.on_exit, args);
}

void TraceHookRunner::fire_function(std::string_view name, bool on_exit, std::initializer_list<u64> args) {
  const s32 hook = bpf::find_hook(bpf::HookKind::kFunction, name);
  CHECK(hook >= 0, "no hook {}", name);
  const bpf::HookTable::Attached *attached = table_->at(static_cast<u32>(hook), on_exit);
  if (attached != nullptr) run(*attached, static_cast<u32>(hook), on_exit, {args.begin(), args.size()});
}

void TraceHookRunner::run(const bpf::HookTable::Attached &attached, u32 hook, bool on_exit, std::span<const u64> args) {
  CallFrame frame;
  std::copy(args.begin(), args.end(), frame.args());
  const int pid = static_cast<int>(host_.system().env().current_pid_tgid());
  const bpf::BpfSystem::Scope scope(host_.system());
  const bpf::ExecEnv &env = host_.exec_env();
  std::vector<const bpf::Prog *> &running =
      running_[machine::exec().on_cpu ? machine::this_cpu() : running_.size() - 1];
  // It acts for its own scheduler, not for the one whose callback is under way.
  const BpfOps::Outside outside;
  for (const auto &[prog, cookie] : attached.list) {
    if (std::find(running.begin(), running.end(), prog.get()) != running.end()) continue;
    running.push_back(prog.get());
    if (machine::exec().on_cpu) machine::charge(machine::Cost::bpf_callback);
    bpf::Invocation invocation(&env);
    invocation.set_user_data(reinterpret_cast<void *>(cookie));
    const u64 context = trace_context(frame, *prog, bpf::list_hooks()[hook], args, on_exit, pid);
    const bpf::RunResult result = bpf::run(*prog->program(), context, invocation, host_.exec_mode());
    invocation.release_holdings();
    running.pop_back();
    if (result.aborted()) host_.system().env().program_aborted(*prog, *result.abort);
  }
  if (bpf::Invocation::current() == nullptr) host_.system().quiescent();
}

}  // namespace uscx::bridge
