// SPDX-License-Identifier: GPL-2.0-only
// Two analyses of a program's flow that the JIT rests on: which registers may be read before they are written, and
// which memory accesses need no range check. Both are conservative: an instruction they know nothing of gets the check.
#include <algorithm>

#include "bpf/exec/program.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {
namespace {

constexpr u16 kArgRegs = 0x3e;  // r1..r5

u16 bit(u8 reg) { return u16(1u << reg); }

struct Effects {
  u16 reads = 0;
  u16 writes = 0;
};

Effects effects_of(const Insn &insn) {
  const OpInfo &op = *insn.info;
  const u16 src = op.reg_src ? bit(insn.src) : 0;
  switch (op.kind) {
    case OpKind::kAlu: return {u16(bit(insn.dst) | src), bit(insn.dst)};
    case OpKind::kNeg:
    case OpKind::kEndian: return {bit(insn.dst), bit(insn.dst)};
    case OpKind::kMov:
    case OpKind::kMovSx:
    case OpKind::kAddrSpaceCast: return {src, bit(insn.dst)};
    case OpKind::kLoad:
    case OpKind::kLoadAcquire: return {bit(insn.src), bit(insn.dst)};
    case OpKind::kStore:
    case OpKind::kStoreImm:
    case OpKind::kStoreRelease: return {u16(bit(insn.dst) | src), 0};
    case OpKind::kAtomic:
      if (op.atomic() == AtomicOp::kCmpxchg) return {u16(bit(insn.dst) | src | 1), 1};
      return {u16(bit(insn.dst) | src), op.fetch ? src : u16{0}};
    case OpKind::kLoadImm64: return {0, bit(insn.dst)};
    case OpKind::kBranch: return {u16(bit(insn.dst) | src), 0};
    case OpKind::kCall: return {0, u16(kArgRegs | 1)};
    case OpKind::kExit: return {1, 0};
    case OpKind::kJump:
    case OpKind::kMayGoto: break;
  }
  return {};
}

u16 first_args(u32 count) { return u16(((1u << count) - 1) << 1); }

}  // namespace

void Program::analyse_liveness() {
  const u32 count = u32(insns_.size());
  std::vector<Effects> effects(count);
  for (u32 i = 0; i < count; i++) {
    if (insns_[i].info == nullptr || trap_[i]) continue;
    effects[i] = effects_of(insns_[i]);
    if (insns_[i].info->kind == OpKind::kCall && insns_[i].info->sub != kCallSubprog)
      effects[i].reads = first_args(call_target(i).desc->nr_args);
    subprogs_[subprog_of_[i]].written |= effects[i].writes;
  }
  std::vector<u16> &live = live_before_;
  live.assign(count + 1, 0);
  live_after_.assign(count, 0);
  // A call reads the arguments that its callee reads, so passes repeat until neither loops nor callees bring more.
  for (bool changed = true; changed;) {
    changed = false;
    for (u32 i = count; i-- > 0;) {
      if (insns_[i].info == nullptr || trap_[i]) continue;
      const Insn &insn = insns_[i];
      const OpKind kind = insn.info->kind;
      const bool last = i + (kind == OpKind::kLoadImm64 ? 2 : 1) == subprogs_[subprog_of_[i]].end;
      u16 after = 0;
      if (kind == OpKind::kBranch || kind == OpKind::kJump || kind == OpKind::kMayGoto) after = live[insn.target];
      const bool falls_through = kind != OpKind::kJump && kind != OpKind::kExit && !last;
      if (falls_through) after |= live[i + (kind == OpKind::kLoadImm64 ? 2 : 1)];
      u16 reads = effects[i].reads;
      if (kind == OpKind::kCall && insn.info->sub == kCallSubprog)
        reads |= subprogs_[subprog_of_[insn.target]].live_in & kArgRegs;
      const u16 before = u16(reads | (after & ~effects[i].writes));
      live_after_[i] = after;
      if (before != live[i]) {
        live[i] = before;
        changed = true;
      }
    }
    for (Subprog &sub : subprogs_) {
      changed |= sub.live_in != live[sub.start];
      sub.live_in = live[sub.start];
    }
  }
  // What is read unset is set to 0 at the start, and so is written.
  for (Subprog &sub : subprogs_) sub.written |= sub.live_in & ~kArgRegs;
}

