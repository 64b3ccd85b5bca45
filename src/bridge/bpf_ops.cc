// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/exec/exec.h"
#include "bpf/object/prog.h"
#include "bridge/call_frames.h"
#include "bridge/host.h"
#include "bridge/scx_ops.h"
#include "sched/ext/ext_sched.h"

namespace uscx::bridge {

using sched::Op;

// Gives a thread's frames back when it ends.
void CallFrame::make_stack() {
  struct FramesOwner {
    char *base = nullptr;
    ~FramesOwner() {
      if (base != nullptr) bpf::Region::get().free_pages(base);
    }
  };
  static thread_local FramesOwner owner;
  char *base = static_cast<char *>(bpf::Region::get().alloc_pages(bpf::Half::kReadOnly, kMaxDepth * kFrameBytes, true));
  if (owner.base == nullptr) owner.base = base;
  bpf::running().frames = base;
}

BpfOps::BpfOps(Host &host, bpf::StructOpsMap &map, bool cid_form) : host_(host) {
  // The same layout up to priv in both forms.
  const sched_ext_ops &table = *static_cast<const sched_ext_ops *>(map.table());
  config_.name = table.name;
  config_.flags = table.flags;
  config_.dispatch_max_batch = table.dispatch_max_batch;
  config_.timeout_ms = table.timeout_ms;
  config_.exit_dump_len = table.exit_dump_len;
  config_.hotplug_seq = table.hotplug_seq;
  config_.sub_cgroup_id = table.sub_cgroup_id;
  config_.cid_form = cid_form;
  for (u32 i = 0; i < static_cast<u32>(Op::count); i++) {
    const bpf::Prog *prog = map.prog(sched::op_name(static_cast<Op>(i), cid_form));
    if (!prog) continue;
    programs_[i] = prog->program();
    implemented_.set(i);
  }
}

BpfOps::~BpfOps() = default;

u64 BpfOps::call(Op op, u64 a0, u64 a1, u64 a2, u64 a3) {
  CallFrame frame;
  u64 *args = frame.args();
  args[0] = a0;
  args[1] = a1;
  args[2] = a2;
  args[3] = a3;
  const bpf::Program &program = *programs_[static_cast<u32>(op)];
  const bpf::BpfSystem::Scope scope(host_.system());
  // What has shown that it does not end is not waited for as long again, until the scheduler is gone.
  constexpr s64 kEndlessBudget = 4096;
  const bool endless = endless_ops_.load(std::memory_order_relaxed) >> static_cast<u32>(op) & 1;
  bpf::Invocation invocation(&host_.exec_env(), endless ? kEndlessBudget : bpf::Invocation::kDefaultBudget);
  bpf::Running &running = bpf::running();
  bpf::CallbackOwner *const outer = running.owner;
  running.owner = this;
  const bpf::RunResult result = bpf::run(program, reinterpret_cast<u64>(args), invocation, host_.exec_mode());
  bpf::running().owner = outer;
  invocation.release_holdings();
  if (!outer) host_.system().quiescent();
  if (result.aborted()) {
    eject(op, program, *result.abort);
    return 0;
  }
  return result.r0;
}

void BpfOps::eject(Op op, const bpf::Program &, const bpf::Abort &abort) {
  sched::ExtSched *sched = host_.ext().sched_of(*this);
  if (!sched) return;
  if (abort.reason == bpf::AbortReason::kBudget) endless_ops_ |= u64{1} << static_cast<u32>(op);
  std::string message = fmt::format("ops.{}(): {}", sched::op_name(op, config_.cid_form), abort.message);
  // One that is on its way out has its reason already, and the watchdog has had its say: CPUs that were to hang in each
  // further call would not get to its end.
  if (sched->exiting()) return host_.kernel().log(fmt::format("sched_ext: {}: {}", config().name, message));
  if (abort.reason == bpf::AbortReason::kBudget) message += "; " + host_.ext().soft_lockup();
  host_.ext().error(*sched, message);
}

namespace {
u64 as_arg(const void *pointer) { return reinterpret_cast<u64>(pointer); }
u64 as_arg(s32 value) { return static_cast<u64>(static_cast<s64>(value)); }
}  // namespace

s32 BpfOps::select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) {
  return static_cast<s32>(call(Op::select_cpu, as_arg(p), as_arg(prev_cpu), wake_flags));
}
void BpfOps::enqueue(task_struct *p, u64 enq_flags) { call(Op::enqueue, as_arg(p), enq_flags); }
void BpfOps::dequeue(task_struct *p, u64 deq_flags) { call(Op::dequeue, as_arg(p), deq_flags); }
void BpfOps::dispatch(s32 cpu, task_struct *prev) { call(Op::dispatch, as_arg(cpu), as_arg(prev)); }
void BpfOps::tick(task_struct *p) { call(Op::tick, as_arg(p)); }
void BpfOps::runnable(task_struct *p, u64 enq_flags) { call(Op::runnable, as_arg(p), enq_flags); }
void BpfOps::running(task_struct *p) { call(Op::running, as_arg(p)); }
void BpfOps::stopping(task_struct *p, bool runnable) { call(Op::stopping, as_arg(p), runnable); }
void BpfOps::quiescent(task_struct *p, u64 deq_flags) { call(Op::quiescent, as_arg(p), deq_flags); }
bool BpfOps::yield(task_struct *from, task_struct *to) { return call(Op::yield, as_arg(from), as_arg(to)) & 0xff; }
void BpfOps::set_weight(task_struct *p, u32 weight) { call(Op::set_weight, as_arg(p), weight); }
void BpfOps::set_cpumask(task_struct *p, const cpumask *mask) { call(Op::set_cpumask, as_arg(p), as_arg(mask)); }
void BpfOps::update_idle(s32 cpu, bool idle) { call(Op::update_idle, as_arg(cpu), idle); }
void BpfOps::enable(task_struct *p) { call(Op::enable, as_arg(p)); }
void BpfOps::disable(task_struct *p) { call(Op::disable, as_arg(p)); }
void BpfOps::cgroup_exit(cgroup *cgrp) { call(Op::cgroup_exit, as_arg(cgrp)); }
s32 BpfOps::cgroup_prep_move(task_struct *p, cgroup *from, cgroup *to) {
  return static_cast<s32>(call(Op::cgroup_prep_move, as_arg(p), as_arg(from), as_arg(to)));
}
void BpfOps::cgroup_move(task_struct *p, cgroup *from, cgroup *to) {
  call(Op::cgroup_move, as_arg(p), as_arg(from), as_arg(to));
}
void BpfOps::cgroup_cancel_move(task_struct *p, cgroup *from, cgroup *to) {
  call(Op::cgroup_cancel_move, as_arg(p), as_arg(from), as_arg(to));
}
void BpfOps::cgroup_set_weight(cgroup *cgrp, u32 weight) { call(Op::cgroup_set_weight, as_arg(cgrp), weight); }
void BpfOps::cgroup_set_bandwidth(cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) {
  call(Op::cgroup_set_bandwidth, as_arg(cgrp), period_us, quota_us, burst_us);
}
void BpfOps::cgroup_set_idle(cgroup *cgrp, bool idle) { call(Op::cgroup_set_idle, as_arg(cgrp), idle); }
void BpfOps::cpu_online(s32 cpu) { call(Op::cpu_online, as_arg(cpu)); }
void BpfOps::cpu_offline(s32 cpu) { call(Op::cpu_offline, as_arg(cpu)); }
s32 BpfOps::init() { return static_cast<s32>(call(Op::init)); }
void BpfOps::cpu_acquire(s32 cpu) { call(Op::cpu_acquire, as_arg(cpu)); }

