// SPDX-License-Identifier: GPL-2.0-only
// Random programs, made from the opcode table itself, on interpreter and JIT. Programs have loops, calls, callees with
// saved registers, good and bad pointers, so that they also leave translated code by faults and failing checks. Each
// program is a function of its seed, which a failure prints; USCX_FUZZ_PROGRAMS asks for more of them.
#include <cstdlib>

#include "base/rng.h"
#include "bpf/exec/conformance_run.h"

namespace uscx::bpf {
namespace {

u64 mix(u64 a, u64 b, u64 c) { return (a * 31 + b) * 31 + c; }
u64 env_cpu() { return Invocation::current()->env().cpu; }
u64 give_memory() { return reinterpret_cast<u64>(TestWorld::get().rw) + 128; }
u64 refuse(u64 value) {
  if (value % 64 == 5) Invocation::current()->violation("refused {}", value);
  return value;
}
constexpr CallDesc kMix{"mix", 3}, kCpu{"env_cpu", 0}, kGive{"give_memory", 0, Returns::kReadWritePtr},
    kRefuse{"refuse", 1};

class Generator {
 public:
  explicit Generator(u64 seed) : rng_(seed, "bpf-fuzz") {}

  Assembled make() {
    const u32 functions = u32(rng_.below(3));
    std::vector<u32> starts;
    for (u32 f = 0; f <= functions; f++) {
      starts.push_back(u32(out_.insns.size()));
      function(f == 0, u32(4 + rng_.below(40)));
    }
    for (u32 call : calls_) {
      const u32 target = starts[functions == 0 ? 0 : 1 + rng_.below(functions)];
      out_.insns[call].imm = s32(target) - s32(call) - 1;
    }
    return std::move(out_);
  }

 private:
  void emit(u8 code, u8 dst, u8 src, s16 off, s32 imm) {
    bpf_insn insn = {};
    insn.code = code;
    insn.dst_reg = dst & 15;
    insn.src_reg = src & 15;
    insn.off = off;
    insn.imm = imm;
    out_.insns.push_back(insn);
    starts_.push_back(u32(out_.insns.size() - 1));
  }
  void load_imm64(u8 reg, u64 value) {
    emit(0x18, reg, 0, 0, s32(u32(value)));
    bpf_insn second = {};
    second.imm = s32(u32(value >> 32));
    out_.insns.push_back(second);
  }

  u8 any_reg() { return u8(rng_.below(10)); }
  s32 interesting() {
    static constexpr s32 kValues[] = {
        0, 1, -1, 2, 7, 8, 31, 63, 64, 127, 128, 255, 0x7fff, 0x7fffffff, -0x7fffffff - 1};
    return rng_.below(2) ? kValues[rng_.below(std::size(kValues))] : s32(u32(rng_.next()));
  }

  void function(bool entry, u32 length) {
    starts_.clear();
    const u32 begin = u32(out_.insns.size());
    // The context stays at r10 - 8, where a program finds its pointers; callees get it in r1 or do without.
    emit(0x7b, 10, 1, -8, 0);
    if (entry) {
      for (u8 r = 0; r < 10; r++)
        if (rng_.below(4)) load_imm64(r, rng_.below(2) ? rng_.next() : u64(s64{interesting()}));
    }
    jumps_.clear();
    for (u32 i = 0; i < length; i++) statement();
    if (rng_.below(4)) emit(0xb7, 0, 0, 0, interesting());
    emit(0x95, 0, 0, 0, 0);
    for (u32 at : jumps_) aim(at, begin);
  }

  // Mostly a little forward; sometimes backward, where the budget ends what does not end.
  void aim(u32 at, u32 begin) {
    (void)begin;
    std::vector<u32> ahead, behind;
    for (u32 start : starts_) {
      if (start > at && start <= at + 12) ahead.push_back(start);
      if (start <= at && start + 8 >= at) behind.push_back(start);
    }
    const auto &among = rng_.below(8) == 0 || ahead.empty() ? behind : ahead;
    const s32 distance = s32(among[rng_.below(among.size())]) - s32(at) - 1;
    if (out_.insns[at].code == 0x06)
      out_.insns[at].imm = distance;
    else
      out_.insns[at].off = s16(distance);
  }

  // A register that holds a good pointer, set just now.
  u8 pointer(bool writable) {
    const u8 reg = any_reg();
    const u64 kind = rng_.below(16);
    if (kind < 4) {
      emit(0xbf, reg, 10, 0, 0);
      emit(0x07, reg, 0, 0, -s32(16 + rng_.below(200)));
    } else {
      emit(0x79, reg, 10, -8, 0);
      const s16 word = kind < 12 || writable ? (kind == 15 ? 32 : 0) : s16(8 * (1 + rng_.below(5)));
      emit(0x79, reg, reg, word, 0);
      if (rng_.below(2)) emit(0x07, reg, 0, 0, s32(rng_.below(64)));
    }
    return reg;
  }

