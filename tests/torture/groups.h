// SPDX-License-Identifier: GPL-2.0-only
// Control groups of the load: they come and go, get other settings, and tasks go to and fro between them.
//
// Threading: made and ended in host context; change() and pick() run on all CPUs at once.
#ifndef USCX_TESTS_TORTURE_GROUPS_H_
#define USCX_TESTS_TORTURE_GROUPS_H_

#include "sched/cgroup.h"
#include "sched/kernel.h"

namespace uscx::torture {

// Those that stay: two in a row, which sub-schedulers may be loaded for, and one whose child has the cpu controller
// now and then.
inline constexpr const char *kGroupPaths[] = {"/a", "/a/b", "/c", "/c/d"};

class Groups {
 public:
  explicit Groups(sched::Kernel &kernel);
  ~Groups();                           // Nobody is in them any more.
  sched::Cgroup *pick(u32 n);          // Where a new task begins; null: with its parent.
  void change(sched::Task &p, u32 n);  // One change of a group or of the task's place, chosen by n.

 private:
  static constexpr const char *kPassing = "passing";  // Comes and goes below any of the others.
  void make_or_remove(sched::Cgroup &parent);
  // The change may come too late or against a rule, and then does nothing.
  static void expect_one_of(int result, std::initializer_list<int> refusals);

  sched::Kernel &kernel_;
  sched::CgroupTree &tree_;
  std::array<sched::Cgroup *, std::size(kGroupPaths)> groups_{};
};

}  // namespace uscx::torture

#endif  // USCX_TESTS_TORTURE_GROUPS_H_