namespace {

// What is known of a register: level 0 nothing, 1 NULL or a pointer into the region, 2 NULL or one into the read-write
// half; plus `delta`. The sum of delta and an access's offset stays below kMaxReach, which the guards exceed; at NULL
// it stays below the lowest address that Linux maps (64 KiB).
struct Pointer {
  u8 level = 0;
  bool ctx = false;  // the context itself, whose words may be known to be pointers
  s32 delta = 0;
  bool operator==(const Pointer &) const = default;
};
constexpr s32 kMaxReach = 60000;
static_assert(u64{kMaxReach} + 8 < kGuardBytes && kMaxReach + 8 <= 65536);

struct State {
  std::array<Pointer, kNumRegs> regs{};
  bool reached = false;
};

Pointer meet(Pointer a, Pointer b) {
  if (a.level == 0 || b.level == 0 || a.delta != b.delta) return {};
  return {std::min(a.level, b.level), a.ctx && b.ctx, a.delta};
}

bool merge(State &into, const State &from) {
  if (!into.reached) {
    into = from;
    return into.reached = true;
  }
  bool changed = false;
  for (u32 r = 0; r < kNumRegs; r++) {
    const Pointer merged = meet(into.regs[r], from.regs[r]);
    changed |= merged != into.regs[r];
    into.regs[r] = merged;
  }
  return changed;
}

bool reaches(const Pointer &pointer, u8 level, s32 off) {
  const s32 sum = pointer.delta + off;
  return pointer.level >= level && sum > -kMaxReach && sum < kMaxReach;
}

// The effect of one instruction on what is known. Returns how its memory access is to be done.
class PointerFlow {
 public:
  PointerFlow(const Program &program, const ProgramOptions &options) : program_(program), options_(options) {}

  Access step(State &state, u32 index) const {
    const Insn &insn = program_.insns()[index];
    const OpInfo &op = *insn.info;
    auto &regs = state.regs;
    switch (op.kind) {
      case OpKind::kMov: regs[insn.dst] = op.reg_src && op.is64 ? regs[insn.src] : Pointer{}; break;
      case OpKind::kAlu: step_alu(regs[insn.dst], insn); break;
      case OpKind::kNeg:
      case OpKind::kEndian:
      case OpKind::kMovSx: regs[insn.dst] = {}; break;
      case OpKind::kLoadImm64: regs[insn.dst] = constant(insn); break;
      case OpKind::kAddrSpaceCast:
        regs[insn.dst] = cast(op.sub ? options_.arena_user_base : options_.arena_base);
        break;
      case OpKind::kLoad:
      case OpKind::kLoadAcquire: return step_load(state, insn);
      case OpKind::kStore:
      case OpKind::kStoreImm:
      case OpKind::kStoreRelease: return step_store(state, insn);
      case OpKind::kAtomic: return step_store(state, insn);
      case OpKind::kCall: return step_call(state, index);
      default: break;
    }
    return Access::kChecked;
  }

 private:
  static void step_alu(Pointer &dst, const Insn &insn) {
    const bool sum = insn.info->alu() == AluOp::kAdd || insn.info->alu() == AluOp::kSub;
    if (!sum || !insn.info->is64 || insn.info->reg_src || insn.imm <= -kMaxReach || insn.imm >= kMaxReach) {
      dst = {};
      return;
    }
    dst.delta += insn.info->alu() == AluOp::kAdd ? insn.imm : -insn.imm;
    if (dst.level == 0 || dst.delta <= -kMaxReach || dst.delta >= kMaxReach) dst = {};
  }

  static Pointer constant(const Insn &insn) {
    if (insn.src != kImm64Plain) return {};
    return {u8(Region::in_rw(insn.imm64) ? 2 : Region::contains(insn.imm64) ? 1 : 0)};
  }

  static Pointer cast(u64 base) {
    // The whole 4 GiB behind the base lie in the read-write half, or nothing is known.
    return Region::in_rw(base) && Region::in_rw(base + 0xffffffffu) ? Pointer{2} : Pointer{};
  }

