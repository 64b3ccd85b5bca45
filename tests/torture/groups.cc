// SPDX-License-Identifier: GPL-2.0-only
#include "groups.h"

#include <algorithm>
#include <cerrno>

namespace uscx::torture {

using sched::Cgroup;
using sched::Task;

Groups::Groups(sched::Kernel &kernel) : kernel_(kernel), tree_(kernel.cgroups()) {
  kernel_.machine().run_on(0, [this] {
    for (size_t i = 0; i < groups_.size(); i++) {
      const std::string path = kGroupPaths[i];
      const size_t slash = path.rfind('/');
      const int error = tree_.make(*tree_.find(path.substr(0, slash)), path.substr(slash + 1), &groups_[i]);
      CHECK(error == 0, "{}: error {}", path, error);
    }
  });
}

Groups::~Groups() {
  kernel_.machine().run_on(0, [this] {
    for (size_t i = groups_.size(); i-- > 0;) {
      for (Cgroup *child : tree_.children_of(*groups_[i])) CHECK(tree_.remove(*child) == 0, "{}", tree_.path(*child));
      const int error = tree_.remove(*groups_[i]);
      CHECK(error == 0, "{}: error {}", kGroupPaths[i], error);
    }
  });
}

Cgroup *Groups::pick(u32 n) { return n % 3 ? groups_[n / 3 % groups_.size()] : nullptr; }

void Groups::expect_one_of(int result, std::initializer_list<int> refusals) {
  CHECK(result == 0 || std::find(refusals.begin(), refusals.end(), result) != refusals.end(), "error {}", result);
}

void Groups::make_or_remove(Cgroup &parent) {
  for (Cgroup *child : tree_.children_of(parent))
    if (child->name == kPassing) return expect_one_of(tree_.remove(*child), {-ENODEV, -EBUSY});
  expect_one_of(tree_.make(parent, kPassing), {-EEXIST});
}

void Groups::change(Task &p, u32 n) {
  Cgroup &group = *groups_[n / 8 % groups_.size()];
  switch (n % 8) {
    case 0: return make_or_remove(group);
    // Without the controller a group has no settings, and an idle one no weight.
    case 1: return expect_one_of(tree_.set_weight(group, 1 + n % 1000), {-ENODEV, -EINVAL});
    case 2: return expect_one_of(tree_.set_idle(group, n % 16 == 2), {-ENODEV});
    case 3: return expect_one_of(tree_.set_max(group, 2000 + n % 1000, 10000), {-ENODEV});
    // EBUSY: it has tasks and children with tasks, or the scheduler does not want it.
    case 4: return expect_one_of(tree_.set_subtree_cpu(*groups_[2], n % 16 == 4), {-EBUSY});
    case 5:
      if (Cgroup *passing = tree_.find(std::string(kGroupPaths[n / 8 % groups_.size()]) + "/" + kPassing))
        return expect_one_of(tree_.attach(*passing, p), {-EBUSY, -ENODEV, -ESRCH});
      return;
    case 6: return expect_one_of(tree_.attach(tree_.root(), p), {-EBUSY, -ESRCH});
    default: return expect_one_of(tree_.attach(group, p), {-EBUSY, -ESRCH});
  }
}

}  // namespace uscx::torture
