// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/fold.h"

namespace uscx::bpf {

u64 sign_extend(u64 value, u32 bytes) {
  if (bytes >= 8) return value;
  const u32 shift = 64 - 8 * bytes;
  return static_cast<u64>(static_cast<s64>(value << shift) >> shift);
}

std::optional<u64> fold_alu(AluOp op, u32 bits, u64 a, u64 b) {
  if (bits == 32) {
    a = static_cast<u32>(a);
    b = static_cast<u32>(b);
  }
  const u64 shift = b & (bits - 1);
  switch (op) {
    case AluOp::kAdd: return a + b;
    case AluOp::kSub: return a - b;
    case AluOp::kMul: return a * b;
    case AluOp::kDiv: return b == 0 ? 0 : a / b;
    case AluOp::kMod: return b == 0 ? a : a % b;
    case AluOp::kOr: return a | b;
    case AluOp::kAnd: return a & b;
    case AluOp::kXor: return a ^ b;
    case AluOp::kLsh: return a << shift;
    case AluOp::kRsh: return a >> shift;
    case AluOp::kArsh:
      return bits == 32 ? static_cast<u64>(static_cast<s32>(a) >> shift)
                        : static_cast<u64>(static_cast<s64>(a) >> shift);
    case AluOp::kSdiv:
    case AluOp::kSmod: return std::nullopt;
  }
  return std::nullopt;
}

bool cond_holds(Cond cond, bool is64, u64 a, u64 b) {
  if (!is64) {
    a = static_cast<u32>(a);
    b = static_cast<u32>(b);
  }
  const s64 sa = is64 ? static_cast<s64>(a) : static_cast<s32>(a);
  const s64 sb = is64 ? static_cast<s64>(b) : static_cast<s32>(b);
  switch (cond) {
    case Cond::kEq: return a == b;
    case Cond::kNe: return a != b;
    case Cond::kGt: return a > b;
    case Cond::kGe: return a >= b;
    case Cond::kLt: return a < b;
    case Cond::kLe: return a <= b;
    case Cond::kSet: return (a & b) != 0;
    case Cond::kSgt: return sa > sb;
    case Cond::kSge: return sa >= sb;
    case Cond::kSlt: return sa < sb;
    case Cond::kSle: return sa <= sb;
  }
  return true;
}

std::optional<bool> cond_holds_for_non_zero(Cond cond) {
  switch (cond) {
    case Cond::kEq:
    case Cond::kLe: return false;
    case Cond::kNe:
    case Cond::kGt: return true;
    default: return std::nullopt;
  }
}

}  // namespace uscx::bpf
