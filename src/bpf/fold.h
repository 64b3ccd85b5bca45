// SPDX-License-Identifier: GPL-2.0-only
// What instructions make of constants, for analyses. Threading: pure.
#ifndef USCX_BPF_FOLD_H_
#define USCX_BPF_FOLD_H_

#include <optional>

#include "base/types.h"
#include "bpf/insn.h"

namespace uscx::bpf {

u64 sign_extend(u64 value, u32 bytes);

// What the operation makes of two constants, before a 32-bit result is cut to its width; nothing where the result is
// not worth being right about.
std::optional<u64> fold_alu(AluOp op, u32 bits, u64 a, u64 b);

bool cond_holds(Cond cond, bool is64, u64 a, u64 b);

// The outcome for a left side of which only is known that it is not zero, against zero.
std::optional<bool> cond_holds_for_non_zero(Cond cond);

}  // namespace uscx::bpf

#endif  // USCX_BPF_FOLD_H_
