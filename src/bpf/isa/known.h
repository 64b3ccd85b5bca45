// SPDX-License-Identifier: GPL-2.0-only
// What an analysis knows of a 64-bit number: of each bit that it is 0, 1 or either, and the least and the greatest
// value that it may have. All the operations give a set that holds every number that they can lead to; it may hold
// others.
//
// Threading: values.
// Invariants: no bit of `value` is set in `mask`; min <= max; both lie within what the bits allow, and the bits that
// min and max have in common from the top on are known.
#ifndef USCX_BPF_ISA_KNOWN_H_
#define USCX_BPF_ISA_KNOWN_H_

#include <optional>

#include "base/types.h"
#include "bpf/isa/insn.h"

namespace uscx::bpf {

class Known {
 public:
  // Any number.
  constexpr Known() = default;
  static constexpr Known constant(u64 number) { return {number, 0, number, number}; }
  static constexpr Known non_zero() { return {0, ~u64{0}, 1, ~u64{0}}; }
  // Numbers of so many bytes.
  static Known of_size(u32 bytes);
  // Numbers with these bits: those of `mask` are unknown, the others are as in `value`.
  static Known of_bits(u64 value, u64 mask);

  bool operator==(const Known &) const = default;
  bool is_constant() const { return mask_ == 0; }
  u64 number() const { return value_; }
  u64 value() const { return value_; }
  u64 mask() const { return mask_; }
  u64 min() const { return min_; }
  u64 max() const { return max_; }
  bool may_be(u64 number) const { return (number & ~mask_) == value_ && number >= min_ && number <= max_; }
  // Holds this set all that the other one has?
  bool covers(const Known &other) const;
  bool fits(u32 bytes) const { return bytes == 8 || max_ >> 8 * bytes == 0; }

  // The numbers of both sets; of their ranges only survives that zero is in neither, so that joining comes to an end.
  Known joined(const Known &other) const;
  // The low bytes, with zeros or with copies of the sign above them.
  Known truncated(u32 bytes) const;
  Known sign_extended(u32 bytes) const;
  // As the instruction of this operation on `bytes` bytes leaves it.
  Known swapped(EndianOp op, u32 bytes) const;

  // What an instruction makes of two numbers; a 32-bit one of their low halves.
  static Known alu(AluOp op, bool is64, const Known &a, const Known &b);
  // The outcome of a comparison, if it has one.
  static std::optional<bool> compare(Cond cond, bool is64, const Known &a, const Known &b);
  // Takes from both sets what cannot have led to this outcome. Returns false if nothing is left: it does not happen.
  static bool assume(Cond cond, bool is64, bool outcome, Known *a, Known *b);

 private:
  constexpr Known(u64 value, u64 mask, u64 min, u64 max) : value_(value), mask_(mask), min_(min), max_(max) {}

  // Makes the invariants true. Returns false if no number is left.
  bool settle();
  // The set and its range, if that says more.
  Known within(u64 min, u64 max) const;
  bool intersect(const Known &other);
  // Both ends of the range as signed numbers of 64 bits.
  s64 signed_min() const;
  s64 signed_max() const;

  static Known alu64(AluOp op, const Known &a, const Known &b);
  static Known sum(const Known &a, const Known &b);
  static Known difference(const Known &a, const Known &b);
  static Known product(const Known &a, const Known &b);
  static Known quotient(const Known &a, const Known &b);
  static Known remainder(const Known &a, const Known &b);
  static Known shift(AluOp op, bool is64, const Known &a, const Known &by);
  static bool assume64(Cond cond, bool outcome, Known *a, Known *b);
  bool learn_low_half(const Known &low);

  u64 value_ = 0;
  u64 mask_ = ~u64{0};
  u64 min_ = 0;
  u64 max_ = ~u64{0};
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_ISA_KNOWN_H_
