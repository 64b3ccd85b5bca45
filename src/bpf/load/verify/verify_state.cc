// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify_state.h"

#include <algorithm>
#include <utility>

namespace uscx::bpf {

namespace {

using Kind = Value::Kind;

// What values of one state that are the same are in another.
class IdMap {
 public:
  bool same(u32 from, u32 to) {
    if (from == 0) return true;
    for (const auto &[a, b] : pairs_) {
      if (a == from) return b == to && to != 0;
    }
    pairs_.emplace_back(from, to);
    return true;
  }

 private:
  std::vector<std::pair<u32, u32>> pairs_;
};

bool covers_value(const Value &mine, const Value &other, Need need, IdMap *ids) {
  if (need == Need::kNone) return true;
  if (other.is(Kind::kMaybeNull)) return mine.is(Kind::kMaybeNull) && ids->same(mine.id, other.id);
  if (other.is(Kind::kNull)) return mine.is(Kind::kNull) || mine.is(Kind::kMaybeNull);
  if (mine.is_address() || other.is_address())
    return mine.kind == other.kind && mine.index == other.index && mine.known == other.known;
  if (need == Need::kKind) return true;
  // What was followed in doubt was not judged.
  if (mine.given_up && !other.given_up) return false;
  return mine.as_number().covers(other.known) && (mine.is_constant() || ids->same(mine.id, other.id));
}

class Cover {
 public:
  explicit Cover(const Needs *needs) : needs_(needs) {}

  bool frame(u32 index, const VerifyFrame &mine, const VerifyFrame &other) {
    for (u32 r = 0; r < kNumRegs; r++) {
      if (!covers_value(mine.regs[r], other.regs[r], need(register_place(index, r)), &ids_)) return false;
    }
    static constexpr Value kAny;
    for (const StackSlot &slot : mine.stack) {
      const StackSlot *found = other.slot(slot.at, slot.size);
      if (!covers_value(slot.value, found ? found->value : kAny, need(index, slot), &ids_)) return false;
    }
    for (const StackSlot &slot : other.stack) {
      if (mine.slot(slot.at, slot.size)) continue;
      if (!covers_value(kAny, slot.value, need(index, slot), &ids_)) return false;
    }
    return true;
  }

 private:
  Need need(Place place) const { return needs_ ? needs_->of(place) : Need::kValue; }
  Need need(u32 frame, const StackSlot &slot) const {
    return std::max(need(stack_place(frame, slot.at)), need(stack_place(frame, slot.at + s64{slot.size} - 1)));
  }