s32 BpfOps::init_task(task_struct *p, scx_init_task_args *args) {
  CallFrame structs;
  return static_cast<s32>(call(Op::init_task, as_arg(p), structs.copy(args)));
}
void BpfOps::exit_task(task_struct *p, scx_exit_task_args *args) {
  CallFrame structs;
  call(Op::exit_task, as_arg(p), structs.copy(args));
}
s32 BpfOps::cgroup_init(cgroup *cgrp, scx_cgroup_init_args *args) {
  CallFrame structs;
  return static_cast<s32>(call(Op::cgroup_init, as_arg(cgrp), structs.copy(args)));
}
void BpfOps::cpu_release(s32 cpu, scx_cpu_release_args *args) {
  CallFrame structs;
  call(Op::cpu_release, as_arg(cpu), structs.copy(args));
}

void BpfOps::dump(scx_dump_ctx *ctx) {
  CallFrame structs;
  RegionString reason(ctx->reason);
  scx_dump_ctx shown = *ctx;
  shown.reason = reason.get();
  call(Op::dump, structs.copy(&shown));
}
void BpfOps::dump_cpu(scx_dump_ctx *ctx, s32 cpu, bool idle) {
  CallFrame structs;
  RegionString reason(ctx->reason);
  scx_dump_ctx shown = *ctx;
  shown.reason = reason.get();
  call(Op::dump_cpu, structs.copy(&shown), as_arg(cpu), idle);
}
void BpfOps::dump_task(scx_dump_ctx *ctx, task_struct *p) {
  CallFrame structs;
  RegionString reason(ctx->reason);
  scx_dump_ctx shown = *ctx;
  shown.reason = reason.get();
  call(Op::dump_task, structs.copy(&shown), as_arg(p));
}

// A child's table is shown as far as it is data.
u64 BpfOps::call_about_sub(Op op, const sched::OpsConfig &child, const std::string &cgroup_path) {
  CallFrame structs;
  RegionString path(cgroup_path.c_str());
  sched_ext_ops *table =
      static_cast<sched_ext_ops *>(bpf::Region::get().alloc_pages(bpf::Half::kReadOnly, sizeof(sched_ext_ops), true));
  *table = {};
  table->dispatch_max_batch = child.dispatch_max_batch;
  table->flags = child.flags;
  table->timeout_ms = child.timeout_ms;
  table->exit_dump_len = child.exit_dump_len;
  table->hotplug_seq = child.hotplug_seq;
  table->sub_cgroup_id = child.sub_cgroup_id;
  child.name.copy(table->name, SCX_OPS_NAME_LEN - 1);
  // Both callbacks take the same two pointers.
  static_assert(sizeof(scx_sub_attach_args) == sizeof(scx_sub_detach_args));
  const scx_sub_attach_args args = {.ops = table, .cgroup_path = path.get()};
  const u64 result = call(op, structs.copy(&args));
  bpf::Region::get().free_pages(table);
  return result;
}

s32 BpfOps::sub_attach(const sched::OpsConfig &child, const std::string &cgroup_path) {
  return static_cast<s32>(call_about_sub(Op::sub_attach, child, cgroup_path));
}
void BpfOps::sub_detach(const sched::OpsConfig &child, const std::string &cgroup_path) {
  call_about_sub(Op::sub_detach, child, cgroup_path);
}

void BpfOps::exit(scx_exit_info *info) {
  CallFrame structs;
  RegionString reason(info->reason), msg(info->msg), dump(info->dump);
  scx_exit_info shown = *info;
  shown.reason = reason.get();
  shown.msg = msg.get();
  shown.dump = dump.get();
  shown.bt = nullptr;
  shown.bt_len = 0;
  call(Op::exit, structs.copy(&shown));
}

}  // namespace uscx::bridge
