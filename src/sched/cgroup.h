// SPDX-License-Identifier: GPL-2.0-only
// CgroupTree: the control groups of the machine (cgroup2), with the cpu controller. It has the groups, which tasks are
// in which, and the settings of the cpu controller; sched_ext hears of all of it through Ext (ext/cgroup.cc).
//
// A Cgroup is a directory of the hierarchy; a TaskGroup is the cpu controller's state of one, there if the parent's
// cgroup.subtree_control has "cpu". A task without a TaskGroup in its own cgroup belongs to that of the nearest
// ancestor. Both live in the object space, where programs see their first members, and are freed a grace period after
// the last reference; each task holds one to each.
//
// Threading: what user space does (make, remove, attach, set_*) runs on a CPU without locks, or in host context while
// the machine stands still, and takes lock(), for moves and removals the fork lock too. Membership (nr_tasks, dead)
// changes with the fork lock held. Lookups and walks take only a leaf lock; what they return is valid for the segment,
// and with a reference for longer.
//
// Invariants: the root is never removed; a group outlives its children; a dead group has no tasks and no live children.
#ifndef USCX_SCHED_CGROUP_H_
#define USCX_SCHED_CGROUP_H_

#include <atomic>
#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "abi/kernel.h"
#include "machine/racy.h"
#include "machine/rw_lock.h"
#include "machine/sync.h"
#include "sched/task.h"
#include "sched/trace_hooks.h"
#include "sched/work.h"

namespace uscx::sched {

struct Cgroup;

inline constexpr u64 kRootCgroupId = 1;
// A group's files have the inode numbers behind its own.
inline constexpr u64 kCgroupIdStep = 32;
inline constexpr u64 kNoQuota = ~u64{0};
inline constexpr u32 kDefaultCgroupWeight = 100;
inline constexpr u64 kDefaultPeriodUs = 100000;

struct TaskGroup {
  task_group ts{};  // First: what p->sched_task_group points to.

  Cgroup *cgroup = nullptr;  // Holds a reference to it.
  std::atomic<u32> refs = 1;
  machine::Racy<u64> shares = 1024;  // The weight as a task's: with more steps than schedulers are told of.
  Work offline;
  ListHook node;
};

struct Cgroup {
  css_set set{};  // First: what p->cgroups points to.
  kernfs_node kn{};
  cgroup *abi = nullptr;

  Cgroup *parent = nullptr;
  u64 serial = 0;
  u32 level = 0;
  std::string name;
  std::atomic<u32> refs = 1;

  // Changes with the fork lock held.
  machine::Racy<u32> nr_tasks;
  u32 nr_populated_children = 0;
  machine::Racy<bool> dead;
  CpuUsage past;  // Of tasks that have left.

  machine::Racy<bool> subtree_cpu;            // Changes with CgroupTree::lock() held, as does
  machine::Published<TaskGroup *> own_group;  // this one: null without the controller.

  // CgroupTree's leaf lock.
  // By serial; dead ones too, until nobody refers to them.
  machine::Plain<std::vector<Cgroup *>> children{"a cgroup's children"};
  ListHook node;

  u64 id() const { return kn.id; }
  bool populated() const { return nr_tasks || nr_populated_children; }
  // Whose settings hold for its tasks.
  TaskGroup &group() const {
    for (const Cgroup *at = this;; at = at->parent)
      if (TaskGroup *const own = at->own_group) return *own;  // Read once: the controller may be taken away meanwhile.
  }
  bool is_below(const Cgroup &other) const {  // Or the same.
    return level >= other.level && abi->ancestors[other.level] == other.abi;
  }
};

// One task of a move: where it goes.
struct CgroupMove {
  Task *task;
  Cgroup *to;
  TaskGroup *group;
};

enum class CssOrder { kPre, kPost, kUp };

class CgroupTree {
 public:
  explicit CgroupTree(Kernel &kernel);
  ~CgroupTree();

  Cgroup &root() { return *root_; }
  // A group that programs hold a pointer to.
  static Cgroup &of(cgroup *abi);

  // --- lookup ---
  Cgroup *find(std::string_view path);  // "/a/b"; null if there is none (any more).
  Cgroup *find_id(u64 id);
  std::string path(const Cgroup &cgroup) const;
  std::vector<Cgroup *> children_of(Cgroup &cgroup);  // Live ones, in order of creation.
  // The group after `at` (first null) in a walk of start's descendants, itself included, or of its ancestors. Dead
  // groups that somebody still refers to are met too.
  Cgroup *next(Cgroup &start, Cgroup *at, CssOrder order);
  // Tasks in the group, or in all of its descendants too. No locks; fn may not create or free tasks.
  void for_each_task(Cgroup &cgroup, bool subtree, const std::function<void(Task &)> &fn);
  CpuUsage usage(Cgroup &cgroup);  // Of all of its descendants' tasks, dead ones too.

