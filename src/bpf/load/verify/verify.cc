// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "bpf/isa/fold.h"
#include "bpf/load/verify/verify_paths.h"
#include "bpf/load/verify/verify_state.h"
#include "bpf/object/helper.h"
#include "bpf/object/map.h"

namespace uscx::bpf {

namespace {

using Kind = Value::Kind;

// The kernel follows a million steps before it refuses a program for its size. Here paths and loops are ended sooner
// from then on.
constexpr u64 kStepsBeforeHaste = 1000000;
constexpr u64 kMaxSteps = 2 * kStepsBeforeHaste;

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
      : input_(input),
        rules_(rules),
        program_(*input.program),
        paths_(program_.insns().size()),
        stops_(program_.insns().size() + 1, Stop::kNone) {
    find_stops();
    find_constants();
  }

  Verdict run();

 private:
  // Where a path may meet others.
  enum class Stop : u8 { kNone, kLeader, kRound };
  struct Constants {
    u64 start, end;
  };

  void find_stops();
  void find_constants();
  void start(u32 subprog, bool sleepable, bool is_program);
  void follow(VerifyPath path);
  // Returns false at the end of the path.
  bool step(VerifyPath *path);
  bool branch(VerifyPath *path, const Insn &insn);
  bool learn(VerifyPath *path, const Insn &insn, const Value &a, const Value &b, bool outcome) const;
  bool learn_null(VerifyPath *path, const Insn &insn, const Value &a, const Value &b, bool outcome) const;
  void put_same(VerifyPath *path, const Value &old, Place place, const Value &value) const;
  void alu(VerifyPath *path, const Insn &insn);
  Value alu_value(VerifyPath *path, const Insn &insn, const Value &a, const Value &b);
  Value moved_address(VerifyPath *path, const Insn &insn, const Value &a, const Value &b);
  void load(VerifyPath *path, const Insn &insn);
  Value load_from_stack(VerifyPath *path, const Insn &insn, const Value &base);
  void store(VerifyPath *path, const Insn &insn);
  void store_to_stack(VerifyPath *path, const Insn &insn, const Value &base, const Value &value);
  const void *constant_memory(u64 address, u32 size) const;
  bool call(VerifyPath *path, const Insn &insn);
  void enter(VerifyPath *path, const Insn &insn);
  bool return_from(VerifyPath *path);
  void call_kfunc(VerifyPath *path, const KfuncEntry &kfunc);
  void check_kfunc_context(const VerifyPath &path, const KfuncEntry &kfunc);
  void call_helper(VerifyPath *path, u32 id);
  void start_callbacks(const VerifyState &state, u32 nr_args, bool sleepable);
  void finish_call(VerifyPath *path, const Value &result);
  bool array_lookup_never_fails(VerifyPath *path) const;
  void check_use(VerifyPath *path, u8 reg, const Value &value);

  static Place place(const VerifyPath &path, u32 reg) { return register_place(path.state.top_index(), reg); }
  static void note(VerifyPath *path, TraceStep::Op op, Place to, Place from = 0) {
    path->trace.push_back({op, to, from});
  }
  Value fresh(const Known &known = {}) { return {.id = ++last_id_, .known = known}; }
  Value maybe_null(std::string type, std::string what);
  void refuse(const VerifyPath &path, int err, std::string text);
  bool is_over() const { return verdict_.err != 0; }

