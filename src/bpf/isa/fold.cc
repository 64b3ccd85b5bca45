// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/isa/fold.h"

namespace uscx::bpf {

u64 fold_alu(AluOp op, bool is64, u64 a, u64 b) {
  return is64 ? alu<u64, s64>(op, a, b) : alu<u32, s32>(op, static_cast<u32>(a), static_cast<u32>(b));
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

}  // namespace uscx::bpf
