// SPDX-License-Identifier: GPL-2.0-only
// The Kernel's life: construction, boot, interrupts from the machine, the end. Construction and destruction run in host
// context, between events; the on_*() entries run on the CPU concerned.
#include "sched/kernel.h"

#include "sched/cgroup.h"
#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/hotplug.h"
#include "sched/trace_hooks.h"

namespace uscx::sched {

using machine::Cost;
using machine::exec;
using machine::now_ns;

namespace {

constexpr u64 kRemoteTickNs = 1000000000;

// init and kthreadd have nothing to do once the machine is up.
class SleepForever final : public Behavior {
 public:
  Step next(Kernel &, Task &) override { return Step::block(); }
};

}  // namespace

Kernel::Kernel(machine::Machine &machine, ObjectSpace &objects, const KernelConfig &config)
    : machine_(machine),
      objects_(objects),
      config_(config),
      rcu_(*this),
      online_(machine.topology().all()),
      active_(machine.topology().all()),
      dying_(machine.nr_cpus()),
      idle_cpus_(machine.topology().all()) {
  CHECK(!exec().on_cpu);
  for (u32 cpu = 0; cpu < machine_.nr_cpus(); cpu++) rqs_.push_back(std::make_unique<Rq>());
  single_masks_ = std::make_unique<machine::Shared<const machine::CpuMask *>[]>(nr_cpus());
  possible_mask_ = default_mask_ = housekeeping_mask_ = intern_mask(machine_.topology().all());
  if (config_.isolated.nr_cpus() && !config_.isolated.view().empty()) {
    machine::CpuMask others = machine_.topology().all();
    others.and_not(config_.isolated);
    default_mask_ = housekeeping_mask_ = intern_mask(others);
    has_isolated_cpus_ = true;
  }
  if (config_.nohz_full.nr_cpus()) {
    machine::CpuMask others = *default_mask_;
    others.and_not(config_.nohz_full);
    housekeeping_mask_ = intern_mask(others);
  }
  CHECK(housekeeping_mask_->test(0), "CPU 0 keeps house");
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) {
    rqs_[cpu]->isolated = config_.isolated.test(cpu);
    rqs_[cpu]->nohz_full = config_.nohz_full.test(cpu);
    if (rqs_[cpu]->isolated) idle_cpus_.clear(cpu);
  }
  classes_[SchedClass::kStop] = make_stop_class(*this);
  classes_[SchedClass::kDl] = make_dl_class(*this);
  classes_[SchedClass::kRt] = make_rt_class(*this);
  classes_[SchedClass::kFair] = make_fair_class(*this);
  classes_[SchedClass::kExt] = make_ext_class(*this);
  classes_[SchedClass::kIdle] = make_idle_class(*this);
  for (u32 rank = 0; rank <= SchedClass::kStop; rank++)
    if (classes_[rank]) class_objects_[rank] = static_cast<const sched_class *>(boot_object(sizeof(u64)));
  ext_ = std::make_unique<Ext>(*this);
  works_ = std::make_unique<WorkQueues>(*this);
  hotplug_ = std::make_unique<CpuHotplug>(*this);
  cgroups_ = std::make_unique<CgroupTree>(*this);
  machine_.set_client(this);
  boot();
}

void *Kernel::boot_object(size_t size) {
  void *object = objects_.alloc(ObjectType::kOther, size);
  boot_objects_.emplace_back(object, size);
  return object;
}

void Kernel::boot() {
  root_cred_ = static_cast<cred *>(boot_object(sizeof(cred)));
  root_pid_ns_ = static_cast<pid_namespace *>(boot_object(sizeof(pid_namespace)));

  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) {
    Rq &rq = *rqs_[cpu];
    rq.cpu = cpu;
    rq.lock.set_place(cpu);
    rq.shared = static_cast<struct rq *>(objects_.alloc(ObjectType::kRq, sizeof(struct rq)));
    rq.shared->cpu = static_cast<int>(cpu);
    rq.continuation.fn = continuation_fired;
    rq.continuation.cpu = cpu;
    rq.fair.slice_timer.cpu = cpu;
    rq.next_class = &idle_class();
    init_dl_servers(rq);
    rq.idle = &make_idle_task(cpu);
    rq.curr = rq.idle;
    rq.shared->idle = rq.shared->curr = &rq.idle->ts;
    machine_.cpu_entered_idle(cpu);
    RqGuard guard(rq);
    set_rq_online(rq, true);
  }

  TaskSpec init{.comm = "init", .kind = TaskKind::kOther, .behavior = std::make_unique<SleepForever>()};
  init_ = create_task(std::move(init));
  TaskSpec kthreadd{.comm = "kthreadd",
                    .kind = TaskKind::kKthread,
                    .behavior = std::make_unique<SleepForever>(),
                    .extra_flags = PF_KTHREAD};
  kthreadd_ = create_task(std::move(kthreadd));
  if (config_.boot_kthreads) rcu_.boot();
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) rqs_[cpu]->stop = &make_stop_task(cpu);
  if (config_.boot_kthreads) works_->boot();
  if (housekeeping_mask_ == default_mask_) return;
  remote_tick_.work.fn = [this](KthreadApi &) { remote_ticks(); };
  works_->queue_delayed_unbound(remote_tick_, kRemoteTickNs);
}

