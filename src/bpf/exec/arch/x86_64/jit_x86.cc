// SPDX-License-Identifier: GPL-2.0-only
// Translation to x86-64.
//
// Registers: r0 rax, r1-r5 rdi rsi rdx rcx r8 (the C ABI's own order, so a helper call moves nothing), r6-r9 rbx r13
// r14 r15, r10 rbp. r12 holds the ExecState, r10 and r11 are scratch. r9 holds the budget in functions that jump
// backward, so that a loop's charge is one subtraction; it is written back around calls and at exits.
//
// Checks: a load or store that the analysis could not prove tests its base register against the region (or the
// read-write half) by a shift and a compare; guards make the offset irrelevant. What fails leaves the straight path: a
// load of NULL gives 0, a store asks slow_store, everything else goes on in the interpreter until the function returns,
// so that facts proven by an earlier check hold wherever translated code runs.
#include <algorithm>
#include <bit>
#include <optional>

#include "bpf/exec/arch/x86_64/emitter.h"
#include "bpf/exec/exec_runtime.h"
#include "bpf/exec/jit.h"
#include "bpf/exec/program.h"
#include "bpf/memory/region.h"

#if !defined(__x86_64__)
#error "src/bpf/exec/arch/x86_64/jit_x86.cc is for x86-64; another architecture needs a translator of its own"
#endif

namespace uscx::bpf {
namespace {

using namespace x86;  // NOLINT: register names read as in an assembler

constexpr Reg kMap[kNumRegs] = {rax, rdi, rsi, rdx, rcx, r8, rbx, r13, r14, r15, rbp};
constexpr Reg kState = r12;
constexpr Reg kBudget = r9;
constexpr Reg kCalleeSaved[] = {rbx, r13, r14, r15};  // r6..r9
constexpr u16 kArgRegs = 0x3e;

constexpr Mem state_field(size_t offset) { return {kState, s32(offset)}; }
#define STATE(field) state_field(offsetof(ExecState, field))

bool has_bmi2() {
  static const bool has = __builtin_cpu_supports("bmi2");
  return has;
}

class Translator {
 public:
  Translator(const Program &program, Translation *out) : program_(program), out_(out), insns_(program.insns()) {}

  Status run() {
    positions_.assign(insns_.size(), 0);
    e_.reserve(insns_.size() * 16);
    for (u32 i = 0; i < program_.subprogs().size(); i++) function(program_.subprogs()[i]);
    for (const Fixup &call : subprog_calls_) e_.patch(call.at, out_->entries[call.target]);
    std::sort(out_->faults.begin(), out_->faults.end(), [](const auto &a, const auto &b) { return a.pc < b.pc; });
    for (const auto &external : e_.externals()) out_->externals.push_back({external.at, external.target});
    out_->code = e_.take_code();
    return {};
  }

 private:
  struct Fixup {
    u32 at;
    u32 target;  // slot, or subprogram
  };
  // Code off the straight path, emitted behind the function.
  struct Cold {
    enum class Kind : u8 { kLoad, kStore, kBudget, kDepth, kNullLookup, kCallFallback, kAtomicSkip } kind;
    u32 from;  // displacement to patch
    u32 insn;
    u32 again;   // where a store that is fine goes on
    u32 behind;  // behind the instruction
    Mem mem{rax, 0};
    Reg dst = rax;
  };

  // ---- functions ----

  void function(const Subprog &sub) {
    sub_ = &sub;
    counts_ = sub.has_backward_jump;
    saved_.clear();
    for (u32 i = 0; i < 4; i++)
      if (sub.is_called && (sub.written >> (6 + i) & 1)) saved_.push_back(kCalleeSaved[i]);
    locals_ = sub.has_may_goto ? 8 : 0;
    if ((8 + 8 * saved_.size() + locals_) % 16 != 0) locals_ += 8;
    deopt_jumps_.clear();
    cold_.clear();
    jumps_.clear();
    out_->entries.push_back(e_.pos());
    prologue();
    for (u32 i = sub.start; i < sub.end; i++) {
      positions_[i] = e_.pos();
      if (insns_[i].info == nullptr) continue;
      program_.is_trap(i) ? trap(i) : instruction(i);
    }
    if (insns_[last_insn()].info->kind == OpKind::kCall) trap(last_insn());
    for (size_t i = 0; i < cold_.size(); i++) emit_cold(cold_[i]);
    if (!deopt_jumps_.empty()) emit_deopt();
    for (const Fixup &jump : jumps_) e_.patch(jump.at, positions_[jump.target]);
  }

