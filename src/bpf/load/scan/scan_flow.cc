// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan_flow.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "bpf/isa/fold.h"

namespace uscx::bpf {

namespace {

// Far more than the largest scheduler takes; corrupt code may take for ever.
constexpr u64 kMaxSteps = 100u << 20;
constexpr u8 kContextReg = 1;
constexpr u8 kFrameReg = 10;
constexpr u8 kFirstSavedReg = 6;

}  // namespace

ScanFlow::ScanFlow(const ObjectFile &object, const Notes &notes, const std::vector<std::vector<u8>> &constants)
    : object_(object), notes_(notes), constants_(constants) {
  for (u32 section = 0; section < object.sections().size(); section++) {
    reached_.emplace_back(object.insns(section).size(), false);
    leaders_.emplace_back(object.insns(section).size(), false);
    find_leaders(section);
  }
}

// States are kept at the targets of jumps alone; between them, one state walks along.
void ScanFlow::find_leaders(u32 section) {
  const std::span<const bpf_insn> insns = object_.insns(section);
  for (u32 i = 0; i < insns.size(); i++) {
    const OpInfo *op = find_op(insns[i]);
    if (op == nullptr) continue;
    if (op->kind == OpKind::kJump || op->kind == OpKind::kBranch || op->kind == OpKind::kMayGoto) {
      const s64 target = s64{i} + 1 + ((op->fields & kUsesOff) != 0 ? s64{insns[i].off} : s64{insns[i].imm});
      if (target >= 0 && target < static_cast<s64>(insns.size())) leaders_[section][target] = true;
    }
    i += op->kind == OpKind::kLoadImm64;
  }
}

void ScanFlow::add_entry(CodePoint entry) {
  State state;
  state.regs[kContextReg] = non_zero();
  enter(entry, state, true);
}

Status ScanFlow::run() {
  while (!work_.empty() && error_.ok()) {
    const CodePoint point = *work_.begin();
    work_.erase(work_.begin());
    run_from(point);
  }
  return error_;
}

const LinkNote *ScanFlow::note_at(CodePoint point) const {
  const auto it = notes_.find(point);
  return it == notes_.end() ? nullptr : &it->second;
}

ScanFlow::Value ScanFlow::join(const Value &a, const Value &b, bool *escaped) const {
  if (a == b) return a;
  if (a.is_frame() && b.is_frame()) return {Kind::kSomeFrame, 0, {}};
  *escaped |= a.is_frame() || b.is_frame();
  return number(a.as_number().joined(b.as_number()));
}

void ScanFlow::merge(CodePoint point, const State &state) {
  leaders_[point.section][point.insn] = true;
  const auto [it, is_new] = states_.try_emplace(point, state);
  if (is_new) {
    work_.insert(point);
    return;
  }
  State joined = it->second;
  joined.escaped |= state.escaped;
  for (u32 reg = 0; reg < kNumRegs; reg++) joined.regs[reg] = join(joined.regs[reg], state.regs[reg], &joined.escaped);
  for (auto slot = joined.stack.begin(); slot != joined.stack.end();) {
    const auto other = state.stack.find(slot->first);
    if (other == state.stack.end() || other->second.size != slot->second.size) {
      slot = joined.stack.erase(slot);
    } else {
      slot->second.value = join(slot->second.value, other->second.value, &joined.escaped);
      ++slot;
    }
  }
  if (joined == it->second) return;
  it->second = std::move(joined);
  work_.insert(point);
}

void ScanFlow::run_from(CodePoint point) {
  State state = states_.at(point);
  const std::span<const bpf_insn> insns = object_.insns(point.section);
  const std::string &name = object_.sections()[point.section].name;
  for (bool first = true; error_.ok(); first = false) {
    if (point.insn >= insns.size()) {
      error_ = Status::error("section {}: control runs off its end", name);
      return;
    }
    if (!first && leaders_[point.section][point.insn]) return merge(point, state);
    if (++steps_ > kMaxSteps) {
      error_ = Status::error("section {}: the code is too intricate to follow", name);
      return;
    }
    reached_[point.section][point.insn] = true;
    const bpf_insn &insn = insns[point.insn];
    const OpInfo *op = find_op(insn);
    // What we cannot run is reported by whoever looks at what was reached; following it makes no sense.
    if (op == nullptr || insn.dst_reg >= kNumRegs || insn.src_reg >= kNumRegs) return;
    if (!step(point, *op, insn, &state)) return;
    point.insn += op->kind == OpKind::kLoadImm64 ? 2 : 1;
  }
}

bool ScanFlow::step(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state) {
  switch (op.kind) {
    case OpKind::kAlu:
    case OpKind::kNeg:
    case OpKind::kMov:
    case OpKind::kMovSx:
    case OpKind::kEndian:
    case OpKind::kAddrSpaceCast: arithmetic(point, op, insn, state); return true;
    case OpKind::kLoad:
    case OpKind::kStore:
    case OpKind::kStoreImm:
    case OpKind::kAtomic:
    case OpKind::kLoadAcquire:
    case OpKind::kStoreRelease: access_memory(op, insn, state); return true;
    case OpKind::kLoadImm64: load_imm64(point, insn, state); return true;
    case OpKind::kJump: jump(point, (op.fields & kUsesOff) != 0 ? s64{insn.off} : s64{insn.imm}, *state); return false;
    case OpKind::kMayGoto: jump(point, insn.off, *state); return true;
    case OpKind::kBranch: return branch(point, op, insn, state);
    case OpKind::kCall: call(point, op, insn, state); return true;
    case OpKind::kExit: return false;
  }
  return false;
}

void ScanFlow::jump(CodePoint point, s64 displacement, const State &state) {
  const s64 target = s64{point.insn} + 1 + displacement;
  if (target < 0 || target >= static_cast<s64>(object_.insns(point.section).size())) {
    error_ =
        Status::error("section {}: instruction {} jumps out of it", object_.sections()[point.section].name, point.insn);
    return;
  }
  merge({point.section, static_cast<u32>(target)}, state);
}

bool ScanFlow::branch(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state) {
  const Value a = state->regs[insn.dst_reg];
  const Value b = op.reg_src ? state->regs[insn.src_reg] : immediate(point, op, insn);
  const std::optional<bool> outcome = Known::compare(op.cond(), op.is64, a.as_number(), b.as_number());
  if (outcome.has_value()) {
    if (*outcome) jump(point, insn.off, *state);
    return !*outcome;
  }
  State taken = *state;
  if (learn(op, insn, true, a, b, &taken)) jump(point, insn.off, taken);
  return learn(op, insn, false, a, b, state);
}

// What the outcome of a comparison says of the registers. Returns false if it cannot come out so.
bool ScanFlow::learn(const OpInfo &op, const bpf_insn &insn, bool outcome, Value a, Value b, State *state) {
  Known left = a.as_number(), right = b.as_number();
  if (!Known::assume(op.cond(), op.is64, outcome, &left, &right)) return false;
  if (a.is_number()) state->regs[insn.dst_reg] = number(left);
  if (op.reg_src && b.is_number()) state->regs[insn.src_reg] = number(right);
  return true;
}

// --- Registers ---

ScanFlow::Value ScanFlow::immediate(CodePoint point, const OpInfo &op, const bpf_insn &insn) const {
  s32 imm = insn.imm;
  if (const LinkNote *note = note_at(point)) {
    if (note->kind != LinkNote::Kind::kConst) return {};
    imm = static_cast<s32>(note->value);
  }
  const u64 extended = static_cast<u64>(s64{imm});
  return constant(op.is64 ? extended : static_cast<u32>(extended));
}

void ScanFlow::arithmetic(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state) {
  Value &dst = state->regs[insn.dst_reg];
  const Value before = dst;
  const Value src = op.reg_src ? state->regs[insn.src_reg] : immediate(point, op, insn);
  switch (op.kind) {
    case OpKind::kMov: dst = op.is64 ? src : number(src.as_number().truncated(4)); break;
    case OpKind::kMovSx: dst = number(src.as_number().sign_extended(op.size).truncated(op.is64 ? 8 : 4)); break;
    case OpKind::kAlu:
      dst = alu(op, before, src);
      if (op.alu() == AluOp::kXor && op.reg_src && insn.dst_reg == insn.src_reg) dst = constant(0);
      break;
    case OpKind::kNeg: dst = number(Known::alu(AluOp::kSub, op.is64, Known::constant(0), before.as_number())); break;
    case OpKind::kEndian: dst = number(before.as_number().swapped(op.endian(), op.size)); break;
    default: dst = {}; break;
  }
  // An address of the frame that is turned into something else may be anywhere from now on.
  const bool keeps = op.kind == OpKind::kMov || op.kind == OpKind::kMovSx || op.kind == OpKind::kAddrSpaceCast;
  if (!dst.is_frame() && ((!keeps && before.is_frame()) || src.is_frame())) state->escaped = true;
}

ScanFlow::Value ScanFlow::alu(const OpInfo &op, const Value &a, const Value &b) const {
  const bool adds = op.alu() == AluOp::kAdd;
  if (op.is64 && (adds || op.alu() == AluOp::kSub)) {
    for (const auto &[base, offset] : {std::pair{a, b}, std::pair{b, a}}) {
      if (base.is_number() || (!adds && !(base == a))) continue;
      if (offset.is_number() && offset.known.is_constant() && base.kind != Kind::kSomeFrame)
        return {base.kind, base.index, Known::alu(op.alu(), true, base.known, offset.known)};
      if (offset.is_frame()) return {};
      return base.is_frame() ? Value{Kind::kSomeFrame, 0, {}} : non_zero();
    }
  }
  return number(Known::alu(op.alu(), op.is64, a.as_number(), b.as_number()));
}

void ScanFlow::load_imm64(CodePoint point, const bpf_insn &insn, State *state) {
  Value &dst = state->regs[insn.dst_reg];
  const std::span<const bpf_insn> insns = object_.insns(point.section);
  const u32 high = point.insn + 1 < insns.size() ? static_cast<u32>(insns[point.insn + 1].imm) : 0;
  const LinkNote *note = note_at(point);
  if (note == nullptr) {
    dst = insn.src_reg == kImm64Plain ? constant(static_cast<u32>(insn.imm) | u64{high} << 32) : Value{};
    return;
  }
  switch (note->kind) {
    case LinkNote::Kind::kConst: dst = constant(note->value); break;
    case LinkNote::Kind::kNonZero: dst = non_zero(); break;
    case LinkNote::Kind::kData: dst = {Kind::kData, note->index, Known::constant(note->value)}; break;
    case LinkNote::Kind::kCode:
      enter(note->code, *state, false);
      dst = non_zero();
      break;
    case LinkNote::Kind::kKfunc:
    case LinkNote::Kind::kUnknown: dst = {}; break;
  }
}

// --- Memory ---

ScanFlow::Value ScanFlow::load(const State &state, const Value &base, const OpInfo &op, s16 off) const {
  const Value any = number(op.sign ? Known() : Known::of_size(op.size));
  const u64 at = base.offset() + static_cast<u64>(s64{off});
  if (base.kind == Kind::kData) {
    const std::vector<u8> &bytes = constants_[base.index];
    if (at > bytes.size() || op.size > bytes.size() - at) return any;
    u64 value = 0;
    std::memcpy(&value, bytes.data() + at, op.size);
    return constant(op.sign ? sign_extend(value, op.size) : value);
  }
  if (base.kind == Kind::kFrame && !op.sign) {
    const auto slot = state.stack.find(static_cast<s64>(at));
    if (slot != state.stack.end() && slot->second.size == op.size) return slot->second.value;
  }
  return any;
}

void ScanFlow::store(State *state, const Value &base, s64 off, u32 size, const Value &value) const {
  state->escaped |= value.is_frame();
  if (base.kind != Kind::kFrame) {
    if (base.kind == Kind::kSomeFrame || state->escaped) state->stack.clear();
    return;
  }
  const s64 at = static_cast<s64>(base.offset()) + off;
  std::erase_if(state->stack, [&](const auto &slot) {
    return slot.first < at + s64{size} && at < slot.first + s64{slot.second.size};
  });
  if (at < 0 && at >= -s64{kFrameBytes}) {
    Value kept = value;
    if (size < 8) kept = number(value.as_number().truncated(size));
    state->stack[at] = {size, kept};
  }
}

void ScanFlow::access_memory(const OpInfo &op, const bpf_insn &insn, State *state) {
  switch (op.kind) {
    case OpKind::kLoad: state->regs[insn.dst_reg] = load(*state, state->regs[insn.src_reg], op, insn.off); break;
    case OpKind::kLoadAcquire: state->regs[insn.dst_reg] = {}; break;
    case OpKind::kStore:
    case OpKind::kStoreRelease:
      store(state, state->regs[insn.dst_reg], insn.off, op.size, state->regs[insn.src_reg]);
      break;
    case OpKind::kStoreImm:
      store(state, state->regs[insn.dst_reg], insn.off, op.size, constant(static_cast<u64>(s64{insn.imm})));
      break;
    case OpKind::kAtomic:
      state->escaped |= state->regs[insn.src_reg].is_frame();
      store(state, state->regs[insn.dst_reg], insn.off, op.size, {});
      if (op.atomic() == AtomicOp::kCmpxchg)
        state->regs[0] = {};
      else if (op.fetch)
        state->regs[insn.src_reg] = {};
      break;
    default: break;
  }
}

// --- Calls ---

void ScanFlow::call(CodePoint point, const OpInfo &op, const bpf_insn &insn, State *state) {
  const LinkNote *note = note_at(point);
  if (note != nullptr && note->kind == LinkNote::Kind::kCode) {
    enter(note->code, *state, true);
  } else if (note == nullptr && op.sub == kCallSubprog) {
    const s64 target = s64{point.insn} + 1 + insn.imm;
    if (target < 0 || target >= static_cast<s64>(object_.insns(point.section).size()))
      error_ = Status::error("section {}: instruction {} calls out of it", object_.sections()[point.section].name,
                             point.insn);
    else
      enter({point.section, static_cast<u32>(target)}, *state, true);
  }
  for (u8 reg = 0; reg < kFirstSavedReg; reg++) {
    state->escaped |= reg > 0 && state->regs[reg].is_frame();
    state->regs[reg] = {};
  }
  if (state->escaped) state->stack.clear();
}

// Merges a call into the function's start: it has a frame of its own and knows of the caller what the arguments say.
void ScanFlow::enter(CodePoint function, const State &caller, bool with_args) {
  if (function.insn >= object_.insns(function.section).size()) {
    error_ = Status::error("section {}: no function starts at instruction {}",
                           object_.sections()[function.section].name, function.insn);
    return;
  }
  State state;
  for (u8 reg = 1; reg < kFirstSavedReg && with_args; reg++)
    state.regs[reg] = caller.regs[reg].is_frame() ? non_zero() : caller.regs[reg];
  state.regs[kFrameReg] = {Kind::kFrame, 0, Known::constant(0)};
  merge(function, state);
}

}  // namespace uscx::bpf
