// SPDX-License-Identifier: GPL-2.0-only
// Loading and unloading of sub-schedulers (docs/reference/core.md, sections 13, 14 and 21): the same steps as a root
// scheduler's (enable.cc, disable.cc), with tasks that change hands instead of classes. Work of the enabling thread and
// of the scheduler's own helper; a stretch without a wait is one segment.
#include <cerrno>

#include "sched/cgroup.h"
#include "sched/ext/impl.h"
#include "sched/hotplug.h"

namespace uscx::sched {

// --- tasks that change hands ---

// Makes p known to s while it still is another's: 0, or -errno as init_task gave it.
int Ext::Impl::init_for_sub(ExtSched &s, Task &p) {
  if (const int failed = call_init_task(s, p, false)) return failed;
  // The task may run or wait under its present scheduler meanwhile, so its flags are its CPU's.
  if (mutated(Mutation::sub_init_unlocked)) {
    p.set_scx_flags(Owner::because("nobody would change them now"), SCX_TASK_SUB_INIT);
    return 0;
  }
  Kernel::TaskLock lock(kernel, p);
  p.set_scx_flags(lock.rq.lock, SCX_TASK_SUB_INIT);
  return 0;
}

// p's locks are held. The scheduler that has it, if one has, is told as if p ended; `to` has been told by
// init_for_sub().
void Ext::Impl::change_owner(Rq &rq, Task &p, ExtSched &to) {
  const bool was_enabled = task_state(p) == SCX_TASK_ENABLED;
  exit_task(rq, p);
  p.clear_scx_flags(rq.lock, SCX_TASK_SUB_INIT);
  for (u32 state : {SCX_TASK_INIT_BEGIN, SCX_TASK_INIT}) set_task_state(rq.lock, p, state);
  adopt(rq.lock, to, p);
  set_task_state(rq.lock, p, SCX_TASK_READY);
  if (!was_enabled) return;
  p.set_slice(to.slice_dfl);
  enable_task(rq, p);
}

void Ext::Impl::hand_over(Task &p, ExtSched &to) {
  {
    Kernel::TaskLock lock(kernel, p);
    auto change = [&] { change_owner(lock.rq, p, to); };
    if (in_ext(&p))
      kernel.sched_change(lock.rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE, change);
    else
      change();
  }
  kernel.update_task_class(p);  // One without a scheduler was in another class.
}

// Nobody would have p: it goes on in the class below until somebody takes it. FIDELITY: sub-orphan.
void Ext::Impl::orphan(Task &p) {
  p.no_scheduler = true;
  kernel.update_task_class(p);
  Kernel::TaskLock lock(kernel, p);
  exit_task(lock.rq, p);
}

// All tasks of the group are made known to s first, so that one that s refuses changes nothing.
[[gnu::noinline]] bool Ext::Impl::take_tasks(ExtSched &s) {
  machine::SpinGuard forks(kernel.fork_lock());
  s.arm_all();
  std::vector<Task *> taken;
  int failed = 0;
  kernel.for_each_task([&](Task &p) {
    if (failed || p.dead || !p.cgroup->is_below(*s.cgroup)) return;
    failed = init_for_sub(s, p);
    if (failed) return error(s, fmt::format("ops.init_task() failed ({}) for {}", failed, task_label(p)));
    taken.push_back(&p);
  });
  if (!failed) {
    s.open = true;
    for (Task *p : taken) hand_over(*p, s);
    return true;
  }
  for (Task *p : taken) {
    Kernel::TaskLock lock(kernel, *p);
    p->clear_scx_flags(lock.rq.lock, SCX_TASK_SUB_INIT);
    tell_exit(s, lock.rq, *p, true);
  }
  return false;
}

// To the parent, and what nobody had with them.
[[gnu::noinline]] void Ext::Impl::give_back_tasks(ExtSched &s) {
  machine::SpinGuard forks(kernel.fork_lock());
  s.open = false;
  ExtSched &parent = *s.parent;
  std::vector<Task *> tasks;
  kernel.for_each_task([&](Task &p) {
    const bool stray = p.no_scheduler && p.cgroup->is_below(*s.cgroup);
    if (!p.dead && (p.ext_sched == &s || stray)) tasks.push_back(&p);
  });
  for (Task *p : tasks) {
    const int failed = init_for_sub(parent, *p);
    if (!failed) {
      hand_over(*p, parent);
      continue;
    }
    error(parent,
          fmt::format("ops.init_task() failed ({}) for {} while disabling a sub-scheduler", failed, task_label(*p)));
    orphan(*p);
  }
}

// --- loading ---

// Where a scheduler for this group would go: 0 or -errno.
int Ext::Impl::place_sub(u64 cgroup_id, ExtSched **parent, Cgroup **cgroup) {
  if (!root || state.load() != SCX_ENABLED) return -ENODEV;
  Cgroup *found = kernel.cgroups().find_id(cgroup_id);
  if (!found) return -ENOENT;
  ExtSched &above = sched_for(*found, false);
  if (above.exiting()) return -ENODEV;
  if (above.cgroup == found) return -EBUSY;
  for (ExtSched *below : subtree(above))
    if (below != &above && below->cgroup->is_below(*found)) return -EBUSY;
  if (!above.has(Op::sub_attach)) return -EOPNOTSUPP;
  if (!kernel.cgroups().try_get(*found)) return -ENOENT;
  *parent = &above;
  *cgroup = found;
  return 0;
}

[[gnu::noinline]] ExtSched *Ext::Impl::begin_sub(ExtOps &ops, int *result) {
  ExtSched *parent = nullptr;
  Cgroup *cgroup = nullptr;
  *result = ops.sched_ ? -EBUSY : place_sub(ops.config().sub_cgroup_id, &parent, &cgroup);
  if (*result) return nullptr;
  ExtSched *s = make_sched(ops, parent, *cgroup);  // Keeps the reference.
  if (!s) {
    kernel.cgroups().put(*cgroup);
    *result = -ENOMEM;
    return nullptr;
  }
  link_sub(*s);
  // Whoever ends the parent or the group from now on finds s; who did so before is found here.
  if (parent->exiting()) claim_exit(*s, SCX_EXIT_PARENT, 0, "", static_cast<s32>(this_cpu()));
  if (cgroup->dead) exit_offline(*s);
  refresh_watchdog();
  return s;
}

int Ext::Impl::enable_sub(KthreadApi &self, ExtOps &ops) {
  enable_mutex.lock(self);
  int result = 0;
  ExtSched *s = begin_sub(ops, &result);
  if (!s) {
    enable_mutex.unlock(kernel);
    return result;
  }
  kernel.hotplug().lock().read_lock(self);
  const bool prepared = prepare_sub(*s);
  kernel.hotplug().lock().read_unlock();
  const bool enabled_now = prepared && start_sub(*s);
  enable_mutex.unlock(kernel);
  if (!enabled_now) wait_disabled(self, *s);
  return 0;
}

// From the object to the parent's consent.
[[gnu::noinline]] bool Ext::Impl::prepare_sub(ExtSched &s) {
  if (s.exiting()) return false;
  if (s.level >= SCX_SUB_MAX_DEPTH) {
    error(s, fmt::format("max nesting depth {} violated", u32{SCX_SUB_MAX_DEPTH}));
    return false;
  }
  if (!init_ops(s) || !validate(s)) return false;
  ExtSched &parent = *s.parent;
  const std::string path = kernel.cgroups().path(*s.cgroup);
  const s32 ret = call(Op::sub_attach, nullptr, nullptr, [&] { return parent.ops.sub_attach(s.ops.config(), path); });
  if (ret) {
    error(s, fmt::format("parent rejected ({})", sanitize_errno(parent, "sub_attach", ret)));
    return false;
  }
  s.sub_attached = true;
  return true;
}

[[gnu::noinline]] bool Ext::Impl::start_sub(ExtSched &s) {
  bypass(s, true);
  const bool taken = take_tasks(s);
  bypass(s, false);
  if (!taken || s.exiting()) return false;
  kernel.log(fmt::format("sched_ext: BPF sub-scheduler \"{}\" enabled", s.name));
  return true;
}

// --- unloading ---

void Ext::Impl::disable_sub(KthreadApi &self, ExtSched &s) {
  bypass(s, true);
  lock_drained(self, s);
  give_back_tasks(s);
  disable_sub_begin(s);
  kernel.rcu().synchronize(self);
  disable_sub_end(s);
}

[[gnu::noinline]] void Ext::Impl::disable_sub_begin(ExtSched &s) {
  s.dump_disabled = true;
  s.disarm_all();
}

[[gnu::noinline]] void Ext::Impl::disable_sub_end(ExtSched &s) {
  log_disabled(s);
  ExtSched &parent = *s.parent;
  if (s.sub_attached && parent.ops.has(Op::sub_detach)) {
    const std::string path = kernel.cgroups().path(*s.cgroup);
    call(Op::sub_detach, nullptr, nullptr, [&] { parent.ops.sub_detach(s.ops.config(), path); });
  }
  call_exit(s);
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) forget_requests(kernel.rq(cpu), s);
  unlink_sub(s);
  refresh_watchdog();
  enable_mutex.unlock(kernel);
  bypass(s, false);
  mark_disabled(s);
}

}  // namespace uscx::sched