  u32 last_insn() const {
    u32 last = sub_->end - 1;
    while (insns_[last].info == nullptr) last--;
    return last;
  }

  void prologue() {
    for (Reg r : saved_) e_.push(r);
    if (locals_) e_.alu_imm(true, kSub, rsp, s32(locals_));
    if (sub_->has_may_goto) e_.store_imm({rsp, 0}, s32(kMayGotoSteps), 8);
    if (counts_) load_budget();
    // r1..r5 are arguments; the rest starts as 0 for a program that reads it unset.
    zero(u16(sub_->live_in & ~kArgRegs));
  }

  void epilogue() {
    if (counts_) store_budget();
    leave();
  }

  void leave() {
    if (locals_) e_.alu_imm(true, kAdd, rsp, s32(locals_));
    for (size_t i = saved_.size(); i-- > 0;) e_.pop(saved_[i]);
    e_.ret();
  }

  void load_budget() { e_.load(kBudget, STATE(budget), 8); }
  void store_budget() { e_.store(STATE(budget), kBudget, 8); }

  void zero(u16 regs) {
    for (u32 r = 0; r < 10; r++)
      if (regs >> r & 1) e_.alu(false, kXor, kMap[r], kMap[r]);
  }

  void trap(u32 index) {
    if (counts_) store_budget();
    abort_at(index, JitCode::stubs().abort_trap);
  }

  void abort_at(u32 index, u64 stub) {
    e_.mov_imm32(r10, index);
    e_.alu(false, kXor, r11, r11);
    e_.jmp_external(stub);
  }

  // ---- instructions ----

  void instruction(u32 index) {
    const Insn &insn = insns_[index];
    const OpInfo &op = *insn.info;
    const Reg dst = kMap[insn.dst];
    switch (op.kind) {
      case OpKind::kAlu: alu(insn, dst); break;
      case OpKind::kNeg: e_.neg(op.is64, dst); break;
      case OpKind::kMov: mov(insn, dst); break;
      case OpKind::kMovSx: e_.movsx(op.is64, dst, kMap[insn.src], op.size); break;
      case OpKind::kEndian: endian(op, dst); break;
      case OpKind::kAddrSpaceCast: cast(insn, dst); break;
      case OpKind::kLoad:
      case OpKind::kLoadAcquire: load(index); break;
      case OpKind::kStore:
      case OpKind::kStoreRelease:
      case OpKind::kStoreImm: store(index); break;
      case OpKind::kAtomic: atomic(index); break;
      case OpKind::kLoadImm64: load_imm64(insn, dst); break;
      case OpKind::kJump: jump(index); break;
      case OpKind::kBranch: branch(index); break;
      case OpKind::kMayGoto: may_goto(index); break;
      case OpKind::kCall: op.sub == kCallSubprog ? call_subprog(index) : call(index); break;
      case OpKind::kExit: epilogue(); break;
    }
  }

  void mov(const Insn &insn, Reg dst) {
    if (insn.info->reg_src)
      e_.mov(insn.info->is64, dst, kMap[insn.src]);
    else
      e_.mov_imm(dst, insn.info->is64 ? u64(s64{insn.imm}) : u64{u32(insn.imm)});
  }

  void load_imm64(const Insn &insn, Reg dst) {
    const bool function = insn.src == kImm64Func;
    e_.mov_imm(dst, function ? Program::callback_value(program_.subprog_index_of(insn.target)) : insn.imm64);
  }

  void alu(const Insn &insn, Reg dst) {
    const OpInfo &op = *insn.info;
    switch (op.alu()) {
      case AluOp::kAdd: return simple(insn, kAdd, dst);
      case AluOp::kSub: return simple(insn, kSub, dst);
      case AluOp::kOr: return simple(insn, kOr, dst);
      case AluOp::kAnd: return simple(insn, kAnd, dst);
      case AluOp::kXor: return simple(insn, kXor, dst);
      case AluOp::kMul:
        return op.reg_src ? e_.imul(op.is64, dst, kMap[insn.src]) : e_.imul_imm(op.is64, dst, dst, insn.imm);
      case AluOp::kLsh: return shift(insn, kShl, dst);
      case AluOp::kRsh: return shift(insn, kShr, dst);
      case AluOp::kArsh: return shift(insn, kSar, dst);
      case AluOp::kDiv:
      case AluOp::kMod:
      case AluOp::kSdiv:
      case AluOp::kSmod: return divide(insn, dst);
    }
  }

