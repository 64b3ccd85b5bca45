// SPDX-License-Identifier: GPL-2.0-only
// The tree itself: groups, names, walks, references. Moves and the cpu controller are in cgroup_move.cc and
// cgroup_cpu.cc.
#include "sched/cgroup.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::SpinGuard;
using trace::EventType;

namespace {

constexpr size_t kMaxName = 255;
// Flags of a cgroup_subsys_state, and what its reference counter shows once it is killed.
constexpr u32 kCssNoRef = 1 << 0, kCssOnline = 1 << 1, kCssDying = 1 << 4;
constexpr unsigned long kRefDead = 3;

// The group's ancestors follow it, and a pointer to its Cgroup follows those.
size_t abi_bytes(u32 level) { return sizeof(cgroup) + (level + 2) * sizeof(void *); }

}  // namespace

Cgroup &CgroupTree::of(cgroup *abi) { return *reinterpret_cast<Cgroup *>(abi->ancestors[abi->level + 1]); }

CgroupTree::CgroupTree(Kernel &kernel) : kernel_(kernel) {
  root_ = alloc(nullptr, "");
  root_->abi->self.flags |= kCssNoRef;
  TaskGroup *group = alloc_group(*root_);
  group->ts.scx.flags = SCX_TG_ONLINE;
  root_->own_group = group;
  root_->subtree_cpu = true;  // As init leaves it on most machines.
}

CgroupTree::~CgroupTree() {
  all_groups_.clear_and_dispose([this](TaskGroup *group) { free_group(*group); });
  all_.clear_and_dispose([this](Cgroup *cgroup) { free(*cgroup); });
}

Cgroup *CgroupTree::alloc(Cgroup *parent, std::string_view name) {
  ObjectSpace &objects = kernel_.objects();
  const u32 level = parent ? parent->level + 1 : 0;
  Cgroup &made = *new (objects.alloc(ObjectType::kOther, sizeof(Cgroup))) Cgroup();
  made.parent = parent;
  made.level = level;
  made.name = name;
  char *text = static_cast<char *>(objects.alloc(ObjectType::kOther, name.size() + 1));
  std::memcpy(text, name.data(), name.size());
  made.kn.name = text;
  made.kn.__parent = parent ? &parent->kn : nullptr;
  made.abi = static_cast<cgroup *>(objects.alloc(ObjectType::kCgroup, abi_bytes(level)));
  made.set.dfl_cgrp = made.abi;
  cgroup &abi = *made.abi;
  abi.kn = &made.kn;
  abi.level = static_cast<int>(level);
  abi.dom_cgrp = &abi;
  abi.self.cgroup = &abi;
  abi.self.parent = parent ? &parent->abi->self : nullptr;
  abi.self.flags = kCssOnline;
  if (parent) std::copy_n(parent->abi->ancestors, level, abi.ancestors);
  abi.ancestors[level] = &abi;
  abi.ancestors[level + 1] = reinterpret_cast<cgroup *>(&made);
  SpinGuard guard(tree_lock_);
  made.serial = next_serial_++;
  made.kn.id = kRootCgroupId + made.serial * kCgroupIdStep;
  abi.self.id = static_cast<int>(made.serial + 1);
  all_.push_back(made);
  by_id_[made.id()] = &made;
  if (!parent) return &made;
  get(*parent);
  parent->children.write().push_back(&made);
  return &made;
}

void CgroupTree::free(Cgroup &cgroup) {
  ObjectSpace &objects = kernel_.objects();
  objects.owner_freed(cgroup.abi);
  objects.free(ObjectType::kCgroup, cgroup.abi, abi_bytes(cgroup.level));
  objects.free(ObjectType::kOther, const_cast<char *>(cgroup.kn.name), cgroup.name.size() + 1);
  cgroup.~Cgroup();
  objects.free(ObjectType::kOther, &cgroup, sizeof(Cgroup));
}

// --- references ---

bool CgroupTree::try_get(Cgroup &cgroup) {
  u32 refs = cgroup.refs.load(std::memory_order_relaxed);
  while (refs && !cgroup.refs.compare_exchange_weak(refs, refs + 1, std::memory_order_acquire)) {
  }
  return refs;
}

void CgroupTree::put(Cgroup &cgroup) {
  const u32 refs = cgroup.refs.fetch_sub(1, std::memory_order_acq_rel);
  CHECK(refs > 0, "cgroup {}", cgroup.id());
  if (refs > 1) return;
  CHECK(cgroup.dead, "the last reference of cgroup {} is dropped while it is there", cgroup.id());
  {
    SpinGuard guard(tree_lock_);
    std::erase(cgroup.parent->children.write(), &cgroup);
  }
  kernel_.rcu().call([this, &cgroup] {
    {
      SpinGuard guard(tree_lock_);
      all_.erase(all_.iterator_to(cgroup));
    }
    Cgroup &parent = *cgroup.parent;
    free(cgroup);
    put(parent);
  });
}

// --- lookup ---

Cgroup *CgroupTree::find_id(u64 id) {
  SpinGuard guard(tree_lock_);
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

Cgroup *CgroupTree::find(std::string_view path) {
  SpinGuard guard(tree_lock_);
  Cgroup *at = root_;
  while (at && !path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) continue;
    const auto is_it = [&](const Cgroup *child) { return !child->dead && child->name == name; };
    const std::vector<Cgroup *> &children = at->children.read();
    const auto it = std::find_if(children.begin(), children.end(), is_it);
    at = it == children.end() ? nullptr : *it;
  }
  return at;
}

std::string CgroupTree::path(const Cgroup &cgroup) const {
  if (!cgroup.parent) return "/";
  std::string path;
  for (const Cgroup *at = &cgroup; at->parent; at = at->parent) path.insert(0, "/" + at->name);
  return path;
}

