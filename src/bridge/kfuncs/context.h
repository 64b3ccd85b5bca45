// SPDX-License-Identifier: GPL-2.0-only
// The state that every sched_ext kfunc needs first: the machine, and the scheduler for which the calling program acts
// (docs/reference/kfuncs.md, "Which scheduler?").
#ifndef USCX_BRIDGE_KFUNCS_CONTEXT_H_
#define USCX_BRIDGE_KFUNCS_CONTEXT_H_

#include "abi/kernel.h"
#include "abi/scx.h"
#include "bpf/object/kfunc.h"
#include "bridge/host.h"

namespace uscx::bridge {

struct Caller {
  Host &host;
  sched::ExtSched *sched;  // nullptr: no scheduler is loaded, or none can be told; kfuncs then give a benign default.
  sched::Kernel &kernel() const { return host.kernel(); }
  sched::Ext &ext() const { return host.ext(); }
};

// Charges the call and finds the scheduler.
Caller caller();
// For kfuncs of old that know only the root scheduler: an error of p's, which names the kfunc to call instead, if there
// are others.
bool only_root(const task_struct *p, const char *instead);
// For kfuncs that act on the machine alone.
Host &caller_host();

inline sched::Task &task(task_struct *p) { return *sched::task_of(p); }
inline const sched::Task &task(const task_struct *p) { return *sched::task_of(p); }

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_KFUNCS_CONTEXT_H_