  void simple(const Insn &insn, Alu op, Reg dst) {
    if (insn.info->reg_src)
      e_.alu(insn.info->is64, op, dst, kMap[insn.src]);
    else
      e_.alu_imm(insn.info->is64, op, dst, insn.imm);
  }

  void shift(const Insn &insn, Shift op, Reg dst) {
    const bool w = insn.info->is64;
    if (!insn.info->reg_src) {
      if (insn.imm != 0)
        e_.shift_imm(w, op, dst, u8(insn.imm));
      else if (!w)
        e_.mov(false, dst, dst);
      return;
    }
    const Reg src = kMap[insn.src];
    if (has_bmi2()) return e_.shift_x(w, op, dst, dst, src);
    if (src == rcx) return e_.shift_cl(w, op, dst);
    e_.mov(true, r11, rcx);
    e_.mov(false, rcx, src);
    e_.shift_cl(w, op, dst == rcx ? r11 : dst);
    // A 32-bit shift by zero need not clear the upper half on every machine.
    if (!w) e_.mov(false, dst == rcx ? r11 : dst, dst == rcx ? r11 : dst);
    e_.mov(true, rcx, r11);
  }

  // x / 0 is 0, x % 0 is x; the signed forms wrap for the least number by -1.
  void divide(const Insn &insn, Reg dst) {
    const OpInfo &op = *insn.info;
    const bool w = op.is64;
    const bool is_signed = op.alu() == AluOp::kSdiv || op.alu() == AluOp::kSmod;
    const bool wants_rest = op.alu() == AluOp::kMod || op.alu() == AluOp::kSmod;
    if (!op.reg_src && !is_signed && divide_by_power(insn, dst, wants_rest)) return;
    if (op.reg_src)
      e_.mov(w, r11, kMap[insn.src]);
    else
      e_.mov_imm(r11, w ? u64(s64{insn.imm}) : u64{u32(insn.imm)});
    std::optional<u32> by_zero, by_minus_one;
    if (op.reg_src) {
      e_.test(w, r11, r11);
      by_zero = e_.jcc8(kEqual);
    }
    if (is_signed && (op.reg_src || insn.imm == -1)) {
      e_.alu_imm(w, kCmp, r11, -1);
      by_minus_one = e_.jcc8(kEqual);
    }
    if (dst != rax) e_.mov(true, r10, rax);
    if (dst != rdx) e_.push(rdx);
    if (dst != rax) e_.mov(w, rax, dst);
    if (is_signed)
      e_.cdq(w), e_.idiv(w, r11);
    else
      e_.alu(false, kXor, rdx, rdx), e_.div(w, r11);
    const Reg result = wants_rest ? rdx : rax;
    if (result != dst) e_.mov(w, dst, result);
    if (dst != rdx) e_.pop(rdx);
    if (dst != rax) e_.mov(true, rax, r10);
    if (!by_zero && !by_minus_one) return;
    const u32 done = e_.jmp8();
    std::optional<u32> done_minus_one;
    if (by_minus_one) {
      e_.patch8(*by_minus_one);
      wants_rest ? e_.alu(false, kXor, dst, dst) : e_.neg(w, dst);
      if (by_zero) done_minus_one = e_.jmp8();
    }
    if (by_zero) {
      e_.patch8(*by_zero);
      if (!wants_rest)
        e_.alu(false, kXor, dst, dst);
      else if (!w)
        e_.mov(false, dst, dst);
    }
    e_.patch8(done);
    if (done_minus_one) e_.patch8(*done_minus_one);
  }

  bool divide_by_power(const Insn &insn, Reg dst, bool wants_rest) {
    const u64 by = insn.info->is64 ? u64(s64{insn.imm}) : u64{u32(insn.imm)};
    if (!std::has_single_bit(by) || by > 0x40000000) return false;
    const bool w = insn.info->is64;
    if (wants_rest)
      e_.alu_imm(w, kAnd, dst, s32(by - 1));
    else if (by > 1)
      e_.shift_imm(w, kShr, dst, u8(std::countr_zero(by)));
    else if (!w)
      e_.mov(false, dst, dst);
    return true;
  }