  void memory(const OpInfo &row) {
    const bool writes = row.writes_memory();
    u8 base = rng_.below(writes ? 40 : 6) == 0 ? any_reg() : pointer(writes);
    if (rng_.below(12) == 0) base = 10;
    s16 off = s16(s64(rng_.below(writes ? 160 : 280)) - (base == 10 ? 300 : 8));
    if (base == 10 && off > -16) off = -16;
    if (row.kind == OpKind::kAtomic) off = s16(off & ~7);
    const u8 value = any_reg();
    // A slot that lies over the context's would spoil the rest of the program.
    const u8 dst = writes ? base : value, src = writes ? value : base;
    emit(row.code, dst, row.kind == OpKind::kStoreImm ? 0 : src, off,
         row.selector == Selector::kImm  ? row.selected
         : row.kind == OpKind::kStoreImm ? interesting()
                                         : 0);
    // A second access through the same base is what the analysis leaves unchecked.
    if (rng_.below(3) == 0 && dst != 0) emit(0x71, 0, base, s16(off + 1), 0);
  }

  void compute(const OpInfo &row) {
    const bool shift =
        row.kind == OpKind::kAlu && (row.alu() == AluOp::kLsh || row.alu() == AluOp::kRsh || row.alu() == AluOp::kArsh);
    const bool divides = row.kind == OpKind::kAlu && (row.alu() == AluOp::kDiv || row.alu() == AluOp::kMod ||
                                                      row.alu() == AluOp::kSdiv || row.alu() == AluOp::kSmod);
    s32 imm = 0;
    if (row.selector == Selector::kImm)
      imm = row.selected;
    else if (row.kind == OpKind::kAddrSpaceCast)
      imm = row.sub ? 1 << 16 : 1;
    else if (row.fields & kUsesImm)
      imm = shift ? s32(rng_.below(row.is64 ? 64 : 32)) : interesting();
    if (divides && !row.reg_src && imm == 0) imm = 3;
    emit(row.code, any_reg(), row.fields & kUsesSrc ? any_reg() : 0,
         row.selector == Selector::kOff ? s16(row.selected) : 0, imm);
  }

  void call() {
    static constexpr const char *kNames[] = {"mix", "env_cpu", "give_memory", "refuse", "env_cpu_inline"};
    const u64 which = rng_.below(7);
    if (which < 5) {
      out_.calls[u32(out_.insns.size())] = kNames[which];
      return emit(0x85, 0, kCallHelper, 0, 1);
    }
    emit(0x79, 1, 10, -8, 0);
    calls_.push_back(u32(out_.insns.size()));
    emit(0x85, 0, kCallSubprog, 0, 0);
  }

  void statement() {
    const auto rows = op_table();
    const OpInfo &row = rows[rng_.below(rows.size())];
    switch (row.kind) {
      case OpKind::kAlu:
      case OpKind::kNeg:
      case OpKind::kMov:
      case OpKind::kMovSx:
      case OpKind::kEndian:
      case OpKind::kAddrSpaceCast: return compute(row);
      case OpKind::kLoadImm64: return load_imm64(any_reg(), rng_.next() >> rng_.below(64));
      case OpKind::kBranch:
      case OpKind::kJump:
      case OpKind::kMayGoto:
        jumps_.push_back(u32(out_.insns.size()));
        return emit(row.code, row.fields & kUsesDst ? any_reg() : 0, row.fields & kUsesSrc ? any_reg() : 0, 0,
                    row.kind == OpKind::kBranch && (row.fields & kUsesImm) ? interesting() : 0);
      case OpKind::kCall: return call();
      case OpKind::kExit:
        if (rng_.below(4) == 0) emit(0x95, 0, 0, 0, 0);
        return;
      default: return memory(row);
    }
  }

  Rng rng_;
  Assembled out_;
  std::vector<u32> starts_;  // first slots of the instructions of the function at hand
  std::vector<u32> jumps_;
  std::vector<u32> calls_;
};

TEST(ConformanceFuzz, JitAndInterpreterAgree) {
  const InlineOp cpu{.kind = InlineOp::Kind::kEnvLoad, .env = {u16(offsetof(ExecEnv, cpu)), 4}};
  const Functions functions = {{"mix", {reinterpret_cast<void *>(mix), &kMix, {}}},
                               {"env_cpu", {reinterpret_cast<void *>(env_cpu), &kCpu, {}}},
                               {"env_cpu_inline", {reinterpret_cast<void *>(env_cpu), &kCpu, cpu}},
                               {"give_memory", {reinterpret_cast<void *>(give_memory), &kGive, {}}},
                               {"refuse", {reinterpret_cast<void *>(refuse), &kRefuse, {}}}};
  const char *asked = std::getenv("USCX_FUZZ_PROGRAMS");
  const u64 programs = asked ? std::strtoull(asked, nullptr, 10) : 3000;
  std::map<std::string, int> outcomes;
  for (u64 seed = 1; seed <= programs; seed++) {
    const Assembled code = Generator(seed).make();
    const Outcome out = run_both(*build(code, functions), 3000);
    // The hooks of explore mode change nothing.
    if (seed % 8 == 0) {
      const Outcome explored = run_both(*build(code, functions, {.explore = true}), 3000);
      EXPECT_EQ(explored.r0, out.r0);
      EXPECT_EQ(explored.message, out.message);
      EXPECT_TRUE(explored.memory == out.memory);
    }
    outcomes[abort_reason_name(out.reason)]++;
    outcomes["wild loads"] += !out.wild.empty();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  // The generator is worth something only while it reaches every kind of end.
  for (const char *name :
       {"none", "wild store", "read-only store", "store fault", "budget", "call depth", "violation", "wild loads"})
    EXPECT_GT(outcomes[name], 0) << name;
  for (const auto &[name, count] : outcomes) RecordProperty(name, count);
}

}  // namespace
}  // namespace uscx::bpf
