// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/kfuncs/context.h"

#include "bpf/prog.h"
#include "bridge/env.h"
#include "bridge/scx_ops.h"

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
  return {host, prog->assoc_map() ? nullptr : host.ext().root()};
}

}  // namespace uscx::bridge
