// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers.h"

#include <deque>

#include "fifo.h"

namespace uscx::torture {
namespace {

using sched::Op;
using sched::Task;
using sched::task_of;

class Vtime final : public Fifo {
 public:
  explicit Vtime(sched::Kernel &kernel) : Fifo(kernel, "vtime") {
    for (Op op : {Op::running, Op::stopping, Op::enable, Op::set_weight, Op::set_cpumask, Op::runnable, Op::quiescent})
      implement(op);
  }
  void enqueue(task_struct *p, u64 enq_flags) override {
    ext().dsq_insert_vtime(sched(), *task_of(p), kDsq, kSliceNs, machine::racy_load(p->scx.dsq_vtime), enq_flags);
    wake_idle_cpu(p);
  }
  void running(task_struct *p) override {
    const u64 vtime = machine::racy_load(p->scx.dsq_vtime);
    if (static_cast<s64>(vtime - now_) > 0) now_ = vtime;
  }
  void stopping(task_struct *p, bool) override {
    const u64 used = kSliceNs - std::min<u64>(kSliceNs, task_of(p)->slice());
    ext().task_set_dsq_vtime(sched(), *task_of(p), machine::racy_load(p->scx.dsq_vtime) + used * 100 / weight(p));
  }
  void enable(task_struct *p) override { ext().task_set_dsq_vtime(sched(), *task_of(p), now_); }

 private:
  static u64 weight(task_struct *p) { return std::max<u64>(p->scx.weight, 1); }
  std::atomic<u64> now_ = 0;
};

class Direct final : public Fifo {
 public:
  explicit Direct(sched::Kernel &kernel) : Fifo(kernel, "direct") {}
  void enqueue(task_struct *p, u64 enq_flags) override {
    const u32 nr_cpus = kernel_.nr_cpus();
    const u32 n = counter_++;
    const u32 cpu = n % nr_cpus;
    const Task &task = *task_of(p);
    const bool elsewhere = !task.migration_disabled() && machine::MaskView(task.cpus_ptr()->bits, nr_cpus).test(cpu);
    u64 dsq = n % 3 == 0 ? u64{SCX_DSQ_GLOBAL} : SCX_DSQ_LOCAL;
    if (elsewhere && n % 3 == 1) dsq = SCX_DSQ_LOCAL_ON | cpu;
    ext().dsq_insert(sched(), *task_of(p), dsq, kSliceNs, enq_flags);
    if (dsq == SCX_DSQ_GLOBAL) wake_idle_cpu(p);
  }
  void dispatch(s32, task_struct *) override { nr_dispatches_++; }

 private:
  std::atomic<u32> counter_ = 0;
};

class Kicks final : public Fifo {
 public:
  explicit Kicks(sched::Kernel &kernel) : Fifo(kernel, "kicks") { implement(Op::tick); }
  void dispatch(s32 cpu, task_struct *prev) override {
    Fifo::dispatch(cpu, prev);
    const u32 next = (static_cast<u32>(cpu) + 1) % kernel_.nr_cpus();
    switch (counter_++ % 8) {
      case 0: ext().kick_cpu(sched(), static_cast<s32>(next), SCX_KICK_WAIT); break;
      case 3: ext().kick_cpu(sched(), static_cast<s32>(next), SCX_KICK_PREEMPT | SCX_KICK_WAIT); break;
      case 5: ext().kick_cpu(sched(), static_cast<s32>(next), SCX_KICK_PREEMPT); break;
      default: break;
    }
  }
  void tick(task_struct *) override {
    for (u32 cpu = 0; cpu < kernel_.nr_cpus(); cpu++) ext().kick_cpu(sched(), static_cast<s32>(cpu), SCX_KICK_WAIT);
  }

