// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify_state.h"

#include <algorithm>
#include <utility>

namespace uscx::bpf {

namespace {

using Kind = Value::Kind;

// Which ids of one state stand for which of another.
class IdMap {
 public:
  bool same(u32 from, u32 to) {
    for (const auto &[a, b] : pairs_) {
      if (a == from) return b == to;
    }
    pairs_.emplace_back(from, to);
    return true;
  }

 private:
  std::vector<std::pair<u32, u32>> pairs_;
};

bool covers_value(const Value &mine, const Value &other, IdMap *ids) {
  switch (other.kind) {
    case Kind::kMaybeNull: return mine.is(Kind::kMaybeNull) && ids->same(other.id, mine.id);
    case Kind::kNull: return mine.is(Kind::kNull) || mine.is(Kind::kMaybeNull);
    case Kind::kAny: return mine.is(Kind::kAny);
    case Kind::kNonZero: return mine.is(Kind::kAny) || mine.is(Kind::kNonZero) || mine.is(Kind::kMaybeNull);
    case Kind::kConst:
      return mine.is(Kind::kAny) || (mine.is(Kind::kNonZero) && other.number != 0) ||
             (mine.is(Kind::kConst) && mine.number == other.number);
    case Kind::kContext:
    case Kind::kFrame:
    case Kind::kSomeFrame:
    case Kind::kFunction: return mine.is(other.kind) && mine.index == other.index && mine.number == other.number;
  }
  return false;
}

bool covers_frame(const VerifyFrame &mine, const VerifyFrame &other, IdMap *ids) {
  if (mine.return_to != other.return_to) return false;
  for (u32 r = 0; r < kNumRegs; r++) {
    if (!covers_value(mine.regs[r], other.regs[r], ids)) return false;
  }
  // What this frame knows more than the other makes it the narrower one.
  for (const StackSlot &slot : mine.stack) {
    if (slot.value.is(Kind::kAny) || slot.value.is(Kind::kMaybeNull)) continue;
    const auto found = std::find_if(other.stack.begin(), other.stack.end(),
                                    [&](const StackSlot &s) { return s.at == slot.at && s.size == slot.size; });
    if (found == other.stack.end() || !covers_value(slot.value, found->value, ids)) return false;
  }
  // A pointer that the other must check yet has to be one here too.
  for (const StackSlot &slot : other.stack) {
    if (!slot.value.is(Kind::kMaybeNull) && !slot.value.is(Kind::kNull)) continue;
    const auto found = std::find_if(mine.stack.begin(), mine.stack.end(),
                                    [&](const StackSlot &s) { return s.at == slot.at && s.size == slot.size; });
    if (found == mine.stack.end() || !covers_value(found->value, slot.value, ids)) return false;
  }
  return true;
}

}  // namespace

void VerifyState::store(u32 frame, s64 at, u32 size, const Value &value) {
  if (at < -s64{kFrameBytes} || at + s64{size} > 0) return;
  std::vector<StackSlot> &stack = frames[frame].stack;
  std::erase_if(stack, [&](const StackSlot &slot) { return slot.at < at + size && at < slot.at + s64{slot.size}; });
  Value kept = value;
  if (size < 8) {
    const u64 mask = (u64{1} << 8 * size) - 1;
    kept = value.is_known() ? Value::constant(value.known() & mask) : Value{};
  }
  if (kept.is(Kind::kAny) && kept.id == 0) return;
  const StackSlot slot{static_cast<s32>(at), size, kept};
  stack.insert(std::upper_bound(stack.begin(), stack.end(), slot,
                                [](const StackSlot &a, const StackSlot &b) { return a.at < b.at; }),
               slot);
}

Value VerifyState::load(u32 frame, s64 at, u32 size) const {
  for (const StackSlot &slot : frames[frame].stack) {
    if (at < slot.at || at + s64{size} > slot.at + s64{slot.size}) continue;
    if (slot.at == at && slot.size == size) return slot.value;
    if (!slot.value.is_known()) return {};
    const u64 bits = slot.value.known() >> 8 * (at - slot.at);
    return Value::constant(size == 8 ? bits : bits & ((u64{1} << 8 * size) - 1));
  }
  return {};
}

void VerifyState::clobber(u32 frame, s64 at, s64 size) {
  std::erase_if(frames[frame].stack, [&](const StackSlot &slot) {
    return slot.at < at + size && at < slot.at + s64{slot.size} && !slot.value.is(Kind::kMaybeNull);
  });
}

void VerifyState::replace(u32 id, const Value &value) {
  if (id == 0) return;
  for (VerifyFrame &frame : frames) {
    for (Value &reg : frame.regs) {
      if (reg.id == id) reg = value;
    }
    for (StackSlot &slot : frame.stack) {
      if (slot.value.id == id) slot.value = value;
    }
  }
}

void VerifyState::forget_frames() {
  for (VerifyFrame &frame : frames) {
    for (Value &reg : frame.regs) {
      if (reg.is_frame() && reg.index >= frames.size()) reg = {};
    }
    std::erase_if(frame.stack,
                  [&](const StackSlot &slot) { return slot.value.is_frame() && slot.value.index >= frames.size(); });
  }
}

void VerifyState::keep_registers(u16 live) {
  for (u32 r = 0; r < kNumRegs - 1; r++) {
    if (!(live >> r & 1)) top().regs[r] = {};
  }
}

void VerifyState::widen() {
  auto widened = [](Value &value) {
    if (value.is(Kind::kConst)) value = {};
  };
  for (VerifyFrame &frame : frames) {
    for (Value &reg : frame.regs) widened(reg);
    for (StackSlot &slot : frame.stack) widened(slot.value);
    std::erase_if(frame.stack, [](const StackSlot &slot) { return slot.value == Value{}; });
  }
}

bool VerifyState::covers(const VerifyState &other) const {
  if (frames.size() != other.frames.size() || sleepable != other.sleepable || rcu_depth != other.rcu_depth ||
      preempt_depth != other.preempt_depth)
    return false;
  IdMap ids;
  for (size_t i = frames.size(); i-- > 0;) {
    if (!covers_frame(frames[i], other.frames[i], &ids)) return false;
  }
  return true;
}

}  // namespace uscx::bpf
