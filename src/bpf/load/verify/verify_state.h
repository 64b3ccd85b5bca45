// SPDX-License-Identifier: GPL-2.0-only
// What is known at one point of a path through a program: registers and stack slots of all frames.
//
// Threading: values.
#ifndef USCX_BPF_LOAD_VERIFY_VERIFY_STATE_H_
#define USCX_BPF_LOAD_VERIFY_VERIFY_STATE_H_

#include <array>
#include <vector>

#include "base/types.h"
#include "bpf/isa/insn.h"
#include "bpf/isa/known.h"
#include "bpf/load/verify/verify_trace.h"

namespace uscx::bpf {

struct Value {
  enum class Kind : u8 {
    kNumber,     // a number, or a pointer that may be used: `known`
    kMaybeNull,  // a pointer that must be compared with NULL before it is used
    kNull,       // such a pointer where it is NULL
    kContext,    // the context, plus the constant `known`
    kFrame,      // the stack of frame `index`, plus the constant `known` (from its r10)
    kSomeFrame,  // somewhere on the stack of frame `index`
    kFunction,   // subprogram `index`
  };
  Kind kind = Kind::kNumber;
  bool given_up = false;  // of a number: more was known of it, and forgotten so that a loop comes to an end
  u32 id = 0;             // not 0: values with the same id are the same
  u32 index = 0;          // of the frame or subprogram; of kMaybeNull and kNull, where it came from (Origin)
  Known known;

  bool operator==(const Value &) const = default;
  bool is(Kind k) const { return kind == k; }
  bool is_constant() const { return (kind == Kind::kNumber && known.is_constant()) || kind == Kind::kNull; }
  bool is_number(u64 n) const { return is_constant() && number() == n; }
  bool is_frame() const { return kind == Kind::kFrame || kind == Kind::kSomeFrame; }
  bool is_address() const { return is_frame() || kind == Kind::kContext || kind == Kind::kFunction; }
  u64 number() const { return kind == Kind::kNull ? 0 : known.number(); }
  // As a number.
  Known as_number() const;

  static Value constant(u64 n) { return {.known = Known::constant(n)}; }
  static Value frame(u32 index) { return {.kind = Kind::kFrame, .index = index, .known = Known::constant(0)}; }
};

// Bytes of a frame that hold a known value.
struct StackSlot {
  s32 at = 0;  // from r10
  u32 size = 0;
  Value value;
  bool operator==(const StackSlot &) const = default;
};

struct VerifyFrame {
  std::array<Value, kNumRegs> regs{};
  std::vector<StackSlot> stack;  // in order of `at`, none overlap
  u32 return_to = 0;             // the instruction after the call; not of the first frame

  const StackSlot *slot(s32 at, u32 size) const;
};

struct VerifyState {
  std::vector<VerifyFrame> frames;
  bool sleepable = false;
  bool doubtful = false;  // it may be here only because of a number that was given up
  u8 rcu_depth = 0;
  u8 preempt_depth = 0;

  VerifyFrame &top() { return frames.back(); }
  const VerifyFrame &top() const { return frames.back(); }
  u32 top_index() const { return static_cast<u32>(frames.size()) - 1; }
  Value &reg(u32 r) { return frames.back().regs[r]; }

  // A store to, and a load from, a known place of a frame. A load of what is not known gives any number of that size,
  // without an id; one of parts of numbers, what is known of their bits.
  void store(u32 frame, s64 at, u32 size, const Value &value);
  Value load(u32 frame, s64 at, u32 size) const;
  // These bytes hold `value`, as was found when they were read; nothing is remembered if more is known of some of them.
  void remember(u32 frame, s64 at, u32 size, const Value &value);
  // Someone wrote `size` bytes from `at` on, or may have; pointers that may be NULL stay: a helper that overwrites one
  // makes a number of it, which no program then uses as a pointer.
  void clobber(u32 frame, s64 at, s64 size);
  // All values with this id become `value`; their places.
  std::vector<Place> replace(u32 id, const Value &value);
  // What leaves with the frames that are gone.
  void forget_frames();
  // Registers of the innermost frame that are not in the set hold anything.
  void keep_registers(u16 live);
  // Gives up numbers that were others in `before`, the state of a loop's last round, so that the loop comes to an end;
  // not those that decided something by then, if `needs` is there to say so.
  void widen(const VerifyState &before, const Needs *needs);

  // Whether both are in the same calls.
  bool same_calls(const VerifyState &other) const;
  // Was everything that may follow from `other` looked at by following this? `needs` says what made a difference when
  // it was; without, all does.
  bool covers(const VerifyState &other, const Needs *needs) const;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_VERIFY_VERIFY_STATE_H_
