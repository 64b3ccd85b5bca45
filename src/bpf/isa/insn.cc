// SPDX-License-Identifier: GPL-2.0-only
// The opcode table, decoding with its checks, and the disassembler (see insn.h).
#include "bpf/isa/insn.h"

namespace uscx::bpf {
namespace {

// Encoding facts of the instruction set.
enum : u8 {
  kClsLd = 0,
  kClsLdx = 1,
  kClsSt = 2,
  kClsStx = 3,
  kClsAlu = 4,
  kClsJmp = 5,
  kClsJmp32 = 6,
  kClsAlu64 = 7,
  kSrcReg = 0x08,
  kModeMem = 0x60,
  kModeMemSx = 0x80,
  kModeAtomic = 0xc0,
  kAluNeg = 0x80,
  kAluMov = 0xb0,
  kAluEnd = 0xd0,
  kJmpCall = 0x80,
  kJmpExit = 0x90,
  kJmpCond = 0xe0,
};
enum : s32 { kAtomicFetch = 0x01, kImmLoadAcquire = 0x100, kImmStoreRelease = 0x110 };

constexpr size_t kMaxRows = 320;

struct Table {
  std::array<OpInfo, kMaxRows> rows{};
  std::array<u16, 257> first{};  // rows of opcode c: first[c] .. first[c + 1]
  size_t count = 0;

