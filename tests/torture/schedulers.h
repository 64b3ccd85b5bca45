// SPDX-License-Identifier: GPL-2.0-only
// Native schedulers for the torture of the threaded machine: simple policies, and what real ones do that is hard on the
// core. One block each in schedulers.cc.
//
// Threading: operations run on all CPUs at once; a scheduler's own state is atomic or under its own lock.
#ifndef USCX_TESTS_TORTURE_SCHEDULERS_H_
#define USCX_TESTS_TORTURE_SCHEDULERS_H_

#include <memory>

#include "sched/ext/ext.h"

namespace uscx::torture {

enum class Policy : u32 {
  fifo,     // One DSQ for all.
  vtime,    // One DSQ in order of virtual time.
  direct,   // To idle CPUs, other CPUs' local DSQs and the global one.
  kicks,    // As fifo; CPUs kick each other in a ring and wait (SCX_KICK_WAIT).
  queue,    // Queues of its own, and tasks that are named again after they have gone.
  iterate,  // Goes through its DSQ by an iterator, makes and destroys DSQs, asks for re-enqueueing.
  central,  // CPU 0 decides for all; a timer preempts.
  groups,   // As fifo; hears of control groups, and refuses some moves.
  tree,     // Takes sub-schedulers.
  lossy,    // Forgets tasks now and then, until it is ejected.
  faulty,   // Makes an error after a while.
  count
};
const char *policy_name(Policy policy);

class TortureScheduler : public sched::ExtOps {
 public:
  TortureScheduler(sched::Kernel &kernel, const std::string &name) : kernel_(kernel) { config_.name = name; }
  // Gives up on tasks or makes errors, so that it ends by itself.
  virtual bool ends_by_itself() const { return false; }
  u64 nr_dispatches() const { return nr_dispatches_; }
  u32 exit_kind() const { return exit_kind_; }
  std::string exit_msg() const { return exit_msg_; }  // Valid once it has been unloaded.

 protected:
  sched::Ext &ext() { return kernel_.ext(); }
  sched::ExtSched &sched() { return *sched::Ext::sched_of(*this); }
  void exit(scx_exit_info *info) override {
    exit_kind_ = info->kind;
    exit_msg_ = info->msg;
  }
  sched::Kernel &kernel_;
  std::atomic<u64> nr_dispatches_ = 0;

 private:
  std::atomic<u32> exit_kind_ = 0;
  std::string exit_msg_;
};

std::unique_ptr<TortureScheduler> make_scheduler(Policy policy, sched::Kernel &kernel);
// Policy::tree, as a sub-scheduler of a control group if there is one.
std::unique_ptr<TortureScheduler> make_tree_scheduler(sched::Kernel &kernel, u64 cgroup_id = 0);

}  // namespace uscx::torture

#endif  // USCX_TESTS_TORTURE_SCHEDULERS_H_
