// SPDX-License-Identifier: GPL-2.0-only
// Kernel: the machine's operating system, as far as scheduling goes. It owns run queues, tasks, classes, kernel
// threads, RCU and the sched_ext state, and is the entry point for interrupts (MachineClient) and for the host.
//
// Lock order: task pi_lock, then rq lock(s) by CPU number, then DSQ locks (docs/LOCKING.md). Methods say which they
// need.
#ifndef USCX_SCHED_KERNEL_H_
#define USCX_SCHED_KERNEL_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "machine/machine.h"
#include "machine/sync.h"
#include "sched/class.h"
#include "sched/object_space.h"
#include "sched/rcu.h"
#include "sched/rq.h"
#include "sched/task.h"
#include "sched/work.h"

namespace uscx::sched {

class Ext;         // sched/ext/ext.h
class CpuHotplug;  // sched/hotplug.h
class CgroupTree;  // sched/cgroup.h
class TraceHooks;  // sched/trace_hooks.h

struct TaskSpec {
  std::string comm;
  TaskKind kind = TaskKind::kWorkload;
  int policy = SCHED_NORMAL;  // SCHED_FIFO and SCHED_RR take rt_priority.
  int nice = 0;
  u32 rt_priority = 0;
  const machine::CpuMask *cpus = nullptr;  // nullptr: all.
  std::unique_ptr<Behavior> behavior;
  Task *parent = nullptr;    // nullptr: init (kthreadd for kernel threads).
  Task *leader = nullptr;    // The first task of the process that the new one is a thread of; nullptr: a new process.
  u64 extra_flags = 0;       // PF_*
  Cgroup *cgroup = nullptr;  // CLONE_INTO_CGROUP; nullptr: the parent's.
};

struct KernelConfig {
  bool boot_kthreads = true;  // kthreadd, rcu_preempt, workers. Tests of a single class may leave them out.
  // isolcpus= and nohz_full=; a mask without CPUs (default) is none. CPU 0 is in neither.
  machine::CpuMask isolated, nohz_full;
};

class Kernel final : public machine::MachineClient {
 public:
  Kernel(machine::Machine &machine, ObjectSpace &objects, const KernelConfig &config = {});
  ~Kernel() override;

  machine::Machine &machine() { return machine_; }
  u32 nr_cpus() const { return static_cast<u32>(rqs_.size()); }
  Rq &rq(u32 cpu) { return *rqs_[cpu]; }
  Rq &this_rq() { return *rqs_[machine::this_cpu()]; }
  Rq &task_rq(const Task &p) { return *rqs_[p.cpu]; }
  Ext &ext() { return *ext_; }
  Rcu &rcu() { return rcu_; }
  WorkQueues &works() { return *works_; }
  CpuHotplug &hotplug() { return *hotplug_; }
  CgroupTree &cgroups() { return *cgroups_; }
  bool shutting_down() const { return shutting_down_; }  // Nothing is to be begun any more.
  ObjectSpace &objects() { return objects_; }
  // Who hears of the kernel's trace points; null: nobody. Set while the machine stands still or by the only thread that
  // runs it.
  TraceHooks *trace_hooks() const { return trace_hooks_; }
  void set_trace_hooks(TraceHooks *hooks) { trace_hooks_ = hooks; }
  u64 jiffies() const { return machine_.jiffies(); }
  u64 msecs_to_jiffies(u64 ms) const { return (ms * machine_.hz() + 999) / 1000; }

