// SPDX-License-Identifier: GPL-2.0-only
// The functions that translated code and the interpreter call, and their access to the inside of an Invocation. Not for
// other parts of the system.
#ifndef USCX_BPF_EXEC_EXEC_RUNTIME_H_
#define USCX_BPF_EXEC_EXEC_RUNTIME_H_

#include "bpf/exec/exec.h"

extern "C" {
// Records an abort. The caller then unwinds.
void uscx_bpf_abort(uscx::bpf::ExecState *state, u32 insn, u32 reason, u64 address);
// A store whose base failed the range check: 0 aborts, 1 stores, 2 goes on in the interpreter.
u64 uscx_bpf_slow_store(uscx::bpf::ExecState *state, u64 address, u32 insn);
// Before an access to memory, or a call (then the address is 0), of a program that is explored.
void uscx_bpf_access(uscx::bpf::ExecState *state, u64 address, u32 insn);
// Goes on at `insn` in the interpreter until the function returns; its r0 is the result.
u64 uscx_bpf_deopt(uscx::bpf::ExecState *state, u64 *regs, u32 insn, s64 may_goto_left);
}

namespace uscx::bpf {

struct ExecAccess {
  static ExecState &state(Invocation &invocation) { return invocation.state_; }
  static void raise(Invocation &invocation, AbortReason reason, u32 insn, u64 address) {
    invocation.raise(reason, insn, address, {});
  }
  // A run in place of a function that calls it is not one level deeper.
  static RunResult run(const Program &program, u32 subprog, const u64 args[5], Invocation &invocation, ExecMode mode,
                       bool deeper = true);
};

// Whether CPUs may share what lies there: memory that programs can write, other than their stacks.
bool is_shared_memory(u64 address);

// Why a store of `size` bytes at `address` may not be done; kNone when it may be tried.
AbortReason store_refusal(u64 address, unsigned size);

// Runs one function of a program from `pc` to its exit. regs has r0..r10.
u64 interpret(const Program &program, Invocation &invocation, u32 pc, u64 regs[kNumRegs], s64 may_goto_left);

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_EXEC_RUNTIME_H_
