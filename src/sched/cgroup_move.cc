// SPDX-License-Identifier: GPL-2.0-only
// Which tasks are in which group: births, deaths, moves, and the implicit moves between TaskGroups when the cpu
// controller is switched on or off below a group.
#include <cerrno>

#include "sched/cgroup.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::SpinGuard;
using trace::EventType;

namespace {

CpuUsage usage_of(const Task &p) {
  return {machine::racy_load(p.ts.se.sum_exec_runtime), machine::racy_load(p.ts.utime), machine::racy_load(p.ts.stime)};
}

void add(CpuUsage &sum, const CpuUsage &now, const CpuUsage &before) {
  sum.total_ns += now.total_ns - before.total_ns;
  sum.user_ns += now.user_ns - before.user_ns;
  sum.system_ns += now.system_ns - before.system_ns;
}

}  // namespace

void CgroupTree::set_cgroup(Task &p, Cgroup &cgroup) {
  get(cgroup);
  p.cgroup = &cgroup;
  machine::racy_store(p.ts.cgroups, &cgroup.set);
}

void CgroupTree::set_group(Task &p, TaskGroup &group) {
  get_group(group);
  p.group = &group;
  machine::racy_store(p.ts.sched_task_group, &group.ts);
}

void CgroupTree::fork(Task &p, Cgroup *into) {
  Cgroup *parents = p.ts.real_parent == &p.ts ? nullptr : task_of(p.ts.real_parent)->cgroup.get();
  Cgroup &cgroup = into ? *into : parents ? *parents : *root_;
  set_cgroup(p, cgroup);
  set_group(p, cgroup.group());
}

// How many tasks and populated children there are, up to where that changes nothing any more.
void CgroupTree::count(Cgroup &cgroup, s32 delta) {
  const bool before = cgroup.populated();
  cgroup.nr_tasks.add(static_cast<u32>(delta));
  bool changed = cgroup.populated() != before;
  for (Cgroup *at = cgroup.parent; at && changed; at = at->parent) {
    const bool was = at->populated();
    at->nr_populated_children += static_cast<u32>(delta);
    changed = at->populated() != was;
  }
}

void CgroupTree::forked(Task &p) {
  count(*p.cgroup, 1);
  if (p.cgroup != root_) kernel_.machine().trace(EventType::cgroup_attach, static_cast<u64>(p.pid()), p.cgroup->id());
}

void CgroupTree::task_dead(Task &p) {
  Cgroup &cgroup = *p.cgroup;
  add(cgroup.past, usage_of(p), p.usage_before);
  count(cgroup, -1);
}

void CgroupTree::task_freed(Task &p) {
  put_group(*p.group);
  put(*p.cgroup);
}

CpuUsage CgroupTree::usage(Cgroup &cgroup) {
  CpuUsage sum;
  for (Cgroup *at = &cgroup; at; at = next(cgroup, at, CssOrder::kPre)) add(sum, at->past, {});
  for_each_task(cgroup, true, [&](Task &p) { add(sum, usage_of(p), p.usage_before); });
  return sum;
}

void CgroupTree::verify() {
  std::map<const Cgroup *, u32> tasks;
  kernel_.for_each_task([&](const Task &p) {
    tasks[p.cgroup]++;
    const bool sees_it = p.ts.cgroups == &p.cgroup->set && p.ts.sched_task_group == &p.group->ts;
    CHECK(sees_it, "{} [{}]", p.comm(), p.pid());
    CHECK(p.group == &p.cgroup->group() || p.is_exiting(), "{} [{}] is in the wrong group", p.comm(), p.pid());
  });
  for (Cgroup *at = root_; at; at = next(*root_, at, CssOrder::kPre)) {
    CHECK(at->nr_tasks == tasks[at], "{} counts {} tasks, has {}", path(*at), at->nr_tasks, tasks[at]);
    u32 populated = 0;
    for (const Cgroup *child : children_of(*at)) populated += child->populated();
    CHECK(at->nr_populated_children == populated, "{}: {} populated children", path(*at), populated);
    CHECK(!at->dead || (!at->populated() && children_of(*at).empty()), "{}", path(*at));
  }
}

// --- moves ---

// A group whose children have tasks and the controller may have none of its own: they would compete with each other.
int CgroupTree::vet_destination(const Cgroup &to) const {
  return &to != root_ && to.subtree_cpu && to.nr_populated_children ? -EBUSY : 0;
}

int CgroupTree::attach(Cgroup &to, Task &task) { return attach_some(to, task, true); }

int CgroupTree::attach_thread(Cgroup &to, Task &task) { return attach_some(to, task, false); }

