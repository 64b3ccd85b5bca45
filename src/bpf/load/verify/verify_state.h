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

namespace uscx::bpf {

struct Value {
  enum class Kind : u8 {
    kAny,        // whatever it is, it may be used
    kNonZero,    // a number or pointer that is not zero
    kConst,      // `number`
    kMaybeNull,  // a pointer that must be compared with NULL before it is used
    kNull,       // such a pointer where it is NULL
    kContext,    // the context, plus `number`
    kFrame,      // the stack of frame `index`, plus `number` (from its r10)
    kSomeFrame,  // somewhere on the stack of frame `index`
    kFunction,   // subprogram `index`
  };
  Kind kind = Kind::kAny;
  bool narrow = false;  // kAny: the upper half is zero
  u32 id = 0;           // not 0: values with the same id are the same
  u32 index = 0;        // of the frame or subprogram; of kMaybeNull and kNull, where it came from (Origin)
  u64 number = 0;

  bool operator==(const Value &) const = default;
  bool is(Kind k) const { return kind == k; }
  bool is_number(u64 n) const { return (kind == Kind::kConst && number == n) || (kind == Kind::kNull && n == 0); }
  bool is_known() const { return kind == Kind::kConst || kind == Kind::kNull; }
  bool is_frame() const { return kind == Kind::kFrame || kind == Kind::kSomeFrame; }
  u64 known() const { return kind == Kind::kConst ? number : 0; }

  static Value constant(u64 n) { return {Kind::kConst, false, 0, 0, n}; }
  static Value any(u32 id, bool narrow = false) { return {Kind::kAny, narrow, id, 0, 0}; }
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
};

struct VerifyState {
  std::vector<VerifyFrame> frames;
  bool sleepable = false;
  u8 rcu_depth = 0;
  u8 preempt_depth = 0;

  VerifyFrame &top() { return frames.back(); }
  const VerifyFrame &top() const { return frames.back(); }
  Value &reg(u32 r) { return frames.back().regs[r]; }

  // A store to, and a load from, a known place of a frame. A load of what is not known gives kAny without an id.
  void store(u32 frame, s64 at, u32 size, const Value &value);
  Value load(u32 frame, s64 at, u32 size) const;
  // Someone wrote `size` bytes from `at` on, or may have; pointers that may be NULL stay: a helper that overwrites one
  // makes a number of it, which no program then uses as a pointer.
  void clobber(u32 frame, s64 at, s64 size);
  // All values with this id become `value`.
  void replace(u32 id, const Value &value);
  // What leaves with the frames that are gone.
  void forget_frames();
  // Registers of the innermost frame that are not in the set hold anything.
  void keep_registers(u16 live);
  // Constants become numbers that may be anything.
  void widen();

  // Was everything that may follow from `other` looked at by following this? (Whoever answers yes too often misses a
  // fault, but refuses nothing wrongly.)
  bool covers(const VerifyState &other) const;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_VERIFY_VERIFY_STATE_H_
