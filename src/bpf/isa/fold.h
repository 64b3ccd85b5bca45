// SPDX-License-Identifier: GPL-2.0-only
// The results of instructions on known values, for the interpreter and for analyses (known.h). Threading: pure.
#ifndef USCX_BPF_ISA_FOLD_H_
#define USCX_BPF_ISA_FOLD_H_

#include "base/types.h"
#include "bpf/isa/insn.h"

namespace uscx::bpf {

inline u64 sign_extend(u64 value, u32 bytes) {
  const u32 shift = 64 - 8 * bytes;
  return static_cast<u64>(static_cast<s64>(value << shift) >> shift);
}

// The result of the operation on two values; U and S are the unsigned and the signed type of its width.
template <typename U, typename S>
U alu(AluOp op, U a, U b) {
  constexpr U kMask = sizeof(U) * 8 - 1;
  switch (op) {
    case AluOp::kAdd: return a + b;
    case AluOp::kSub: return a - b;
    case AluOp::kMul: return a * b;
    case AluOp::kDiv: return b == 0 ? 0 : a / b;
    case AluOp::kMod: return b == 0 ? a : a % b;
    // -1 apart: the quotient of the least number does not exist, and wraps.
    case AluOp::kSdiv: return b == 0 ? 0 : S(b) == -1 ? U(0) - a : U(S(a) / S(b));
    case AluOp::kSmod: return b == 0 ? a : S(b) == -1 ? 0 : U(S(a) % S(b));
    case AluOp::kOr: return a | b;
    case AluOp::kAnd: return a & b;
    case AluOp::kXor: return a ^ b;
    case AluOp::kLsh: return a << (b & kMask);
    case AluOp::kRsh: return a >> (b & kMask);
    case AluOp::kArsh: return U(S(a) >> (b & kMask));
  }
  return 0;
}

// The same, cut to the operation's width.
u64 fold_alu(AluOp op, bool is64, u64 a, u64 b);

bool cond_holds(Cond cond, bool is64, u64 a, u64 b);

}  // namespace uscx::bpf

#endif  // USCX_BPF_ISA_FOLD_H_
