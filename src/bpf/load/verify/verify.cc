// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "bpf/isa/fold.h"
#include "bpf/load/verify/verify_state.h"
#include "bpf/object/helper.h"
#include "bpf/object/map.h"

namespace uscx::bpf {

namespace {

using Kind = Value::Kind;

// The kernel gives up on a program of a million steps; those that load there take far fewer here, as less is tracked.
constexpr u64 kMaxSteps = 400000;
// States kept at one instruction; beyond the first number constants are given up, beyond the second no more paths are
// followed from there.
constexpr size_t kMaxExactStates = 48;
constexpr size_t kMaxStates = 160;

// Where a pointer that may be NULL came from, with the name that the kernel's log has for such registers.
struct Origin {
  std::string type;
  std::string what;
};

// The name that the kernel's log has for the result of a helper that must be compared with NULL.
const char *result_type(u32 flags) {
  if (flags & HELPER_RET_MAP_VALUE_OR_NULL) return "map_value_or_null";
  if (flags & HELPER_RET_RINGBUF_MEM_OR_NULL) return "ringbuf_mem_or_null";
  if (flags & HELPER_RET_MEM_OR_NULL) return "mem_or_null";
  return "ptr_or_null_";
}

class Verifier {
 public:
  Verifier(const VerifyInput &input, const VerifyRules &rules)
      : input_(input), rules_(rules), program_(*input.program) {
    const size_t count = program_.insns().size();
    seen_.resize(count);
    is_leader_.resize(count + 1, false);
    find_leaders();
    find_constants();
  }

  Verdict run();

 private:
  struct Path {
    VerifyState state;
    u32 at = 0;
  };
  struct Constants {
    u64 start, end;
  };

  void find_leaders();
  void find_constants();
  void start(u32 subprog, bool sleepable, bool is_program);
  void follow(Path path);
  // Returns false at the end of the path.
  bool step(Path *path);
  bool branch(Path *path, const Insn &insn);
  void refine(VerifyState *state, const Insn &insn, const Value &a, const Value &b, bool equal) const;
  void alu(VerifyState *state, u32 index, const Insn &insn);
  Value alu_value(u32 index, const Insn &insn, const Value &a, const Value &b);
  void load(VerifyState *state, u32 index, const Insn &insn);
  void store(VerifyState *state, u32 index, const Insn &insn);
  Value load_constant(u64 address, const OpInfo &op) const;
  bool call(Path *path, const Insn &insn);
  bool return_from(Path *path);
  void call_kfunc(VerifyState *state, u32 index, const KfuncEntry &kfunc);
  void check_kfunc_context(const VerifyState &state, u32 index, const KfuncEntry &kfunc);
  void call_helper(VerifyState *state, u32 index, u32 id);
  void start_callbacks(const VerifyState &state, u32 nr_args, bool sleepable);
  void finish_call(VerifyState *state, const Value &result);
  bool array_lookup_never_fails(const VerifyState &state) const;
  void check_use(u32 index, u8 reg, const Value &value);

  Value fresh(bool narrow = false) { return Value::any(++last_id_, narrow); }
  Value maybe_null(std::string type, std::string what);
  void refuse(u32 index, int err, std::string text);
  bool done() const { return verdict_.err != 0; }