int CgroupTree::attach_some(Cgroup &to, Task &task, bool whole_process) {
  SpinGuard guard(lock_);
  SpinGuard forks(kernel_.fork_lock());
  if (to.dead) return -ENODEV;
  if (task.dead) return -ESRCH;
  if (task.flags() & PF_NO_SETAFFINITY) return -EINVAL;  // Threads that belong to a CPU stay at home.
  if (const int error = vet_destination(to)) return error;
  std::vector<CgroupMove> moves;
  kernel_.for_each_task([&](Task &p) {
    const bool goes = &p == &task || (whole_process && p.ts.tgid == task.ts.tgid);
    if (goes && !p.dead && !p.is_exiting() && p.cgroup != &to) moves.push_back({&p, &to, &to.group()});
  });
  if (moves.empty()) return 0;
  if (const int error = migrate(moves)) return error;
  fire(TracePoint::cgroup_attach_task, to, &task);
  return 0;
}

// All or none of them.
int CgroupTree::migrate(const std::vector<CgroupMove> &moves) {
  CHECK(lock_.held_here() && kernel_.fork_lock().held_here());
  if (const int error = kernel_.ext().cgroup_can_attach(moves)) return error;
  for (const CgroupMove &move : moves) join(*move.task, *move.to);
  for (const CgroupMove &move : moves) change_group(*move.task, *move.group);
  return 0;
}

void CgroupTree::join(Task &p, Cgroup &cgroup) {
  Cgroup &from = *p.cgroup;
  if (&from == &cgroup) return;
  {
    Kernel::TaskLock lock(kernel_, p);
    const CpuUsage now = usage_of(p);
    add(from.past, now, p.usage_before);
    p.usage_before = now;
  }
  count(from, -1);
  count(cgroup, 1);
  set_cgroup(p, cgroup);
  kernel_.machine().trace(EventType::cgroup_attach, static_cast<u64>(p.pid()), cgroup.id());
  put(from);
}

void CgroupTree::change_group(Task &p, TaskGroup &group) {
  TaskGroup &from = *p.group;
  if (&from == &group) return;
  {
    Kernel::TaskLock lock(kernel_, p);
    const bool running = lock.rq.curr == &p;
    kernel_.sched_change(lock.rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE, [&] {
      set_group(p, group);
      kernel_.ext().cgroup_move(lock.rq, p);
    });
    if (running) kernel_.resched_curr(lock.rq);
  }
  put_group(from);
}

// --- cgroup.subtree_control ---

int CgroupTree::set_subtree_cpu(Cgroup &cgroup, bool on) {
  SpinGuard guard(lock_);
  if (cgroup.dead) return -ENODEV;
  if (cgroup.subtree_cpu == on) return 0;
  if (!on) return disable_children(cgroup);
  if (!cgroup.own_group) return -ENOENT;
  {
    SpinGuard forks(kernel_.fork_lock());
    if (&cgroup != root_ && cgroup.nr_tasks && cgroup.nr_populated_children) return -EBUSY;
  }
  return enable_children(cgroup);
}

int CgroupTree::enable_children(Cgroup &cgroup) {
  cgroup.subtree_cpu = true;
  std::vector<Cgroup *> done;
  int error = 0;
  for (Cgroup *child : children_of(cgroup)) {
    if ((error = enable_cpu(*child))) break;
    done.push_back(child);
  }
  if (!error) error = move_descendants(cgroup);
  if (!error) return 0;
  cgroup.subtree_cpu = false;
  for (Cgroup *child : done) offline(*child->own_group);
  return error;
}

int CgroupTree::disable_children(Cgroup &cgroup) {
  const std::vector<Cgroup *> children = children_of(cgroup);
  for (const Cgroup *child : children)
    if (child->subtree_cpu) return -EBUSY;
  // Tasks go to the parent's before the children's end. Nobody else looks for a group without lock().
  std::vector<TaskGroup *> groups;
  for (Cgroup *child : children) {
    groups.push_back(child->own_group);
    child->own_group = nullptr;
  }
  const int error = move_descendants(cgroup);
  for (size_t i = 0; i < children.size(); i++) children[i]->own_group = groups[i];
  if (error) return error;
  cgroup.subtree_cpu = false;
  for (TaskGroup *group : groups) offline(*group);
  return 0;
}

// Tasks whose TaskGroup is no longer the one of their cgroup.
int CgroupTree::move_descendants(Cgroup &cgroup) {
  SpinGuard forks(kernel_.fork_lock());
  std::vector<CgroupMove> moves;
  for_each_task(cgroup, true, [&](Task &p) {
    TaskGroup &group = p.cgroup->group();
    if (!p.dead && !p.is_exiting() && p.group != &group) moves.push_back({&p, p.cgroup, &group});
  });
  return moves.empty() ? 0 : migrate(moves);
}

}  // namespace uscx::sched