  void endian(const OpInfo &op, Reg dst) {
    const bool swap = op.endian() != EndianOp::kLittle;
    switch (op.size) {
      case 2:
        if (swap) e_.ror16(dst, 8);
        return e_.movzx(dst, dst, 2);
      case 4: return swap ? e_.bswap(false, dst) : e_.mov(false, dst, dst);
      default:
        if (swap) e_.bswap(true, dst);
    }
  }

  // The arena's base plus the low half. For programs NULL alone stays 0: the kernel knows a pointer to the arena's
  // first page by its type, we by the whole word. For user space a low half of 0 is NULL.
  void cast(const Insn &insn, Reg dst) {
    const bool to_user = insn.info->sub;
    const u64 base = to_user ? program_.arena_user_base() : program_.arena_base();
    if (base == 0) return e_.mov(false, dst, kMap[insn.src]);
    e_.test(!to_user, kMap[insn.src], kMap[insn.src]);
    e_.mov(false, dst, kMap[insn.src]);
    const u32 null = e_.jcc8(kEqual);
    e_.mov_imm(r11, base);
    e_.alu(true, kAdd, dst, r11);
    e_.patch8(null);
  }

  // ---- memory ----

  // For programs that are explored: all registers are as before.
  void hook(u32 index, Mem mem) {
    e_.mov_imm32(r10, index);
    e_.lea(r11, mem);
    e_.call_external(JitCode::stubs().access);
  }

  u32 range_check(Reg base, bool for_store) {
    e_.mov(true, r11, base);
    e_.shift_imm(true, kShr, r11, u8(for_store ? kHalfShift : kRegionShift));
    e_.alu_imm(false, kCmp, r11, s32(for_store ? kRwBase >> kHalfShift : kRegionBase >> kRegionShift));
    return e_.jcc(kNotEqual);
  }

  void load(u32 index) {
    const Insn &insn = insns_[index];
    const OpInfo &op = *insn.info;
    const Mem mem{kMap[insn.src], insn.off};
    const Reg dst = kMap[insn.dst];
    if (program_.hooks_access(index)) hook(index, mem);
    std::optional<u32> fails;
    if (program_.access(index) == Access::kChecked) fails = range_check(mem.base, false);
    const u32 pc = e_.pos();
    e_.load(dst, mem, op.size, op.sign);
    out_->faults.push_back({.pc = pc, .resume = e_.pos(), .insn = index, .kind = FaultKind::kLoad, .reg = dst});
    if (fails) cold_.push_back({Cold::Kind::kLoad, *fails, index, pc, e_.pos(), mem, dst});
  }

  void store_fault(u32 pc, u32 index, Mem mem) {
    out_->faults.push_back({.pc = pc,
                            .insn = index,
                            .kind = FaultKind::kStore,
                            .reg = mem.base,
                            .saves_budget = counts_,
                            .disp = mem.disp});
  }

  void store(u32 index) {
    const Insn &insn = insns_[index];
    const Mem mem{kMap[insn.dst], insn.off};
    if (program_.hooks_access(index)) hook(index, mem);
    std::optional<u32> fails;
    if (program_.access(index) == Access::kChecked) fails = range_check(mem.base, true);
    const u32 pc = e_.pos();
    if (insn.info->kind == OpKind::kStoreImm)
      e_.store_imm(mem, insn.imm, insn.info->size);
    else
      e_.store(mem, kMap[insn.src], insn.info->size);
    store_fault(pc, index, mem);
    out_->faults.back().resume = e_.pos();
    if (fails) cold_.push_back({Cold::Kind::kStore, *fails, index, pc, e_.pos(), mem});
  }

  void atomic(u32 index) {
    const Insn &insn = insns_[index];
    const Mem mem{kMap[insn.dst], insn.off};
    if (program_.hooks_access(index)) hook(index, mem);
    std::optional<u32> fails;
    if (program_.access(index) == Access::kChecked) fails = range_check(mem.base, true);
    const u32 pc = e_.pos();
    atomic_operation(index, mem);
    if (fails) cold_.push_back({Cold::Kind::kStore, *fails, index, pc, e_.pos(), mem});
  }

