// SPDX-License-Identifier: GPL-2.0-only
// The contexts of programs that are attached to a point of the kernel: the point's own arguments (tp_btf, fentry,
// fexit, raw_tp), the record that the trace file system makes of them (tracepoint), or the registers (kprobe,
// kretprobe).
//
// Threading: any CPU.
#ifndef USCX_BRIDGE_TRACE_CONTEXTS_H_
#define USCX_BRIDGE_TRACE_CONTEXTS_H_

#include <span>

#include "bpf/object/hooks.h"
#include "bridge/call_frames.h"

namespace uscx::bridge {

// The context of a program; it lies in `frame`, whose arguments are `args`, or behind them. For a function's exit the
// last argument is what it returns.
u64 trace_context(CallFrame &frame, const bpf::Prog &prog, const bpf::Hook &hook, std::span<const u64> args,
                  bool on_exit, int pid);

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_TRACE_CONTEXTS_H_