Kernel::~Kernel() {
  CHECK(!exec().on_cpu);
  shutting_down_ = true;
  // Behaviours first: fibers are unwound, and their frames may refer to anything below.
  for (Task &p : tasks_.racy()) {
    machine_.cancel_timer(p.sleep_timer);
    p.behavior.reset();
  }
  for (auto &rq : rqs_) {
    machine_.cancel_timer(rq->continuation);
    machine_.cancel_timer(rq->fair.slice_timer);
    machine_.cancel_timer(rq->fair_server.timer);
    machine_.cancel_timer(rq->ext_server.timer);
    machine_.cancel_run(rq->cpu);
    machine_.stop_tick(rq->cpu);
  }
  rcu_.drain();
  machine_.cancel_timer(remote_tick_.timer);
  hotplug_.reset();
  works_.reset();
  ext_.reset();
  rcu_.drain();
  for (auto &rq : rqs_) {
    rq->fair.tree.racy().clear();
    rq->rt.queue.racy().clear();
    rq->stop_works.racy().clear_and_dispose([](StopWork *work) { work->drop(); });
    rq->ext.runnable_list.racy().clear();
    rq->ext.ddsp_deferred_locals.racy().clear();
    rq->ext.local_dsq.list.racy().clear();
    rq->ext.local_dsq.priq.clear();
  }
  tasks_.racy().clear_and_dispose([this](Task *p) { free_task(*p); });
  zombies_.clear_and_dispose([this](Task *p) { free_task(*p); });
  for (auto &rq : rqs_) {
    free_task(*rq->idle);
    objects_.free(ObjectType::kRq, rq->shared, sizeof(struct rq));
  }
  for (Interned &interned : masks_) objects_.free(ObjectType::kCpumask, interned.kernel, sizeof(cpumask));
  rcu_.drain();
  cgroups_.reset();
  for (auto [object, size] : boot_objects_) objects_.free(ObjectType::kOther, object, size);
  machine_.set_client(nullptr);
}

Task *Kernel::find_task(int pid) {
  machine::SpinGuard guard(pid_lock_);
  auto it = by_pid_.find(pid);
  return it == by_pid_.end() ? nullptr : it->second;
}

void Kernel::log(const std::string &line) {
  machine_.trace(trace::EventType::log, machine_.tracer().text(line));
  if (!on_log_) return;
  machine::SpinGuard guard(log_lock_);
  on_log_(now_ns(), line);
}

// --- interrupts ---

void Kernel::on_tick() {
  Rq &rq = this_rq();
  {
    RqGuard guard(rq);
    update_rq_clock(rq);
    rq.curr->sched_class->task_tick(rq, *rq.curr);
  }
  // The handler looks at the clock when it begins, so a task picked at its end starts a little after the tick, and a
  // slice of whole ticks has not quite run out that many ticks later.
  charge(Cost::tick);
  rcu_.tick(rq.cpu);
  trace_point(*this, TracePoint::scx_tick, reinterpret_cast<u64>(rq.shared));
  ext_->tick_check();
  trace_point(*this, TracePoint::scx_tick_exit, reinterpret_cast<u64>(rq.shared));
}

// --- CPUs without a tick ---

bool Kernel::can_stop_tick(const Rq &rq) const {
  if (rq.nr_running_servers) return false;
  if (!rq.rt.queue.read().empty()) return true;  // SCHED_FIFO has no slices.
  return ext_->can_stop_tick(rq) && rq.fair.nr_queued <= 1;
}

void Kernel::update_tick(Rq &rq) {
  if (rq.curr == rq.idle) return;
  can_stop_tick(rq) ? machine_.stop_tick(rq.cpu) : machine_.start_tick(rq.cpu);
}

// Once a second somebody else makes the tick of each CPU that has stopped its own while it is busy.
void Kernel::remote_ticks() {
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) {
    Rq &rq = *rqs_[cpu];
    if (!rq.nohz_full || !online_.test(cpu)) continue;
    RqGuard guard(rq);
    if (rq.curr == rq.idle || machine_.tick_running(cpu)) continue;
    update_rq_clock(rq);
    rq.curr->sched_class->task_tick(rq, *rq.curr);
  }
  works_->queue_delayed_unbound(remote_tick_, kRemoteTickNs);
}

// The sender has set need_resched already, under the rq lock; only idle CPUs are asked for more.
void Kernel::on_resched_ipi() {
  Rq &rq = this_rq();
  if (!rq.balance_kick.exchange(false)) return;
  if (rq.curr == rq.idle) rq.need_resched = true;
}

void Kernel::on_irq_work() {
  rcu_.irq_work(machine::this_cpu());
  ext_->irq_work();
}

void Kernel::on_run_end() {
  Rq &rq = this_rq();
  CHECK(rq.user_running, "the run of CPU {} ends, but none was started", rq.cpu);
  rq.user_running = false;
  rq.curr->run_left_ns = 0;
}

void Kernel::continuation_fired(machine::SimEvent &) {
  // on_segment_end() goes on.
}

}  // namespace uscx::sched