std::vector<Cgroup *> CgroupTree::children_of(Cgroup &cgroup) {
  SpinGuard guard(tree_lock_);
  const std::vector<Cgroup *> &children = cgroup.children.read();
  std::vector<Cgroup *> live;
  std::copy_if(children.begin(), children.end(), std::back_inserter(live),
               [](const Cgroup *child) { return !child->dead; });
  return live;
}

// By number rather than by place, so that a walk goes on where a group has left the list.
Cgroup *CgroupTree::next_child(Cgroup &parent, const Cgroup *after) {
  const auto later = [&](const Cgroup *child) { return !after || child->serial > after->serial; };
  const std::vector<Cgroup *> &children = parent.children.read();
  const auto it = std::find_if(children.begin(), children.end(), later);
  return it == children.end() ? nullptr : *it;
}

Cgroup *CgroupTree::first_leaf(Cgroup &cgroup) {
  Cgroup *at = &cgroup;
  while (Cgroup *child = next_child(*at, nullptr)) at = child;
  return at;
}

Cgroup *CgroupTree::next(Cgroup &start, Cgroup *at, CssOrder order) {
  if (order == CssOrder::kUp) return at ? at->parent : &start;
  SpinGuard guard(tree_lock_);
  if (!at) return order == CssOrder::kPre ? &start : first_leaf(start);
  if (order == CssOrder::kPost) {
    if (at == &start) return nullptr;
    Cgroup *sibling = next_child(*at->parent, at);
    return sibling ? first_leaf(*sibling) : at->parent;
  }
  if (Cgroup *child = next_child(*at, nullptr)) return child;
  for (; at != &start; at = at->parent)
    if (Cgroup *sibling = next_child(*at->parent, at)) return sibling;
  return nullptr;
}

void CgroupTree::for_each_task(Cgroup &cgroup, bool subtree, const std::function<void(Task &)> &fn) {
  kernel_.for_each_task([&](Task &p) {
    if (subtree ? p.cgroup->is_below(cgroup) : p.cgroup == &cgroup) fn(p);
  });
}

// --- mkdir and rmdir ---

int CgroupTree::make(Cgroup &parent, std::string_view name, Cgroup **made) {
  if (name.empty() || name.find_first_of("/\n") != name.npos || name == "." || name == "..") return -EINVAL;
  if (name.size() > kMaxName) return -ENAMETOOLONG;
  SpinGuard guard(lock_);
  if (parent.dead) return -ENODEV;
  for (const Cgroup *child : children_of(parent))
    if (child->name == name) return -EEXIST;
  Cgroup &cgroup = *alloc(&parent, name);
  if (parent.subtree_cpu) {
    if (const int error = enable_cpu(cgroup)) {
      kill(cgroup);
      return error;
    }
  }
  kernel_.machine().trace(EventType::cgroup_mkdir, cgroup.id(), kernel_.machine().tracer().text(path(cgroup)));
  fire(TracePoint::cgroup_mkdir, cgroup, nullptr);
  if (made) *made = &cgroup;
  return 0;
}

// Nobody finds it any more, and settings that are being written are done.
void CgroupTree::kill(Cgroup &cgroup) {
  {
    machine::WriteGuard writers(ops_lock_);
    cgroup.dead = true;
    cgroup_subsys_state &css = cgroup.abi->self;
    machine::change_bits(css.flags, "a group's flags", lock_, kCssOnline, kCssDying);
    machine::change_bits(css.refcnt.percpu_count_ptr, "a group's references", lock_, 0, kRefDead);
  }
  {
    SpinGuard guard(tree_lock_);
    by_id_.erase(cgroup.id());
  }
  kernel_.rcu().call([this, &cgroup] {
    TaskGroup *group = cgroup.own_group;
    if (group && !kernel_.shutting_down()) kernel_.works().queue_unbound(group->offline);
    put(cgroup);
  });
}

int CgroupTree::remove(Cgroup &cgroup) {
  if (&cgroup == root_) return -EBUSY;
  const u64 id = cgroup.id();
  {
    SpinGuard guard(lock_);
    if (cgroup.dead) return -ENODEV;
    {
      // From here on no task comes in.
      SpinGuard forks(kernel_.fork_lock());
      if (cgroup.populated() || !children_of(cgroup).empty()) return -EBUSY;
      kill(cgroup);
    }
    if (on_removal_) on_removal_(cgroup);
    kernel_.machine().trace(EventType::cgroup_rmdir, id);
    fire(TracePoint::cgroup_rmdir, cgroup, nullptr);
  }
  kernel_.ext().cgroup_removed(id);
  return 0;
}

Cgroup *CgroupTree::make_path(std::string_view path, int *error) {
  Cgroup *at = root_;
  *error = 0;
  while (!*error && !path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) continue;
    if ((*error = set_subtree_cpu(*at, true))) break;
    Cgroup *child = nullptr;
    for (Cgroup *other : children_of(*at))
      if (other->name == name) child = other;
    if (!child) *error = make(*at, name, &child);
    at = child;
  }
  return *error ? nullptr : at;
}

// Tells tracing programs.
void CgroupTree::fire(TracePoint point, const Cgroup &cgroup, Task *task) {
  if (!kernel_.trace_hooks()) return;
  const KernelText text(kernel_.objects(), path(cgroup));
  constexpr u64 kWholeProcess = 1;
  trace_point(kernel_, point, reinterpret_cast<u64>(cgroup.abi), text.arg(), task ? task_arg(*task) : 0,
              task ? kWholeProcess : 0);
}

}  // namespace uscx::sched
