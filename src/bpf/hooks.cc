// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/hooks.h"

#include <errno.h>

#include <algorithm>

#include "bpf/bpf_system.h"
#include "bpf/prog.h"

namespace uscx::bpf {

namespace {

constexpr const char *kNoUser = "tasks make no system calls";
constexpr const char *kNoRename = "tasks keep their names";

constexpr Hook kHooks[] = {
    {HookKind::kTracepoint, "sched_switch", "void",
     "(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)", nullptr},
    {HookKind::kTracepoint, "sched_waking", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched_wakeup", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched_wakeup_new", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched_migrate_task", "void", "(struct task_struct *p, int dest_cpu)", nullptr},
    {HookKind::kTracepoint, "sched_process_exit", "void", "(struct task_struct *p, bool group_dead)", nullptr},
    {HookKind::kTracepoint, "task_newtask", "void", "(struct task_struct *task, u64 clone_flags)", nullptr},
    {HookKind::kTracepoint, "task_rename", "void", "(struct task_struct *task, const char *comm)", kNoRename},
    {HookKind::kTracepoint, "sched_process_fork", "void", "(struct task_struct *parent, struct task_struct *child)",
     "tasks are made by the workload, not by tasks"},
    {HookKind::kTracepoint, "sched_process_exec", "void",
     "(struct task_struct *p, int old_pid, struct linux_binprm *b)", kNoUser},
    {HookKind::kTracepoint, "cgroup_mkdir", "void", "(struct cgroup *cgrp, const char *path)", nullptr},
    {HookKind::kTracepoint, "cgroup_rmdir", "void", "(struct cgroup *cgrp, const char *path)", nullptr},
    {HookKind::kTracepoint, "cgroup_attach_task", "void",
     "(struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup)", nullptr},
    {HookKind::kTracepoint, "sys_enter", "void", "(struct pt_regs *regs, long id)", kNoUser},
    {HookKind::kTracepoint, "sys_exit", "void", "(struct pt_regs *regs, long ret)", kNoUser},
    {HookKind::kFunction, "scx_tick", "void", "(struct rq *rq)", nullptr},
    {HookKind::kFunction, "bpf_scx_reg", "int", "(void *kdata, struct bpf_link *link)", nullptr},
    {HookKind::kFunction, "bpf_scx_unreg", "void", "(void *kdata, struct bpf_link *link)", nullptr},
    {HookKind::kFunction, "cpuset_write_resmask", "ssize_t",
     "(struct kernfs_open_file *of, char *buf, size_t nbytes, s64 off)", "there are no cpusets"},
    {HookKind::kFunction, "__futex_wait", "int",
     "(u32 *uaddr, unsigned int flags, u32 val, struct hrtimer_sleeper *to, u32 bitset)", kNoUser},
    {HookKind::kFunction, "futex_wait_multiple", "int",
     "(struct futex_vector *vs, unsigned int count, struct hrtimer_sleeper *to)", kNoUser},
    {HookKind::kFunction, "futex_wait_requeue_pi", "int",
     "(u32 *uaddr, unsigned int flags, u32 val, s64 *abs_time, u32 bitset, u32 *uaddr2)", kNoUser},
    {HookKind::kFunction, "futex_wake", "int", "(u32 *uaddr, unsigned int flags, int nr_wake, u32 bitset)", kNoUser},
    {HookKind::kFunction, "futex_wake_op", "int",
     "(u32 *uaddr1, unsigned int flags, u32 *uaddr2, int nr_wake, int nr_wake2, int op)", kNoUser},
    {HookKind::kFunction, "futex_lock_pi", "int", "(u32 *uaddr, unsigned int flags, s64 *time, int trylock)", kNoUser},
    {HookKind::kFunction, "futex_unlock_pi", "int", "(u32 *uaddr, unsigned int flags)", kNoUser},
};

constexpr KernelVariable kVariables[] = {
    {"runqueues", "struct rq"},       {"sd_llc_id", "int"},
    {"sd_llc_size", "int"},           {"__preempt_count", "int"},
    {"hw_pressure", "unsigned long"}, {"cpufreq_cpu_data", "struct cpufreq_policy *"},
    {"sched_core_priority", "int"},
};

// Kinds of section whose programs load, and for which there is nothing to attach them to.
struct DeadSection {
  const char *prefix;
  const char *why;
};
constexpr DeadSection kDeadSections[] = {
    {"kprobe", "there is no code of the kernel to probe"},     {"kretprobe", "there is no code of the kernel to probe"},
    {"uprobe", "there is no code of user space to probe"},     {"uretprobe", "there is no code of user space to probe"},
    {"tracepoint", "tracepoints have no records here"},        {"tp", "tracepoints have no records here"},
    {"perf_event", "performance events take no samples here"},
};

}  // namespace

std::span<const Hook> list_hooks() { return kHooks; }
std::span<const KernelVariable> list_kernel_variables() { return kVariables; }

s32 find_hook(HookKind kind, std::string_view name) {
  for (size_t i = 0; i < std::size(kHooks); i++) {
    if (kHooks[i].kind == kind && name == kHooks[i].name) return static_cast<s32>(i);
  }
  return -1;
}

std::string section_note(std::string_view section) {
  const size_t slash = std::min(section.find('/'), section.size());
  std::string_view kind = section.substr(0, slash);
  const std::string_view name = section.substr(std::min(slash + 1, section.size()));
  if (kind.ends_with(".s")) kind.remove_suffix(2);
  for (const DeadSection &dead : kDeadSections) {
    if (kind == dead.prefix) return fmt::format("cannot be attached: {}", dead.why);
  }
  const bool tracepoint = kind == "tp_btf" || kind == "raw_tp" || kind == "raw_tracepoint";
  if (!tracepoint && kind != "fentry" && kind != "fexit") return "";
  const s32 hook = find_hook(tracepoint ? HookKind::kTracepoint : HookKind::kFunction, name);
  if (hook < 0) return fmt::format("cannot be loaded: {} is not there", name);
  return kHooks[hook].never == nullptr ? "" : fmt::format("never fires: {}", kHooks[hook].never);
}

HookTable::HookTable(BpfSystem &system)
    : system_(system), lists_(std::make_unique<std::atomic<Attached *>[]>(std::size(kHooks) * 2)) {}

HookTable::~HookTable() {
  for (size_t i = 0; i < std::size(kHooks) * 2; i++) delete lists_[i].load(std::memory_order_relaxed);
}

int HookTable::attach(const std::shared_ptr<Prog> &prog, u32 hook, bool on_exit) {
  std::vector<std::shared_ptr<Prog>> progs;
  if (const Attached *now = at(hook, on_exit)) progs = now->progs;
  if (std::find(progs.begin(), progs.end(), prog) != progs.end()) return -EBUSY;
  progs.push_back(prog);
  nr_attached_++;
  publish(hook, on_exit, std::move(progs));
  return 0;
}

void HookTable::detach(const Prog &prog, u32 hook, bool on_exit) {
  const Attached *now = at(hook, on_exit);
  if (now == nullptr) return;
  std::vector<std::shared_ptr<Prog>> progs = now->progs;
  const size_t removed = std::erase_if(progs, [&](const auto &one) { return one.get() == &prog; });
  nr_attached_ -= static_cast<u32>(removed);
  if (removed != 0) publish(hook, on_exit, std::move(progs));
}

void HookTable::clear() {
  for (u32 i = 0; i < std::size(kHooks) * 2; i++) {
    if (at(i / 2, i % 2 != 0) != nullptr) publish(i / 2, i % 2 != 0, {});
  }
  nr_attached_ = 0;
}

void HookTable::publish(u32 hook, bool on_exit, std::vector<std::shared_ptr<Prog>> progs) {
  Attached *next = nullptr;
  if (!progs.empty()) {
    next = new Attached();
    next->progs = std::move(progs);
    next->free = [](Deferred &item) { delete static_cast<Attached *>(&item); };
  }
  Attached *const before = lists_[hook * 2 + on_exit].exchange(next, std::memory_order_acq_rel);
  if (on_change_) on_change_();
  if (before == nullptr) return;
  before->free = [](Deferred &item) { delete static_cast<Attached *>(&item); };
  system_.defer(*before);
}

long attach_tracing(const std::shared_ptr<Prog> &prog) {
  std::string_view name = prog->system().kernel_btf().type_name(prog->attr().attach_btf_id);
  const bool tracepoint = prog->attr().expected_attach_type == BPF_TRACE_RAW_TP;
  if (tracepoint) name.remove_prefix(kTracepointPrefix.size());
  return attach_tracing(prog, find_hook(tracepoint ? HookKind::kTracepoint : HookKind::kFunction, name));
}

long attach_tracing(const std::shared_ptr<Prog> &prog, s32 hook) {
  BpfSystem &system = prog->system();
  const bool on_exit = prog->attr().expected_attach_type == BPF_TRACE_FEXIT;
  const char *never = hook < 0 ? "nothing here enters it" : kHooks[hook].never;
  if (never != nullptr) system.log(fmt::format("bpf: program {} is attached and never fires: {}", prog->name(), never));
  if (hook >= 0) {
    if (int err = system.hooks().attach(prog, static_cast<u32>(hook), on_exit); err != 0) return err;
  }
  return system.install_fd(std::make_shared<TracingLink>(system, prog, hook, on_exit));
}

TracingLink::TracingLink(BpfSystem &system, std::shared_ptr<Prog> prog, s32 hook, bool on_exit)
    : Object(system, ObjectKind::kLink, ""), prog_(std::move(prog)), hook_(hook), on_exit_(on_exit) {}

TracingLink::~TracingLink() {
  if (hook_ >= 0) system().hooks().detach(*prog_, static_cast<u32>(hook_), on_exit_);
}

}  // namespace uscx::bpf