  constexpr void add(OpInfo row) { rows[count++] = row; }
};

constexpr u8 size_code(u8 size) { return size == 4 ? 0x00 : size == 2 ? 0x08 : size == 1 ? 0x10 : 0x18; }

constexpr void add_alu(Table &t) {
  struct Row {
    u8 code;
    AluOp op;
    const char *name;
    s32 off;
  };
  constexpr Row kOps[] = {
      {0x00, AluOp::kAdd, "+=", 0},    {0x10, AluOp::kSub, "-=", 0},   {0x20, AluOp::kMul, "*=", 0},
      {0x30, AluOp::kDiv, "/=", 0},    {0x30, AluOp::kSdiv, "s/=", 1}, {0x40, AluOp::kOr, "|=", 0},
      {0x50, AluOp::kAnd, "&=", 0},    {0x60, AluOp::kLsh, "<<=", 0},  {0x70, AluOp::kRsh, ">>=", 0},
      {0x90, AluOp::kMod, "%=", 0},    {0x90, AluOp::kSmod, "s%=", 1}, {0xa0, AluOp::kXor, "^=", 0},
      {0xc0, AluOp::kArsh, "s>>=", 0},
  };
  for (u8 cls : {kClsAlu, kClsAlu64}) {
    const bool is64 = cls == kClsAlu64;
    for (u8 reg : {u8{0}, u8{kSrcReg}}) {
      for (const Row &op : kOps) {
        t.add({.code = u8(op.code | cls | reg),
               .kind = OpKind::kAlu,
               .sub = u8(op.op),
               .is64 = is64,
               .reg_src = reg != 0,
               .selector = Selector::kOff,
               .selected = op.off,
               .fields = u8(kUsesDst | (reg ? kUsesSrc : kUsesImm)),
               .name = op.name});
      }
      t.add({.code = u8(kAluMov | cls | reg),
             .kind = OpKind::kMov,
             .is64 = is64,
             .reg_src = reg != 0,
             .selector = Selector::kOff,
             .selected = 0,
             .fields = u8(kUsesDst | (reg ? kUsesSrc : kUsesImm)),
             .name = "="});
    }
    t.add({.code = u8(kAluNeg | cls), .kind = OpKind::kNeg, .is64 = is64, .fields = kUsesDst, .name = "-"});
    for (u8 size : {1, 2, 4}) {
      if (size == 4 && !is64) continue;
      t.add({.code = u8(kAluMov | cls | kSrcReg),
             .kind = OpKind::kMovSx,
             .is64 = is64,
             .reg_src = true,
             .size = size,
             .selector = Selector::kOff,
             .selected = size * 8,
             .fields = kUsesDst | kUsesSrc,
             .name = "s="});
    }
    for (u8 size : {2, 4, 8}) {
      for (u8 reg : {u8{0}, u8{kSrcReg}}) {
        if (is64 && reg) continue;
        const EndianOp op = is64 ? EndianOp::kSwap : reg ? EndianOp::kBig : EndianOp::kLittle;
        t.add({.code = u8(kAluEnd | cls | reg),
               .kind = OpKind::kEndian,
               .sub = u8(op),
               .is64 = true,
               .size = size,
               .selector = Selector::kImm,
               .selected = size * 8,
               .fields = kUsesDst,
               .name = is64  ? "bswap"
                       : reg ? "be"
                             : "le"});
      }
    }
  }
  for (s32 direction : {1, 1 << 16}) {
    t.add({.code = u8(kAluMov | kClsAlu64 | kSrcReg),
           .kind = OpKind::kAddrSpaceCast,
           .sub = u8(direction != 1),
           .is64 = true,
           .reg_src = true,
           .selector = Selector::kOff,
           .selected = 1,
           .fields = kUsesDst | kUsesSrc | kUsesImm,
           .name = "addr_space_cast"});
  }
}

constexpr void add_memory(Table &t) {
  for (u8 size : {1, 2, 4, 8}) {
    const u8 sc = size_code(size);
    t.add({.code = u8(kClsLdx | kModeMem | sc),
           .kind = OpKind::kLoad,
           .size = size,
           .fields = kUsesDst | kUsesSrc | kUsesOff});
    if (size != 8) {
      t.add({.code = u8(kClsLdx | kModeMemSx | sc),
             .kind = OpKind::kLoad,
             .sign = true,
             .size = size,
             .fields = kUsesDst | kUsesSrc | kUsesOff});
    }
    t.add({.code = u8(kClsStx | kModeMem | sc),
           .kind = OpKind::kStore,
           .reg_src = true,
           .size = size,
           .fields = kUsesDst | kUsesSrc | kUsesOff});
    t.add({.code = u8(kClsSt | kModeMem | sc),
           .kind = OpKind::kStoreImm,
           .size = size,
           .fields = kUsesDst | kUsesOff | kUsesImm});
    const u8 atomic_code = kClsStx | kModeAtomic | sc;
    const u8 all = kUsesDst | kUsesSrc | kUsesOff;
    t.add({.code = atomic_code,
           .kind = OpKind::kLoadAcquire,
           .reg_src = true,
           .size = size,
           .selector = Selector::kImm,
           .selected = kImmLoadAcquire,
           .fields = all,
           .name = "load_acquire"});
    t.add({.code = atomic_code,
           .kind = OpKind::kStoreRelease,
           .reg_src = true,
           .size = size,
           .selector = Selector::kImm,
           .selected = kImmStoreRelease,
           .fields = all,
           .name = "store_release"});
    if (size < 4) continue;
    struct Row {
      s32 imm;
      AtomicOp op;
      const char *name;
    };
    constexpr Row kOps[] = {{0x00, AtomicOp::kAdd, "add"},   {0x40, AtomicOp::kOr, "or"},
                            {0x50, AtomicOp::kAnd, "and"},   {0xa0, AtomicOp::kXor, "xor"},
                            {0xe1, AtomicOp::kXchg, "xchg"}, {0xf1, AtomicOp::kCmpxchg, "cmpxchg"}};
    for (const Row &op : kOps) {
      for (s32 fetch : {0, s32{kAtomicFetch}}) {
        if ((op.imm & kAtomicFetch) && fetch) continue;
        t.add({.code = atomic_code,
               .kind = OpKind::kAtomic,
               .sub = u8(op.op),
               .is64 = size == 8,
               .reg_src = true,
               .fetch = ((op.imm | fetch) & kAtomicFetch) != 0,
               .size = size,
               .selector = Selector::kImm,
               .selected = op.imm | fetch,
               .fields = all,
               .name = op.name});
      }
    }
  }
  t.add({.code = kClsLd | 0x18, .kind = OpKind::kLoadImm64, .is64 = true, .fields = kUsesDst | kUsesSrc | kUsesImm});
}

constexpr void add_jumps(Table &t) {
  struct Row {
    u8 code;
    Cond cond;
    const char *name;
  };
  constexpr Row kConds[] = {
      {0x10, Cond::kEq, "=="}, {0x20, Cond::kGt, ">"},   {0x30, Cond::kGe, ">="},   {0x40, Cond::kSet, "&"},
      {0x50, Cond::kNe, "!="}, {0x60, Cond::kSgt, "s>"}, {0x70, Cond::kSge, "s>="}, {0xa0, Cond::kLt, "<"},
      {0xb0, Cond::kLe, "<="}, {0xc0, Cond::kSlt, "s<"}, {0xd0, Cond::kSle, "s<="},
  };
  for (u8 cls : {kClsJmp, kClsJmp32}) {
    for (u8 reg : {u8{0}, u8{kSrcReg}}) {
      for (const Row &c : kConds) {
        t.add({.code = u8(c.code | cls | reg),
               .kind = OpKind::kBranch,
               .sub = u8(c.cond),
               .is64 = cls == kClsJmp,
               .reg_src = reg != 0,
               .fields = u8(kUsesDst | kUsesOff | (reg ? kUsesSrc : kUsesImm)),
               .name = c.name});
      }
    }
  }
  t.add({.code = kClsJmp, .kind = OpKind::kJump, .fields = kUsesOff, .name = "goto"});
  t.add({.code = kClsJmp32, .kind = OpKind::kJump, .fields = kUsesImm, .name = "gotol"});
  t.add({.code = kClsJmp | kJmpCond, .kind = OpKind::kMayGoto, .fields = kUsesOff, .name = "may_goto"});
  for (u8 src : {kCallHelper, kCallSubprog, kCallKfunc}) {
    const u8 off_use = src == kCallKfunc ? u8{kUsesOff} : u8{0};
    t.add({.code = kClsJmp | kJmpCall,
           .kind = OpKind::kCall,
           .sub = src,
           .selector = Selector::kSrc,
           .selected = src,
           .fields = u8(kUsesSrc | kUsesImm | off_use),
           .name = "call"});
  }
  t.add({.code = kClsJmp | kJmpExit, .kind = OpKind::kExit, .name = "exit"});
}

constexpr Table build_table() {
  Table unsorted;
  add_alu(unsorted);
  add_memory(unsorted);
  add_jumps(unsorted);
  Table sorted;
  for (u32 code = 0; code < 256; code++) {
    sorted.first[code] = u16(sorted.count);
    for (size_t i = 0; i < unsorted.count; i++) {
      if (unsorted.rows[i].code == code) sorted.add(unsorted.rows[i]);
    }
  }
  sorted.first[256] = u16(sorted.count);
  return sorted;
}

constexpr Table kTable = build_table();

bool selects(const OpInfo &row, const bpf_insn &insn) {
  switch (row.selector) {
    case Selector::kNone: return true;
    case Selector::kOff: break;
    case Selector::kImm: return insn.imm == row.selected;
    case Selector::kSrc: return insn.src_reg == row.selected;
  }
  if (insn.off != row.selected) return false;
  // The two directions of the cast share an offset and differ in imm.
  return row.kind != OpKind::kAddrSpaceCast || insn.imm == (row.sub ? 1 << 16 : 1);
}

bool writes_dst(const OpInfo &op) {
  switch (op.kind) {
    case OpKind::kAlu:
    case OpKind::kNeg:
    case OpKind::kMov:
    case OpKind::kMovSx:
    case OpKind::kEndian:
    case OpKind::kAddrSpaceCast:
    case OpKind::kLoad:
    case OpKind::kLoadAcquire:
    case OpKind::kLoadImm64: return true;
    default: return false;
  }
}

// What is wrong with the fields of an instruction of a known row; nullptr when nothing is.
const char *field_error(const bpf_insn &raw, const OpInfo &op) {
  if (raw.dst_reg >= kNumRegs) return "there is no such destination register";
  if (!(op.fields & kUsesDst) && raw.dst_reg != 0) return "reserved dst field is not zero";
  if (op.fields & kUsesSrc) {
    const u32 limit = op.kind == OpKind::kLoadImm64 ? kImm64MapIdxValue + 1 : kNumRegs;
    if (raw.src_reg >= limit) return "there is no such source register";
  } else if (raw.src_reg != 0) {
    return "reserved src field is not zero";
  }
  if (!(op.fields & kUsesOff) && op.selector != Selector::kOff && raw.off != 0) return "reserved off field is not zero";
  if (!(op.fields & kUsesImm) && op.selector != Selector::kImm && raw.imm != 0) return "reserved imm field is not zero";
  if (writes_dst(op) && raw.dst_reg == 10) return "writes r10, the frame pointer";
  if (op.kind == OpKind::kAtomic && op.fetch && op.atomic() != AtomicOp::kCmpxchg && raw.src_reg == 10)
    return "writes r10, the frame pointer";
  const bool shift =
      op.kind == OpKind::kAlu && (op.alu() == AluOp::kLsh || op.alu() == AluOp::kRsh || op.alu() == AluOp::kArsh);
  if (shift && !op.reg_src && (raw.imm < 0 || raw.imm >= (op.is64 ? 64 : 32))) return "shifts by more than the width";
  const bool divides = op.kind == OpKind::kAlu && (op.alu() == AluOp::kDiv || op.alu() == AluOp::kMod ||
                                                   op.alu() == AluOp::kSdiv || op.alu() == AluOp::kSmod);
  if (divides && !op.reg_src && raw.imm == 0) return "divides by zero";
  return nullptr;
}

bool has_target(const OpInfo &op, const bpf_insn &raw) {
  switch (op.kind) {
    case OpKind::kJump:
    case OpKind::kBranch:
    case OpKind::kMayGoto: return true;
    case OpKind::kCall: return op.sub == kCallSubprog;
    case OpKind::kLoadImm64: return raw.src_reg == kImm64Func;
    default: return false;
  }
}

s64 displacement(const OpInfo &op, const bpf_insn &raw) {
  const bool in_off = (op.fields & kUsesOff) != 0;
  return in_off ? s64{raw.off} : s64{raw.imm};
}

}  // namespace

std::span<const OpInfo> op_table() { return {kTable.rows.data(), kTable.count}; }

const OpInfo *find_op(const bpf_insn &insn) {
  for (u32 i = kTable.first[insn.code]; i < kTable.first[insn.code + 1u]; i++) {
    if (selects(kTable.rows[i], insn)) return &kTable.rows[i];
  }
  return nullptr;
}

Result<std::vector<Insn>> decode(std::span<const bpf_insn> raw) {
  if (raw.empty()) return Status::error("the program has no instructions");
  std::vector<Insn> out(raw.size());
  for (u32 i = 0; i < raw.size(); i++) {
    const OpInfo *op = find_op(raw[i]);
    if (op == nullptr) {
      return Status::error("insn {}: opcode {:#04x} (src {}, off {}, imm {}) is not an instruction that uscx runs", i,
                           raw[i].code, unsigned{raw[i].src_reg}, raw[i].off, raw[i].imm);
    }
    if (const char *error = field_error(raw[i], *op)) return Status::error("insn {}: {}", i, error);
    out[i] = {.info = op, .dst = raw[i].dst_reg, .src = raw[i].src_reg, .off = raw[i].off, .imm = raw[i].imm};
    if (op->kind != OpKind::kLoadImm64) continue;
    if (i + 1 == raw.size()) return Status::error("insn {}: second half of ld_imm64 is missing", i);
    const bpf_insn &second = raw[i + 1];
    if (second.code != 0 || second.dst_reg != 0 || second.src_reg != 0 || second.off != 0)
      return Status::error("insn {}: second half of ld_imm64 has reserved fields that are not zero", i);
    out[i].imm64 = u32(raw[i].imm) | u64{u32(second.imm)} << 32;
    i++;
  }
  for (u32 i = 0; i < raw.size(); i++) {
    if (out[i].info == nullptr || !has_target(*out[i].info, raw[i])) continue;
    const s64 target = s64{i} + 1 + displacement(*out[i].info, raw[i]);
    const char *what = out[i].info->kind == OpKind::kCall || out[i].info->kind == OpKind::kLoadImm64
                           ? "refers to a function"
                           : "jumps";
    if (target < 0 || target >= s64(raw.size())) return Status::error("insn {}: {} out of the program", i, what);
    if (out[target].info == nullptr)
      return Status::error("insn {}: {} into the middle of ld_imm64 at {}", i, what, target);
    out[i].target = u32(target);
  }
  return out;
}

namespace {

std::string operand(const Insn &insn, char prefix) {
  return insn.info->reg_src ? fmt::format("{}{}", prefix, insn.src) : fmt::format("{}", insn.imm);
}

std::string memory(const OpInfo &op, u8 reg, s16 off) {
  return fmt::format("*({}{} *)(r{} {} {})", op.sign ? 's' : 'u', op.size * 8, reg, off < 0 ? '-' : '+',
                     off < 0 ? -int{off} : int{off});
}

std::string disassemble_atomic(const Insn &insn) {
  const OpInfo &op = *insn.info;
  const char reg = op.is64 ? 'r' : 'w';
  const std::string where = memory(op, insn.dst, insn.off);
  if (op.atomic() == AtomicOp::kCmpxchg)
    return fmt::format("{}0 = atomic_cmpxchg({}, {}0, {}{})", reg, where, reg, reg, insn.src);
  if (op.fetch) return fmt::format("{}{} = atomic_{}({}, {}{})", reg, insn.src, op.name, where, reg, insn.src);
  return fmt::format("lock {} {}, {}{}", op.name, where, reg, insn.src);
}

std::string disassemble_imm64(const Insn &insn) {
  if (insn.src == kImm64Func) return fmt::format("r{} = func {}", insn.dst, insn.target);
  return fmt::format("r{} = {:#x} ll", insn.dst, insn.imm64);
}

}  // namespace

std::string disassemble(const Insn &insn, u32 index) {
  if (insn.info == nullptr) return "(second half)";
  const OpInfo &op = *insn.info;
  const char reg = op.is64 ? 'r' : 'w';
  (void)index;
  switch (op.kind) {
    case OpKind::kAlu:
    case OpKind::kMov: return fmt::format("{}{} {} {}", reg, insn.dst, op.name, operand(insn, reg));
    case OpKind::kNeg: return fmt::format("{}{} = -{}{}", reg, insn.dst, reg, insn.dst);
    case OpKind::kMovSx: return fmt::format("{}{} = (s{}){}{}", reg, insn.dst, op.size * 8, reg, insn.src);
    case OpKind::kEndian: return fmt::format("r{} = {}{} r{}", insn.dst, op.name, op.size * 8, insn.dst);
    case OpKind::kAddrSpaceCast:
      return fmt::format("r{} = addr_space_cast(r{}, {}, {})", insn.dst, insn.src, op.sub ? 1 : 0, op.sub ? 0 : 1);
    case OpKind::kLoad: return fmt::format("r{} = {}", insn.dst, memory(op, insn.src, insn.off));
    case OpKind::kLoadAcquire: return fmt::format("r{} = load_acquire({})", insn.dst, memory(op, insn.src, insn.off));
    case OpKind::kStore: return fmt::format("{} = r{}", memory(op, insn.dst, insn.off), insn.src);
    case OpKind::kStoreImm: return fmt::format("{} = {}", memory(op, insn.dst, insn.off), insn.imm);
    case OpKind::kStoreRelease: return fmt::format("store_release({}, r{})", memory(op, insn.dst, insn.off), insn.src);
    case OpKind::kAtomic: return disassemble_atomic(insn);
    case OpKind::kLoadImm64: return disassemble_imm64(insn);
    case OpKind::kJump:
    case OpKind::kMayGoto: return fmt::format("{} {}", op.name, insn.target);
    case OpKind::kBranch:
      return fmt::format("if {}{} {} {} goto {}", reg, insn.dst, op.name, operand(insn, reg), insn.target);
    case OpKind::kCall:
      if (op.sub == kCallSubprog) return fmt::format("call {}", insn.target);
      return fmt::format("call {}#{}", op.sub == kCallKfunc ? "kfunc" : "helper", insn.imm);
    case OpKind::kExit: return "exit";
  }
  return "?";
}

}  // namespace uscx::bpf
