// SPDX-License-Identifier: GPL-2.0-only
// The instructions of BPF (ISA v4, as sched_ext programs use it): one table, from which validity, decoding, the
// disassembler, the interpreter and the JIT all derive. Nothing here depends on a running program; all of it is pure.
//
// Not in the table, because no scheduler uses them: tail calls, callx, gotox, LD_ABS and LD_IND, 8 and 16 bit atomics,
// exceptions. An instruction that is in no row is refused by name of its opcode.
#ifndef USCX_BPF_ISA_INSN_H_
#define USCX_BPF_ISA_INSN_H_

#include <linux/bpf.h>

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::bpf {

inline constexpr u32 kNumRegs = 11;       // r0..r10
inline constexpr u32 kFrameBytes = 512;   // of BPF stack below r10
inline constexpr u32 kMaxCallDepth = 8;   // frames, that of the entry included
inline constexpr u32 kMaxTailCalls = 33;  // of an invocation
inline constexpr u64 kMayGotoSteps = 8u << 20;

// The kind of an instruction. Size, width and operation are in other fields of its row.
enum class OpKind : u8 {
  kAlu,            // dst = dst <alu> (src or imm)
  kNeg,            // dst = -dst
  kMov,            // dst = src or imm
  kMovSx,          // dst = sign extension of the low `size` bytes of src
  kEndian,         // to little (a truncation here), to big, or an unconditional swap, of `size` bytes of dst
  kAddrSpaceCast,  // dst = src as a pointer of the arena (imm tells the direction)
  kLoad,           // dst = *(size *)(src + off), zero or sign extended
  kStore,          // *(size *)(dst + off) = src
  kStoreImm,       // *(size *)(dst + off) = imm
  kAtomic,         // read-modify-write of *(size *)(dst + off) with src
  kLoadAcquire,    // dst = *(size *)(src + off), ordered
  kStoreRelease,   // *(size *)(dst + off) = src, ordered
  kLoadImm64,      // dst = 64 bits of immediate; takes two slots
  kJump,           // unconditional (ja, gotol)
  kBranch,         // if dst <cond> (src or imm)
  kMayGoto,        // jumps when the frame's step counter has run out
  kCall,           // helper (src 0), subprogram (src 1), kfunc (src 2)
  kExit,
};

enum class AluOp : u8 { kAdd, kSub, kMul, kDiv, kSdiv, kOr, kAnd, kLsh, kRsh, kMod, kSmod, kXor, kArsh };
enum class Cond : u8 { kEq, kGt, kGe, kSet, kNe, kSgt, kSge, kLt, kLe, kSlt, kSle };
enum class AtomicOp : u8 { kAdd, kOr, kAnd, kXor, kXchg, kCmpxchg };
enum class EndianOp : u8 { kLittle, kBig, kSwap };

// The field of the instruction, beyond the opcode, that selects the row.
enum class Selector : u8 { kNone, kOff, kImm, kSrc };

// Fields that the instruction uses; those it does not use must be zero.
enum FieldUse : u8 { kUsesDst = 1, kUsesSrc = 2, kUsesOff = 4, kUsesImm = 8 };

struct OpInfo {
  u8 code = 0;
  OpKind kind = OpKind::kExit;
  u8 sub = 0;            // AluOp, Cond, AtomicOp or EndianOp, by kind
  bool is64 = false;     // 64-bit operation (ALU, branches)
  bool reg_src = false;  // second operand is src, not imm
  bool sign = false;     // sign-extending load
  bool fetch = false;    // atomic that returns the old value
  u8 size = 0;           // bytes of memory, or of the operand of kMovSx and kEndian
  Selector selector = Selector::kNone;
  s32 selected = 0;
  u8 fields = 0;          // FieldUse bits
  const char *name = "";  // mnemonic or operator, for the disassembler

  AluOp alu() const { return static_cast<AluOp>(sub); }
  Cond cond() const { return static_cast<Cond>(sub); }
  AtomicOp atomic() const { return static_cast<AtomicOp>(sub); }
  EndianOp endian() const { return static_cast<EndianOp>(sub); }
  bool writes_memory() const {
    return kind == OpKind::kStore || kind == OpKind::kStoreImm || kind == OpKind::kAtomic ||
           kind == OpKind::kStoreRelease;
  }
  bool is_atomic() const {
    return kind == OpKind::kAtomic || kind == OpKind::kLoadAcquire || kind == OpKind::kStoreRelease;
  }
  bool reads_memory() const { return kind == OpKind::kLoad || kind == OpKind::kLoadAcquire; }
};

// All rows, those of one opcode side by side.
std::span<const OpInfo> op_table();

// The row of an instruction, or nullptr when there is none.
const OpInfo *find_op(const bpf_insn &insn);

// Values of src_reg of a call.
inline constexpr u8 kCallHelper = 0;
inline constexpr u8 kCallSubprog = 1;
inline constexpr u8 kCallKfunc = 2;
// Values of src_reg of ld_imm64. Only kImm64Plain and kImm64Func reach execution: the loader resolves the others.
inline constexpr u8 kImm64Plain = 0;
inline constexpr u8 kImm64MapFd = 1;
inline constexpr u8 kImm64MapValue = 2;
inline constexpr u8 kImm64BtfId = 3;
inline constexpr u8 kImm64Func = 4;
inline constexpr u8 kImm64MapIdx = 5;
inline constexpr u8 kImm64MapIdxValue = 6;

// One instruction, decoded. Slot numbers are kept: the second slot of ld_imm64 has info == nullptr and never runs.
struct Insn {
  const OpInfo *info = nullptr;
  u8 dst = 0;
  u8 src = 0;
  s16 off = 0;
  s32 imm = 0;
  u32 target = 0;  // slot that a jump, may_goto, subprogram call or function pointer refers to
  u64 imm64 = 0;   // of ld_imm64
};

// Checks the form of every instruction (known opcode, reserved fields zero, register numbers, jump targets in range and
// not into the middle of ld_imm64) and decodes it. An error names the instruction.
Result<std::vector<Insn>> decode(std::span<const bpf_insn> insns);

// "r1 = *(u32 *)(r2 + 8)": the text of one instruction, in the notation of the kernel's verifier log.
std::string disassemble(const Insn &insn, u32 index);

}  // namespace uscx::bpf

#endif  // USCX_BPF_ISA_INSN_H_