 private:
  std::atomic<u32> counter_ = 0;
};

// What it keeps are pids, as a BPF program's maps do: the task may have gone when its turn comes.
class Queue : public Fifo {
 public:
  explicit Queue(sched::Kernel &kernel, const std::string &name = "queue") : Fifo(kernel, name) {}
  s32 init() override { return 0; }
  s32 select_cpu(task_struct *, s32 prev_cpu, u64) override { return prev_cpu; }
  void enqueue(task_struct *p, u64 enq_flags) override {
    if (task_of(p)->is_kthread()) {
      ext().dsq_insert(sched(), *task_of(p), SCX_DSQ_LOCAL, kSliceNs, enq_flags);
      return;
    }
    push(p->pid);
    wake_idle_cpu(p);
  }
  void dispatch(s32 cpu, task_struct *) override {
    nr_dispatches_++;
    for (u32 i = 0; i < 4; i++) {
      const int pid = pop();
      if (pid == 0) return;
      Task *p = kernel_.find_task(pid);
      if (!p) continue;
      const u32 to = target(*p, static_cast<u32>(cpu));
      ext().dsq_insert(sched(), *p, SCX_DSQ_LOCAL_ON | to, kSliceNs, 0);
      if (to != static_cast<u32>(cpu)) ext().kick_cpu(sched(), static_cast<s32>(to), SCX_KICK_IDLE);
    }
  }

 protected:
  void push(int pid) {
    machine::SpinGuard guard(lock_);
    pids_.push_back(pid);
  }
  int pop() {
    machine::SpinGuard guard(lock_);
    if (pids_.empty()) return 0;
    const int pid = pids_.front();
    pids_.pop_front();
    return pid;
  }
  // A CPU where it may run when we look; a change of affinity may come in between, and then the core must cope: the
  // scheduler is not to blame for what it could not know, so the task goes to the global DSQ.
  u32 target(const Task &p, u32 cpu) {
    if (p.migration_disabled() || !p.allowed_on(cpu)) return p.cpu;
    return cpu;
  }

 private:
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "torture"};
  std::deque<int> pids_;
};

class Iterate final : public Fifo {
 public:
  explicit Iterate(sched::Kernel &kernel) : Fifo(kernel, "iterate") {}
  s32 init() override { return Fifo::init() | ext().create_dsq(sched(), kDsq + 1, -1); }
  void dispatch(s32 cpu, task_struct *) override {
    nr_dispatches_++;
    const u32 n = counter_++;
    if (n % 16 == 0) churn(cpu);
    if (n % 64 == 0) ext().dsq_reenq(sched(), kDsq, 0);
    if (n % 4 == 0) ext().dsq_peek(sched(), kDsq);
    alignas(8) bpf_iter_scx_dsq storage{};
    if (ext().iter_new(&sched(), &storage, kDsq, n % 2 ? u64{SCX_DSQ_ITER_REV} : 0) == 0) {
      for (u32 i = 0; i < 3; i++) {
        Task *p = ext().iter_next(&storage);
        if (!p) break;
        ext().move_set_slice(&storage, kSliceNs / 2);
        const bool here = !p->migration_disabled() && p->allowed_on(static_cast<u32>(cpu));
        if (here && ext().dsq_move(sched(), &storage, *p, kDsq + 1, 0, false)) break;
      }
    }
    ext().iter_destroy(&storage);
    if (!ext().dsq_move_to_local(sched(), kDsq + 1, 0)) ext().dsq_move_to_local(sched(), kDsq, 0);
  }

