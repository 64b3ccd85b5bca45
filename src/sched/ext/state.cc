// SPDX-License-Identifier: GPL-2.0-only
// A task's relation to the loaded scheduler: its state machine (docs/reference/core.md, section 1) and the operations
// that go with the transitions. States change under the task's rq lock, or before the task can be found.
#include <algorithm>

#include "sched/cgroup.h"
#include "sched/classes.h"
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

constexpr u32 kNrStates = (SCX_TASK_STATE_MASK >> SCX_TASK_STATE_SHIFT) + 1;
constexpr u32 bit(u32 state) { return 1u << (state >> SCX_TASK_STATE_SHIFT); }

// To which states each state may go; NONE is reached from all but DEAD.
constexpr u32 kAllowed[kNrStates] = {
    /* NONE */ bit(SCX_TASK_NONE) | bit(SCX_TASK_INIT_BEGIN) | bit(SCX_TASK_DEAD),
    /* INIT_BEGIN */ bit(SCX_TASK_NONE) | bit(SCX_TASK_INIT) | bit(SCX_TASK_DEAD),
    /* INIT */ bit(SCX_TASK_NONE) | bit(SCX_TASK_READY),
    /* READY */ bit(SCX_TASK_NONE) | bit(SCX_TASK_ENABLED),
    /* ENABLED */ bit(SCX_TASK_NONE) | bit(SCX_TASK_READY),
    /* DEAD */ 0,
};

constexpr s32 kMaxErrno = 4095;

}  // namespace

u32 weight_of(const Task &p) {
  return cgroup_weight_of(p.ts.policy == SCHED_IDLE ? kIdlePolicyWeight
                                                    : weight_of_nice(std::clamp(p.nice(), -20, 19)));
}

std::string task_label(const Task &p) { return fmt::format("{}[{}]", p.comm(), p.pid()); }

void Ext::Impl::set_task_state(Owner owner, Task &p, u32 next) {
  const u32 now = task_state(p);
  if (!(kAllowed[now >> SCX_TASK_STATE_SHIFT] & bit(next)))
    kernel.log(
        fmt::format("sched_ext: Invalid task state transition 0x{:x} -> 0x{:x} for {}", now, next, task_label(p)));
  p.change_scx_flags(owner, SCX_TASK_STATE_MASK, next);
}

void Ext::Impl::init_entity(Task &p) {
  sched_ext_entity &scx = p.ts.scx;
  scx = {};
  scx.sticky_cpu = -1;
  scx.holding_cpu = -1;
  scx.selected_cpu = -1;
  scx.ddsp_dsq_id = SCX_DSQ_INVALID;
  scx.slice = SCX_SLICE_DFL;
  scx.runnable_at = kernel.jiffies();
  PerCpu &here = cpus[this_cpu()];
  if (here.next_tid == here.tid_end) {
    here.next_tid = next_tid_chunk;
    here.tid_end = next_tid_chunk += SCX_TID_CHUNK;
  }
  scx.tid = here.next_tid++;
}

void Ext::Impl::set_tid(Task &p, bool known) {
  machine::SpinGuard guard(tid_lock);
  if (known)
    by_tid[p.ts.scx.tid] = &p;
  else
    by_tid.erase(p.ts.scx.tid);
}

// An operation's result as an error number: 0 or a valid -errno.
int Ext::Impl::sanitize_errno(ExtSched &s, const char *op, s32 ret) {
  if (ret == 0 || (ret < 0 && ret >= -kMaxErrno)) return ret;
  error(s, fmt::format("ops.{}() returned an invalid errno {}", op, ret));
  return -EPROTO;
}

// A task that the scheduler does not want asked for this class, perhaps: it is a normal task from now on.
void Ext::Impl::reject_task(Task &p) {
  Kernel::TaskLock lock(kernel, p);
  if (p.ts.policy != SCHED_EXT) return;
  p.ts.policy = SCHED_NORMAL;
  nr_rejected.add(1);
}

void Ext::Impl::heed_disallow(ExtSched &s, Task &p, bool fork) {
  if (s.parent)
    error(s, fmt::format("non-root ops.init_task() set task->scx.disallow for {}", task_label(p)));
  else if (fork)
    error(s, fmt::format("ops.init_task() set task->scx.disallow for {} during fork", task_label(p)));
  else
    reject_task(p);
}

// Makes p known to s: 0, or -errno as s gave it. p's disallow is what s wants of p afterwards.
int Ext::Impl::call_init_task(ExtSched &s, Task &p, bool fork) {
  machine::racy_store(p.ts.scx.disallow, false);
  if (!s.has(Op::init_task)) return 0;
  args().init_task = {.fork = fork, .cgroup = p.group->cgroup->abi};
  const s32 ret = call(Op::init_task, nullptr, nullptr, [&] { return s.ops.init_task(&p.ts, &args().init_task); });
  if (ret) return sanitize_errno(s, "init_task", ret);
  if (machine::racy_load(p.ts.scx.disallow)) heed_disallow(s, p, fork);
  return 0;
}

