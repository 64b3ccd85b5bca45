// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/kfuncs/context.h"

#include "bpf/object/prog.h"
#include "bridge/env.h"
#include "bridge/scx_ops.h"
#include "sched/ext/ext_sched.h"

namespace uscx::bridge {

Host &caller_host() {
  if (BpfOps *ops = BpfOps::current()) return ops->host();
  bpf::Prog *prog = bpf::running_prog();
  CHECK(prog, "a kfunc was called outside of any program");
  return static_cast<KernelEnv &>(prog->system().env()).host();
}

Caller caller() {
  machine::charge(machine::Cost::kfunc_call);
  if (BpfOps *ops = BpfOps::current()) return {ops->host(), ops->host().ext().sched_of(*ops)};
  Host &host = caller_host();
  bpf::Prog *prog = bpf::running_prog();
  if (sched::ExtSched *sched = SchedExtType::sched_of(prog->assoc_map())) return {host, sched};
  // A scheduler that takes others below it might not be the one that is meant.
  sched::ExtSched *root = prog->assoc_map() ? nullptr : host.ext().root();
  return {host, root && root->has(sched::Op::sub_attach) ? nullptr : root};
}

bool only_root(const task_struct *p, const char *instead) {
  sched::Ext &ext = caller_host().ext();
  if (!ext.has_subs()) return true;
  sched::ExtSched *sched = p ? task(p).ext_sched.get() : nullptr;
  if (sched) ext.error(*sched, fmt::format("{}() must be used", instead));
  return false;
}

}  // namespace uscx::bridge
