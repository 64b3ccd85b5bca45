// SPDX-License-Identifier: GPL-2.0-only
// Birth and death of tasks.
//
// Threading: create_task() runs in host context or as a task's step, without locks. A task's memory is freed a grace
// period after its last reference is gone.
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "sched/cgroup.h"
#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"
#include "sched/mutation.h"
#include "sched/trace_hooks.h"

namespace uscx::sched {

using machine::exec;
using machine::SpinGuard;
using trace::EventType;

namespace {

// What belongs to a task's process, which its threads share, and its own pid. Threads keep their first one's task.
struct Process {
  mm_struct mm;
  signal_struct signal;
  struct pid pid;  // Its one upid, of the root namespace, follows it.
};
constexpr size_t kProcessSize = sizeof(Process) + sizeof(upid);

Task *leader_of(Task &p) { return p.ts.group_leader == &p.ts ? nullptr : task_of(p.ts.group_leader); }

void list_add_tail(list_head &entry, list_head &head) {
  entry = {&head, head.prev};
  head.prev->next = &entry;
  head.prev = &entry;
}
void list_del(list_head &entry) {
  entry.prev->next = entry.next;
  entry.next->prev = entry.prev;
}

}  // namespace

void Kernel::set_class(Task &p, SchedClass &sched_class) {
  p.sched_class = &sched_class;
  p.ts.sched_class = class_objects_[sched_class.rank()];
}

SchedClass &Kernel::class_for(const Task &p) {
  if (p.sched_class == &stop_class() || p.sched_class == &idle_class()) return *p.sched_class;
  if (is_rt_policy(static_cast<int>(p.ts.policy))) return rt_class();
  return ext_->should_run_in_ext(p) ? ext_class() : fair_class();
}

void Kernel::set_load_weight(Task &p) {
  constexpr u32 kLoadShift = 10;  // task_struct.se.load has a higher resolution on 64-bit machines.
  p.fair.old_weight = p.fair.weight;
  p.fair.weight = p.ts.policy == SCHED_IDLE ? kIdlePolicyWeight : weight_of_nice(p.nice());
  p.ts.se.load.weight = p.fair.weight << kLoadShift;
}

size_t Kernel::task_bytes() const {
  return kCpusMaskOffset + machine::mask_words(nr_cpus()) * sizeof(machine::MaskWord);
}

Task &Kernel::alloc_task(TaskSpec &spec, SchedClass *fixed_class) {
  Task &p = *new (objects_.alloc(ObjectType::kTask, task_bytes())) Task();
  p.kernel = this;
  p.kind = spec.kind;
  p.serial = next_serial_++;
  p.behavior = std::move(spec.behavior);
  p.sleep_timer.fn = sleep_timer_fired;
  p.sleep_timer.owner = &p;
  task_struct &ts = p.ts;
  ts.__state = TASK_INTERRUPTIBLE;
  ts.flags = static_cast<u32>(spec.extra_flags);
  ts.policy = static_cast<u32>(spec.policy);
  ts.static_prio = DEFAULT_PRIO + spec.nice;
  p.rt_priority = spec.rt_priority;
  p.rr_ticks_left = rr_turn_ticks(machine_.hz());
  ts.prio = ts.normal_prio =
      is_rt_policy(spec.policy) ? MAX_RT_PRIO - 1 - static_cast<int>(spec.rt_priority) : ts.static_prio;
  std::memcpy(ts.comm, spec.comm.data(), std::min<size_t>(spec.comm.size(), TASK_COMM_LEN - 1));
  set_mask(p, spec.cpus ? intern_mask(*spec.cpus) : spec.extra_flags & PF_KTHREAD ? housekeeping_mask_ : default_mask_);
  use_own_mask(p);
  ts.start_time = machine::now_ns();
  ts.numa_preferred_nid = -1;
  ts.real_cred = root_cred_;
  ts.group_leader = spec.leader ? &spec.leader->ts : &ts;
  Task *parent = spec.parent ? spec.parent : (ts.flags & PF_KTHREAD) ? kthreadd_ : init_;
  ts.real_parent = parent ? &parent->ts : &ts;
  cgroups_->fork(p, spec.cgroup ? spec.cgroup : spec.leader ? spec.leader->cgroup.get() : nullptr);
  u32 cpu = exec().on_cpu ? machine::this_cpu() : parent ? parent->cpu.get() : 0;
  if (!p.cpus->test(cpu)) cpu = p.cpus->view().first();
  p.cpu = cpu;
  p.wake_cpu = cpu;
  CHECK(p.cpu < nr_cpus(), "task {} may run on no CPU", spec.comm);
  set_load_weight(p);
  set_class(p, fixed_class ? *fixed_class : class_for(p));
  return p;
}

void Kernel::alloc_process(Task &p) {
  auto *process = static_cast<Process *>(objects_.alloc(ObjectType::kOther, kProcessSize));
  p.process = process;
  task_struct &ts = p.ts;
  if (Task *leader = leader_of(p)) {
    ts.tgid = leader->ts.tgid;
    ts.mm = leader->ts.mm;
    ts.signal = leader->ts.signal;
  } else {
    ts.tgid = ts.pid;
    if (!p.is_kthread()) ts.mm = &process->mm;
    process->mm.mm_users.counter = 1;
    ts.signal = &process->signal;
    process->signal.thread_head = {&process->signal.thread_head, &process->signal.thread_head};
    std::fill_n(process->signal.pids, PIDTYPE_MAX, &process->pid);
  }
  ts.thread_pid = &process->pid;
  process->pid.count.refs.counter = 1;
  process->pid.numbers[0] = upid{ts.pid, root_pid_ns_};
}

void Kernel::join_process(Task &p) {
  if (Task *leader = leader_of(p)) get_task(*leader);
  p.ts.signal->nr_threads++;
  list_add_tail(p.ts.thread_node, p.ts.signal->thread_head);
}

void Kernel::leave_process(Task &p) {
  p.ts.signal->nr_threads--;
  list_del(p.ts.thread_node);
}

int Kernel::register_task(Task &p, const TaskSpec &spec) {
  p.ts.pid = next_pid_++;
  alloc_process(p);
  if (int error = ext_->fork(p)) {
    ext_->cancel_fork(p);
    return error;
  }
  join_process(p);
  tasks_.write().push_back(p);
  nr_tasks_.add(1);
  task_of(p.ts.real_parent)->nr_children++;
  {
    SpinGuard guard(pid_lock_);
    by_pid_[p.pid()] = &p;
  }
  machine_.trace(EventType::task_new, static_cast<u64>(p.pid()), machine_.tracer().text(p.comm()),
                 static_cast<u64>(static_cast<s64>(spec.nice)), static_cast<u64>(spec.kind));
  cgroups_->forked(p);
  trace_point(*this, TracePoint::task_newtask, task_arg(p));
  ext_->post_fork(p);
  return 0;
}

Task *Kernel::create_task(TaskSpec spec, int *error) {
  CHECK(spec.behavior, "task {} has nothing to do", spec.comm);
  const bool locks = !mutated(Mutation::fork_unlocked);
  if (locks) fork_lock_.lock();
  int result = spec.cgroup ? cgroups_->may_fork_into(*spec.cgroup) : 0;
  Task *p = result ? nullptr : &alloc_task(spec, nullptr);
  if (p) result = register_task(*p, spec);
  if (locks) fork_lock_.unlock();
  if (error) *error = result;
  if (result) {
    if (p) free_task(*p);
    return nullptr;
  }
  wake_up_new_task(*p);
  return p;
}

Task *Kernel::try_create_kthread(const std::string &comm, std::function<void(KthreadApi &)> body, int policy,
                                 u32 rt_priority, const machine::CpuMask *cpus, u64 extra_flags) {
  return create_task(TaskSpec{.comm = comm,
                              .kind = TaskKind::kKthread,
                              .policy = policy,
                              .rt_priority = rt_priority,
                              .cpus = cpus,
                              .behavior = make_fiber_behavior(std::move(body)),
                              .extra_flags = PF_KTHREAD | extra_flags});
}

Task &Kernel::create_kthread(const std::string &comm, std::function<void(KthreadApi &)> body, int policy,
                             u32 rt_priority, const machine::CpuMask *cpus, u64 extra_flags) {
  Task *p = try_create_kthread(comm, std::move(body), policy, rt_priority, cpus, extra_flags);
  CHECK(p, "kernel thread {}, without which there is no going on, is refused", comm);
  return *p;
}

Task &Kernel::make_idle_task(u32 cpu) {
  TaskSpec spec{
      .comm = fmt::format("swapper/{}", cpu), .kind = TaskKind::kKthread, .extra_flags = PF_KTHREAD | PF_IDLE};
  spec.cpus = single_cpu_mask(cpu);
  Task &p = alloc_task(spec, &idle_class());
  p.set_state(TASK_RUNNING);
  p.ts.on_cpu = 1;
  return p;
}

// migration/N is there from the start, asleep: it has not run before its first work.
Task &Kernel::make_stop_task(u32 cpu) {
  constexpr u32 kHighestRtPriority = MAX_RT_PRIO - 1;
  TaskSpec spec{.comm = fmt::format("migration/{}", cpu),
                .kind = TaskKind::kKthread,
                .policy = SCHED_FIFO,
                .rt_priority = kHighestRtPriority,
                .behavior = make_stop_behavior(cpu),
                .extra_flags = PF_KTHREAD | PF_NO_SETAFFINITY};
  spec.cpus = single_cpu_mask(cpu);
  Task &p = alloc_task(spec, &stop_class());
  const int error = register_task(p, spec);
  CHECK(error == 0, "error {}", error);
  return p;
}

void Kernel::finish_dead(Task &p) {
  fork_lock_.lock();
  p.dead = true;
  p.sched_class->task_dead(p);
  ext_->task_dead(p);
  leave_process(p);
  cgroups_->task_dead(p);
  tasks_.write().erase(tasks_.racy().iterator_to(p));
  task_of(p.ts.real_parent)->nr_children--;
  if (p.nr_children) adopt_children(p);
  {
    SpinGuard guard(pid_lock_);
    zombies_.push_back(p);
    by_pid_.erase(p.pid());
  }
  nr_tasks_.sub(1);
  fork_lock_.unlock();
  p.behavior.reset();
  put_task(p);
}

void Kernel::adopt_children(Task &dead) {
  for (Task &child : tasks_.read()) {
    if (child.ts.real_parent != &dead.ts) continue;
    child.ts.real_parent = &init_->ts;
    init_->nr_children++;
    dead.nr_children--;
  }
  CHECK(dead.nr_children == 0, "{} [{}]", dead.comm(), dead.pid());
}

void Kernel::put_task(Task &p) {
  const u32 refs = p.refs.fetch_sub(1, std::memory_order_acq_rel);
  CHECK(refs > 0, "pid {}", p.pid());
  if (refs > 1) return;
  CHECK(p.dead, "the last reference of {} [{}] is dropped while it lives", p.comm(), p.pid());
  rcu_.call([this, &p] {
    {
      SpinGuard guard(pid_lock_);
      zombies_.erase(zombies_.iterator_to(p));
    }
    Task *leader = leader_of(p);
    free_task(p);
    if (leader) put_task(*leader);
  });
}

bool Kernel::try_get_task(Task &p) {
  u32 refs = p.refs.load(std::memory_order_relaxed);
  while (refs && !p.refs.compare_exchange_weak(refs, refs + 1, std::memory_order_acquire)) {
  }
  return refs;
}

void Kernel::free_task(Task &p) {
  machine_.cancel_timer(p.sleep_timer);
  objects_.owner_freed(&p.ts);
  cgroups_->task_freed(p);
  if (p.process) objects_.free(ObjectType::kOther, p.process, kProcessSize);
  p.~Task();
  objects_.free(ObjectType::kTask, &p, task_bytes());
}

}  // namespace uscx::sched
