// SPDX-License-Identifier: GPL-2.0-only
// struct_ops binding of sched_ext: SchedExtType is what bpf(2) asks about `sched_ext_ops` and `sched_ext_ops_cid` maps,
// BpfOps is a loaded table of BPF programs as the core's ExtOps (cid_ops.h: in cid form).
#ifndef USCX_BRIDGE_SCX_OPS_H_
#define USCX_BRIDGE_SCX_OPS_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>

#include "bpf/exec/exec.h"
#include "bpf/exec/program.h"
#include "bpf/object/struct_ops.h"
#include "sched/ext/ops.h"

namespace uscx::sched {
struct ExtSched;
}

namespace uscx::bridge {

class Host;

class BpfOps : public sched::ExtOps, public bpf::CallbackOwner {
 public:
  BpfOps(Host &host, bpf::StructOpsMap &map, bool cid_form = false);
  ~BpfOps() override;

  Host &host() { return host_; }
  // The table whose program runs now on this CPU; nullptr in programs of other types (timers, syscall programs).
  static BpfOps *current() { return static_cast<BpfOps *>(bpf::running().owner); }
  // While programs of another kind run in the middle of a callback.
  class Outside {
   public:
    Outside() : outer_(bpf::running().owner) { bpf::running().owner = nullptr; }
    ~Outside() { bpf::running().owner = outer_; }
    Outside(const Outside &) = delete;
    Outside &operator=(const Outside &) = delete;

   private:
    bpf::CallbackOwner *const outer_;
  };

  s32 select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) override;
  void enqueue(task_struct *p, u64 enq_flags) override;
  void dequeue(task_struct *p, u64 deq_flags) override;
  void dispatch(s32 cpu, task_struct *prev) override;
  void tick(task_struct *p) override;
  void runnable(task_struct *p, u64 enq_flags) override;
  void running(task_struct *p) override;
  void stopping(task_struct *p, bool runnable) override;
  void quiescent(task_struct *p, u64 deq_flags) override;
  bool yield(task_struct *from, task_struct *to) override;
  void set_weight(task_struct *p, u32 weight) override;
  void set_cpumask(task_struct *p, const cpumask *mask) override;
  void update_idle(s32 cpu, bool idle) override;
  s32 init_task(task_struct *p, scx_init_task_args *args) override;
  void exit_task(task_struct *p, scx_exit_task_args *args) override;
  void enable(task_struct *p) override;
  void disable(task_struct *p) override;
  void dump(scx_dump_ctx *ctx) override;
  void dump_cpu(scx_dump_ctx *ctx, s32 cpu, bool idle) override;
  void dump_task(scx_dump_ctx *ctx, task_struct *p) override;
  s32 cgroup_init(cgroup *cgrp, scx_cgroup_init_args *args) override;
  void cgroup_exit(cgroup *cgrp) override;
  s32 cgroup_prep_move(task_struct *p, cgroup *from, cgroup *to) override;
  void cgroup_move(task_struct *p, cgroup *from, cgroup *to) override;
  void cgroup_cancel_move(task_struct *p, cgroup *from, cgroup *to) override;
  void cgroup_set_weight(cgroup *cgrp, u32 weight) override;
  void cgroup_set_bandwidth(cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us) override;
  void cgroup_set_idle(cgroup *cgrp, bool idle) override;
  s32 sub_attach(const sched::OpsConfig &child, const std::string &cgroup_path) override;
  void sub_detach(const sched::OpsConfig &child, const std::string &cgroup_path) override;
  void cpu_online(s32 cpu) override;
  void cpu_offline(s32 cpu) override;
  s32 init() override;
  void exit(scx_exit_info *info) override;
  void cpu_acquire(s32 cpu) override;
  void cpu_release(s32 cpu, scx_cpu_release_args *args) override;

 protected:
  // Runs the callback's program with these arguments; 0 when it was aborted.
  u64 call(sched::Op op, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0);

 private:
  u64 call_about_sub(sched::Op op, const sched::OpsConfig &child, const std::string &cgroup_path);
  void eject(sched::Op op, const bpf::Program &program, const bpf::Abort &abort);

  Host &host_;
  const bpf::Program *programs_[static_cast<size_t>(sched::Op::count)] = {};
  // By Op: those that have used up their budget. Relaxed: who reads it late waits longer.
  std::atomic<u64> endless_ops_ = 0;
};

class SchedExtType final : public bpf::StructOpsType {
 public:
  SchedExtType(Host &host, bool cid_form) : host_(host), cid_form_(cid_form) {}

  const char *name() const override { return cid_form_ ? "sched_ext_ops_cid" : "sched_ext_ops"; }
  int check_member(const bpf::StructOpsMember &, const bpf::Prog &, std::string *) override { return 0; }
  bool may_sleep(const bpf::StructOpsMember &member) const override;
  bpf::VerifyRules rules(const bpf::StructOpsMember &member) const override;
  int init_member(const bpf::StructOpsMember &member, const void *user_table, void *table) override;
  int validate(bpf::StructOpsMap &map) override;
  int reg(bpf::StructOpsMap &map) override;
  void unreg(bpf::StructOpsMap &map) override;

  // The scheduler that a map's programs act for; nullptr when it is not registered.
  static sched::ExtSched *sched_of(bpf::StructOpsMap *map);

 private:
  int attach(bpf::StructOpsMap &map);
  std::unique_ptr<BpfOps> make_ops(bpf::StructOpsMap &map);  // Null: not what the form asks for.
  sched::ExtSched *find(const bpf::StructOpsMap &map);
  void forget(bpf::StructOpsMap &map);

  Host &host_;
  const bool cid_form_;
  std::mutex lock_;                                // A leaf but for Ext::sched_of().
  std::map<u32, std::unique_ptr<BpfOps>> loaded_;  // By the map's id; guarded by lock_.
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_SCX_OPS_H_
