// SPDX-License-Identifier: GPL-2.0-only
// Loading a scheduler (docs/reference/core.md, section 13). attach() is called in host context and runs the machine
// until the enabling thread is done, or by a task that may wait (current_api()), which then waits for it. Everything
// after the scheduler object exists fails through its exit record, not through attach()'s result.
//
// A stretch of enable_work() without a wait is one segment; the fork lock keeps tasks from coming and going meanwhile.
// FIDELITY: enable-window. What enable_work() calls between its waits is not inlined (machine/fiber.h).
#include <cerrno>

#include "sched/cgroup.h"
#include "sched/current.h"
#include "sched/ext/impl.h"
#include "sched/hotplug.h"

namespace uscx::sched {

namespace {

constexpr u32 kHelperRtPriority = 50;                         // What sched_set_fifo() gives.
constexpr u64 kEnableLimitNs = 1000ull * 1000 * 1000 * 1000;  // Nothing in here may take 1000 virtual seconds.

}  // namespace

// --- SleepMutex ---

[[gnu::noinline]] bool SleepMutex::take_or_wait(Task &task) {
  machine::SpinGuard guard(lock_);
  if (owner_)
    waiters_.push_back(&task);
  else
    owner_ = &task;
  return owner_ == &task;
}

void SleepMutex::lock(KthreadApi &self) {
  while (!take_or_wait(self.self())) self.block();
}

[[gnu::noinline]] void SleepMutex::unlock(Kernel &kernel) {
  std::deque<Task *> waiters;
  {
    machine::SpinGuard guard(lock_);
    owner_ = nullptr;
    waiters.swap(waiters_);
  }
  for (Task *task : waiters) kernel.wake(*task);
}

// --- host side ---

int Ext::attach(ExtOps &ops) { return impl_->attach(ops); }

void Ext::Impl::run_until_done(const std::function<bool()> &done) {
  const u64 limit_ns = machine.loop_now_ns() + kEnableLimitNs;
  while (!done()) {
    machine.run_while([&] { return !done(); }, limit_ns);
    CHECK(done() || machine.loop_now_ns() < limit_ns, "a scheduler's enabling or disabling does not end");
  }
}

int Ext::Impl::attach(ExtOps &ops) {
  KthreadApi *task = current_api();
  CHECK(task || !machine::exec().on_cpu);
  Load load(ops);
  if (const int error = prepare_load(ops)) return error;
  if (task) {
    queue_load(load);
    enable_helper->flush(*task);
    CHECK(load.done.load_acquire());
    return load.result;
  }
  machine.run_on(0, [&] { queue_load(load); });
  run_until_done([&] { return load.done.load_acquire() && enable_helper->idle(); });
  return load.result;
}

void Ext::begin_attach(Load &load) {
  load.result = impl_->prepare_load(*load.ops);
  if (load.result)
    load.done.store_release(true);
  else
    impl_->queue_load(load);
}

int Ext::Impl::prepare_load(const ExtOps &ops) {
  const OpsConfig &config = ops.config();
  if (const int error = check_ops_config(config, machine.hz())) return error;
  if (kernel.has_isolated_cpus()) {
    kernel.log("sched_ext: Not compatible with \"isolcpus=\" domain isolation");
    return -EINVAL;
  }
  // Threads that the loading itself needs are there before a scheduler could refuse them.
  if (!enable_helper && !alloc_faults.strikes(AllocSite::enable_helper))
    enable_helper = KthreadWorker::create(kernel, "scx_enable_helper", SCHED_FIFO, kHelperRtPriority);
  if (!enable_helper) return -ENOMEM;
  kernel.works().boot();
  return 0;
}

void Ext::Impl::queue_load(Load &load) {
  load.work.fn = [this, &load](KthreadApi &self) {
    const bool is_sub = load.ops->config().sub_cgroup_id > kRootCgroupId;
    load.result = is_sub ? enable_sub(self, *load.ops) : enable_work(self, *load.ops);
    load.done.store_release(true);
  };
  enable_helper->queue(load.work);
}

// --- the enabling thread ---

int Ext::Impl::enable_work(KthreadApi &self, ExtOps &ops) {
  enable_mutex.lock(self);
  if (mutated(Mutation::ksyncs_before_check)) kick_syncs.alloc();
  if (state.load() != SCX_DISABLED || ops.sched_) {
    enable_mutex.unlock(kernel);
    return -EBUSY;
  }
  ExtSched *made = alloc_for_load(ops);
  if (!made) {
    enable_mutex.unlock(kernel);
    return -ENOMEM;
  }
  ExtSched &s = *made;
  set_state(SCX_ENABLING);
  kernel.hotplug().lock().read_lock(self);
  const bool prepared = enable_prepare(s);
  kernel.hotplug().lock().read_unlock();
  const bool ok = prepared && enable_tasks(s);
  if (ok) enable_switch(s);
  const bool enabled_now = ok && enable_finish(s);
  enable_mutex.unlock(kernel);
  if (!enabled_now) wait_disabled(self, s);
  return 0;
}

// Null: no memory, and nothing is left.
ExtSched *Ext::Impl::alloc_for_load(ExtOps &ops) {
  if (!mutated(Mutation::ksyncs_before_check) && !kick_syncs.alloc()) return nullptr;
  const bool no_hash = ops.config().flags & SCX_OPS_TID_TO_TASK && alloc_faults.strikes(AllocSite::tid_hash);
  ExtSched *made = no_hash ? nullptr : make_sched(ops, nullptr, kernel.cgroups().root());
  if (!made) kick_syncs.free();
  return made;
}

// Null: no memory, and nothing is left.
[[gnu::noinline]] ExtSched *Ext::Impl::make_sched(ExtOps &ops, ExtSched *parent, Cgroup &cgroup) {
  std::unique_ptr<ExtSched> s = ExtSched::create(kernel, ops, parent, cgroup, alloc_faults);
  if (!s || alloc_faults.strikes(AllocSite::sched_helper)) return nullptr;
  s->helper = KthreadWorker::create(kernel, "sched_ext_helper", SCHED_FIFO, kHelperRtPriority);
  if (!s->helper || alloc_faults.strikes(AllocSite::sched_kobject)) return nullptr;
  s->disable_work.fn = [this, s = s.get()](KthreadApi &helper) {
    s->parent ? disable_sub(helper, *s) : disable_work(helper, *s);
  };
  s->record->has_dispatch = ops.has(Op::dispatch);
  ops.sched_ = s.get();
  machine::SpinGuard guard(scheds_lock);
  all.write().push_back(s.get());
  return s.release();
}

// From the object to ops.init and what depends on it.
[[gnu::noinline]] bool Ext::Impl::enable_prepare(ExtSched &s) {
  init_rqs();
  nr_rejected = 0;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    Rq &rq = kernel.rq(cpu);
    machine::racy_store(rq.shared->scx.cpuperf_target, SCX_CPUPERF_ONE);
    rq.shared->scx.cpu_released = false;
  }
  cids.build(kernel.online_mask());
  root = &s;
  idle.enable(s.ops_flags, s.ops.has(Op::update_idle));
  if (!init_ops(s)) return false;
  for (Op op : {Op::cpu_online, Op::cpu_offline})
    if (s.ops.has(op)) s.arm(op);
  const u64 wanted_seq = s.ops.config().hotplug_seq;
  if (wanted_seq && wanted_seq != hotplug_seq) {
    claim_exit(s, SCX_EXIT_UNREG_KERN, static_cast<s64>(SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG),
               fmt::format("expected hotplug seq {} did not match actual {}", wanted_seq, hotplug_seq),
               static_cast<s32>(this_cpu()));
    return false;
  }
  if (!validate(s)) return false;
  if (s.ops.has(Op::cpu_acquire) || s.ops.has(Op::cpu_release))
    kernel.log("sched_ext: ops->cpu_acquire/release() are deprecated, use sched_switch TP instead");
  start_watchdog(s);
  attach_dl_servers(true, true);
  return true;
}