  void atomic_operation(u32 index, Mem mem) {
    const Insn &insn = insns_[index];
    const OpInfo &op = *insn.info;
    const bool w = op.is64;
    const Reg src = kMap[insn.src];
    const bool logic = op.atomic() == AtomicOp::kOr || op.atomic() == AtomicOp::kAnd || op.atomic() == AtomicOp::kXor;
    if (op.fetch && logic) return atomic_loop(index, mem);
    const size_t fault = out_->faults.size();
    store_fault(e_.pos(), index, mem);
    switch (op.atomic()) {
      case AtomicOp::kAdd:
        e_.lock();
        op.fetch ? e_.xadd(w, mem, src) : e_.alu_to_mem(w, kAdd, mem, src);
        break;
      case AtomicOp::kXchg: e_.xchg_mem(w, mem, src); break;
      case AtomicOp::kCmpxchg:
        e_.lock();
        e_.cmpxchg(w, mem, src);
        if (!w) e_.mov(false, rax, rax);
        break;
      default: e_.lock(); e_.alu_to_mem(w, logic_op(op.atomic()), mem, src);
    }
    out_->faults[fault].resume = e_.pos();
  }

  static Alu logic_op(AtomicOp op) { return op == AtomicOp::kOr ? kOr : op == AtomicOp::kAnd ? kAnd : kXor; }

  // x86 has no fetching logic operations: compare and exchange until it holds.
  void atomic_loop(u32 index, Mem mem) {
    const Insn &insn = insns_[index];
    const bool w = insn.info->is64;
    const Reg src = kMap[insn.src];
    const Alu op = logic_op(insn.info->atomic());
    e_.lea(r10, mem);
    e_.push(rax);
    const u32 first_fault = u32(out_->faults.size());
    store_fault(e_.pos(), index, {r10, 0});
    e_.load(rax, {r10, 0}, insn.info->size);
    const u32 again = e_.pos();
    e_.mov(true, r11, rax);
    if (src == rax)
      e_.alu_mem(w, op, r11, {rsp, 0});
    else
      e_.alu(w, op, r11, src);
    store_fault(e_.pos(), index, {r10, 0});
    e_.lock();
    e_.cmpxchg(w, {r10, 0}, r11);
    e_.jcc_to(kNotEqual, again);
    if (src == rax) {
      e_.lea(rsp, {rsp, 8});
    } else {
      e_.mov(true, src, rax);
      e_.pop(rax);
    }
    // What is skipped leaves the registers as they were.
    if (program_.arena_base() != 0) cold_.push_back({Cold::Kind::kAtomicSkip, 0, index, first_fault, e_.pos()});
  }

  // ---- jumps ----

  // Continues at `target` without condition, charging for a loop.
  void go(u32 index, u32 target) {
    if (target > index) {
      jumps_.push_back({e_.jmp(), target});
      return;
    }
    e_.alu_imm(true, kSub, kBudget, s32(index - target + 1));
    e_.jcc_to(kNotSign, positions_[target]);
    cold_.push_back({Cold::Kind::kBudget, e_.jmp(), index, 0, 0});
  }

  void go_if(u32 index, u32 target, Cc cc) {
    if (target > index) {
      jumps_.push_back({e_.jcc(cc), target});
      return;
    }
    const u32 skip = e_.jcc8(inverse(cc));
    go(index, target);
    e_.patch8(skip);
  }

  void jump(u32 index) {
    if (insns_[index].target != index + 1) go(index, insns_[index].target);
  }

  static Cc condition(Cond cond) {
    switch (cond) {
      case Cond::kEq: return kEqual;
      case Cond::kNe:
      case Cond::kSet: return kNotEqual;
      case Cond::kGt: return kAbove;
      case Cond::kGe: return kAboveEq;
      case Cond::kLt: return kBelow;
      case Cond::kLe: return kBelowEq;
      case Cond::kSgt: return kGreater;
      case Cond::kSge: return kGreaterEq;
      case Cond::kSlt: return kLess;
      case Cond::kSle: return kLessEq;
    }
    return kEqual;
  }