  const VerifyInput &input_;
  const VerifyRules &rules_;
  const Program &program_;
  VerifyPaths paths_;
  std::vector<Stop> stops_;
  std::vector<Constants> constants_;
  std::vector<Origin> origins_;
  std::vector<std::pair<u32, bool>> started_;  // callbacks, and whether they may sleep
  std::vector<VerifyPath> work_;
  u32 last_id_ = 0;
  Verdict verdict_;
};

void Verifier::find_stops() {
  const std::span<const Insn> insns = program_.insns();
  for (u32 i = 0; i < insns.size(); i++) {
    if (insns[i].info == nullptr) continue;
    const OpKind kind = insns[i].info->kind;
    if (kind == OpKind::kBranch || kind == OpKind::kJump || kind == OpKind::kMayGoto)
      stops_[insns[i].target] = Stop::kLeader;
    if (kind == OpKind::kCall && insns[i].info->sub == kCallSubprog) stops_[i + 1] = Stop::kLeader;
  }
  for (u32 i = 0; i < insns.size(); i++)
    if (insns[i].info != nullptr && insns[i].info->kind == OpKind::kMayGoto) stops_[i] = Stop::kRound;
  for (const auto &[index, kfunc] : input_.kfuncs)
    if (kfunc->flags & KF_ITER_NEXT) stops_[index] = Stop::kRound;
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
  return {.kind = Kind::kMaybeNull, .id = ++last_id_, .index = index};
}

// What rests on a number that was given up is no reason: it may be that no path leads here.
void Verifier::refuse(const VerifyPath &path, int err, std::string text) {
  if (verdict_.err != 0) return;
  std::string reason = fmt::format("{}\nat {}", text, program_.place(path.now));
  if (!path.state.doubtful) {
    verdict_.err = err;
    verdict_.log = std::move(reason);
  } else if (verdict_.doubt.empty()) {
    verdict_.doubt = std::move(reason);
  }
}

Verdict Verifier::run() {
  start(0, rules_.sleepable, true);
  while (!work_.empty() && !is_over()) {
    VerifyPath path = std::move(work_.back());
    work_.pop_back();
    follow(std::move(path));
  }
  verdict_.whole &= !paths_.has_guessed();
  return std::move(verdict_);
}

void Verifier::start(u32 subprog, bool sleepable, bool is_program) {
  VerifyPath path;
  path.at = program_.subprogs()[subprog].start;
  path.state.frames.emplace_back();
  path.state.sleepable = sleepable;
  path.state.reg(10) = Value::frame(0);
  if (is_program) path.state.reg(1) = {.kind = Kind::kContext, .known = Known::constant(0)};
  work_.push_back(std::move(path));
}

void Verifier::follow(VerifyPath path) {
  while (!is_over()) {
    if (path.at < program_.insns().size() && stops_[path.at] != Stop::kNone && !input_.every_path) {
      path.state.keep_registers(program_.live_before(path.at));
      if (paths_.arrive(&path, stops_[path.at] == Stop::kRound)) return;
    }
    if (++verdict_.steps > kMaxSteps) {
      verdict_.whole = false;
      work_.clear();
      return;
    }
    if (verdict_.steps == kStepsBeforeHaste) paths_.make_haste();
    if (!step(&path)) return paths_.end(path);
  }
}

bool Verifier::step(VerifyPath *path) {
  const u32 index = path->at;
  if (index >= program_.insns().size() || program_.insns()[index].info == nullptr || program_.is_trap(index))
    return false;
  const Insn &insn = program_.insns()[index];
  path->now = index;
  path->at = index + 1;
  path->steps++;
  switch (insn.info->kind) {
    case OpKind::kAlu:
    case OpKind::kNeg:
    case OpKind::kMov:
    case OpKind::kMovSx:
    case OpKind::kEndian:
    case OpKind::kAddrSpaceCast: alu(path, insn); return true;
    case OpKind::kLoad:
    case OpKind::kLoadAcquire: load(path, insn); return true;
    case OpKind::kStore:
    case OpKind::kStoreImm:
    case OpKind::kStoreRelease:
    case OpKind::kAtomic: store(path, insn); return true;
    case OpKind::kLoadImm64:
      path->state.reg(insn.dst) = insn.src == kImm64Func
                                      ? Value{.kind = Kind::kFunction, .index = program_.subprog_index_of(insn.target)}
                                      : Value::constant(insn.imm64);
      note(path, TraceStep::Op::kDefine, place(*path, insn.dst));
      path->at = index + 2;
      return true;
    case OpKind::kJump:
      path->jumps++;
      path->at = insn.target;
      return true;
    case OpKind::kMayGoto:
      path->jumps++;
      work_.push_back(paths_.fork(*path, insn.target));
      return true;
    case OpKind::kBranch: return branch(path, insn);
    case OpKind::kCall: return call(path, insn);
    case OpKind::kExit: return return_from(path);
  }
  return false;
}

// --- Branches ---

// All values that are the same as the one in `place` are what it is now.
void Verifier::put_same(VerifyPath *path, const Value &old, Place place, const Value &value) const {
  const std::vector<Place> places = path->state.replace(old.id, value);
  path->state.reg(place % kPlacesOfFrame) = value;
  // Forth and back, so that what is needed of any is needed of all.
  for (const Place other : places)
    if (other != place) note(path, TraceStep::Op::kSame, place, other);
  if (places.size() > 2) {
    for (const Place other : places)
      if (other != place) note(path, TraceStep::Op::kSame, place, other);
  }
}

// What a comparison of a pointer that may be NULL for equality says.
bool Verifier::learn_null(VerifyPath *path, const Insn &insn, const Value &a, const Value &b, bool outcome) const {
  const bool equal = (insn.info->cond() == Cond::kEq) == outcome;
  if (b.is_number(0) && equal)
    put_same(path, a, place(*path, insn.dst), {.kind = Kind::kNull, .id = a.id, .index = a.index});
  else if (b.is_number(0) || (equal && !b.is(Kind::kMaybeNull) && !b.is_constant()))
    put_same(path, a, place(*path, insn.dst), {.id = a.id, .known = Known::non_zero()});
  return true;
}

// What the outcome of a comparison says. Returns false if it cannot come out so.
bool Verifier::learn(VerifyPath *path, const Insn &insn, const Value &a, const Value &b, bool outcome) const {
  const OpInfo &op = *insn.info;
  if (a.is(Kind::kMaybeNull)) {
    const bool says = op.is64 && (op.cond() == Cond::kEq || op.cond() == Cond::kNe);
    return !says || learn_null(path, insn, a, b, outcome);
  }
  Value left = a, right = b;
  left.known = a.as_number();
  right.known = b.as_number();
  left.given_up = right.given_up = false;  // the path is in doubt now
  if (!Known::assume(op.cond(), op.is64, outcome, &left.known, &right.known)) return false;
  if (a.is(Kind::kNumber) && left.known != a.known) put_same(path, a, place(*path, insn.dst), left);
  if (!op.reg_src) return true;
  if (b.is(Kind::kNumber) && right.known != b.known) put_same(path, b, place(*path, insn.src), right);
  note(path, TraceStep::Op::kSame, place(*path, insn.dst), place(*path, insn.src));
  return true;
}

bool Verifier::branch(VerifyPath *path, const Insn &insn) {
  const OpInfo &op = *insn.info;
  const Value a = path->state.reg(insn.dst);
  const Value b = op.reg_src ? path->state.reg(insn.src) : Value::constant(static_cast<u64>(s64{insn.imm}));
  path->jumps++;
  auto use_values = [&](VerifyPath *user) {
    note(user, TraceStep::Op::kUseValue, place(*user, insn.dst));
    if (op.reg_src) note(user, TraceStep::Op::kUseValue, place(*user, insn.src));
  };
  const std::optional<bool> outcome = Known::compare(op.cond(), op.is64, a.as_number(), b.as_number());
  if (outcome.has_value()) {
    use_values(path);
    if (*outcome) path->at = insn.target;
    return true;
  }
  if (a.given_up || b.given_up) {
    use_values(path);
    path->state.doubtful = true;
  }
  VerifyPath taken = paths_.fork(*path, insn.target);
  const bool goes_on = learn(path, insn, a, b, false);
  if (learn(&taken, insn, a, b, true)) {
    if (goes_on) {
      work_.push_back(std::move(taken));
      return true;
    }
    std::swap(*path, taken);
  }
  // Only one of both happens, or neither.
  use_values(&taken);
  paths_.end(taken);
  return true;
}

// --- Registers ---

void Verifier::alu(VerifyPath *path, const Insn &insn) {
  using Op = TraceStep::Op;
  const OpInfo &op = *insn.info;
  Value &dst = path->state.reg(insn.dst);
  const Value src = op.reg_src ? path->state.reg(insn.src) : Value::constant(static_cast<u64>(s64{insn.imm}));
  const Place to = place(*path, insn.dst), from = place(*path, insn.src);
  auto number = [&](const Value &of, const Known &known) {
    Value value = known.is_constant() ? Value{.known = known} : fresh(known);
    value.given_up = of.given_up && !known.is_constant();
    return value;
  };
  switch (op.kind) {
    case OpKind::kMov:
    case OpKind::kMovSx: {
      const u32 size = op.kind == OpKind::kMovSx ? op.size : 8;
      const Known known =
          op.is64 ? src.as_number().sign_extended(size) : src.as_number().sign_extended(size).truncated(4);
      const bool is_copy = op.is64 ? size == 8 : src.is(Kind::kNumber) && src.known == known;
      dst = is_copy ? src : number(src, known);
      note(path, !op.reg_src ? Op::kDefine : is_copy ? Op::kMove : Op::kPart, to, from);
      break;
    }
    case OpKind::kAlu: dst = alu_value(path, insn, dst, src); break;
    case OpKind::kNeg: dst = number(dst, Known::alu(AluOp::kSub, op.is64, Known::constant(0), dst.as_number())); break;
    case OpKind::kEndian: dst = number(dst, dst.as_number().swapped(op.endian(), op.size)); break;
    default:
      dst = fresh();
      note(path, Op::kDefine, to);
      break;
  }
}

// An address and a number.
Value Verifier::moved_address(VerifyPath *path, const Insn &insn, const Value &a, const Value &b) {
  using Op = TraceStep::Op;
  const Value &base = a.is_address() ? a : b, &offset = a.is_address() ? b : a;
  const Place to = place(*path, insn.dst), from = place(*path, insn.src);
  if (!a.is_address()) note(path, Op::kUseValue, to);
  if (insn.info->reg_src) note(path, a.is_address() ? Op::kOffset : Op::kMove, to, from);
  if (base.is_frame() && (base.is(Kind::kSomeFrame) || !offset.is_constant()))
    return {.kind = Kind::kSomeFrame, .index = base.index};
  if (base.is(Kind::kFunction) || !offset.is_constant()) return fresh();
  Value moved = base;
  const u64 by = insn.info->alu() == AluOp::kAdd ? offset.number() : -offset.number();
  moved.known = Known::constant(base.number() + by);
  return moved;
}

Value Verifier::alu_value(VerifyPath *path, const Insn &insn, const Value &a, const Value &b) {
  using Op = TraceStep::Op;
  const OpInfo &op = *insn.info;
  const Place to = place(*path, insn.dst), from = place(*path, insn.src);
  const bool is_same = op.reg_src && insn.dst == insn.src;
  if (is_same && (op.alu() == AluOp::kXor || op.alu() == AluOp::kSub)) {
    note(path, Op::kDefine, to);
    return Value::constant(0);
  }
  const bool adds = op.alu() == AluOp::kAdd;
  const bool moves = op.is64 && (adds || op.alu() == AluOp::kSub);
  if (moves) {
    note(path, Op::kUseKind, to);
    if (op.reg_src) note(path, Op::kUseKind, from);
    for (const auto &[base, offset, reg] : {std::tuple{a, b, insn.dst}, std::tuple{b, a, insn.src}}) {
      const bool found_other = offset.is(Kind::kNumber) && offset.known == Known::non_zero();
      if (!base.is(Kind::kMaybeNull) || offset.is(Kind::kMaybeNull) || found_other) continue;
      refuse(*path, -EACCES,
             fmt::format("R{} pointer arithmetic on {} prohibited, null-check it first\n{} may be NULL", u32{reg},
                         origins_[base.index].type, origins_[base.index].what));
      return {};
    }
    if (a.is_address() != b.is_address() && (adds || a.is_address())) return moved_address(path, insn, a, b);
  }
  if (op.reg_src) note(path, Op::kMix, to, from);
  const Known known = Known::alu(op.alu(), op.is64, a.as_number(), b.as_number());
  Value value = known.is_constant() ? Value{.known = known} : fresh(known);
  value.given_up = (a.given_up || b.given_up) && !known.is_constant();
  return value;
}

// --- Memory ---

void Verifier::check_use(VerifyPath *path, u8 reg, const Value &value) {
  note(path, TraceStep::Op::kUseKind, place(*path, reg));
  if (!value.is(Kind::kMaybeNull) && !value.is(Kind::kNull)) return;
  const Origin &origin = origins_[value.index];
  if (value.is(Kind::kNull))
    refuse(*path, -EACCES, fmt::format("R{} invalid mem access 'scalar'\n{} is NULL here", u32{reg}, origin.what));
  else
    refuse(*path, -EACCES,
           fmt::format("R{} invalid mem access '{}'\n{} may be NULL and is used unchecked", u32{reg}, origin.type,
                       origin.what));
}

const void *Verifier::constant_memory(u64 address, u32 size) const {
  for (const Constants &range : constants_) {
    if (address >= range.start && address + size <= range.end) return reinterpret_cast<const void *>(address);
  }
  return nullptr;
}

// A number on the stack stays the same number when it is read again.
Value Verifier::load_from_stack(VerifyPath *path, const Insn &insn, const Value &base) {
  using Op = TraceStep::Op;
  const OpInfo &op = *insn.info;
  const s64 at = static_cast<s64>(base.number()) + insn.off;
  if (at < -s64{kFrameBytes} || at + op.size > 0) return fresh(Known::of_size(op.size));
  Value value = path->state.load(base.index, at, op.size);
  if (value.is(Kind::kNumber) && !value.known.is_constant() && value.id == 0) {
    value.id = ++last_id_;
    path->state.remember(base.index, at, op.size, value);
  }
  const Place to = place(*path, insn.dst);
  const Place first = stack_place(base.index, at), last = stack_place(base.index, at + op.size - 1);
  note(path, op.size == 8 && first == last ? Op::kMove : Op::kPart, to, first);
  if (first != last) note(path, Op::kMix, to, last);
  if (!op.sign || !value.is(Kind::kNumber)) return value;
  const Known known = value.known.sign_extended(op.size);
  return known == value.known ? value : Value{.given_up = value.given_up, .id = ++last_id_, .known = known};
}

void Verifier::load(VerifyPath *path, const Insn &insn) {
  const OpInfo &op = *insn.info;
  const Value base = path->state.reg(insn.src);
  const Place to = place(*path, insn.dst), from = place(*path, insn.src);
  check_use(path, insn.src, base);
  const u64 at = base.number() + static_cast<u64>(s64{insn.off});
  const bool plain = op.kind == OpKind::kLoad;
  if (plain && base.is(Kind::kFrame)) {
    path->state.reg(insn.dst) = load_from_stack(path, insn, base);
    return;
  }
  Value value = fresh(op.sign ? Known() : Known::of_size(op.size));
  const void *constant = plain && base.is(Kind::kNumber) && base.is_constant() ? constant_memory(at, op.size) : nullptr;
  if (constant != nullptr) {
    u64 number = 0;
    std::memcpy(&number, constant, op.size);
    value = Value::constant(op.sign ? sign_extend(number, op.size) : number);
  } else if (base.is(Kind::kContext) && op.size == 8 && at % 8 == 0 && at / 8 < 32 &&
             (rules_.nullable_words >> (at / 8) & 1)) {
    const size_t word = at / 8;
    const std::string name = word < rules_.args.size() ? rules_.args[word] : fmt::format("{}", word);
    value = maybe_null("trusted_ptr_or_null_", fmt::format("argument {} of {}", name, rules_.caller));
  }
  note(path, constant != nullptr ? TraceStep::Op::kPart : TraceStep::Op::kDefine, to, from);
  path->state.reg(insn.dst) = value;
}

void Verifier::store(VerifyPath *path, const Insn &insn) {
  const OpInfo &op = *insn.info;
  VerifyState &state = path->state;
  const Value base = state.reg(insn.dst);
  check_use(path, insn.dst, base);
  Value value = op.kind == OpKind::kStoreImm ? Value::constant(static_cast<u64>(s64{insn.imm})) : state.reg(insn.src);
  if (op.kind == OpKind::kAtomic) {
    value = {};
    const u8 result = op.atomic() == AtomicOp::kCmpxchg ? 0 : insn.src;
    if (op.fetch) {
      state.reg(result) = fresh(Known::of_size(op.size));
      note(path, TraceStep::Op::kDefine, place(*path, result));
    }
  }
  if (base.is(Kind::kFrame))
    store_to_stack(path, insn, base, value);
  else if (base.is(Kind::kSomeFrame))
    state.clobber(base.index, -s64{kFrameBytes}, kFrameBytes);
}

void Verifier::store_to_stack(VerifyPath *path, const Insn &insn, const Value &base, const Value &value) {
  using Op = TraceStep::Op;
  const OpInfo &op = *insn.info;
  const s64 at = static_cast<s64>(base.number()) + insn.off;
  if (at < -s64{kFrameBytes} || at + op.size > 0) return;
  path->state.store(base.index, at, op.size, value);
  const Place first = stack_place(base.index, at), last = stack_place(base.index, at + op.size - 1);
  const bool whole = op.size == 8 && first == last;
  const bool from_register = op.kind == OpKind::kStore || op.kind == OpKind::kStoreRelease;
  if (!from_register) {
    if (whole) note(path, Op::kDefine, first);
    return;
  }
  note(path, whole ? Op::kMove : Op::kMix, first, place(*path, insn.src));
  if (first != last) note(path, Op::kMix, last, place(*path, insn.src));
}

// --- Calls ---

bool Verifier::call(VerifyPath *path, const Insn &insn) {
  if (insn.info->sub == kCallSubprog) {
    if (path->state.frames.size() >= kMaxCallDepth) return false;
    enter(path, insn);
    return true;
  }
  if (const auto kfunc = input_.kfuncs.find(path->now); kfunc != input_.kfuncs.end()) {
    call_kfunc(path, *kfunc->second);
    if (std::strcmp(kfunc->second->name, "bpf_throw") == 0) return false;
  } else if (const auto helper = input_.helpers.find(path->now); helper != input_.helpers.end()) {
    call_helper(path, helper->second);
  } else {
    finish_call(path, fresh());
  }
  return true;
}

void Verifier::enter(VerifyPath *path, const Insn &insn) {
  VerifyState &state = path->state;
  const u32 caller = state.top_index();
  VerifyFrame callee;
  note(path, TraceStep::Op::kEnter, register_place(caller + 1, 0));
  for (u32 r = 1; r <= 5; r++) {
    callee.regs[r] = state.reg(r);
    note(path, TraceStep::Op::kMove, register_place(caller + 1, r), register_place(caller, r));
  }
  callee.regs[10] = Value::frame(caller + 1);
  callee.return_to = path->at;
  for (u32 r = 0; r <= 5; r++) state.reg(r) = {};
  state.keep_registers(program_.live_after(path->now));
  state.frames.push_back(std::move(callee));
  path->at = insn.target;
}

bool Verifier::return_from(VerifyPath *path) {
  VerifyState &state = path->state;
  if (state.frames.size() == 1) return false;
  const Value result = state.reg(0);
  note(path, TraceStep::Op::kMove, register_place(state.top_index() - 1, 0), register_place(state.top_index(), 0));
  path->at = state.top().return_to;
  state.frames.pop_back();
  state.forget_frames();
  state.reg(0) = result.is_frame() && result.index >= state.frames.size() ? Value{} : result;
  return path->at < program_.insns().size();
}

void Verifier::finish_call(VerifyPath *path, const Value &result) {
  for (u32 r = 0; r <= 5; r++) {
    path->state.reg(r) = {};
    note(path, TraceStep::Op::kDefine, place(*path, r));
  }
  path->state.reg(0) = result;
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

void Verifier::check_kfunc_context(const VerifyPath &path, const KfuncEntry &kfunc) {
  const VerifyState &state = path.state;
  if (!kfunc_allowed(kfunc, rules_.groups)) return refuse(path, -EACCES, kfunc_refusal(kfunc, rules_));
  if (kfunc.flags & KF_SLEEPABLE) {
    if (!state.sleepable)
      return refuse(path, -EACCES, fmt::format("program must be sleepable to call sleepable kfunc {}", kfunc.name));
    if (state.rcu_depth > 0)
      return refuse(path, -EACCES, fmt::format("kernel func {} is sleepable within rcu_read_lock region", kfunc.name));
    if (state.preempt_depth > 0)
      return refuse(path, -EACCES,
                    fmt::format("kernel func {} is sleepable within non-preemptible region", kfunc.name));
  }
  if (kfunc.flags & KF_RCU_PROTECTED && state.sleepable && state.rcu_depth == 0)
    refuse(path, -EACCES, fmt::format("kernel func {} requires RCU critical section protection", kfunc.name));
}

void Verifier::call_kfunc(VerifyPath *path, const KfuncEntry &kfunc) {
  VerifyState &state = path->state;
  check_kfunc_context(*path, kfunc);
  for (u32 i = 0; i < kfunc.nr_args; i++) {
    const Value &value = state.reg(i + 1);
    const ArgSpec &spec = kfunc.args[i];
    note(path, TraceStep::Op::kUseKind, place(*path, i + 1));
    // The kernel's own prototypes of what takes RCU-protected objects have none that may be NULL.
    const bool takes_null = spec.nullable && !(spec.kind == ArgKind::kObject && kfunc.flags & KF_RCU);
    if (spec.kind != ArgKind::kScalar && !takes_null && (value.is(Kind::kMaybeNull) || value.is(Kind::kNull)))
      refuse(*path, -EACCES,
             fmt::format("Possibly NULL pointer passed to trusted arg{} of {}\n{} {}", i, kfunc.name,
                         origins_[value.index].what, value.is(Kind::kNull) ? "is NULL here" : "may be NULL"));
    if (!value.is_frame() || spec.kind == ArgKind::kMemory || spec.kind == ArgKind::kString) continue;
    const s64 size = spec.kind == ArgKind::kMemoryOut ? s64{spec.size} : s64{kFrameBytes};
    const s64 at = value.is(Kind::kFrame) ? static_cast<s64>(value.number()) : -s64{kFrameBytes};
    if (spec.kind != ArgKind::kBuffer) state.clobber(value.index, at, value.is(Kind::kFrame) ? size : s64{kFrameBytes});
  }
  start_callbacks(state, kfunc.nr_args, kfunc.flags & KF_SLEEPABLE_CALLBACK || state.sleepable);
  if (kfunc.flags & KF_RCU_LOCK) state.rcu_depth++;
  if (kfunc.flags & KF_RCU_UNLOCK && state.rcu_depth > 0) state.rcu_depth--;
  if (kfunc.flags & KF_PREEMPT_DISABLE) state.preempt_depth++;
  if (kfunc.flags & KF_PREEMPT_ENABLE && state.preempt_depth > 0) state.preempt_depth--;
  if (kfunc.flags & KF_RET_NULL)
    finish_call(path, maybe_null("ptr_or_null_", fmt::format("the result of {}", kfunc.name)));
  else
    finish_call(path, fresh());
}

// An array gives each of its elements; the kernel knows that if the index is a constant.
bool Verifier::array_lookup_never_fails(VerifyPath *path) const {
  const Value &handle = path->state.top().regs[1], &key = path->state.top().regs[2];
  if (!handle.is(Kind::kNumber) || !handle.is_constant() || !key.is(Kind::kFrame)) return false;
  for (const auto &map : input_.maps) {
    if (reinterpret_cast<u64>(map->handle()) != handle.number()) continue;
    if (!map->supports(MAP_DENSE)) return false;
    const s64 at = static_cast<s64>(key.number());
    const Value index = path->state.load(key.index, at, sizeof(u32));
    if (!index.is_constant() || index.number() >= map->max_entries()) return false;
    note(path, TraceStep::Op::kUseValue, place(*path, 1));
    note(path, TraceStep::Op::kUseValue, stack_place(key.index, at));
    return true;
  }
  return false;
}

void Verifier::call_helper(VerifyPath *path, u32 id) {
  VerifyState &state = path->state;
  const CallDesc &desc = *program_.call_target(path->now).desc;
  const HelperEntry &helper = *find_helper(id);  // It is there, or the program would not have been prepared.
  if (helper.flags & HELPER_SLEEPS && !state.sleepable)
    refuse(*path, -EINVAL,
           fmt::format("program of this type cannot use helper {}#{}: it must be sleepable", desc.name, id));
  start_callbacks(state, desc.nr_args, state.sleepable && !(helper.flags & HELPER_ATOMIC_CALLBACK));
  const bool may_be_null = helper.flags & kHelperRetMayBeNull;
  const bool checked = id == BPF_FUNC_map_lookup_elem && array_lookup_never_fails(path);
  for (u32 r = 1; r <= desc.nr_args; r++) {
    const Value value = state.reg(r);
    note(path, TraceStep::Op::kUseKind, place(*path, r));
    if (!value.is_frame()) continue;
    if (helper.const_args >> (r - 1) & 1) continue;
    const bool exact = value.is(Kind::kFrame);
    state.clobber(value.index, exact ? static_cast<s64>(value.number()) : -s64{kFrameBytes}, kFrameBytes);
  }
  if (may_be_null && !checked)
    finish_call(path, maybe_null(result_type(helper.flags), fmt::format("the result of {}", desc.name)));
  else
    finish_call(path, may_be_null ? Value{.known = Known::non_zero()} : fresh());
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