 private:
  void churn(s32 cpu) {
    const u64 id = 100 + static_cast<u64>(cpu) % 3;
    if (ext().create_dsq(sched(), id, -1) == 0) ext().destroy_dsq(sched(), id);
  }
  std::atomic<u32> counter_ = 0;
};

class Central final : public Queue {
 public:
  explicit Central(sched::Kernel &kernel) : Queue(kernel, "central"), nr_cpus_(kernel.nr_cpus()) {
    timer_.owner = this;
    timer_.fn = timer_fired;
  }
  ~Central() override { kernel_.machine().cancel_timer(timer_); }
  s32 init() override {
    kernel_.machine().arm_timer(timer_, machine::now_ns() + kPeriodNs);
    return 0;
  }
  void exit(scx_exit_info *info) override {
    over_ = true;
    TortureScheduler::exit(info);
  }
  void enqueue(task_struct *p, u64 enq_flags) override {
    if (task_of(p)->is_kthread()) return Queue::enqueue(p, enq_flags);
    push(p->pid);
    ext().kick_cpu(sched(), 0, SCX_KICK_PREEMPT);
  }
  void dispatch(s32 cpu, task_struct *) override {
    nr_dispatches_++;
    if (cpu != 0) return ext().kick_cpu(sched(), 0, SCX_KICK_PREEMPT);
    for (u32 to = 0; to < nr_cpus_ && ext().dispatch_nr_slots(sched()); to++) {
      const int pid = pop();
      if (pid == 0) return;
      Task *p = kernel_.find_task(pid);
      if (!p) continue;
      const u32 where = target(*p, to);
      ext().dsq_insert(sched(), *p, SCX_DSQ_LOCAL_ON | where, SCX_SLICE_INF, 0);
      if (where) ext().kick_cpu(sched(), static_cast<s32>(where), SCX_KICK_IDLE);
    }
  }

 private:
  static constexpr u64 kPeriodNs = 1'000'000;
  static void timer_fired(machine::SimEvent &event) {
    Central &self = *static_cast<Central *>(event.owner);
    sched::ExtSched *s = sched::Ext::sched_of(self);
    if (self.over_ || !s) return;
    for (u32 cpu = 0; cpu < self.nr_cpus_; cpu++) self.ext().kick_cpu(*s, static_cast<s32>(cpu), SCX_KICK_PREEMPT);
    self.kernel_.machine().arm_timer(self.timer_, machine::now_ns() + kPeriodNs);
  }
  const u32 nr_cpus_;
  machine::SimEvent timer_;
  std::atomic<bool> over_ = false;
};

class Lossy final : public Queue {
 public:
  explicit Lossy(sched::Kernel &kernel) : Queue(kernel, "lossy") { config_.timeout_ms = 60; }
  bool ends_by_itself() const override { return true; }
  void enqueue(task_struct *p, u64 enq_flags) override {
    if (!task_of(p)->is_kthread() && counter_++ % 8 == 7) return;
    Queue::enqueue(p, enq_flags);
  }

 private:
  std::atomic<u32> counter_ = 0;
};

class Faulty final : public Fifo {
 public:
  explicit Faulty(sched::Kernel &kernel) : Fifo(kernel, "faulty") {}
  bool ends_by_itself() const override { return true; }
  void dispatch(s32 cpu, task_struct *prev) override {
    Fifo::dispatch(cpu, prev);
    if (counter_++ >= 20) ext().kick_cpu(sched(), static_cast<s32>(kernel_.nr_cpus()), 0);
  }

 private:
  std::atomic<u32> counter_ = 0;
};

}  // namespace

const char *policy_name(Policy policy) {
  static constexpr const char *kNames[] = {"fifo",    "vtime",  "direct", "kicks", "queue", "iterate",
                                           "central", "groups", "tree",   "lossy", "faulty"};
  static_assert(std::size(kNames) == static_cast<size_t>(Policy::count));
  return kNames[static_cast<u32>(policy)];
}

std::unique_ptr<TortureScheduler> make_scheduler(Policy policy, sched::Kernel &kernel) {
  switch (policy) {
    case Policy::fifo: return std::make_unique<Fifo>(kernel);
    case Policy::vtime: return std::make_unique<Vtime>(kernel);
    case Policy::direct: return std::make_unique<Direct>(kernel);
    case Policy::kicks: return std::make_unique<Kicks>(kernel);
    case Policy::queue: return std::make_unique<Queue>(kernel);
    case Policy::iterate: return std::make_unique<Iterate>(kernel);
    case Policy::central: return std::make_unique<Central>(kernel);
    case Policy::groups: return make_group_scheduler(kernel);
    case Policy::tree: return make_tree_scheduler(kernel);
    case Policy::lossy: return std::make_unique<Lossy>(kernel);
    case Policy::faulty: return std::make_unique<Faulty>(kernel);
    case Policy::count: break;
  }
  CHECK(false);
  return nullptr;
}

}  // namespace uscx::torture