int Ext::Impl::init_task(ExtSched &s, Task &p, bool fork) {
  {
    Kernel::TaskLock lock(kernel, p);
    set_task_state(lock.rq.lock, p, SCX_TASK_INIT_BEGIN);
  }
  const int failed = call_init_task(s, p, fork);
  Kernel::TaskLock lock(kernel, p);
  set_task_state(lock.rq.lock, p, failed ? SCX_TASK_NONE : SCX_TASK_INIT);
  if (!failed) adopt(lock.rq.lock, s, p);
  return failed;
}

void Ext::Impl::adopt(Owner owner, ExtSched &s, Task &p) {
  p.ext_sched = &s;
  p.ts.scx.sched = s.handle;
  p.no_scheduler = false;
  p.set_scx_flags(owner, SCX_TASK_RESET_RUNNABLE_AT);
}

void Ext::Impl::update_weight(Rq &rq, Task &p) {
  ExtSched &s = *p.ext_sched;
  p.ts.scx.weight = weight_of(p);
  if (s.has(Op::set_weight)) call(Op::set_weight, &rq, &p, [&] { s.ops.set_weight(&p.ts, p.ts.scx.weight); });
}

void Ext::Impl::enable_task(Rq &rq, Task &p) {
  CHECK(p.ext_sched, "{} enters ext without a scheduler", task_label(p));
  ExtSched &s = *p.ext_sched;
  p.ts.scx.weight = weight_of(p);
  if (s.has(Op::enable)) call(Op::enable, &rq, &p, [&] { s.ops.enable(&p.ts); });
  set_task_state(rq.lock, p, SCX_TASK_ENABLED);
  update_weight(rq, p);
}

void Ext::Impl::disable_task(Rq &rq, Task &p) {
  CHECK(task_state(p) == SCX_TASK_ENABLED);
  ExtSched &s = *p.ext_sched;
  clear_direct_dispatch(p);
  if (s.has(Op::disable)) call(Op::disable, &rq, &p, [&] { s.ops.disable(&p.ts); });
  set_task_state(rq.lock, p, SCX_TASK_READY);
  p.set_slice(0);
  p.ts.scx.dsq_vtime = 0;
}

// The end of a task's relation to its scheduler, whatever it was.
void Ext::Impl::exit_task(Rq &rq, Task &p) {
  bool cancelled = false;
  switch (task_state(p)) {
    case SCX_TASK_NONE:
    case SCX_TASK_DEAD: return;
    case SCX_TASK_INIT_BEGIN:
    case SCX_TASK_INIT: cancelled = true; break;
    case SCX_TASK_ENABLED: disable_task(rq, p); break;
    default: break;
  }
  tell_exit(*p.ext_sched, rq, p, cancelled);
  set_task_state(rq.lock, p, SCX_TASK_NONE);
  p.ext_sched = nullptr;
  p.ts.scx.sched = nullptr;
}

void Ext::Impl::tell_exit(ExtSched &s, Rq &rq, Task &p, bool cancelled) {
  if (!s.has(Op::exit_task)) return;
  args().exit_task = {.cancelled = cancelled};
  call(Op::exit_task, &rq, &p, [&] { s.ops.exit_task(&p.ts, &args().exit_task); });
}

// --- fork and exit, from the core ---

int Ext::fork(Task &p) {
  Impl &impl = *impl_;
  impl.init_entity(p);
  return impl.task_init_enabled ? impl.init_task(impl.sched_for(*p.cgroup, true), p, true) : 0;
}

void Ext::post_fork(Task &p) {
  Impl &impl = *impl_;
  if (impl.task_init_enabled) {
    Kernel::TaskLock lock(impl.kernel, p);
    impl.set_task_state(lock.rq.lock, p, SCX_TASK_READY);
    if (impl.in_ext(&p)) impl.enable_task(lock.rq, p);
  }
  if (impl.tid_lookup) impl.set_tid(p, true);
}

void Ext::cancel_fork(Task &p) {
  Impl &impl = *impl_;
  if (!p.ext_sched) return;
  Kernel::TaskLock lock(impl.kernel, p);
  impl.exit_task(lock.rq, p);
}

void Ext::task_dead(Task &p) {
  Impl &impl = *impl_;
  if (impl.tid_lookup) impl.set_tid(p, false);
  Kernel::TaskLock lock(impl.kernel, p);
  impl.exit_task(lock.rq, p);
  impl.set_task_state(lock.rq.lock, p, SCX_TASK_DEAD);
}

}  // namespace uscx::sched
