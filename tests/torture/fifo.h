// SPDX-License-Identifier: GPL-2.0-only
// The policy that most of the others differ from in one thing: one DSQ for all.
#ifndef USCX_TESTS_TORTURE_FIFO_H_
#define USCX_TESTS_TORTURE_FIFO_H_

#include "schedulers.h"

namespace uscx::torture {

inline constexpr u64 kDsq = 1;
inline constexpr u64 kSliceNs = 200'000;

class Fifo : public TortureScheduler {
 public:
  explicit Fifo(sched::Kernel &kernel, const std::string &name = "fifo") : TortureScheduler(kernel, name) {
    using sched::Op;
    for (Op op : {Op::init, Op::exit, Op::select_cpu, Op::enqueue, Op::dispatch}) implement(op);
  }
  s32 init() override { return ext().create_dsq(sched(), kDsq, -1); }
  s32 select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) override {
    bool is_idle = false;
    const s32 cpu = ext().select_cpu_dfl(sched(), *sched::task_of(p), prev_cpu, wake_flags, &is_idle);
    if (is_idle) ext().dsq_insert(sched(), *sched::task_of(p), SCX_DSQ_LOCAL, kSliceNs, 0);
    return cpu;
  }
  void enqueue(task_struct *p, u64 enq_flags) override {
    ext().dsq_insert(sched(), *sched::task_of(p), kDsq, kSliceNs, enq_flags);
    wake_idle_cpu(p);
  }
  void dispatch(s32, task_struct *) override {
    nr_dispatches_++;
    ext().dsq_move_to_local(sched(), kDsq, 0);
  }

 protected:
  void wake_idle_cpu(task_struct *p) {
    const s32 cpu = ext().pick_idle_cpu(sched(), sched::task_of(p)->cpus_ptr(), 0);
    if (cpu >= 0) ext().kick_cpu(sched(), cpu, SCX_KICK_IDLE);
  }
};

// What they are for is said at their names in schedulers.h.
std::unique_ptr<TortureScheduler> make_group_scheduler(sched::Kernel &kernel);

}  // namespace uscx::torture

#endif  // USCX_TESTS_TORTURE_FIFO_H_
