// SPDX-License-Identifier: GPL-2.0-only
// Sub-schedulers (docs/reference/core.md, section 21): a scheduler for the tasks of a control group, loaded under one
// that takes such children, four levels deep at most. The tree of them, what they do in dispatching, and how they come
// and go; sub_life.cc hands the tasks over.
//
// Threading: scheds_lock guards who is in the tree; a scheduler that was found there stays for an RCU grace period.
// Loading and unloading hold enable_mutex, and the fork lock while tasks change hands.
//
// Invariant: a scheduler leaves the tree after all that are below it. Its depth of bypass is the number of bypasses
// that were begun on it or above and are not over.
#include <algorithm>

#include "sched/cgroup.h"
#include "sched/ext/impl.h"

namespace uscx::sched {

// --- the tree ---

// s, and all that are loaded below it, parents first.
std::vector<ExtSched *> Ext::Impl::subtree(ExtSched &s) {
  std::vector<ExtSched *> found{&s};
  if (!nr_subs) return found;
  machine::SpinGuard guard(scheds_lock);
  for (size_t i = 0; i < found.size(); i++) {
    const std::vector<ExtSched *> &children = found[i]->children.read();
    found.insert(found.end(), children.begin(), children.end());
  }
  return found;
}

ExtSched *Ext::Impl::find_sub(u64 cgroup_id) {
  if (!nr_subs) return nullptr;
  machine::SpinGuard guard(scheds_lock);
  const std::vector<ExtSched *> &scheds = all.read();
  const auto it =
      std::find_if(scheds.begin(), scheds.end(), [&](ExtSched *s) { return s->linked && s->cgroup_id == cgroup_id; });
  return it == scheds.end() || !(*it)->parent ? nullptr : *it;
}

// Whose the tasks of a group are: the lowest one's that is loaded at it or above. With `open_only`, as long as a task
// is handed over only the one that already has it counts.
ExtSched &Ext::Impl::sched_for(const Cgroup &cgroup, bool open_only) {
  ExtSched *s = root;
  if (!nr_subs) return *s;
  machine::SpinGuard guard(scheds_lock);
  for (;;) {
    const std::vector<ExtSched *> &children = s->children.read();
    const auto it = std::find_if(children.begin(), children.end(), [&](ExtSched *child) {
      return (child->open || !open_only) && cgroup.is_below(*child->cgroup);
    });
    if (it == children.end()) return *s;
    s = *it;
  }
}

// Enters s into the tree, in bypass if its parent is.
void Ext::Impl::link_sub(ExtSched &s) {
  machine::SpinGuard bypasses(bypass_lock);
  const u32 depth = s.parent->bypass_depth;
  s.bypass_depth = depth;
  if (depth) s.slice_dfl = slice_bypass_ns;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) s.cpus[cpu].bypassing = depth > 0;
  machine::SpinGuard guard(scheds_lock);
  s.parent->children.write().push_back(&s);
  s.linked = true;
  nr_subs.add(1);
}

void Ext::Impl::unlink_sub(ExtSched &s) {
  Task *waiter = nullptr;
  {
    machine::SpinGuard guard(scheds_lock);
    std::erase(s.parent->children.write(), &s);
    s.linked = false;
    nr_subs.sub(1);
    if (s.parent->children.read().empty()) waiter = std::exchange(s.parent->drain_waiter, nullptr);
  }
  if (waiter) kernel.wake(*waiter);
}

[[gnu::noinline]] bool Ext::Impl::is_drained(ExtSched &s, Task *waiter) {
  machine::SpinGuard guard(scheds_lock);
  const bool done = s.children.read().empty();
  s.drain_waiter = done ? nullptr : waiter;
  return done;
}

// The children of a scheduler that ends end before it: takes enable_mutex when there are none, and none can come.
void Ext::Impl::lock_drained(KthreadApi &self, ExtSched &s) {
  for (;;) {
    while (!is_drained(s, &self.self())) self.block();
    enable_mutex.lock(self);
    // One may have been under way in there.
    if (is_drained(s, nullptr)) return;
    enable_mutex.unlock(kernel);
  }
}

void Ext::Impl::exit_children(ExtSched &s) {
  for (ExtSched *below : subtree(s))
    if (below != &s) claim_exit(*below, SCX_EXIT_PARENT, 0, "", static_cast<s32>(this_cpu()));
}

// --- scheduling ---

// Where the tasks of s go that it may not be asked about: to whoever is above and still in charge.
ExtSched &Ext::Impl::bypass_host(ExtSched &s, u32 cpu) {
  ExtSched *host = &s;
  while (host->parent && host->bypassing(cpu)) host = host->parent;
  return *host;
}

// A scheduler that is in charge lets tasks of children in bypass run now and then.
bool Ext::Impl::dispatch_for_children(ExtSched &s, Rq &rq) {
  SchedCpu &cpu = s.cpus[rq.cpu];
  if (cpu.host_visits++ % SCX_BYPASS_HOST_NTH) return false;
  if (!consume(s, rq, cpu.bypass_dsq)) return false;
  count(s, &scx_event_stats::SCX_EV_SUB_BYPASS_DISPATCH);
  return true;
}

bool Ext::sub_dispatch(ExtSched &s, u64 cgroup_id) {
  Impl &impl = *impl_;
  CallContext *here = context();
  if (!here || !here->locked_rq) return false;
  ExtSched *child = impl.find_sub(cgroup_id);
  if (!child) return false;
  if (child->parent != &s) {
    impl.error(s, fmt::format("trying to dispatch a distant sub-sched on cgroup {}", cgroup_id));
    return false;
  }
  return impl.dispatch_sched(*child, *here->locked_rq, here->subject[0]) != SCX_DSP_NONE;
}

// --- for others ---

bool Ext::has_subs() const { return impl_->nr_subs > 0; }

void Ext::cgroup_removed(u64 cgroup_id) {
  Impl &impl = *impl_;
  ExtSched *s = impl.find_sub(cgroup_id);
  if (!s) return;
  if (machine::exec().on_cpu)
    impl.exit_offline(*s);
  else
    impl.machine.run_on(0, [&] { impl.exit_offline(*s); });
}

void Ext::Impl::exit_offline(ExtSched &s) {
  claim_exit(s, SCX_EXIT_UNREG_KERN, static_cast<s64>(SCX_ECODE_RSN_CGROUP_OFFLINE),
             fmt::format("cgroup {} going offline, exiting scheduler", s.cgroup_id), static_cast<s32>(this_cpu()));
}

std::vector<Ext::Loaded> Ext::loaded() {
  Impl &impl = *impl_;
  std::vector<Loaded> list;
  ExtSched *root = impl.root;
  if (!root) return list;
  for (ExtSched *s : impl.subtree(*root)) {
    std::string path = s->parent ? fmt::format("sub-{}", s->cgroup_id) : "root";
    for (ExtSched *above = s->parent; above; above = above->parent)
      path = (above->parent ? fmt::format("sub-{}", above->cgroup_id) : "root") + "/sub/" + path;
    list.push_back({path, s->name, {}});
    impl.sum_events(*s, &list.back().events);
  }
  return list;
}

}  // namespace uscx::sched