  const Needs *needs_;
  IdMap ids_;
};

}  // namespace

Known Value::as_number() const {
  switch (kind) {
    case Kind::kNumber: return known;
    case Kind::kNull: return Known::constant(0);
    case Kind::kMaybeNull: return {};
    default: return Known::non_zero();
  }
}

const StackSlot *VerifyFrame::slot(s32 at, u32 size) const {
  const auto found =
      std::lower_bound(stack.begin(), stack.end(), at, [](const StackSlot &s, s32 a) { return s.at < a; });
  return found != stack.end() && found->at == at && found->size == size ? &*found : nullptr;
}

void VerifyState::store(u32 frame, s64 at, u32 size, const Value &value) {
  if (at < -s64{kFrameBytes} || at + s64{size} > 0) return;
  std::vector<StackSlot> &stack = frames[frame].stack;
  // What is left of numbers of which a part is written over.
  std::vector<StackSlot> parts;
  for (const StackSlot &slot : stack) {
    const s64 end = slot.at + s64{slot.size};
    if (slot.at >= at + size || at >= end || (!slot.value.is(Kind::kNumber) && !slot.value.is(Kind::kNull))) continue;
    if (slot.at < at) parts.push_back({slot.at, static_cast<u32>(at - slot.at), {}});
    if (end > at + size) parts.push_back({static_cast<s32>(at + size), static_cast<u32>(end - at - size), {}});
  }
  for (StackSlot &part : parts) part.value = load(frame, part.at, part.size);
  std::erase_if(stack, [&](const StackSlot &slot) { return slot.at < at + size && at < slot.at + s64{slot.size}; });
  Value kept = value;
  if (size < 8) {
    const bool is_number = value.is(Kind::kNumber) || value.is(Kind::kNull);
    kept = is_number ? Value{.given_up = value.given_up, .known = value.as_number().truncated(size)}
                     : Value{.known = Known::of_size(size)};
    if (value.is(Kind::kNumber) && kept.known == value.known) kept.id = value.id;
  }
  parts.push_back({static_cast<s32>(at), size, kept});
  for (const StackSlot &part : parts) {
    if (part.value == Value{.known = Known::of_size(part.size)}) continue;
    stack.insert(std::upper_bound(stack.begin(), stack.end(), part,
                                  [](const StackSlot &a, const StackSlot &b) { return a.at < b.at; }),
                 part);
  }
}

Value VerifyState::load(u32 frame, s64 at, u32 size) const {
  u64 bits = 0, unknown = Known::of_size(size).mask();
  bool given_up = false;
  for (const StackSlot &slot : frames[frame].stack) {
    const s64 from = std::max(at, s64{slot.at}), end = std::min(at + size, slot.at + s64{slot.size});
    if (from >= end) continue;
    if (slot.at == at && slot.size == size) return slot.value;
    if (!slot.value.is(Kind::kNumber) && !slot.value.is(Kind::kNull)) continue;
    const u32 bytes = static_cast<u32>(end - from);
    const Known skipped = Known::constant(8 * static_cast<u64>(from - slot.at));
    const Known part = Known::alu(AluOp::kRsh, true, slot.value.as_number(), skipped).truncated(bytes);
    if (bytes == size) return {.given_up = slot.value.given_up, .known = part};
    const u64 shift = 8 * static_cast<u64>(from - at);
    bits |= part.value() << shift;
    unknown = (unknown & ~(Known::of_size(bytes).mask() << shift)) | part.mask() << shift;
    given_up |= slot.value.given_up;
  }
  return {.given_up = given_up, .known = Known::of_bits(bits, unknown)};
}

void VerifyState::remember(u32 frame, s64 at, u32 size, const Value &value) {
  const std::vector<StackSlot> &stack = frames[frame].stack;
  const bool overlaps = std::any_of(stack.begin(), stack.end(), [&](const StackSlot &slot) {
    return slot.at < at + size && at < slot.at + s64{slot.size};
  });
  if (!overlaps || frames[frame].slot(static_cast<s32>(at), size) != nullptr) store(frame, at, size, value);
}

void VerifyState::clobber(u32 frame, s64 at, s64 size) {
  std::erase_if(frames[frame].stack, [&](const StackSlot &slot) {
    return slot.at < at + size && at < slot.at + s64{slot.size} && !slot.value.is(Kind::kMaybeNull);
  });
}

std::vector<Place> VerifyState::replace(u32 id, const Value &value) {
  std::vector<Place> places;
  if (id == 0) return places;
  for (u32 f = 0; f < frames.size(); f++) {
    for (u32 r = 0; r < kNumRegs; r++) {
      if (frames[f].regs[r].id != id) continue;
      frames[f].regs[r] = value;
      places.push_back(register_place(f, r));
    }
    for (StackSlot &slot : frames[f].stack) {
      if (slot.value.id != id) continue;
      slot.value = value;
      places.push_back(stack_place(f, slot.at));
    }
  }
  return places;
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

void VerifyState::widen(const VerifyState &before, const Needs *needs) {
  auto widened = [&](Value *value, const Value &old, Place place, u32 size) {
    if (!value->is(Kind::kNumber) || !old.is(Kind::kNumber)) return;
    if (needs != nullptr && needs->of(place) == Need::kValue) return;
    if (!old.known.covers(value->known)) *value = {.given_up = true, .known = Known::of_size(size)};
  };
  for (u32 f = 0; f < frames.size(); f++) {
    for (u32 r = 0; r < kNumRegs; r++) {
      Value &reg = frames[f].regs[r];
      const Value &old = before.frames[f].regs[r];
      widened(&reg, old, register_place(f, r), reg.known.fits(4) && old.known.fits(4) ? 4 : 8);
    }
    for (StackSlot &slot : frames[f].stack) {
      const StackSlot *old = before.frames[f].slot(slot.at, slot.size);
      if (old) widened(&slot.value, old->value, stack_place(f, slot.at), slot.size);
    }
  }
}

bool VerifyState::same_calls(const VerifyState &other) const {
  return std::equal(frames.begin(), frames.end(), other.frames.begin(), other.frames.end(),
                    [](const VerifyFrame &a, const VerifyFrame &b) { return a.return_to == b.return_to; });
}

bool VerifyState::covers(const VerifyState &other, const Needs *needs) const {
  if (sleepable != other.sleepable || rcu_depth != other.rcu_depth || preempt_depth != other.preempt_depth ||
      (doubtful && !other.doubtful) || !same_calls(other))
    return false;
  Cover cover(needs);
  for (u32 i = static_cast<u32>(frames.size()); i-- > 0;) {
    if (!cover.frame(i, frames[i], other.frames[i])) return false;
  }
  return true;
}

}  // namespace uscx::bpf
