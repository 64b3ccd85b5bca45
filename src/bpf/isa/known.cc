// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/isa/known.h"

#include <algorithm>
#include <bit>

#include "bpf/isa/fold.h"

namespace uscx::bpf {

namespace {

constexpr u64 kAll = ~u64{0};
constexpr u64 kSign = u64{1} << 63;

u64 low_bytes(u32 bytes) { return bytes >= 8 ? kAll : (u64{1} << 8 * bytes) - 1; }

bool adds_over(u64 a, u64 b) { return a + b < a; }
bool multiplies_over(u64 a, u64 b) { return b != 0 && a > kAll / b; }

Cond opposite(Cond cond) {
  switch (cond) {
    case Cond::kEq: return Cond::kNe;
    case Cond::kNe: return Cond::kEq;
    case Cond::kGt: return Cond::kLe;
    case Cond::kLe: return Cond::kGt;
    case Cond::kGe: return Cond::kLt;
    case Cond::kLt: return Cond::kGe;
    case Cond::kSgt: return Cond::kSle;
    case Cond::kSle: return Cond::kSgt;
    case Cond::kSge: return Cond::kSlt;
    case Cond::kSlt: return Cond::kSge;
    case Cond::kSet: break;
  }
  return cond;
}

bool is_signed(Cond cond) {
  return cond == Cond::kSgt || cond == Cond::kSge || cond == Cond::kSlt || cond == Cond::kSle;
}

}  // namespace

Known Known::of_size(u32 bytes) { return {0, low_bytes(bytes), 0, low_bytes(bytes)}; }

Known Known::of_bits(u64 value, u64 mask) { return {value & ~mask, mask, value & ~mask, value | mask}; }

bool Known::settle() {
  min_ = std::max(min_, value_);
  max_ = std::min(max_, value_ | mask_);
  if (min_ > max_) return false;
  const u64 below = min_ == max_ ? 0 : kAll >> std::countl_zero(min_ ^ max_);  // the first bit that differs, and on
  if ((min_ ^ value_) & ~below & ~mask_) return false;
  value_ |= min_ & ~below & mask_;
  mask_ &= below;
  // The bits that became known may lie above the old ends.
  min_ = std::max(min_, value_);
  max_ = std::min(max_, value_ | mask_);
  return min_ <= max_;
}

Known Known::within(u64 min, u64 max) const {
  Known narrowed = *this;
  narrowed.min_ = std::max(min_, min);
  narrowed.max_ = std::min(max_, max);
  return narrowed.settle() ? narrowed : *this;
}

bool Known::intersect(const Known &other) {
  if ((value_ ^ other.value_) & ~mask_ & ~other.mask_) return false;
  value_ |= other.value_;
  mask_ &= other.mask_;
  min_ = std::max(min_, other.min_);
  max_ = std::min(max_, other.max_);
  return settle();
}

bool Known::covers(const Known &other) const {
  return (other.mask_ & ~mask_) == 0 && (other.value_ & ~mask_) == value_ && min_ <= other.min_ && max_ >= other.max_;
}

Known Known::joined(const Known &other) const {
  if (*this == other) return *this;
  const u64 mask = mask_ | other.mask_ | (value_ ^ other.value_);
  const Known bits = of_bits(value_, mask);
  return min_ > 0 && other.min_ > 0 ? bits.within(1, kAll) : bits;
}

Known Known::truncated(u32 bytes) const {
  if (fits(bytes)) return *this;
  return of_bits(value_ & low_bytes(bytes), mask_ & low_bytes(bytes));
}

Known Known::sign_extended(u32 bytes) const {
  if (bytes >= 8 || (fits(bytes) && max_ <= low_bytes(bytes) / 2)) return *this;
  return of_bits(sign_extend(value_, bytes), sign_extend(mask_, bytes));
}

Known Known::swapped(EndianOp op, u32 bytes) const {
  const Known low = truncated(bytes);
  if (op == EndianOp::kLittle) return low;
  const u32 unused = 64 - 8 * bytes;
  return of_bits(__builtin_bswap64(low.value_) >> unused, __builtin_bswap64(low.mask_) >> unused);
}

s64 Known::signed_min() const {
  if (((min_ ^ max_) & kSign) == 0) return static_cast<s64>(min_);
  return static_cast<s64>(value_ | (mask_ & kSign));
}

s64 Known::signed_max() const {
  if (((min_ ^ max_) & kSign) == 0) return static_cast<s64>(max_);
  return static_cast<s64>(value_ | (mask_ & ~kSign));
}

// --- Arithmetic ---

// A bit of a sum is known if those of both numbers are, and if the carry into it is the same for the least and for the
// greatest numbers that their bits allow: carries only grow with the numbers. So with differences and borrows.
Known Known::sum(const Known &a, const Known &b) {
  const u64 least = a.value_ + b.value_;
  const u64 greatest = (a.value_ | a.mask_) + (b.value_ | b.mask_);
  const u64 unknown = (least ^ greatest) | a.mask_ | b.mask_;
  const Known bits = of_bits(least, unknown);
  return adds_over(a.max_, b.max_) ? bits : bits.within(a.min_ + b.min_, a.max_ + b.max_);
}

Known Known::difference(const Known &a, const Known &b) {
  const u64 greatest = (a.value_ | a.mask_) - b.value_;
  const u64 least = a.value_ - (b.value_ | b.mask_);
  const u64 unknown = (least ^ greatest) | a.mask_ | b.mask_;
  const Known bits = of_bits(least, unknown);
  return a.min_ < b.max_ ? bits : bits.within(a.min_ - b.max_, a.max_ - b.min_);
}

// The sum of b's multiples by each bit of a.
Known Known::product(const Known &a, const Known &b) {
  Known bits = constant(0);
  for (u32 i = 0; i < 64; i++) {
    if (((a.value_ | a.mask_) >> i & 1) == 0) continue;
    const Known multiple = of_bits(b.value_ << i, b.mask_ << i);
    bits = sum(bits, a.value_ >> i & 1 ? multiple : multiple.joined(constant(0)));
  }
  return multiplies_over(a.max_, b.max_) ? bits : bits.within(a.min_ * b.min_, a.max_ * b.max_);
}

Known Known::quotient(const Known &a, const Known &b) {
  if (b.max_ == 0) return constant(0);
  return Known().within(b.min_ == 0 ? 0 : a.min_ / b.max_, a.max_ / std::max<u64>(b.min_, 1));
}

Known Known::remainder(const Known &a, const Known &b) {
  if (b.min_ > a.max_ || b.max_ == 0) return a;
  if (b.is_constant() && std::has_single_bit(b.value_)) return alu64(AluOp::kAnd, a, constant(b.value_ - 1));
  return Known().within(0, b.min_ == 0 ? a.max_ : std::min(a.max_, b.max_ - 1));
}

Known Known::shift(AluOp op, bool is64, const Known &a, const Known &by) {
  const u32 width = is64 ? 64 : 32;
  std::optional<Known> result;
  const Known amount = by.is_constant() ? constant(by.value_ & (width - 1)) : of_bits(by.value_, by.mask_);
  const Known from = op == AluOp::kArsh && !is64 ? a.sign_extended(4) : a;
  for (u32 n = 0; n < width; n++) {
    if ((n & ~amount.mask_) != (amount.value_ & (width - 1))) continue;
    Known one;
    if (op == AluOp::kLsh) {
      one = of_bits(from.value_ << n, from.mask_ << n);
      if (from.max_ <= kAll >> n) one = one.within(from.min_ << n, from.max_ << n);
    } else if (op == AluOp::kRsh) {
      one = of_bits(from.value_ >> n, from.mask_ >> n).within(from.min_ >> n, from.max_ >> n);
    } else {
      one = of_bits(fold_alu(op, true, from.value_, n), fold_alu(op, true, from.mask_, n));
    }
    result = result.has_value() ? result->joined(one) : one;
  }
  return *result;
}

Known Known::alu64(AluOp op, const Known &a, const Known &b) {
  switch (op) {
    case AluOp::kAdd: return sum(a, b);
    case AluOp::kSub: return difference(a, b);
    case AluOp::kMul: return product(a, b);
    case AluOp::kDiv: return quotient(a, b);
    case AluOp::kMod: return remainder(a, b);
    case AluOp::kAnd: {
      const u64 ones = a.value_ & b.value_;
      return of_bits(ones, (a.value_ | a.mask_) & (b.value_ | b.mask_) & ~ones).within(0, std::min(a.max_, b.max_));
    }
    case AluOp::kOr: {
      const u64 ones = a.value_ | b.value_;
      return of_bits(ones, (a.mask_ | b.mask_) & ~ones).within(std::max(a.min_, b.min_), kAll);
    }
    case AluOp::kXor: return of_bits(a.value_ ^ b.value_, a.mask_ | b.mask_);
    default: return {};
  }
}

Known Known::alu(AluOp op, bool is64, const Known &a, const Known &b) {
  if (a.is_constant() && b.is_constant()) return constant(fold_alu(op, is64, a.value_, b.value_));
  const Known x = is64 ? a : a.truncated(4), y = is64 ? b : b.truncated(4);
  const bool shifts = op == AluOp::kLsh || op == AluOp::kRsh || op == AluOp::kArsh;
  const Known result = shifts ? shift(op, is64, x, y) : alu64(op, x, y);
  return is64 ? result : result.truncated(4);
}

// --- Comparisons ---

std::optional<bool> Known::compare(Cond cond, bool is64, const Known &a, const Known &b) {
  if (!is64) {
    const bool sign = is_signed(cond);
    const Known x = a.truncated(4), y = b.truncated(4);
    return compare(cond, true, sign ? x.sign_extended(4) : x, sign ? y.sign_extended(4) : y);
  }
  // What the ends of the ranges say: the outcome where both ends agree.
  auto by_ends = [](auto a_min, auto a_max, auto b_min, auto b_max, bool or_equal) -> std::optional<bool> {
    if (or_equal ? a_min >= b_max : a_min > b_max) return true;
    if (or_equal ? a_max < b_min : a_max <= b_min) return false;
    return std::nullopt;
  };
  switch (cond) {
    case Cond::kEq: {
      if (a.is_constant() && b.is_constant()) return a.value_ == b.value_;
      Known both = a;
      return both.intersect(b) ? std::nullopt : std::optional(false);
    }
    case Cond::kSet:
      if (a.value_ & b.value_) return true;
      return (a.value_ | a.mask_) & (b.value_ | b.mask_) ? std::nullopt : std::optional(false);
    case Cond::kGt:
    case Cond::kGe: return by_ends(a.min_, a.max_, b.min_, b.max_, cond == Cond::kGe);
    case Cond::kSgt:
    case Cond::kSge: return by_ends(a.signed_min(), a.signed_max(), b.signed_min(), b.signed_max(), cond == Cond::kSge);
    default: {
      const std::optional<bool> other = compare(opposite(cond), true, a, b);
      return other.has_value() ? std::optional(!*other) : std::nullopt;
    }
  }
}

bool Known::assume64(Cond cond, bool outcome, Known *a, Known *b) {
  if (cond == Cond::kSet) {
    const Known &bits = *b;
    if (!bits.is_constant()) return true;
    if (!outcome) return a->intersect(of_bits(0, ~bits.value_));
    if (std::has_single_bit(bits.value_)) return a->intersect(of_bits(bits.value_, ~bits.value_));
    return bits.value_ != 0;
  }
  if (!outcome) cond = opposite(cond);
  auto at_least = [](Known *set, u64 min) { return set->intersect({0, kAll, min, kAll}); };
  auto at_most = [](Known *set, u64 max) { return set->intersect({0, kAll, 0, max}); };
  switch (cond) {
    case Cond::kEq: {
      const bool possible = a->intersect(*b);
      *b = *a;
      return possible;
    }
    case Cond::kNe:
      for (const auto &[set, other] : {std::pair{a, b}, std::pair{b, a}}) {
        if (!other->is_constant()) continue;
        if (set->is_constant()) return set->value_ != other->value_;
        if (set->min_ == other->value_ && !at_least(set, other->value_ + 1)) return false;
        if (set->max_ == other->value_ && !at_most(set, other->value_ - 1)) return false;
      }
      return true;
    case Cond::kGt: return a->max_ != 0 && b->min_ != kAll && at_least(a, b->min_ + 1) && at_most(b, a->max_ - 1);
    case Cond::kGe: return at_least(a, b->min_) && at_most(b, a->max_);
    case Cond::kLt: return assume64(Cond::kGt, true, b, a);
    case Cond::kLe: return assume64(Cond::kGe, true, b, a);
    case Cond::kSlt: return assume64(Cond::kSgt, true, b, a);
    case Cond::kSle: return assume64(Cond::kSge, true, b, a);
    case Cond::kSgt:
    case Cond::kSge: break;
    case Cond::kSet: return true;
  }
  // Signed: what is greater than a number of 0 and more is one as well, what is less than one below 0 is too. Numbers
  // of one sign compare as unsigned ones do.
  const Known positive = of_bits(0, ~kSign), negative = of_bits(kSign, ~kSign);
  const s64 least = b->signed_min(), greatest = a->signed_max();
  if ((least >= 0 || (cond == Cond::kSgt && least == -1)) && !a->intersect(positive)) return false;
  if ((greatest < 0 || (cond == Cond::kSgt && greatest == 0)) && !b->intersect(negative)) return false;
  if ((a->mask_ | b->mask_) & kSign || (a->value_ ^ b->value_) & kSign) return true;
  return assume64(cond == Cond::kSgt ? Cond::kGt : Cond::kGe, true, a, b);
}

bool Known::learn_low_half(const Known &low) {
  if (fits(4)) return intersect(low);
  return intersect(of_bits(low.value_, low.mask_ | ~low_bytes(4)));
}

bool Known::assume(Cond cond, bool is64, bool outcome, Known *a, Known *b) {
  if (is64) return assume64(cond, outcome, a, b);
  const bool sign = is_signed(cond);
  Known x = a->truncated(4), y = b->truncated(4);
  if (sign) {
    x = x.sign_extended(4);
    y = y.sign_extended(4);
  }
  return assume64(cond, outcome, &x, &y) && a->learn_low_half(x.truncated(4)) && b->learn_low_half(y.truncated(4));
}

}  // namespace uscx::bpf