  const VerifyInput &input_;
  const VerifyRules &rules_;
  const Program &program_;
  std::vector<std::vector<VerifyState>> seen_;  // by leader
  std::vector<bool> is_leader_;
  std::vector<Constants> constants_;
  std::vector<Origin> origins_;
  std::vector<std::pair<u32, bool>> started_;  // callbacks, and whether they may sleep
  std::vector<Path> work_;
  u32 last_id_ = 0;
  Verdict verdict_;
};

void Verifier::find_leaders() {
  const std::span<const Insn> insns = program_.insns();
  for (u32 i = 0; i < insns.size(); i++) {
    if (insns[i].info == nullptr) continue;
    const OpKind kind = insns[i].info->kind;
    if (kind == OpKind::kBranch || kind == OpKind::kJump || kind == OpKind::kMayGoto)
      is_leader_[insns[i].target] = true;
    if (kind == OpKind::kCall && insns[i].info->sub == kCallSubprog) is_leader_[i + 1] = true;
  }
}

// Memory that no one changes while programs run: .rodata and the kernel's configuration.
void Verifier::find_constants() {
  for (const auto &map : input_.maps) {
    if (!map->frozen() || !(map->attr().flags & BPF_F_RDONLY_PROG) || map->type() != BPF_MAP_TYPE_ARRAY) continue;
    int err = 0;
    const u64 address = map->direct_value(0, &err);
    if (address != 0 && err == 0) constants_.push_back({address, address + map->value_size()});
  }
}

Value Verifier::maybe_null(std::string type, std::string what) {
  u32 index = 0;
  while (index < origins_.size() && (origins_[index].type != type || origins_[index].what != what)) index++;
  if (index == origins_.size()) origins_.push_back({std::move(type), std::move(what)});
  return {Kind::kMaybeNull, false, ++last_id_, index, 0};
}

void Verifier::refuse(u32 index, int err, std::string text) {
  if (verdict_.err != 0) return;
  verdict_.err = err;
  verdict_.log = fmt::format("{}\nat {}", text, program_.place(index));
}

Verdict Verifier::run() {
  start(0, rules_.sleepable, true);
  while (!work_.empty() && !done()) {
    Path path = std::move(work_.back());
    work_.pop_back();
    follow(std::move(path));
  }
  return std::move(verdict_);
}

void Verifier::start(u32 subprog, bool sleepable, bool is_program) {
  Path path;
  path.at = program_.subprogs()[subprog].start;
  path.state.frames.emplace_back();
  path.state.sleepable = sleepable;
  path.state.reg(10) = {Kind::kFrame, false, 0, 0, 0};
  if (is_program) path.state.reg(1) = {Kind::kContext, false, 0, 0, 0};
  work_.push_back(std::move(path));
}

void Verifier::follow(Path path) {
  while (!done()) {
    if (is_leader_[path.at]) {
      std::vector<VerifyState> &seen = seen_[path.at];
      if (seen.size() >= kMaxExactStates) path.state.widen();
      if (std::any_of(seen.begin(), seen.end(), [&](const VerifyState &s) { return s.covers(path.state); })) return;
      if (seen.size() >= kMaxStates) {
        verdict_.whole = false;
        return;
      }
      seen.push_back(path.state);
    }
    if (++verdict_.steps > kMaxSteps) {
      verdict_.whole = false;
      work_.clear();
      return;
    }
    if (!step(&path)) return;
  }
}

bool Verifier::step(Path *path) {
  const u32 index = path->at;
  if (index >= program_.insns().size() || program_.insns()[index].info == nullptr || program_.is_trap(index))
    return false;
  const Insn &insn = program_.insns()[index];
  VerifyState &state = path->state;
  path->at = index + 1;
  switch (insn.info->kind) {
    case OpKind::kAlu:
    case OpKind::kNeg:
    case OpKind::kMov:
    case OpKind::kMovSx:
    case OpKind::kEndian: alu(&state, index, insn); return true;
    case OpKind::kAddrSpaceCast: state.reg(insn.dst) = fresh(); return true;
    case OpKind::kLoad:
    case OpKind::kLoadAcquire: load(&state, index, insn); return true;
    case OpKind::kStore:
    case OpKind::kStoreImm:
    case OpKind::kStoreRelease:
    case OpKind::kAtomic: store(&state, index, insn); return true;
    case OpKind::kLoadImm64:
      state.reg(insn.dst) = insn.src == kImm64Func
                                ? Value{Kind::kFunction, false, 0, program_.subprog_index_of(insn.target), 0}
                                : Value::constant(insn.imm64);
      path->at = index + 2;
      return true;
    case OpKind::kJump: path->at = insn.target; return true;
    case OpKind::kMayGoto: work_.push_back({state, insn.target}); return true;
    case OpKind::kBranch: return branch(path, insn);
    case OpKind::kCall: return call(path, insn);
    case OpKind::kExit: return return_from(path);
  }
  return false;
}

// --- Branches ---

// What a comparison for equality says where it came out so.
void Verifier::refine(VerifyState *state, const Insn &insn, const Value &a, const Value &b, bool equal) const {
  const bool is64 = insn.info->is64;
  if (a.is(Kind::kMaybeNull) && is64) {
    if (b.is_number(0))
      state->replace(a.id,
                     equal ? Value{Kind::kNull, false, a.id, a.index, 0} : Value{Kind::kNonZero, false, a.id, 0, 0});
    else if (equal && !b.is(Kind::kMaybeNull) && !b.is_known())
      state->replace(a.id, {Kind::kNonZero, false, a.id, 0, 0});
    return;
  }
  if (!a.is(Kind::kAny) || !b.is_known()) return;
  const u64 number = b.known();
  if (equal && (is64 || a.narrow)) {
    const Value value = Value::constant(is64 ? number : static_cast<u32>(number));
    state->replace(a.id, value);
    state->reg(insn.dst) = value;
  } else if (!equal && number == 0 && (is64 || a.narrow)) {
    const Value value{Kind::kNonZero, a.narrow, a.id, 0, 0};
    state->replace(a.id, value);
    state->reg(insn.dst) = value;
  }
}

bool Verifier::branch(Path *path, const Insn &insn) {
  const OpInfo &op = *insn.info;
  VerifyState &state = path->state;
  const Value a = state.reg(insn.dst);
  const Value b = op.reg_src ? state.reg(insn.src) : Value::constant(static_cast<u64>(s64{insn.imm}));
  std::optional<bool> outcome;
  const bool is_address = a.is_frame() || a.is(Kind::kContext) || a.is(Kind::kFunction);
  if (a.is_known() && b.is_known())
    outcome = cond_holds(op.cond(), op.is64, a.known(), b.known());
  else if (b.is_number(0) && ((op.is64 && is_address) || (a.is(Kind::kNonZero) && (op.is64 || a.narrow))))
    outcome = cond_holds_for_non_zero(op.cond());
  if (outcome.has_value()) {
    if (*outcome) path->at = insn.target;
    return true;
  }
  Path taken{state, insn.target};
  if (op.cond() == Cond::kEq || op.cond() == Cond::kNe) {
    refine(&taken.state, insn, a, b, op.cond() == Cond::kEq);
    refine(&state, insn, a, b, op.cond() != Cond::kEq);
  }
  // What is dead on both sides makes no difference.
  const u16 live = program_.live_after(path->at - 1);
  taken.state.keep_registers(live);
  state.keep_registers(live);
  work_.push_back(std::move(taken));
  return true;
}

// --- Registers ---

void Verifier::alu(VerifyState *state, u32 index, const Insn &insn) {
  const OpInfo &op = *insn.info;
  Value &dst = state->reg(insn.dst);
  const u64 imm = static_cast<u64>(s64{insn.imm});
  const Value src = op.reg_src ? state->reg(insn.src) : Value::constant(imm);
  switch (op.kind) {
    case OpKind::kMov:
      if (op.is64)
        dst = src;
      else
        dst = src.is_known()                     ? Value::constant(static_cast<u32>(src.known()))
              : src.is(Kind::kAny) && src.narrow ? src
                                                 : fresh(true);
      break;
    case OpKind::kMovSx:
      dst = src.is_known() ? Value::constant(sign_extend(src.known(), op.size)) : fresh(!op.is64);
      if (dst.is(Kind::kConst) && !op.is64) dst.number = static_cast<u32>(dst.number);
      break;
    case OpKind::kAlu: dst = alu_value(index, insn, dst, src); break;
    default: dst = fresh(!op.is64); break;
  }
}

Value Verifier::alu_value(u32 index, const Insn &insn, const Value &a, const Value &b) {
  const OpInfo &op = *insn.info;
  if (a.is_known() && b.is_known()) {
    const auto result = fold_alu(op.alu(), op.is64 ? 64 : 32, a.known(), b.known());
    if (result.has_value()) return Value::constant(*result);
    return fresh(!op.is64);
  }
  if (op.alu() == AluOp::kXor && op.reg_src && insn.dst == insn.src) return Value::constant(0);
  if ((a.is_number(0) || b.is_number(0)) && (op.alu() == AluOp::kAnd || op.alu() == AluOp::kMul))
    return Value::constant(0);
  const bool adds = op.alu() == AluOp::kAdd;
  if (!op.is64 || (!adds && op.alu() != AluOp::kSub)) return fresh(!op.is64);
  for (const auto &[base, offset, reg] : {std::tuple{a, b, insn.dst}, std::tuple{b, a, insn.src}}) {
    if (base.is(Kind::kMaybeNull) && !offset.is(Kind::kMaybeNull) && !offset.is(Kind::kNonZero)) {
      refuse(index, -EACCES,
             fmt::format("R{} pointer arithmetic on {} prohibited, null-check it first\n{} may be NULL", u32{reg},
                         origins_[base.index].type, origins_[base.index].what));
      return {};
    }
    if (!adds && !(base == a)) continue;
    if ((base.is(Kind::kFrame) || base.is(Kind::kContext)) && offset.is_known()) {
      Value moved = base;
      moved.number = adds ? base.number + offset.known() : base.number - offset.known();
      return moved;
    }
    if (base.is_frame() && !offset.is_frame()) return {Kind::kSomeFrame, false, 0, base.index, 0};
  }
  return fresh();
}

// --- Memory ---

void Verifier::check_use(u32 index, u8 reg, const Value &value) {
  if (!value.is(Kind::kMaybeNull) && !value.is(Kind::kNull)) return;
  const Origin &origin = origins_[value.index];
  if (value.is(Kind::kNull))
    refuse(index, -EACCES, fmt::format("R{} invalid mem access 'scalar'\n{} is NULL here", u32{reg}, origin.what));
  else
    refuse(index, -EACCES,
           fmt::format("R{} invalid mem access '{}'\n{} may be NULL and is used unchecked", u32{reg}, origin.type,
                       origin.what));
}

Value Verifier::load_constant(u64 address, const OpInfo &op) const {
  for (const Constants &range : constants_) {
    if (address < range.start || address + op.size > range.end) continue;
    u64 number = 0;
    std::memcpy(&number, reinterpret_cast<const void *>(address), op.size);
    return Value::constant(op.sign ? sign_extend(number, op.size) : number);
  }
  return {};
}

void Verifier::load(VerifyState *state, u32 index, const Insn &insn) {
  const OpInfo &op = *insn.info;
  const Value base = state->reg(insn.src);
  check_use(index, insn.src, base);
  const u64 at = base.number + static_cast<u64>(s64{insn.off});
  Value value;
  if (op.kind == OpKind::kLoad && base.is(Kind::kConst)) {
    value = load_constant(at, op);
  } else if (op.kind == OpKind::kLoad && base.is(Kind::kFrame)) {
    value = state->load(base.index, static_cast<s64>(at), op.size);
    if (op.sign) value = value.is_known() ? Value::constant(sign_extend(value.known(), op.size)) : Value{};
  } else if (base.is(Kind::kContext) && op.size == 8 && at % 8 == 0 && at / 8 < 32 &&
             (rules_.nullable_words >> (at / 8) & 1)) {
    const size_t word = at / 8;
    const std::string name = word < rules_.args.size() ? rules_.args[word] : fmt::format("{}", word);
    value = maybe_null("trusted_ptr_or_null_", fmt::format("argument {} of {}", name, rules_.caller));
  }
  if (value.is(Kind::kAny) && value.id == 0) {
    value = fresh(op.size < 8 && !op.sign);
    // A number on the stack stays the same number when it is read again.
    if (op.kind == OpKind::kLoad && base.is(Kind::kFrame) && op.size == 8)
      state->store(base.index, static_cast<s64>(at), op.size, value);
  }
  state->reg(insn.dst) = value;
}

void Verifier::store(VerifyState *state, u32 index, const Insn &insn) {
  const OpInfo &op = *insn.info;
  const Value base = state->reg(insn.dst);
  check_use(index, insn.dst, base);
  Value value = op.kind == OpKind::kStoreImm ? Value::constant(static_cast<u64>(s64{insn.imm})) : state->reg(insn.src);
  if (op.kind == OpKind::kAtomic) {
    value = {};
    if (op.atomic() == AtomicOp::kCmpxchg)
      state->reg(0) = fresh(op.size < 8);
    else if (op.fetch)
      state->reg(insn.src) = fresh(op.size < 8);
  }
  if (base.is(Kind::kFrame))
    state->store(base.index, static_cast<s64>(base.number) + insn.off, op.size, value);
  else if (base.is(Kind::kSomeFrame))
    state->clobber(base.index, -s64{kFrameBytes}, kFrameBytes);
}

// --- Calls ---

bool Verifier::call(Path *path, const Insn &insn) {
  VerifyState &state = path->state;
  const u32 index = path->at - 1;
  if (insn.info->sub == kCallSubprog) {
    if (state.frames.size() >= kMaxCallDepth) return false;
    VerifyFrame callee;
    for (u32 r = 1; r <= 5; r++) callee.regs[r] = state.reg(r);
    callee.regs[10] = {Kind::kFrame, false, 0, static_cast<u32>(state.frames.size()), 0};
    callee.return_to = path->at;
    for (u32 r = 0; r <= 5; r++) state.reg(r) = {};
    state.keep_registers(program_.live_after(index));
    state.frames.push_back(std::move(callee));
    path->at = insn.target;
    return true;
  }
  if (const auto kfunc = input_.kfuncs.find(index); kfunc != input_.kfuncs.end()) {
    call_kfunc(&state, index, *kfunc->second);
    if (std::strcmp(kfunc->second->name, "bpf_throw") == 0) return false;
  } else if (const auto helper = input_.helpers.find(index); helper != input_.helpers.end()) {
    call_helper(&state, index, helper->second);
  } else {
    finish_call(&state, fresh());
  }
  return true;
}

bool Verifier::return_from(Path *path) {
  VerifyState &state = path->state;
  if (state.frames.size() == 1) return false;
  const Value result = state.reg(0);
  path->at = state.top().return_to;
  state.frames.pop_back();
  state.forget_frames();
  state.reg(0) = result.is_frame() && result.index >= state.frames.size() ? Value{} : result;
  return path->at < program_.insns().size();
}

void Verifier::finish_call(VerifyState *state, const Value &result) {
  for (u32 r = 1; r <= 5; r++) state->reg(r) = {};
  state->reg(0) = result;
}

void Verifier::start_callbacks(const VerifyState &state, u32 nr_args, bool sleepable) {
  for (u32 r = 1; r <= nr_args; r++) {
    const Value &value = state.top().regs[r];
    if (!value.is(Kind::kFunction)) continue;
    const std::pair<u32, bool> one{value.index, sleepable};
    if (std::find(started_.begin(), started_.end(), one) != started_.end()) continue;
    started_.push_back(one);
    start(value.index, sleepable, false);
  }
}

void Verifier::check_kfunc_context(const VerifyState &state, u32 index, const KfuncEntry &kfunc) {
  if (!kfunc_allowed(kfunc, rules_.groups)) return refuse(index, -EACCES, kfunc_refusal(kfunc, rules_));
  if (kfunc.flags & KF_SLEEPABLE) {
    if (!state.sleepable)
      return refuse(index, -EACCES, fmt::format("program must be sleepable to call sleepable kfunc {}", kfunc.name));
    if (state.rcu_depth > 0)
      return refuse(index, -EACCES, fmt::format("kernel func {} is sleepable within rcu_read_lock region", kfunc.name));
    if (state.preempt_depth > 0)
      return refuse(index, -EACCES,
                    fmt::format("kernel func {} is sleepable within non-preemptible region", kfunc.name));
  }
  if (kfunc.flags & KF_RCU_PROTECTED && state.sleepable && state.rcu_depth == 0)
    refuse(index, -EACCES, fmt::format("kernel func {} requires RCU critical section protection", kfunc.name));
}

void Verifier::call_kfunc(VerifyState *state, u32 index, const KfuncEntry &kfunc) {
  check_kfunc_context(*state, index, kfunc);
  for (u32 i = 0; i < kfunc.nr_args; i++) {
    const Value &value = state->reg(i + 1);
    const ArgSpec &spec = kfunc.args[i];
    // The kernel's own prototypes of what takes RCU-protected objects have none that may be NULL.
    const bool takes_null = spec.nullable && !(spec.kind == ArgKind::kObject && kfunc.flags & KF_RCU);
    if (spec.kind != ArgKind::kScalar && !takes_null && (value.is(Kind::kMaybeNull) || value.is(Kind::kNull)))
      refuse(index, -EACCES,
             fmt::format("Possibly NULL pointer passed to trusted arg{} of {}\n{} {}", i, kfunc.name,
                         origins_[value.index].what, value.is(Kind::kNull) ? "is NULL here" : "may be NULL"));
    if (!value.is_frame() || spec.kind == ArgKind::kMemory || spec.kind == ArgKind::kString) continue;
    const s64 size = spec.kind == ArgKind::kMemoryOut ? s64{spec.size} : s64{kFrameBytes};
    const s64 at = value.is(Kind::kFrame) ? static_cast<s64>(value.number) : -s64{kFrameBytes};
    if (spec.kind != ArgKind::kBuffer)
      state->clobber(value.index, at, value.is(Kind::kFrame) ? size : s64{kFrameBytes});
  }
  start_callbacks(*state, kfunc.nr_args, kfunc.flags & KF_SLEEPABLE_CALLBACK || state->sleepable);
  if (kfunc.flags & KF_RCU_LOCK) state->rcu_depth++;
  if (kfunc.flags & KF_RCU_UNLOCK && state->rcu_depth > 0) state->rcu_depth--;
  if (kfunc.flags & KF_PREEMPT_DISABLE) state->preempt_depth++;
  if (kfunc.flags & KF_PREEMPT_ENABLE && state->preempt_depth > 0) state->preempt_depth--;
  if (kfunc.flags & KF_RET_NULL)
    finish_call(state, maybe_null("ptr_or_null_", fmt::format("the result of {}", kfunc.name)));
  else
    finish_call(state, fresh());
}

// An array gives each of its elements; the kernel knows that if the index is a constant.
bool Verifier::array_lookup_never_fails(const VerifyState &state) const {
  const Value &handle = state.top().regs[1], &key = state.top().regs[2];
  if (!handle.is(Kind::kConst) || !key.is(Kind::kFrame)) return false;
  for (const auto &map : input_.maps) {
    if (reinterpret_cast<u64>(map->handle()) != handle.number) continue;
    if (!map->supports(MAP_DENSE)) return false;
    const Value index = state.load(key.index, static_cast<s64>(key.number), sizeof(u32));
    return index.is_known() && index.known() < map->max_entries();
  }
  return false;
}

void Verifier::call_helper(VerifyState *state, u32 index, u32 id) {
  const CallDesc &desc = *program_.call_target(index).desc;
  const HelperEntry &helper = *find_helper(id);  // It is there, or the program would not have been prepared.
  if (helper.flags & HELPER_SLEEPS && !state->sleepable)
    refuse(index, -EINVAL,
           fmt::format("program of this type cannot use helper {}#{}: it must be sleepable", desc.name, id));
  start_callbacks(*state, desc.nr_args, state->sleepable && !(helper.flags & HELPER_ATOMIC_CALLBACK));
  const bool may_be_null = helper.flags & kHelperRetMayBeNull;
  const bool checked = id == BPF_FUNC_map_lookup_elem && array_lookup_never_fails(*state);
  for (u32 r = 1; r <= desc.nr_args; r++) {
    const Value value = state->reg(r);
    if (!value.is_frame()) continue;
    const bool exact = value.is(Kind::kFrame);
    if (helper.const_args >> (r - 1) & 1) continue;
    state->clobber(value.index, exact ? static_cast<s64>(value.number) : -s64{kFrameBytes}, kFrameBytes);
  }
  if (may_be_null && !checked)
    finish_call(state, maybe_null(result_type(helper.flags), fmt::format("the result of {}", desc.name)));
  else
    finish_call(state, may_be_null ? Value{Kind::kNonZero, false, 0, 0, 0} : fresh());
}

}  // namespace

bool kfunc_allowed(const KfuncEntry &kfunc, u32 groups) {
  if (kfunc.groups & kGeneric) return true;
  if (kfunc.groups & kCpuForm && !(groups & kCpuForm)) return false;
  return kfunc.groups & groups & ~u32{kCpuForm};
}

std::string kfunc_refusal(const KfuncEntry &kfunc, const VerifyRules &rules) {
  const u32 groups = rules.groups & ~u32{kCpuForm};
  std::string text = fmt::format("calling kernel function {} is not allowed\n", kfunc.name);
  if (kfunc.groups & groups)
    return text +
           fmt::format("{} belongs to a scheduler of the cid form, {} takes CPU numbers", rules.caller, kfunc.name);
  return text + fmt::format("it is for {}; {} may call those for {}", kfunc_groups_text(kfunc.groups & ~u32{kCpuForm}),
                            rules.caller, groups == 0 ? "nobody in particular" : kfunc_groups_text(groups));
}

Verdict verify_program(const VerifyInput &input, const VerifyRules &rules) { return Verifier(input, rules).run(); }

}  // namespace uscx::bpf