  // --- tasks ---
  // Creates a task and makes it runnable (fork and wake_up_new_task). Returns nullptr and sets *error (-errno) when
  // ops.init_task refuses it. From host context, or from a Behavior's next().
  Task *create_task(TaskSpec spec, int *error = nullptr);
  // Live tasks only, not idle ones. Valid for the segment; try_get_task() keeps it for longer.
  Task *find_task(int pid);
  Task &init_task() { return *init_; }
  Task &kthreadd() { return *kthreadd_; }
  template <typename Fn>
  void for_each_task(Fn fn) {  // Creation order, without idle tasks; fn may not create or free tasks.
    for (Task &p : tasks_.read()) fn(p);
  }
  u32 nr_tasks() const { return nr_tasks_; }
  void get_task(Task &p) { p.refs.fetch_add(1, std::memory_order_relaxed); }
  bool try_get_task(Task &p);  // False if the last reference is gone already; for a task that was found under RCU.
  void put_task(Task &p);      // The last reference frees it after a grace period.

  // --- wakeups and changes; they take the locks themselves ---
  bool wake(Task &p, u64 wake_flags = 0);  // try_to_wake_up; true if it was asleep.
  void set_user_nice(Task &p, int nice);
  void rename(Task &p, std::string_view comm);                        // By itself, or by a thread of its process.
  int set_scheduler(Task &p, int policy, u32 rt_priority, int nice);  // sched_setscheduler(2): 0 or -errno.
  int set_cpus_allowed(Task &p, const machine::CpuMask &cpus);        // sched_setaffinity(2): 0 or -EINVAL.
  void migrate_disable(Task &p);
  void migrate_enable(Task &p);
  // Recomputes p's class (ext loaded, unloaded or policy changed) and moves it there. pi_lock is taken.
  void update_task_class(Task &p);
  SchedClass &class_for(const Task &p);

  // --- for scheduling classes: rq lock held ---
  void update_rq_clock(Rq &rq);
  void resched_curr(Rq &rq);
  void wakeup_preempt(Rq &rq, Task &p, u64 flags);
  void activate_task(Rq &rq, Task &p, u64 flags);    // enqueue and on_rq = queued
  void deactivate_task(Rq &rq, Task &p, u64 flags);  // on_rq = migrating (or 0 with DEQUEUE_SLEEP), then dequeue
  void set_task_cpu(Task &p, u32 cpu);               // Between the two; traces sched_migrate_task.
  void enqueue_task(Rq &rq, Task &p, u64 flags);     // The class's, with the rq clock brought up to date before it
  void dequeue_task(Rq &rq, Task &p, u64 flags);     // unless flags has NOCLOCK.
  void add_nr_running(Rq &rq, u32 count);
  void sub_nr_running(Rq &rq, u32 count);
  // Moves a queued task that is not running to `cpu`. p's pi_lock and rq's lock are held; afterwards the lock of the rq
  // that is returned is held instead.
  Rq &move_queued_task(Rq &rq, Task &p, u32 cpu);
  // Locks another rq too, in order; may drop and retake rq's lock.
  void double_lock(Rq &rq, Rq &other);
  // CPUs that run their idle task and have nothing queued. A hint: read without locks.
  const machine::CpuMask &idle_cpus() const { return idle_cpus_; }
  void set_cpu_idle(u32 cpu, bool idle) { idle_cpus_.set_shared(cpu, idle && attracts(*rqs_[cpu])); }
  static bool attracts(const Rq &rq) { return rq.active && !rq.isolated; }
  bool has_isolated_cpus() const { return has_isolated_cpus_; }
  // A CPU without a tick that runs user code: nothing there holds up a grace period. Seen from any CPU.
  bool in_quiet_user_code(u32 cpu) const {
    return rqs_[cpu]->nohz_full && !machine_.tick_running(cpu) && rqs_[cpu]->user_running;
  }