bool Ext::Impl::init_ops(ExtSched &s) {
  for (Op op : {Op::exit, Op::dump, Op::dump_cpu, Op::dump_task, Op::sub_attach})
    if (s.ops.has(op)) s.arm(op);
  if (s.ops.has(Op::init)) {
    const s32 ret = call(Op::init, nullptr, nullptr, [&] { return s.ops.init(); });
    if (ret) {
      error(s, fmt::format("ops.init() failed ({})", sanitize_errno(s, "init", ret)));
      return false;
    }
    s.record->flags |= SCX_EFLAG_INITIALIZED;
  }
  if (s.ops.prepare()) return true;
  error(s, fmt::format("scx_{}_enable() failed ({})", s.parent ? "sub" : "root", -ENOMEM));
  return false;
}

// Which classes have a reservation on each CPU (dl_server.h).
void Ext::Impl::attach_dl_servers(bool fair, bool ext_too) {
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    Rq &rq = kernel.rq(cpu);
    RqGuard guard(rq);
    kernel.update_rq_clock(rq);
    kernel.dl_server_attach(rq.fair_server, fair);
    kernel.dl_server_attach(rq.ext_server, ext_too);
  }
}

bool Ext::Impl::validate(ExtSched &s) {
  const char *problem = problem_of(s);
  if (problem) error(s, problem);
  return !problem;
}

