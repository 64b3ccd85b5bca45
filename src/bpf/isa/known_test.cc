// SPDX-License-Identifier: GPL-2.0-only
// What is known of numbers against all the numbers that it stands for: sets of up to eight numbers, whose three bits
// lie at the low end (of small and of negative numbers), across the halves and at the sign, through all operations and
// comparisons of both widths.
#include "bpf/isa/known.h"

#include <gtest/gtest.h>

#include <vector>

#include "bpf/isa/fold.h"

namespace uscx::bpf {
namespace {

constexpr AluOp kAluOps[] = {AluOp::kAdd,  AluOp::kSub, AluOp::kMul, AluOp::kDiv, AluOp::kSdiv,
                             AluOp::kOr,   AluOp::kAnd, AluOp::kLsh, AluOp::kRsh, AluOp::kMod,
                             AluOp::kSmod, AluOp::kXor, AluOp::kArsh};
constexpr Cond kConds[] = {Cond::kEq,  Cond::kGt, Cond::kGe, Cond::kSet, Cond::kNe, Cond::kSgt,
                           Cond::kSge, Cond::kLt, Cond::kLe, Cond::kSlt, Cond::kSle};

// Where the three bits lie, and whether all the bits are inverted.
struct Place {
  u32 shift;
  bool inverted;
  u64 of(u64 bits) const { return inverted ? ~(bits << shift) : bits << shift; }
};
constexpr Place kPlaces[] = {{0, false}, {0, true}, {30, false}, {61, false}};

struct Set {
  Known known;
  std::vector<u64> numbers;
};

Set set_of(const Known &known, Place place) {
  Set set{known, {}};
  for (u64 n = 0; n < 8; n++)
    if (known.may_be(place.of(n))) set.numbers.push_back(place.of(n));
  return set;
}

// Each of three bits known or not, and each range of numbers of three bits.
std::vector<Set> all_sets(Place place) {
  std::vector<Set> sets;
  for (u64 mask = 0; mask < 8; mask++)
    for (u64 value = 0; value < 8; value++)
      if ((value & mask) == 0) sets.push_back(set_of(Known::of_bits(place.of(value), mask << place.shift), place));
  for (u64 min = 0; min < 8; min++) {
    for (u64 max = min + 1; max < 8; max++) {
      Known known = Known::of_bits(place.of(0), u64{7} << place.shift);
      Known low = Known::constant(place.of(place.inverted ? max : min));
      Known high = Known::constant(place.of(place.inverted ? min : max));
      EXPECT_TRUE(Known::assume(Cond::kGe, true, true, &known, &low));
      EXPECT_TRUE(Known::assume(Cond::kLe, true, true, &known, &high));
      sets.push_back(set_of(known, place));
      EXPECT_EQ(sets.back().numbers.size(), max - min + 1);
    }
  }
  return sets;
}

// Both orders of all places are there, as the places of a and of b are chosen alone.
template <typename Check>
void for_all_pairs(Check check) {
  for (const Place place_a : kPlaces) {
    const std::vector<Set> as = all_sets(place_a);
    for (const Place place_b : kPlaces) {
      const std::vector<Set> bs = all_sets(place_b);
      for (const Set &a : as) {
        for (const Set &b : bs) {
          check(a, b);
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

std::string text(const Known &known) {
  return fmt::format("value {:#x} mask {:#x} from {:#x} to {:#x}", known.value(), known.mask(), known.min(),
                     known.max());
}

std::string text(const Set &a, const Set &b, int op, bool is64) {
  return fmt::format("operation {} of {} bits\n{}\n{}", op, is64 ? 64 : 32, text(a.known), text(b.known));
}

TEST(Known, EachResultOfArithmeticIsInTheSet) {
  for_all_pairs([](const Set &a, const Set &b) {
    for (const AluOp op : kAluOps) {
      for (const bool is64 : {false, true}) {
        const Known known = Known::alu(op, is64, a.known, b.known);
        for (const u64 x : a.numbers)
          for (const u64 y : b.numbers)
            ASSERT_TRUE(known.may_be(fold_alu(op, is64, x, y))) << text(a, b, static_cast<int>(op), is64) << "\n"
                                                                << x << " and " << y << "\n"
                                                                << text(known);
      }
    }
  });
}

TEST(Known, AComparisonHasTheOutcomeThatAllNumbersHave) {
  for_all_pairs([](const Set &a, const Set &b) {
    for (const Cond cond : kConds) {
      for (const bool is64 : {false, true}) {
        const std::optional<bool> outcome = Known::compare(cond, is64, a.known, b.known);
        if (!outcome.has_value()) continue;
        for (const u64 x : a.numbers)
          for (const u64 y : b.numbers)
            ASSERT_EQ(cond_holds(cond, is64, x, y), *outcome) << text(a, b, static_cast<int>(cond), is64) << "\n"
                                                              << x << " and " << y;
      }
    }
  });
}

TEST(Known, WhatAnOutcomeTeachesKeepsTheNumbersThatLedToIt) {
  for_all_pairs([](const Set &a, const Set &b) {
    for (const Cond cond : kConds) {
      for (const bool is64 : {false, true}) {
        for (const bool outcome : {false, true}) {
          Known left = a.known, right = b.known;
          const bool possible = Known::assume(cond, is64, outcome, &left, &right);
          for (const u64 x : a.numbers) {
            for (const u64 y : b.numbers) {
              if (cond_holds(cond, is64, x, y) != outcome) continue;
              ASSERT_TRUE(possible && left.may_be(x) && right.may_be(y))
                  << text(a, b, static_cast<int>(cond), is64) << " is " << outcome << "\n"
                  << x << " and " << y << "\n"
                  << text(left) << "\n"
                  << text(right);
            }
          }
        }
      }
    }
  });
}

// Numbers of one set alone: truncations, extensions, swaps, and what joins two sets.
TEST(Known, SizesAndJoinsKeepTheNumbers) {
  for_all_pairs([](const Set &a, const Set &b) {
    const Known joined = a.known.joined(b.known);
    for (const u64 x : a.numbers) ASSERT_TRUE(joined.may_be(x)) << text(a.known) << "\n" << text(b.known);
    for (const u64 y : b.numbers) ASSERT_TRUE(joined.may_be(y)) << text(a.known) << "\n" << text(b.known);
    for (const u32 bytes : {1u, 2u, 4u, 8u}) {
      for (const u64 x : a.numbers) {
        const u64 low = bytes == 8 ? x : x & ((u64{1} << 8 * bytes) - 1);
        ASSERT_TRUE(a.known.truncated(bytes).may_be(low)) << text(a.known);
        ASSERT_TRUE(a.known.sign_extended(bytes).may_be(sign_extend(x, bytes))) << text(a.known);
        if (bytes == 1) continue;
        ASSERT_TRUE(a.known.swapped(EndianOp::kLittle, bytes).may_be(low));
        ASSERT_TRUE(a.known.swapped(EndianOp::kSwap, bytes).may_be(__builtin_bswap64(low) >> (64 - 8 * bytes)));
      }
    }
  });
}

TEST(Known, ASetCoversThoseInsideOfIt) {
  for_all_pairs([](const Set &a, const Set &b) {
    if (!a.known.covers(b.known)) return;
    for (const u64 y : b.numbers) ASSERT_TRUE(a.known.may_be(y)) << text(a.known) << "\n" << text(b.known);
  });
}

// A set that says nothing would pass all of the above.
TEST(Known, FlagsAndRangesAreKept) {
  const Known any, one = Known::constant(1);
  const Known odd = Known::alu(AluOp::kOr, true, any, one);
  EXPECT_EQ(Known::alu(AluOp::kAnd, false, odd, one), one);
  EXPECT_EQ(Known::alu(AluOp::kAnd, true, Known::alu(AluOp::kAdd, true, odd, odd), one), Known::constant(0));
  EXPECT_EQ(Known::alu(AluOp::kAnd, true, Known::alu(AluOp::kMul, true, odd, odd), one), one);
  EXPECT_EQ(Known::alu(AluOp::kXor, true, Known::alu(AluOp::kLsh, true, any, Known::constant(63)), odd).value() & 1,
            1u);
  EXPECT_EQ(Known::compare(Cond::kSet, true, odd, one), true);
  EXPECT_EQ(Known::compare(Cond::kEq, true, odd, Known::constant(0)), false);
  EXPECT_EQ(Known::compare(Cond::kSge, true, Known::of_size(4), Known::constant(0)), true);
  EXPECT_EQ(Known::compare(Cond::kSgt, false, Known::of_size(1), Known::constant(~u64{0})), true);
  EXPECT_EQ(Known::alu(AluOp::kMod, true, any, Known::constant(10)).max(), 9u);
  EXPECT_EQ(Known::alu(AluOp::kDiv, true, Known::of_size(1), Known::constant(10)).max(), 25u);
  EXPECT_EQ(Known::alu(AluOp::kAdd, true, Known::of_size(1), Known::constant(3)).max(), 258u);
  EXPECT_EQ(Known::alu(AluOp::kSub, true, Known::constant(300), Known::of_size(1)).min(), 45u);

  // The four bits of a flag word that one comparison each has found out.
  Known word, flag = Known::constant(4), limit = Known::constant(16), seven = Known::constant(7);
  EXPECT_TRUE(Known::assume(Cond::kLt, true, true, &word, &limit));
  EXPECT_EQ(word, Known::of_bits(0, 15));
  EXPECT_TRUE(Known::assume(Cond::kSet, true, false, &word, &flag));
  EXPECT_EQ(word, Known::of_bits(0, 11));
  EXPECT_TRUE(Known::assume(Cond::kGt, true, true, &word, &seven));
  EXPECT_EQ(word.value(), 8u);
  EXPECT_FALSE(Known::assume(Cond::kEq, true, true, &word, &seven));

  // 32 bits of a number whose other half is not known.
  Known half, five = Known::constant(5);
  EXPECT_TRUE(Known::assume(Cond::kEq, false, true, &half, &five));
  EXPECT_EQ(half, Known::of_bits(5, ~u64{0xffffffff}));
  EXPECT_EQ(Known::compare(Cond::kLt, false, half, Known::constant(6)), true);
}

}  // namespace
}  // namespace uscx::bpf
