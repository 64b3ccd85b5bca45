// SPDX-License-Identifier: GPL-2.0-only
#include "machine/cpumask.h"

#include <gtest/gtest.h>

namespace uscx::machine {
namespace {

CpuMask mask_of(u32 nr_cpus, std::initializer_list<u32> cpus) {
  CpuMask mask(nr_cpus);
  for (u32 cpu : cpus) mask.set(cpu);
  return mask;
}

TEST(CpuMask, HexIsPaddedToTheNumberOfCpus) {
  EXPECT_EQ(mask_of(1, {0}).view().to_hex(), "1");
  EXPECT_EQ(mask_of(4, {0, 1, 2, 3}).view().to_hex(), "f");
  EXPECT_EQ(mask_of(8, {0}).view().to_hex(), "01");
  EXPECT_EQ(mask_of(9, {8}).view().to_hex(), "100");
  EXPECT_EQ(mask_of(32, {31}).view().to_hex(), "80000000");
  EXPECT_EQ(mask_of(33, {0, 32}).view().to_hex(), "1,00000001");
  EXPECT_EQ(mask_of(100, {64, 35}).view().to_hex(), "0,00000001,00000008,00000000");
}

TEST(CpuMask, ListHasRangesAndSingles) {
  EXPECT_EQ(CpuMask(16).view().to_list(), "");
  EXPECT_EQ(mask_of(16, {0, 1, 2, 3, 8}).view().to_list(), "0-3,8");
  EXPECT_EQ(mask_of(130, {0, 63, 64, 128, 129}).view().to_list(), "0,63-64,128-129");
}

TEST(CpuMask, NextSkipsWordsAndEndsAtNrCpus) {
  const CpuMask mask = mask_of(200, {3, 64, 199});
  EXPECT_EQ(mask.view().first(), 3u);
  EXPECT_EQ(mask.view().next(4), 64u);
  EXPECT_EQ(mask.view().next(65), 199u);
  EXPECT_EQ(mask.view().next(200), 200u);
  EXPECT_EQ(mask.view().next_and(mask_of(200, {4, 199}), 0), 199u);
  EXPECT_EQ(mask.view().next_and(mask_of(200, {4}), 0), 200u);
}

TEST(CpuMask, SetAllLeavesBitsBeyondTheEndClear) {
  CpuMask mask(70);
  mask.set_all();
  EXPECT_EQ(mask.view().weight(), 70u);
  EXPECT_EQ(mask.words()[1], 0x3ful);
  EXPECT_TRUE(mask.test_and_clear(69));
  EXPECT_FALSE(mask.test_and_clear(69));
  EXPECT_FALSE(mask.test_and_set(69));
}

}  // namespace
}  // namespace uscx::machine