  void branch(u32 index) {
    const Insn &insn = insns_[index];
    const OpInfo &op = *insn.info;
    const Reg a = kMap[insn.dst];
    const bool bits = op.cond() == Cond::kSet;
    if (op.reg_src)
      bits ? e_.test(op.is64, a, kMap[insn.src]) : e_.alu(op.is64, kCmp, a, kMap[insn.src]);
    else if (bits)
      e_.test_imm(op.is64, a, u32(insn.imm));
    else if (insn.imm == 0)
      e_.test(op.is64, a, a);
    else
      e_.alu_imm(op.is64, kCmp, a, insn.imm);
    go_if(index, insn.target, condition(op.cond()));
  }

  void may_goto(u32 index) {
    e_.dec_mem64({rsp, 0});
    go_if(index, insns_[index].target, kSign);
  }

  // ---- calls ----

  void call_subprog(u32 index) {
    const u32 target = program_.subprog_index_of(insns_[index].target);
    const s32 cost = s32(program_.subprogs()[target].cost());
    if (counts_)
      e_.alu_imm(true, kSub, kBudget, cost);
    else
      e_.alu_mem_imm(true, kSub, STATE(budget), cost);
    cold_.push_back({Cold::Kind::kBudget, e_.jcc(kSign), index, 0, 0});
    if (counts_) store_budget();
    e_.alu_imm(true, kSub, rbp, s32(kFrameBytes));
    e_.alu_mem(true, kCmp, rbp, STATE(stack_low));
    cold_.push_back({Cold::Kind::kDepth, e_.jcc(kBelow), index, 0, 0});
    subprog_calls_.push_back({e_.call(), target});
    e_.alu_imm(true, kAdd, rbp, s32(kFrameBytes));
    if (counts_) load_budget();
    zero(u16(program_.live_after(index) & kArgRegs));
  }

  void call(u32 index) {
    const CallTarget &target = program_.call_target(index);
    switch (target.inline_op.kind) {
      case InlineOp::Kind::kArrayLookup: array_lookup(index, target.inline_op.array); break;
      case InlineOp::Kind::kEnvLoad:
        e_.load(rax, STATE(env), 8);
        e_.load(rax, {rax, target.inline_op.env.env_offset}, target.inline_op.env.size);
        break;
      case InlineOp::Kind::kNone: call_out(index); break;
    }
    zero(u16(program_.live_after(index) & kArgRegs));
  }

  void call_out(u32 index) {
    e_.store_imm(STATE(insn), s32(index), 4);
    if (program_.hooks_call(index)) {
      e_.mov_imm32(r10, index);
      e_.alu(false, kXor, r11, r11);
      e_.call_external(JitCode::stubs().access);
    }
    if (counts_) store_budget();
    const u64 function = reinterpret_cast<u64>(program_.call_target(index).fn);
    if (reachable_from_code(function))
      e_.call_external(function);
    else
      e_.mov_imm(r11, function), e_.call_reg(r11);
    if (counts_) load_budget();
    if (program_.call_target(index).may_end) end_if_tail_called();
  }

  void end_if_tail_called() {
    e_.alu_mem_imm(false, kCmp, STATE(tail_called), 0);
    const u32 goes_on = e_.jcc8(kEqual);
    e_.store_imm(STATE(tail_called), 0, 4);
    epilogue();
    e_.patch8(goes_on);
  }

  void scale(Reg reg, u64 by) {
    if (by == 1) return;
    if (std::has_single_bit(by)) return e_.shift_imm(true, kShl, reg, u8(std::countr_zero(by)));
    if (by == u64(s32(by))) return e_.imul_imm(true, reg, reg, s32(by));
    e_.mov_imm(r10, by);
    e_.imul(true, reg, r10);
  }

  // r2 points to the 32-bit key. A key that cannot be read is the helper's business.
  void array_lookup(u32 index, const InlineArrayLookup &array) {
    std::optional<u32> fails;
    if (program_.access(index) == Access::kChecked) fails = range_check(rsi, false);
    const u32 pc = e_.pos();
    e_.load(rax, {rsi, 0}, 4);
    e_.alu_imm(false, kCmp, rax, s32(array.max_entries));
    const u32 beyond = e_.jcc(kAboveEq);
    scale(rax, array.value_stride);
    e_.mov_imm(r11, reinterpret_cast<u64>(array.values));
    e_.alu(true, kAdd, rax, r11);
    if (array.cpu_stride != 0) {
      e_.load(r11, STATE(env), 8);
      e_.load(r11, {r11, s32(offsetof(ExecEnv, cpu))}, 4);
      scale(r11, array.cpu_stride);
      e_.alu(true, kAdd, rax, r11);
    }
    const u32 behind = e_.pos();
    cold_.push_back({Cold::Kind::kNullLookup, beyond, index, 0, behind});
    cold_.push_back({Cold::Kind::kCallFallback, fails.value_or(0), index, pc, behind});
  }