  // --- references ---
  void get(Cgroup &cgroup) { cgroup.refs.fetch_add(1, std::memory_order_relaxed); }
  bool try_get(Cgroup &cgroup);  // False if the last one is gone already.
  void put(Cgroup &cgroup);

  // --- what user space does: 0 or -errno ---
  int make(Cgroup &parent, std::string_view name, Cgroup **made = nullptr);  // mkdir(2)
  int remove(Cgroup &cgroup);                                                // rmdir(2)
  int attach(Cgroup &to, Task &task);            // Moves a task's whole process, as a write to cgroup.procs does.
  int attach_thread(Cgroup &to, Task &task);     // Moves one thread. FIDELITY: thread-cgroups.
  int set_subtree_cpu(Cgroup &cgroup, bool on);  // "+cpu" or "-cpu" to cgroup.subtree_control
  // mkdir -p, with the cpu controller in each of the path's groups. Null and *error if that fails.
  Cgroup *make_path(std::string_view path, int *error);

  // The files of the cpu controller. -EINVAL on the root, and -ENODEV where the controller is off.
  int set_weight(Cgroup &cgroup, u64 weight);
  int set_weight_nice(Cgroup &cgroup, s64 nice);
  int set_idle(Cgroup &cgroup, bool idle);
  int set_max(Cgroup &cgroup, u64 quota_us, u64 period_us);
  int set_burst(Cgroup &cgroup, u64 burst_us);
  // What cpu.weight and cpu.weight.nice show.
  static u32 weight_of(const TaskGroup &group);
  static s32 nice_of(const TaskGroup &group);

  // --- for the core ---
  int may_fork_into(const Cgroup &cgroup) const { return cgroup.dead ? -ENODEV : vet_destination(cgroup); }
  void fork(Task &p, Cgroup *into);  // Before anybody knows p; null: its parent's. Fork lock held.
  void forked(Task &p);              // p is alive. Fork lock held, as for
  void task_dead(Task &p);           // this.
  void task_freed(Task &p);
  // The kernel's cgroup_mutex. Nothing done under it waits, so that it is a spinlock here. FIDELITY: cgroup-mutex.
  machine::SpinLock &lock() { return lock_; }
  // Held for reading while settings change, for writing while a scheduler is loaded or unloaded and while a group dies.
  machine::RwSpinLock &ops_lock() { return ops_lock_; }
  void verify();  // Invariants (CHECK). The machine stands still.
  // Told of each group that is removed, at once, with lock() held.
  void set_removal_listener(std::function<void(Cgroup &)> listener) { on_removal_ = std::move(listener); }

 private:
  Cgroup *alloc(Cgroup *parent, std::string_view name);
  void free(Cgroup &cgroup);
  TaskGroup *alloc_group(Cgroup &cgroup);
  void get_group(TaskGroup &group) { group.refs.fetch_add(1, std::memory_order_relaxed); }
  void put_group(TaskGroup &group);
  void free_group(TaskGroup &group);
  int enable_cpu(Cgroup &cgroup);  // Makes its TaskGroup and brings it online.
  void offline(TaskGroup &group);  // And no longer its cgroup's.
  void kill(Cgroup &cgroup);
  int enable_children(Cgroup &cgroup);
  int disable_children(Cgroup &cgroup);
  int move_descendants(Cgroup &cgroup);
  int vet_destination(const Cgroup &to) const;
  int attach_some(Cgroup &to, Task &task, bool whole_process);
  int migrate(const std::vector<CgroupMove> &moves);
  void join(Task &p, Cgroup &cgroup);
  void change_group(Task &p, TaskGroup &group);
  void set_cgroup(Task &p, Cgroup &cgroup);
  void set_group(Task &p, TaskGroup &group);
  static void count(Cgroup &cgroup, s32 delta);
  void fire(TracePoint point, const Cgroup &cgroup, Task *task);
  int set_shares(Cgroup &cgroup, u64 shares, u32 weight);
  int settable(Cgroup &cgroup, TaskGroup **group) const;
  int set_bandwidth(TaskGroup &group, u64 period_us, u64 quota_us, u64 burst_us);
  Cgroup *next_child(Cgroup &parent, const Cgroup *after);
  Cgroup *first_leaf(Cgroup &cgroup);

  Kernel &kernel_;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "cgroup"};
  machine::RwSpinLock ops_lock_{"cgroup ops"};
  std::function<void(Cgroup &)> on_removal_;
  Cgroup *root_ = nullptr;
  machine::SpinLock tree_lock_{machine::SpinLock::Kind::kPrivate, "cgroup tree"};  // A leaf: children, and the rest.
  u64 next_serial_ = 0;
  std::map<u64, Cgroup *> by_id_;  // Live ones.
  bi::list<Cgroup, bi::member_hook<Cgroup, ListHook, &Cgroup::node>> all_;
  bi::list<TaskGroup, bi::member_hook<TaskGroup, ListHook, &TaskGroup::node>> all_groups_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_CGROUP_H_
