// SPDX-License-Identifier: GPL-2.0-only
// The reference interpreter: says what each instruction means, one function a kind, checked access by access. It is the
// judge of the JIT in tests, the second half of a function that the JIT left, and runs where no JIT can.
//
// Nothing here owns anything across a call of a helper: an abort leaves by longjmp or by the JIT's unwinding.
#include <bit>
#include <utility>

#include "bpf/exec/exec_runtime.h"
#include "bpf/exec/jit.h"
#include "bpf/isa/fold.h"
#include "bpf/memory/arena_window.h"
#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {
namespace {

using HelperFn = u64 (*)(u64, u64, u64, u64, u64);

u64 endian(EndianOp op, unsigned size, u64 value) {
  const u64 low = size == 8 ? value : value & ((1ull << (size * 8)) - 1);
  if (op == EndianOp::kLittle) return low;
  return __builtin_bswap64(low) >> (64 - size * 8);
}

template <typename U>
U atomic(const Insn &insn, U *place, U value, U expected) {
  switch (insn.info->atomic()) {
    case AtomicOp::kAdd: return __atomic_fetch_add(place, value, __ATOMIC_SEQ_CST);
    case AtomicOp::kOr: return __atomic_fetch_or(place, value, __ATOMIC_SEQ_CST);
    case AtomicOp::kAnd: return __atomic_fetch_and(place, value, __ATOMIC_SEQ_CST);
    case AtomicOp::kXor: return __atomic_fetch_xor(place, value, __ATOMIC_SEQ_CST);
    case AtomicOp::kXchg: return __atomic_exchange_n(place, value, __ATOMIC_SEQ_CST);
    case AtomicOp::kCmpxchg:
      __atomic_compare_exchange_n(place, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
      return expected;
  }
  return 0;
}

class Frame {
 public:
  Frame(const Program &program, Invocation &invocation, u32 pc, u64 *regs, s64 may_goto_left)
      : program_(program),
        inv_(invocation),
        state_(ExecAccess::state(invocation)),
        pc_(pc),
        r_(regs),
        may_goto_left_(may_goto_left) {}

  u64 run() {
    while (!step()) {
    }
    return r_[0];
  }

 private:
  [[noreturn]] void abort(AbortReason reason, u64 address = 0) {
    ExecAccess::raise(inv_, reason, pc_, address);
    inv_.unwind();
  }

  void charge(u32 cost) {
    state_.budget -= cost;
    if (state_.budget < 0) abort(AbortReason::kBudget);
  }

  void jump(u32 target) {
    if (target <= pc_) charge(pc_ - target + 1);
    pc_ = target;
  }

  // True at the end of the function.
  bool step() {
    const Insn &insn = program_.insns()[pc_];
    if (program_.is_trap(pc_)) abort(AbortReason::kTrap);
    const OpInfo &op = *insn.info;
    switch (op.kind) {
      case OpKind::kExit: return true;
      case OpKind::kJump: jump(insn.target); return false;
      case OpKind::kBranch: branch(insn); return false;
      case OpKind::kMayGoto:
        if (may_goto_left_ <= 0) {
          jump(insn.target);
          return false;
        }
        may_goto_left_--;
        break;
      case OpKind::kCall:
        op.sub == kCallSubprog ? call_subprog(insn) : call_function();
        if (std::exchange(state_.tail_called, 0) != 0) return true;
        // What would run past the function's end came back from a call that must not return.
        if (pc_ + 1 == program_.subprog_of(pc_).end) abort(AbortReason::kTrap);
        break;
      case OpKind::kLoad:
      case OpKind::kLoadAcquire: load(insn); break;
      case OpKind::kStore:
      case OpKind::kStoreRelease: store(insn, r_[insn.src]); break;
      case OpKind::kStoreImm: store(insn, u64(s64{insn.imm})); break;
      case OpKind::kAtomic: do_atomic(insn); break;
      default: compute(insn); break;
    }
    pc_ += op.kind == OpKind::kLoadImm64 ? 2 : 1;
    return false;
  }

  u64 operand(const Insn &insn) const { return insn.info->reg_src ? r_[insn.src] : u64(s64{insn.imm}); }

  void compute(const Insn &insn) {
    const OpInfo &op = *insn.info;
    u64 &dst = r_[insn.dst];
    const u64 b = operand(insn);
    switch (op.kind) {
      case OpKind::kAlu:
        dst = op.is64 ? alu<u64, s64>(op.alu(), dst, b) : alu<u32, s32>(op.alu(), u32(dst), u32(b));
        break;
      case OpKind::kNeg: dst = op.is64 ? 0 - dst : u32(0 - u32(dst)); break;
      case OpKind::kMov: dst = op.is64 ? b : u32(b); break;
      case OpKind::kMovSx: dst = op.is64 ? sign_extend(b, op.size) : u32(sign_extend(b, op.size)); break;
      case OpKind::kEndian: dst = endian(op.endian(), op.size, dst); break;
      case OpKind::kAddrSpaceCast:
        // The kernel knows a pointer to the arena's first page by its type, we by the whole word: only NULL stays 0.
        if (op.sub)
          dst = u32(b) == 0 ? 0 : program_.arena_user_base() + u32(b);
        else
          dst = b == 0 ? 0 : program_.arena_base() + u32(b);
        break;
      case OpKind::kLoadImm64:
        dst = insn.src == kImm64Func ? Program::callback_value(program_.subprog_index_of(insn.target)) : insn.imm64;
        break;
      default: break;
    }
  }

  void branch(const Insn &insn) {
    const OpInfo &op = *insn.info;
    const u64 a = r_[insn.dst], b = operand(insn);
    cond_holds(op.cond(), op.is64, a, b) ? jump(insn.target) : void(pc_++);
  }

  // Where an access goes: an arena pointer that lost its base in 32-bit arithmetic gets it back. NULL is no pointer.
  u64 effective(u64 base, s16 off) const {
    const u64 address = base + u64(s64{off});
    return ArenaWindow::lost_base(program_.arena_base(), base) ? program_.arena_base() + address : address;
  }

  void load(const Insn &insn) {
    const OpInfo &op = *insn.info;
    const u64 address = effective(r_[insn.src], insn.off);
    if (program_.hooks_access(pc_)) uscx_bpf_access(&state_, address, pc_);
    u64 value = 0;
    const bool inside = Region::contains(address) && Region::contains(address + op.size - 1);
    if (!inside || !probe_load(address, op.size, &value)) {
      program_.count_wild_load(pc_);
      value = 0;
    }
    r_[insn.dst] = op.sign ? sign_extend(value, op.size) : value;
  }

  u64 writable_address(const Insn &insn) {
    const u64 address = effective(r_[insn.dst], insn.off);
    if (program_.hooks_access(pc_)) uscx_bpf_access(&state_, address, pc_);
    const AbortReason refusal = store_refusal(address, insn.info->size);
    if (refusal != AbortReason::kNone && !ArenaWindow::is_access(program_.arena_base(), address))
      abort(refusal, address);
    return address;
  }

  void store_failed(u64 address) {
    if (!ArenaWindow::is_access(program_.arena_base(), address)) abort(AbortReason::kStoreFault, address);
    state_.skip_arena_store(&program_, pc_, address);
  }

  void store(const Insn &insn, u64 value) {
    const u64 address = writable_address(insn);
    if (!probe_store(address, insn.info->size, value)) store_failed(address);
  }

  void do_atomic(const Insn &insn) {
    const OpInfo &op = *insn.info;
    const u64 address = writable_address(insn);
    if (!probe_writable(address, op.size)) return store_failed(address);
    const u64 old = op.is64 ? atomic<u64>(insn, reinterpret_cast<u64 *>(address), r_[insn.src], r_[0])
                            : atomic<u32>(insn, reinterpret_cast<u32 *>(address), u32(r_[insn.src]), u32(r_[0]));
    if (op.fetch) r_[op.atomic() == AtomicOp::kCmpxchg ? 0 : insn.src] = old;
  }

  void after_call(u64 result) {
    r_[0] = result;
    for (u32 i = 1; i <= 5; i++) r_[i] = 0;
  }

  void call_function() {
    const CallTarget &target = program_.call_target(pc_);
    state_.insn = pc_;
    if (program_.hooks_call(pc_)) uscx_bpf_access(&state_, 0, pc_);
    after_call(reinterpret_cast<HelperFn>(target.fn)(r_[1], r_[2], r_[3], r_[4], r_[5]));
  }

  void call_subprog(const Insn &insn) {
    charge(program_.subprog_of(insn.target).cost());
    const u64 frame = r_[10] - kFrameBytes;
    if (frame < state_.stack_low) abort(AbortReason::kCallDepth);
    u64 regs[kNumRegs] = {0, r_[1], r_[2], r_[3], r_[4], r_[5], 0, 0, 0, 0, frame};
    after_call(interpret(program_, inv_, insn.target, regs, s64(kMayGotoSteps)));
  }

  const Program &program_;
  Invocation &inv_;
  ExecState &state_;
  u32 pc_;
  u64 *const r_;
  s64 may_goto_left_;
};

}  // namespace

u64 interpret(const Program &program, Invocation &invocation, u32 pc, u64 regs[kNumRegs], s64 may_goto_left) {
  install_fault_handler();
  return Frame(program, invocation, pc, regs, may_goto_left).run();
}

}  // namespace uscx::bpf