  // ---- off the straight path ----

  void emit_cold(const Cold &cold) {
    if (cold.from != 0) e_.patch_here(cold.from);
    switch (cold.kind) {
      case Cold::Kind::kLoad: return cold_load(cold);
      case Cold::Kind::kStore: return cold_store(cold);
      case Cold::Kind::kBudget:
        if (counts_) store_budget();
        return abort_at(cold.insn, JitCode::stubs().abort_budget);
      case Cold::Kind::kDepth: return abort_at(cold.insn, JitCode::stubs().abort_depth);
      case Cold::Kind::kNullLookup: e_.alu(false, kXor, rax, rax); return e_.jmp_to(cold.behind);
      case Cold::Kind::kCallFallback:
        out_->faults.push_back({.pc = cold.again, .resume = e_.pos(), .insn = cold.insn, .kind = FaultKind::kResume});
        call_out(cold.insn);
        return e_.jmp_to(cold.behind);
      case Cold::Kind::kAtomicSkip:
        out_->faults[cold.again].resume = out_->faults[cold.again + 1].resume = e_.pos();
        e_.pop(rax);
        return e_.jmp_to(cold.behind);
    }
  }

  void deopt(u32 index) {
    e_.mov_imm32(r10, index);
    deopt_jumps_.push_back(e_.jmp());
  }

  void cold_load(const Cold &cold) {
    e_.test(true, cold.mem.base, cold.mem.base);
    const u32 not_null = e_.jcc8(kNotEqual);
    e_.mov_imm(r11, wild_load_counter(cold.insn));
    e_.lock();
    e_.inc_mem64({r11, 0});
    e_.alu(false, kXor, cold.dst, cold.dst);
    e_.jmp_to(cold.behind);
    e_.patch8(not_null);
    deopt(cold.insn);
  }

  u64 wild_load_counter(u32 insn) const { return reinterpret_cast<u64>(program_.wild_load_counter(insn)); }

  void cold_store(const Cold &cold) {
    if (counts_) store_budget();
    e_.mov_imm32(r10, cold.insn);
    e_.lea(r11, cold.mem);
    e_.call_external(JitCode::stubs().slow_store);
    e_.alu_imm(false, kCmp, r11, 1);
    e_.jcc_to(kEqual, cold.again);
    deopt(cold.insn);
  }

  // The rest of the function in the interpreter; r10 has the instruction.
  void emit_deopt() {
    for (u32 jump : deopt_jumps_) e_.patch_here(jump);
    if (counts_) store_budget();
    if (sub_->has_may_goto) e_.load(r11, {rsp, 0}, 8);
    e_.call_external(JitCode::stubs().deopt);
    leave();
  }

