// SPDX-License-Identifier: GPL-2.0-only
// Unloading a scheduler (docs/reference/core.md, section 14), whatever the reason: work of its own helper thread, so
// that it gets the CPU whatever the scheduler has done to everybody else. When it ends, all tasks are back in their old
// classes and no operation is called any more; the object itself lives on until its user detaches.
#include "sched/cgroup.h"
#include "sched/current.h"
#include "sched/ext/impl.h"
#include "sched/hotplug.h"

namespace uscx::sched {

void Ext::Impl::disable_work(KthreadApi &self, ExtSched &s) {
  bypass(s, true);
  lock_drained(self, s);
  disable_begin(s);
  kernel.rcu().synchronize(self);
  kernel.hotplug().lock().read_lock(self);  // No CPU comes or goes while the scheduler is taken off.
  disable_end(s);
  kernel.hotplug().lock().read_unlock();
}

// Until nobody can start an operation any more.
[[gnu::noinline]] void Ext::Impl::disable_begin(ExtSched &s) {
  set_state(SCX_DISABLING);
  switched_all = false;
  switching_all = false;
  exit_cgroups(s);
  disable_tasks();
  s.dump_disabled = true;
  attach_dl_servers(true, false);
  enabled = false;
  s.disarm_all();
  idle.disable();
  kernel.works().cancel_delayed(watchdog);
  machine.cancel_timer(check_in_timer);
}

[[gnu::noinline]] void Ext::Impl::disable_end(ExtSched &s) {
  log_disabled(s);
  call_exit(s);
  remember_exit(s);
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) forget_requests(kernel.rq(cpu), s);
  root = nullptr;
  kick_syncs.free();
  enable_mutex.unlock(kernel);
  set_state(SCX_DISABLED);
  bypass(s, false);
  scx_event_stats events;
  sum_events(s, &events);
  for (const EventName &event : kEventNames)
    trace(EventType::scx_event, trace_text(event.name), static_cast<u64>(events.*event.counter));
  mark_disabled(s);
}

void Ext::Impl::call_exit(ExtSched &s) {
  machine::plain_read(s.record.get(), "an exit record");
  s.exit_info->fill(*s.record);
  if (s.ops.has(Op::exit)) call(Op::exit, nullptr, nullptr, [&] { s.ops.exit(s.exit_info->abi()); });
}

// Nothing is enqueued again for s any more.
void Ext::Impl::forget_requests(Rq &rq, const ExtSched &s) {
  machine::SpinGuard guard(rq.ext.reenq_lock);
  std::erase_if(rq.ext.reenq_users.write(), [&](const UserReenq &request) { return request.sched == &s; });
  std::erase(rq.ext.reenq_local_scheds.write(), &s);
}

// Nothing is called any more; whoever waits for that goes on.
void Ext::Impl::mark_disabled(ExtSched &s) {
  Task *waiter;
  {
    machine::SpinGuard guard(s.waiter_lock);
    s.disabled.complete();
    waiter = s.waiter;
  }
  if (waiter) kernel.wake(*waiter);
}

void Ext::Impl::disable_tasks() {
  machine::SpinGuard forks(kernel.fork_lock());
  task_init_enabled = false;
  tid_lookup = false;
  {
    machine::SpinGuard guard(tid_lock);
    by_tid.clear();
  }
  std::vector<Task *> all;
  kernel.for_each_task([&](Task &p) { all.push_back(&p); });
  for (Task *p : all) {
    kernel.update_task_class(*p);
    Kernel::TaskLock lock(kernel, *p);
    exit_task(lock.rq, *p);
  }
}

void Ext::Impl::log_disabled(ExtSched &s) {
  const ExitRecord &record = *s.record;
  kernel.log(fmt::format("sched_ext: BPF {} \"{}\" disabled ({})", s.parent ? "sub-scheduler" : "scheduler", s.name,
                         record.reason));
  if (record.kind >= SCX_EXIT_ERROR && !record.msg.empty())
    kernel.log(fmt::format("sched_ext: {}: {}", s.name, record.msg));
}

// What is told of a scheduler whose object is gone.
void Ext::Impl::remember_exit(ExtSched &s) {
  machine::SpinGuard guard(scheds_lock);
  last_ops = &s.ops;
  last_exit = s.record;
}

// --- detach ---

void Ext::detach(ExtOps &ops) { impl_->detach(ops); }

void Ext::Impl::detach(ExtOps &ops) {
  KthreadApi *task = current_api();
  CHECK(task || !machine::exec().on_cpu);
  ExtSched *s = ops.sched_;
  if (!s) return;
  if (task) {
    ext.begin_detach(ops);
    wait_disabled(*task, *s);
    s->helper->flush(*task);
    return release(ops);
  }
  machine.run_on(0, [&] { ext.begin_detach(ops); });
  run_until_done([&] { return ext.detached(ops); });
  machine.run_on(0, [&] { release(ops); });
}

void Ext::begin_detach(ExtOps &ops) {
  if (ops.sched_) impl_->claim_exit(*ops.sched_, SCX_EXIT_UNREG, 0, "", -1);
}

bool Ext::detached(const ExtOps &ops) const {
  return !ops.sched_ || (ops.sched_->disabled.is_complete() && ops.sched_->helper->idle());
}

void Ext::release(ExtOps &ops) {
  CHECK(detached(ops), "{} is released while it is loaded", ops.config().name);
  if (ops.sched_) impl_->release(ops);
}

// The user's reference goes: the object is freed after a grace period, by a worker because its helper thread must end.
void Ext::Impl::release(ExtOps &ops) {
  ExtSched *s = ops.sched_;
  if (!s->parent) remember_exit(*s);
  ops.sched_ = nullptr;
  kernel.rcu().call([this, s] {
    {
      machine::SpinGuard guard(scheds_lock);
      graveyard.push_back(s);
    }
    kernel.works().queue_unbound(reap_work);
  });
}

void Ext::Impl::reap() {
  std::vector<ExtSched *> dead;
  {
    machine::SpinGuard guard(scheds_lock);
    dead.swap(graveyard);
    for (ExtSched *s : dead) std::erase(all.write(), s);
  }
  for (ExtSched *s : dead) {
    for (u32 node = 0; node < machine.topology().nr_nodes(); node++) CHECK(s->global_dsqs[node].nr.load() == 0);
    for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) CHECK(s->cpus[cpu].bypass_dsq.nr.load() == 0);
    if (s->parent) kernel.cgroups().put(*s->cgroup);
    delete s;
  }
}

}  // namespace uscx::sched
