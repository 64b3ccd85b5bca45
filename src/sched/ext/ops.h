// SPDX-License-Identifier: GPL-2.0-only
// A sched_ext scheduler as the core sees it: a table of operations, whether BPF (src/bridge) or native C++. Names,
// arguments, contexts and return values are those of struct sched_ext_ops (docs/reference/ops.md). The core calls only
// the operations that has() reports. Pointers to tasks and masks are valid during the call.
#ifndef USCX_SCHED_EXT_OPS_H_
#define USCX_SCHED_EXT_OPS_H_

#include <bitset>
#include <string>

#include "abi/kernel.h"
#include "abi/scx.h"
#include "machine/racy.h"
#include "sched/ext/op_table.h"

namespace uscx::sched {

struct ExtSched;

enum class Op : u32 {
#define X(name, cid_name, sleepable, groups, nullable) name,
  USCX_SCX_OPS(X)
#undef X
      count
};
const char *op_name(Op op, bool cid_form = false);  // "select_cpu", "select_cid"

// The data members of sched_ext_ops, as the scheduler set them (0 = default).
struct OpsConfig {
  std::string name;
  u64 flags = 0;
  u32 dispatch_max_batch = 0;
  u32 timeout_ms = 0;
  u32 exit_dump_len = 0;
  u64 hotplug_seq = 0;
  u64 sub_cgroup_id = 0;
  bool cid_form = false;  // Numbers that the table and its kfuncs speak of are cids (cids.h).
};

class ExtOps {
 public:
  virtual ~ExtOps() = default;
  const OpsConfig &config() const { return config_; }
  bool has(Op op) const { return implemented_[static_cast<u32>(op)]; }

  virtual s32 select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) { return (void)p, (void)wake_flags, prev_cpu; }
  virtual void enqueue(task_struct *, u64 enq_flags) { (void)enq_flags; }
  virtual void dequeue(task_struct *, u64 deq_flags) { (void)deq_flags; }
  virtual void dispatch(s32 cpu, task_struct *prev) { (void)cpu, (void)prev; }
  virtual void tick(task_struct *) {}
  virtual void runnable(task_struct *, u64 enq_flags) { (void)enq_flags; }
  virtual void running(task_struct *) {}
  virtual void stopping(task_struct *, bool runnable) { (void)runnable; }
  virtual void quiescent(task_struct *, u64 deq_flags) { (void)deq_flags; }
  virtual bool yield(task_struct *from, task_struct *to) { return (void)from, (void)to, false; }
  virtual void set_weight(task_struct *, u32 weight) { (void)weight; }
  virtual void set_cpumask(task_struct *, const cpumask *) {}
  virtual void update_idle(s32 cpu, bool idle) { (void)cpu, (void)idle; }
  virtual s32 init_task(task_struct *, scx_init_task_args *) { return 0; }
  virtual void exit_task(task_struct *, scx_exit_task_args *) {}
  virtual void enable(task_struct *) {}
  virtual void disable(task_struct *) {}
  virtual void dump(scx_dump_ctx *) {}
  virtual void dump_cpu(scx_dump_ctx *, s32 cpu, bool idle) { (void)cpu, (void)idle; }
  virtual void dump_task(scx_dump_ctx *, task_struct *) {}
  virtual s32 cgroup_init(cgroup *, scx_cgroup_init_args *) { return 0; }
  virtual void cgroup_exit(cgroup *) {}
  virtual s32 cgroup_prep_move(task_struct *, cgroup *from, cgroup *to) { return (void)from, (void)to, 0; }
  virtual void cgroup_move(task_struct *, cgroup *from, cgroup *to) { (void)from, (void)to; }
  virtual void cgroup_cancel_move(task_struct *, cgroup *from, cgroup *to) { (void)from, (void)to; }
  virtual void cgroup_set_weight(cgroup *, u32 weight) { (void)weight; }
  virtual void cgroup_set_bandwidth(cgroup *, u64 period_us, u64 quota_us, u64 burst_us) {
    (void)period_us, (void)quota_us, (void)burst_us;
  }
  virtual void cgroup_set_idle(cgroup *, bool idle) { (void)idle; }
  virtual s32 sub_attach(const OpsConfig &child, const std::string &cgroup_path) {
    return (void)child, (void)cgroup_path, 0;
  }
  virtual void sub_detach(const OpsConfig &child, const std::string &cgroup_path) { (void)child, (void)cgroup_path; }
  virtual void cpu_online(s32) {}
  virtual void cpu_offline(s32) {}
  virtual s32 init() { return 0; }
  // After init, and before anything else is called: what the table needs for its calls. False: no memory.
  virtual bool prepare() { return true; }
  virtual void exit(scx_exit_info *) {}
  virtual void cpu_acquire(s32 cpu) { (void)cpu; }
  virtual void cpu_release(s32 cpu, scx_cpu_release_args *) { (void)cpu; }

 protected:
  void implement(Op op) { implemented_.set(static_cast<u32>(op)); }
  OpsConfig config_;
  std::bitset<static_cast<size_t>(Op::count)> implemented_;

 private:
  friend class Ext;
  machine::Published<ExtSched *>
      sched_;  // The kernel's ops.priv: the loaded scheduler, from its enabling until its detach.
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_OPS_H_