  const Program &program_;
  Translation *const out_;
  const std::span<const Insn> insns_;
  Emitter e_;
  std::vector<u32> positions_;  // by slot
  std::vector<Fixup> subprog_calls_;
  // Of the function at hand:
  const Subprog *sub_ = nullptr;
  bool counts_ = false;  // the budget is in its register
  std::vector<Reg> saved_;
  size_t locals_ = 0;  // bytes below the saved registers; the may_goto counter is at rsp
  std::vector<Cold> cold_;
  std::vector<Fixup> jumps_;
  std::vector<u32> deopt_jumps_;
};

// ---- code that all programs share ----

constexpr Reg kEntrySaved[] = {rbx, rbp, r12, r13, r14, r15};

void call_absolute(Emitter &e, const void *function) {
  e.mov_imm(rax, reinterpret_cast<u64>(function));
  e.call_reg(rax);
}

// u64 enter(ExecState *state, const u64 *args, u64 code, u64 frame_pointer); returns the position of its end.
u32 build_enter(Emitter &e) {
  for (Reg r : kEntrySaved) e.push(r);
  e.alu_imm(true, kSub, rsp, 8);
  e.mov(true, kState, rdi);
  e.store(STATE(entry_rsp), rsp, 8);
  e.mov(true, rbp, rcx);
  e.mov(true, r11, rdx);
  e.mov(true, r10, rsi);
  for (s32 i = 0; i < 5; i++) e.load(kMap[i + 1], {r10, i * 8}, 8);
  e.call_reg(r11);
  const u32 leave = e.pos();
  e.alu_imm(true, kAdd, rsp, 8);
  for (size_t i = std::size(kEntrySaved); i-- > 0;) e.pop(kEntrySaved[i]);
  e.ret();
  return leave;
}

// r10: instruction, r11: address. The stack pointer is that of the entry, so its alignment is known.
u32 build_abort(Emitter &e, AbortReason reason, u32 leave) {
  const u32 at = e.pos();
  e.load(rsp, STATE(entry_rsp), 8);
  e.mov(true, rdi, kState);
  e.mov(false, rsi, r10);
  e.mov_imm32(rdx, u32(reason));
  e.mov(true, rcx, r11);
  call_absolute(e, reinterpret_cast<const void *>(&uscx_bpf_abort));
  e.alu(false, kXor, rax, rax);
  e.jmp_to(leave);
  return at;
}

// function(state, r11, r10), with all registers but r10 and r11 as they were; its result is in r11.
void call_with_registers_kept(Emitter &e, const void *function) {
  constexpr Reg kKept[] = {rax, rdi, rsi, rdx, rcx, r8, r9};
  for (Reg r : kKept) e.push(r);
  e.mov(true, rdi, kState);
  e.mov(true, rsi, r11);
  e.mov(false, rdx, r10);
  call_absolute(e, function);
  e.mov(true, r11, rax);
  for (size_t i = std::size(kKept); i-- > 0;) e.pop(kKept[i]);
}

u32 build_access(Emitter &e) {
  const u32 at = e.pos();
  call_with_registers_kept(e, reinterpret_cast<const void *>(&uscx_bpf_access));
  e.ret();
  return at;
}

u32 build_slow_store(Emitter &e, u32 leave) {
  const u32 at = e.pos();
  call_with_registers_kept(e, reinterpret_cast<const void *>(&uscx_bpf_slow_store));
  e.test(false, r11, r11);
  const u32 refused = e.jcc8(kEqual);
  e.ret();
  e.patch8(refused);
  e.load(rsp, STATE(entry_rsp), 8);
  e.alu(false, kXor, rax, rax);
  e.jmp_to(leave);
  return at;
}

u32 build_deopt(Emitter &e) {
  const u32 at = e.pos();
  e.alu_imm(true, kSub, rsp, s32(kNumRegs * 8));
  for (u32 i = 0; i < kNumRegs; i++) e.store({rsp, s32(i * 8)}, kMap[i], 8);
  e.mov(true, rdi, kState);
  e.mov(true, rsi, rsp);
  e.mov(false, rdx, r10);
  e.mov(true, rcx, r11);
  call_absolute(e, reinterpret_cast<const void *>(&uscx_bpf_deopt));
  e.alu_imm(true, kAdd, rsp, s32(kNumRegs * 8));
  e.ret();
  return at;
}

}  // namespace

Status translate_functions(const Program &program, Translation *out) { return Translator(program, out).run(); }

void build_stubs(Translation *out, JitStubs *offsets) {
  Emitter e;
  offsets->enter = e.pos();
  const u32 leave = build_enter(e);
  offsets->unwind = e.pos();
  e.mov(true, rsp, rdi);
  e.alu(false, kXor, rax, rax);
  e.jmp_to(leave);
  offsets->slow_store = build_slow_store(e, leave);
  offsets->deopt = build_deopt(e);
  offsets->access = build_access(e);
  offsets->store_fault = build_abort(e, AbortReason::kStoreFault, leave);
  offsets->abort_budget = build_abort(e, AbortReason::kBudget, leave);
  offsets->abort_depth = build_abort(e, AbortReason::kCallDepth, leave);
  offsets->abort_trap = build_abort(e, AbortReason::kTrap, leave);
  out->code = e.take_code();
}

}  // namespace uscx::bpf
