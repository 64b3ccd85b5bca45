// SPDX-License-Identifier: GPL-2.0-only
// A native scheduler that takes sub-schedulers and can be one, for tests and scenarios.
#ifndef USCX_SCHED_NATIVE_TREE_H_
#define USCX_SCHED_NATIVE_TREE_H_

#include <string>
#include <vector>

#include "sched/native/scheduler.h"

namespace uscx::sched {

// First in, first out; children run when its own queue is empty.
struct TreeFifo : TestScheduler {
  TreeFifo(ExtMachine &machine, const std::string &name, u64 cgroup_id = 0) : TestScheduler(name), m(machine) {
    config_.cid_form = true;
    config_.sub_cgroup_id = cgroup_id;
    on_init = [this] { return m.ext().create_dsq(self(), 0, -1); };
    on_select_cpu = [](Task &, s32 prev_cpu, u64) { return prev_cpu; };
    on_enqueue = [this](Task &p, u64) {
      enqueued++;
      m.ext().dsq_insert(self(), p, 0, slice_ns, 0);
      m.ext().kick_cpu(self(), static_cast<s32>(p.cpu), 0);
    };
    on_dispatch = [this](s32, Task *) {
      if (!m.ext().dsq_move_to_local(self(), 0, 0) && dispatches_children)
        for (u64 child : children)
          if (m.ext().sub_dispatch(self(), child)) return;
    };
    on_sub_attach = [this](const OpsConfig &child, const std::string &path) {
      if (refusal) return refusal;
      children.push_back(child.sub_cgroup_id);
      heard += "+" + path;
      return 0;
    };
    on_sub_detach = [this](const OpsConfig &child, const std::string &path) {
      std::erase(children, child.sub_cgroup_id);
      heard += "-" + path;
    };
    ready();
  }
  ExtSched &self() { return *Ext::sched_of(*this); }
  ExtMachine &m;
  std::vector<u64> children;
  std::string heard;
  s32 refusal = 0;
  bool dispatches_children = true;
  u64 slice_ns = 2000000;
  u64 enqueued = 0;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_NATIVE_TREE_H_