  // --- deadline servers (dl_server.h); rq lock held, its clock up to date ---
  void dl_server_attach(DlServer &server, bool attached);
  void dl_server_start(DlServer &server);
  void dl_server_stop(DlServer &server);
  // The shares of all servers of the machine that are in use, and a new share for one; no locks held. The latter: 0 or
  // -errno.
  u64 dl_total_bandwidth();
  int dl_server_set(DlServer &server, u64 runtime_ns, u64 period_ns);
  // Its class has run, whoever let it.
  void dl_server_used(DlServer &server, u64 delta_ns) {
    if (server.state == DlServer::State::kStopped) return;
    if (server.state != DlServer::State::kThrottled && (server.left_ns -= static_cast<s64>(delta_ns)) > 0) return;
    dl_server_exhausted(server, delta_ns);
  }
  void kick_idle_balance(u32 cpu);  // Asks an idle CPU to look for work.
  // Dequeues, lets change() alter the task, and enqueues again: how every property of a queued task is changed.
  // Flags are DEQUEUE_SAVE | ...; calls put_prev/set_next for a running task. rq lock and pi_lock held.
  void sched_change(Rq &rq, Task &p, u64 flags, const std::function<void()> &change);
  // Charges the present segment's CPU; host context costs nothing.
  static void charge(machine::Cost cost) {
    if (machine::exec().on_cpu) machine::charge(cost);
  }
  // Common accounting of the current task's execution; returns the time since the last call.
  u64 update_curr_common(Rq &rq);
  void cpu_stop(u32 cpu, StopWork &work);  // Runs work on migration/N. No rq lock.
  // A CPU where p may run. If its own mask has none that takes part, p may run everywhere from now on. p's pi_lock is
  // held, and no rq lock.
  u32 select_fallback_rq(Task &p, u32 cpu);
  // A CPU of `mask` that is active, taken in turn so that tasks spread; nr_cpus() if there is none.
  u32 pick_distributed(machine::MaskView mask);
  // Keeps tasks from being created and from leaving the list of all of them, while sched_ext goes through it. Taken
  // before any pi_lock.
  machine::SpinLock &fork_lock() { return fork_lock_; }
  // Locks the rq on which p is, and stays while its lock is held. p's pi_lock is held.
  Rq &lock_task_rq(Task &p);
  // Locks p's pi_lock and its rq (which may change until both are held).
  struct TaskLock {
    Kernel &kernel;
    Task &p;
    Rq &rq;
    TaskLock(Kernel &kernel, Task &p);
    ~TaskLock();
  };

  SchedClass &stop_class() { return *classes_[SchedClass::kStop]; }
  SchedClass &dl_class() { return *classes_[SchedClass::kDl]; }
  SchedClass &rt_class() { return *classes_[SchedClass::kRt]; }
  SchedClass &fair_class() { return *classes_[SchedClass::kFair]; }
  SchedClass &ext_class() { return *classes_[SchedClass::kExt]; }
  SchedClass &idle_class() { return *classes_[SchedClass::kIdle]; }

  // --- masks ---
  // The one copy of a mask with these bits, and its kernel form (struct cpumask in object space).
  const machine::CpuMask *intern_mask(const machine::CpuMask &mask);
  const machine::CpuMask *single_cpu_mask(u32 cpu);
  const cpumask *kernel_mask(const machine::CpuMask *interned);
  u32 mask_weight(const machine::CpuMask *interned);
  const machine::CpuMask *possible_mask() const { return possible_mask_; }
  const machine::CpuMask &online_mask() const { return online_; }
  bool cpu_active(u32 cpu) const { return rqs_[cpu]->active; }
  // May p be queued on this CPU? (is_cpu_allowed: threads bound to a CPU stay for as long as it is online.)
  bool is_cpu_allowed(const Task &p, u32 cpu) const;
  // --- for hotplug.cc, which knows the order ---
  void set_cpu_active(u32 cpu, bool active);
  void set_cpu_online(u32 cpu, bool online);
  void set_cpu_dying(u32 cpu, bool dying);
  void set_rq_online(Rq &rq, bool online);  // rq lock held.
  // set_cpus_allowed() for any task, threads that are bound to a CPU included. No locks.
  void change_affinity(Task &p, const machine::CpuMask *interned);
  cpumask *online_kernel_mask();

