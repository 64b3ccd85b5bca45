// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/hooks.h"

#include <errno.h>

#include <algorithm>

#include "bpf/object/bpf_system.h"
#include "bpf/object/iter_link.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

namespace {

constexpr const char *kNoUser = "tasks make no system calls";

constexpr Hook kHooks[] = {
    {HookKind::kTracepoint, "sched/sched_switch", "void",
     "(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)", nullptr},
    {HookKind::kTracepoint, "sched/sched_waking", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched/sched_wakeup", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched/sched_wakeup_new", "void", "(struct task_struct *p)", nullptr},
    {HookKind::kTracepoint, "sched/sched_migrate_task", "void", "(struct task_struct *p, int dest_cpu)", nullptr},
    {HookKind::kTracepoint, "sched/sched_process_exit", "void", "(struct task_struct *p, bool group_dead)", nullptr},
    {HookKind::kTracepoint, "task/task_newtask", "void", "(struct task_struct *task, u64 clone_flags)", nullptr},
    {HookKind::kTracepoint, "task/task_rename", "void", "(struct task_struct *task, const char *comm)", nullptr},
    {HookKind::kTracepoint, "sched/sched_process_fork", "void",
     "(struct task_struct *parent, struct task_struct *child)", "tasks are made by the workload, not by tasks"},
    {HookKind::kTracepoint, "sched/sched_process_exec", "void",
     "(struct task_struct *p, int old_pid, struct linux_binprm *b)", kNoUser},
    {HookKind::kTracepoint, "cgroup/cgroup_mkdir", "void", "(struct cgroup *cgrp, const char *path)", nullptr},
    {HookKind::kTracepoint, "cgroup/cgroup_rmdir", "void", "(struct cgroup *cgrp, const char *path)", nullptr},
    {HookKind::kTracepoint, "cgroup/cgroup_attach_task", "void",
     "(struct cgroup *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup)", nullptr},
    {HookKind::kTracepoint, "raw_syscalls/sys_enter", "void", "(struct pt_regs *regs, long id)", kNoUser},
    {HookKind::kTracepoint, "raw_syscalls/sys_exit", "void", "(struct pt_regs *regs, long ret)", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_futex", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_exit_futex", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_futex_wait", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_exit_futex_wait", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_futex_waitv", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_exit_futex_waitv", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_futex_wake", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_exit_futex_wake", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_execve", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_execveat", "", "", kNoUser},
    {HookKind::kEvent, "syscalls/sys_enter_sched_setattr", "", "", kNoUser},
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

constexpr const char *kNoEntry = "nothing here enters it";
constexpr const char *kNoSamples = "performance events take no samples here";
constexpr const char *kNoUserCode = "there is no code of user space to probe";

// The kernel's functions that are there to be called by programs: all that can be probed beside those in the list.
bool is_kfunc(std::string_view name) {
  const auto &all = list_kfuncs();
  return std::any_of(all.begin(), all.end(), [&](const KfuncEntry *kfunc) { return name == kfunc->name; });
}

}  // namespace

std::span<const Hook> list_hooks() { return kHooks; }
std::span<const KernelVariable> list_kernel_variables() { return kVariables; }

std::string_view Hook::short_name() const {
  const std::string_view text = name;
  return text.substr(text.find('/') + 1);
}

s32 find_hook(HookKind kind, std::string_view name) {
  for (size_t i = 0; i < std::size(kHooks); i++) {
    if (kHooks[i].kind == kind && name == kHooks[i].short_name()) return static_cast<s32>(i);
  }
  return -1;
}

s32 find_event(std::string_view name) {
  for (size_t i = 0; i < std::size(kHooks); i++) {
    if (kHooks[i].kind != HookKind::kFunction && name == kHooks[i].name) return static_cast<s32>(i);
  }
  return -1;
}

namespace {

std::string never_note(s32 hook) {
  const char *never = hook < 0 ? kNoEntry : kHooks[hook].never;
  return never == nullptr ? "" : fmt::format("never fires: {}", never);
}

}  // namespace

std::string section_note(std::string_view section) {
  const size_t slash = std::min(section.find('/'), section.size());
  std::string_view kind = section.substr(0, slash);
  const std::string_view name = section.substr(std::min(slash + 1, section.size()));
  if (kind.ends_with(".s")) kind.remove_suffix(2);
  if (kind == "uprobe" || kind == "uretprobe") return fmt::format("cannot be attached: {}", kNoUserCode);
  if (kind == "perf_event") return fmt::format("never fires: {}", kNoSamples);
  if (kind == "iter")
    return find_iterator(name) != nullptr ? "" : fmt::format("cannot be loaded: {} is not there", name);
  if (kind == "kprobe" || kind == "kretprobe") {
    const s32 hook = find_hook(HookKind::kFunction, name);
    // Without a name, user space says later where it goes.
    if (name.empty() || hook >= 0 || is_kfunc(name)) return name.empty() ? "" : never_note(hook);
    return fmt::format("cannot be attached: {} is not there", name);
  }
  if (kind == "tracepoint" || kind == "tp") {
    const s32 hook = find_event(name);
    if (name.empty() || hook >= 0) return name.empty() ? "" : never_note(hook);
    return fmt::format("cannot be attached: {} is not there", name);
  }
  const bool tracepoint = kind == "tp_btf" || kind == "raw_tp" || kind == "raw_tracepoint";
  if (!tracepoint && kind != "fentry" && kind != "fexit") return "";
  const s32 hook = find_hook(tracepoint ? HookKind::kTracepoint : HookKind::kFunction, name);
  return hook < 0 ? fmt::format("cannot be loaded: {} is not there", name) : never_note(hook);
}

HookTable::HookTable(BpfSystem &system)
    : system_(system), lists_(std::make_unique<std::atomic<Attached *>[]>(std::size(kHooks) * 2)) {}

HookTable::~HookTable() {
  for (size_t i = 0; i < std::size(kHooks) * 2; i++) delete lists_[i].load(std::memory_order_relaxed);
}

int HookTable::attach(const std::shared_ptr<Prog> &prog, u32 hook, bool on_exit, u64 cookie) {
  std::vector<Attachment> list;
  if (const Attached *now = at(hook, on_exit)) list = now->list;
  if (std::any_of(list.begin(), list.end(), [&](const Attachment &one) { return one.prog == prog; })) return -EBUSY;
  list.push_back({prog, cookie});
  nr_attached_++;
  publish(hook, on_exit, std::move(list));
  return 0;
}

void HookTable::detach(const Prog &prog, u32 hook, bool on_exit) {
  const Attached *now = at(hook, on_exit);
  if (now == nullptr) return;
  std::vector<Attachment> list = now->list;
  const size_t removed = std::erase_if(list, [&](const Attachment &one) { return one.prog.get() == &prog; });
  nr_attached_ -= static_cast<u32>(removed);
  if (removed != 0) publish(hook, on_exit, std::move(list));
}

void HookTable::clear() {
  for (u32 i = 0; i < std::size(kHooks) * 2; i++) {
    if (at(i / 2, i % 2 != 0) != nullptr) publish(i / 2, i % 2 != 0, {});
  }
  nr_attached_ = 0;
}

void HookTable::publish(u32 hook, bool on_exit, std::vector<Attachment> list) {
  Attached *next = nullptr;
  if (!list.empty()) {
    next = new Attached();
    next->list = std::move(list);
    next->free = [](Deferred &item) { delete static_cast<Attached *>(&item); };
  }
  Attached *const before = lists_[hook * 2 + on_exit].exchange(next, std::memory_order_acq_rel);
  if (on_change_) on_change_();
  if (before == nullptr) return;
  before->free = [](Deferred &item) { delete static_cast<Attached *>(&item); };
  system_.defer(*before);
}

namespace {

long attach(const std::shared_ptr<Prog> &prog, std::shared_ptr<PerfEvent> event, s32 hook, bool on_exit,
            const char *never, u64 cookie) {
  BpfSystem &system = prog->system();
  if (hook >= 0) never = kHooks[hook].never;
  if (never != nullptr) system.log(fmt::format("bpf: program {} is attached and never fires: {}", prog->name(), never));
  if (hook >= 0) {
    if (int err = system.hooks().attach(prog, static_cast<u32>(hook), on_exit, cookie); err != 0) return err;
  }
  return system.install_fd(std::make_shared<TracingLink>(system, prog, std::move(event), hook, on_exit));
}

}  // namespace

long attach_tracing(const std::shared_ptr<Prog> &prog, u64 cookie) {
  std::string_view name = prog->system().kernel_btf().type_name(prog->attr().attach_btf_id);
  const bool tracepoint = prog->attr().expected_attach_type == BPF_TRACE_RAW_TP;
  if (tracepoint) name.remove_prefix(kTracepointPrefix.size());
  return attach_tracing(prog, find_hook(tracepoint ? HookKind::kTracepoint : HookKind::kFunction, name), cookie);
}

long attach_tracing(const std::shared_ptr<Prog> &prog, s32 hook, u64 cookie) {
  return attach(prog, nullptr, hook, prog->attr().expected_attach_type == BPF_TRACE_FEXIT, kNoEntry, cookie);
}

long attach_to_event(const std::shared_ptr<Prog> &prog, const std::shared_ptr<PerfEvent> &event, u64 cookie) {
  const PerfEvent::Probe *probe = event->probe();
  const u32 wanted = probe == nullptr    ? u32{BPF_PROG_TYPE_PERF_EVENT}
                     : probe->tracepoint ? u32{BPF_PROG_TYPE_TRACEPOINT}
                                         : u32{BPF_PROG_TYPE_KPROBE};
  if (prog->type() != wanted) return -EINVAL;
  if (probe == nullptr) return attach(prog, event, -1, false, kNoSamples, cookie);
  return attach(prog, event, probe->hook, probe->on_exit, kNoEntry, cookie);
}

int find_probe(BpfSystem &system, const perf_event_attr &attr, PerfEvent::Probe *probe) {
  if (attr.type == PERF_TYPE_TRACEPOINT) {
    const u64 hook = attr.config - kFirstEventId;
    if (hook >= std::size(kHooks) || kHooks[hook].kind == HookKind::kFunction) return -ENOENT;
    *probe = {static_cast<s32>(hook), true, false};
    return 0;
  }
  char name[128] = {};
  for (size_t i = 0; i < sizeof(name) - 1 && attr.kprobe_func != 0; i++) {
    if (copy_from_user(&name[i], attr.kprobe_func + i, 1) != 0) return -EFAULT;
    if (name[i] == 0) break;
  }
  const s32 hook = find_hook(HookKind::kFunction, name);
  if (hook < 0 && !is_kfunc(name)) {
    system.log(fmt::format("bpf: perf_event_open: function {} to probe is not there", name));
    return -ENOENT;
  }
  // Inside of a function there is no code.
  if (attr.probe_offset != 0) return -EILSEQ;
  *probe = {hook, false, (attr.config & 1) != 0};
  return 0;
}

void add_probe_files(VirtualFiles &files) {
  for (const char *root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    files.add(root, [] { return std::string(); });
    for (u32 i = 0; i < std::size(kHooks); i++) {
      if (kHooks[i].kind != HookKind::kFunction)
        files.add(fmt::format("{}/events/{}/id", root, kHooks[i].name),
                  [i] { return fmt::format("{}\n", kFirstEventId + i); });
    }
  }
  files.add("/sys/bus/event_source/devices/kprobe/type", [] { return fmt::format("{}\n", kKprobeEventType); });
  files.add("/sys/bus/event_source/devices/kprobe/format/retprobe", [] { return std::string("config:0\n"); });
}

TracingLink::TracingLink(BpfSystem &system, std::shared_ptr<Prog> prog, std::shared_ptr<PerfEvent> event, s32 hook,
                         bool on_exit)
    : Object(system, ObjectKind::kLink, ""),
      prog_(std::move(prog)),
      event_(std::move(event)),
      hook_(hook),
      on_exit_(on_exit) {}

TracingLink::~TracingLink() {
  if (hook_ >= 0) system().hooks().detach(*prog_, static_cast<u32>(hook_), on_exit_);
}

}  // namespace uscx::bpf