  Access step_load(State &state, const Insn &insn) const {
    Pointer &base = state.regs[insn.src];
    const Access access = reaches(base, 1, insn.off) ? Access::kUnchecked : Access::kChecked;
    Pointer loaded;
    const s32 place = base.delta + insn.off;
    const bool word = base.ctx && insn.info->size == 8 && place >= 0 && place % 8 == 0 && place < 256;
    if (word && (options_.ctx_pointer_words >> (place / 8) & 1)) loaded = {1};
    // The check is of the base alone. When it fails, execution goes on only with NULL, or leaves translated code.
    if (access == Access::kChecked) base = {1};
    state.regs[insn.dst] = loaded;
    return access;
  }

  Access step_store(State &state, const Insn &insn) const {
    Pointer &base = state.regs[insn.dst];
    const Access access = reaches(base, 2, insn.off) ? Access::kUnchecked : Access::kChecked;
    // A store that fails the check goes on only where the read-only half has a writable field, and stays in translated
    // code only with a base inside the region: so the base may be loaded through, but not stored through, unchecked.
    if (access == Access::kChecked && base.level == 0) base = {1};
    const OpInfo &op = *insn.info;
    if (op.kind == OpKind::kAtomic && op.fetch) state.regs[op.atomic() == AtomicOp::kCmpxchg ? 0 : insn.src] = {};
    return access;
  }

  Access step_call(State &state, u32 index) const {
    const Insn &insn = program_.insns()[index];
    Access access = Access::kChecked;
    Pointer result;
    if (insn.info->sub != kCallSubprog) {
      const CallTarget &target = program_.call_target(index);
      if (target.inline_op.kind == InlineOp::Kind::kArrayLookup && reaches(state.regs[2], 1, 0))
        access = Access::kUnchecked;
      if (target.desc->returns != Returns::kScalar)
        result = {u8(target.desc->returns == Returns::kReadWritePtr ? 2 : 1)};
    }
    for (u32 r = 1; r <= 5; r++) state.regs[r] = {};
    state.regs[0] = result;
    return access;
  }

  const Program &program_;
  const ProgramOptions &options_;
};

}  // namespace

void Program::analyse_pointers() {
  const u32 count = u32(insns_.size());
  access_.assign(count, Access::kChecked);
  std::vector<bool> leader(count, false);
  for (const Subprog &sub : subprogs_) leader[sub.start] = true;
  for (u32 i = 0; i < count; i++) {
    if (insns_[i].info == nullptr) continue;
    const OpKind kind = insns_[i].info->kind;
    if (kind != OpKind::kBranch && kind != OpKind::kJump && kind != OpKind::kMayGoto) continue;
    leader[insns_[i].target] = true;
    if (i + 1 < count) leader[i + 1] = true;
  }
  const PointerFlow flow(*this, options_);
  std::vector<u32> number(count, 0);  // of each leader
  u32 leaders = 0;
  for (u32 i = 0; i < count; i++)
    if (leader[i]) number[i] = leaders++;
  std::vector<State> at(leaders);
  std::vector<u32> work;
  for (u32 s = 0; s < subprogs_.size(); s++) {
    State entry{.reached = true};
    entry.regs[10] = {2};
    if (s == 0 && options_.ctx_is_region_ptr && !subprogs_[0].is_called) entry.regs[1] = {1, true};
    at[number[subprogs_[s].start]] = entry;
    work.push_back(subprogs_[s].start);
  }
  auto flows_to = [&](u32 target, const State &state) {
    if (merge(at[number[target]], state)) work.push_back(target);
  };
  // A leader is walked again whenever less becomes known there, so the last walk leaves the final answer.
  while (!work.empty()) {
    u32 i = work.back();
    work.pop_back();
    const u32 end = subprog_of(i).end;
    State state = at[number[i]];
    for (bool first = true; i < end; first = false) {
      if (leader[i] && !first) {
        flows_to(i, state);
        break;
      }
      if (trap_[i]) break;
      const OpKind kind = insns_[i].info->kind;
      access_[i] = flow.step(state, i);
      if (kind == OpKind::kExit) break;
      if (kind == OpKind::kBranch || kind == OpKind::kMayGoto || kind == OpKind::kJump)
        flows_to(insns_[i].target, state);
      if (kind == OpKind::kJump) break;
      i += kind == OpKind::kLoadImm64 ? 2 : 1;
    }
  }
}

}  // namespace uscx::bpf