  // --- kernel threads ---
  Task &create_kthread(const std::string &comm, std::function<void(KthreadApi &)> body, int policy = SCHED_NORMAL,
                       u32 rt_priority = 0, const machine::CpuMask *cpus = nullptr, u64 extra_flags = 0);
  // Null if the loaded scheduler has refused it: its init_task may refuse kernel threads too.
  Task *try_create_kthread(const std::string &comm, std::function<void(KthreadApi &)> body, int policy = SCHED_NORMAL,
                           u32 rt_priority = 0, const machine::CpuMask *cpus = nullptr, u64 extra_flags = 0);

  // --- messages ---
  void log(const std::string &line);  // The kernel log: traced with its time, and handed to the listener.
  void set_log_listener(std::function<void(u64 time_ns, const std::string &)> listener) {
    on_log_ = std::move(listener);
  }
  bool smt_active() const { return machine_.topology().smt_active(); }

  // --- MachineClient ---
  void on_tick() override;
  void on_resched_ipi() override;
  void on_irq_work() override;
  void on_run_end() override;
  void on_segment_end() override;

  // Invariants of everything: each runnable task in exactly one place, affinity, idle masks, counts. Between segments.
  void verify_all();

 private:
  friend class CoreTest;
  void boot();
  void schedule(bool preempt);  // One pass of __schedule on this CPU; a preempted task does not block.
  Task &pick_next_task(Rq &rq, Task &prev);
  void context_switch(Rq &rq, Task &prev, Task &next);
  void finish_dead(Task &p);
  void take_step(Rq &rq, Task &p);  // Asks the current task what it does next, and does it.
  void block_current(Task &p, bool timed);
  void yield_current(Rq &rq, Task &p);
  void begin_exit(Task &p);  // The current task's; die() is its last step.
  void die(Task &p);
  void start_user(Rq &rq, Task &p);
  void stop_user(Rq &rq);      // Accounts the work done since start_user().
  void leave_segment(Rq &rq);  // Goes on in an event of its own.
  void account_process_time(Task &p, u64 delta_ns);
  u32 select_task_rq(Task &p, u32 cpu, u64 *wake_flags);
  bool wake_locked(Task &p, u64 wake_flags);
  bool wake_before_sleep(Task &p);
  void ttwu_activate(Rq &rq, Task &p, u64 wake_flags);
  static void sleep_timer_fired(machine::SimEvent &event);
  static void continuation_fired(machine::SimEvent &event);
  // A task that is asleep and known to nobody yet; and what makes it known: pid, lists, sched_ext. 0 or -errno.
  size_t task_bytes() const;
  Task &alloc_task(TaskSpec &spec, SchedClass *fixed_class);
  void alloc_process(Task &p);
  void join_process(Task &p);
  void leave_process(Task &p);
  int register_task(Task &p, const TaskSpec &spec);
  void wake_up_new_task(Task &p);
  Task &make_idle_task(u32 cpu);
  Task &make_stop_task(u32 cpu);
  void adopt_children(Task &dead);
  void free_task(Task &p);
  void set_class(Task &p, SchedClass &sched_class);
  void set_load_weight(Task &p);
  void set_mask(Task &p, const machine::CpuMask *interned);  // What was asked for, and ts.cpus_mask.
  // What is in force, and ts.cpus_ptr.
  void use_own_mask(Task &p);
  void pin_here(Task &p);
  void migrate_disable_switch(Task &prev);
  void request_migration(Task &p);  // migration/N is to move p, which runs where it may not. No locks.
  static void migration_work(Kernel &kernel, StopWork &work);
  bool is_percpu_kthread(const Task &p) const;
  void force_cpus_allowed(Task &p, const machine::CpuMask *interned);  // The mask alone. No rq lock; pi_lock held.
  Rq &move_to_own_mask(Rq &rq, Task &p);                               // As move_queued_task().
  void push_current(Rq &rq);  // After schedule() on a CPU that goes down. No locks.
  static void push_work(Kernel &kernel, StopWork &work);
  void change_mask(Rq &rq, Task &p, const machine::CpuMask *interned);  // Both locks held.
  void verify_rq(Rq &rq);
  void init_dl_servers(Rq &rq);
  void dl_server_exhausted(DlServer &server, u64 delta_ns);
  void dl_check_starving(Rq &rq, const Task &curr);
  static void dl_timer_fired(machine::SimEvent &event);
  bool can_stop_tick(const Rq &rq) const;
  void update_tick(Rq &rq);  // Starts or stops the tick of a nohz_full CPU that is not idle.
  void remote_ticks();
  void verify_task(Task &p);