// What is wrong with the table as a whole, or null.
const char *Ext::Impl::problem_of(const ExtSched &s) const {
  if (s.flag(SCX_OPS_ENQ_LAST) && !s.ops.has(Op::enqueue))
    return "SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented";
  if (s.flag(SCX_OPS_BUILTIN_IDLE_PER_NODE) && s.ops.has(Op::update_idle) && !s.flag(SCX_OPS_KEEP_BUILTIN_IDLE))
    return "SCX_OPS_BUILTIN_IDLE_PER_NODE requires CPU idle selection enabled";
  if (!s.cid_form() && (s.ops.has(Op::sub_attach) || s.ops.has(Op::sub_detach)))
    return "ops.sub_attach/detach() need the cid form";
  if (s.parent && !s.cid_form()) return "a sub-scheduler needs the cid form";
  if (s.parent && s.flag(SCX_OPS_TID_TO_TASK) && !root->flag(SCX_OPS_TID_TO_TASK))
    return "SCX_OPS_TID_TO_TASK requires the root scheduler to set it, too";
  return nullptr;
}

// Every task gets to know the scheduler, in bypass, before any runs under it.
[[gnu::noinline]] bool Ext::Impl::enable_tasks(ExtSched &s) {
  bypass(s, true);
  machine::SpinGuard groups(kernel.cgroups().lock());
  machine::WriteGuard settings(kernel.cgroups().ops_lock());
  machine::SpinGuard forks(kernel.fork_lock());
  s.arm_all();
  task_init_enabled = true;
  tid_lookup = s.flag(SCX_OPS_TID_TO_TASK);
  if (!init_cgroups(s)) return false;
  int failed = 0;
  kernel.for_each_task([&](Task &p) {
    if (failed || p.dead || (p.state() & TASK_DEAD)) return;
    failed = init_task(s, p, false);
    if (failed) return error(s, fmt::format("ops.init_task() failed ({}) for {}", failed, task_label(p)));
    {
      Kernel::TaskLock lock(kernel, p);
      set_task_state(lock.rq.lock, p, SCX_TASK_READY);
    }
    if (tid_lookup) set_tid(p, true);
  });
  return failed == 0;
}

// The switch: the class is open from here on, and every task that belongs in it changes over.
[[gnu::noinline]] void Ext::Impl::enable_switch(ExtSched &s) {
  switch_tasks(s);
  bypass(s, false);
}

void Ext::Impl::switch_tasks(ExtSched &s) {
  machine::SpinGuard forks(kernel.fork_lock());
  switching_all = !s.flag(SCX_OPS_SWITCH_PARTIAL);
  enabled = true;
  std::vector<Task *> ready;
  kernel.for_each_task([&](Task &p) {
    if (task_state(p) == SCX_TASK_READY) ready.push_back(&p);
  });
  for (Task *p : ready) {
    p->set_slice(s.slice_dfl);
    kernel.update_task_class(*p);
  }
}

[[gnu::noinline]] bool Ext::Impl::enable_finish(ExtSched &s) {
  if (s.exiting()) return false;
  set_state(SCX_ENABLED);
  const bool partial = s.flag(SCX_OPS_SWITCH_PARTIAL);
  switched_all = !partial;
  if (!partial) attach_dl_servers(false, true);
  // FIDELITY: no-uevents.
  kernel.log(fmt::format("sched_ext: BPF scheduler \"{}\" enabled{}", s.name, partial ? " (partial)" : ""));
  enable_seq.add(1);
  return true;
}

// Enabling has failed: nothing is returned before the scheduler is gone.
void Ext::Impl::wait_disabled(KthreadApi &self, ExtSched &s) {
  while (!is_disabled(s, &self.self())) self.block();
}

[[gnu::noinline]] bool Ext::Impl::is_disabled(ExtSched &s, Task *waiter) {
  machine::SpinGuard guard(s.waiter_lock);
  const bool done = s.disabled.is_complete();
  s.waiter = done ? nullptr : waiter;
  return done;
}

}  // namespace uscx::sched