  machine::Machine &machine_;
  ObjectSpace &objects_;
  KernelConfig config_;
  machine::Published<TraceHooks *> trace_hooks_;
  Rcu rcu_;
  std::vector<std::unique_ptr<Rq>> rqs_;
  std::unique_ptr<SchedClass> classes_[SchedClass::kStop + 1];  // By rank.
  std::unique_ptr<Ext> ext_;
  std::unique_ptr<WorkQueues> works_;
  std::unique_ptr<CpuHotplug> hotplug_;
  std::unique_ptr<CgroupTree> cgroups_;
  machine::Plain<bi::list<Task, bi::member_hook<Task, ListHook, &Task::tasks_node>>> tasks_{"the list of all tasks"};
  std::map<int, Task *> by_pid_;  // Changes with the fork lock held, too.
  machine::Racy<u32> nr_tasks_;
  int next_pid_ = 1;
  u64 next_serial_ = 1;
  Task *init_ = nullptr;
  Task *kthreadd_ = nullptr;
  machine::CpuMask online_, active_, dying_;  // Changed with CpuHotplug's lock held for writing.
  machine::Racy<u32> nr_inactive_;
  const machine::CpuMask *possible_mask_ = nullptr;
  const machine::CpuMask *default_mask_ = nullptr;       // Of tasks that ask for no CPUs: not the isolated ones.
  const machine::CpuMask *housekeeping_mask_ = nullptr;  // Of kernel threads: not those without a tick either.
  bool has_isolated_cpus_ = false;
  DelayedWork remote_tick_{*this};
  struct Interned {
    machine::CpuMask mask;  // First: kernel_mask() relies on it.
    cpumask *kernel = nullptr;
    u32 weight = 0;
  };
  std::deque<Interned> masks_;                                      // In order of first use.
  std::unordered_map<u64, std::vector<Interned *>> masks_by_hash_;  // Looked up only, never iterated.
  // Of one CPU each, made at first use.
  std::unique_ptr<machine::Shared<const machine::CpuMask *>[]> single_masks_;
  machine::CpuMask idle_cpus_;
  machine::Racy<u32> distribute_cursor_;
  machine::Racy<bool> shutting_down_;
  machine::SpinLock fork_lock_{machine::SpinLock::Kind::kPrivate, "fork"};
  // Leaf locks: none is taken while one of them is held.
  machine::SpinLock pid_lock_{machine::SpinLock::Kind::kPrivate, "pid"};    // by_pid_ and zombies_.
  machine::SpinLock mask_lock_{machine::SpinLock::Kind::kPrivate, "mask"};  // masks_, masks_by_hash_, single_masks_.
  machine::SpinLock log_lock_{machine::SpinLock::Kind::kPrivate, "log"};    // Calls of the log listener.
  // Dead tasks that somebody still refers to, or whose grace period is not over.
  bi::list<Task, bi::member_hook<Task, ListHook, &Task::tasks_node>> zombies_;
  std::vector<std::pair<void *, size_t>> boot_objects_;  // Freed at the end.
  void *boot_object(size_t size);
  const sched_class *class_objects_[SchedClass::kStop + 1] = {};  // What ts.sched_class points to: opaque.
  cred *root_cred_ = nullptr;
  pid_namespace *root_pid_ns_ = nullptr;
  std::function<void(u64, const std::string &)> on_log_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_KERNEL_H_
