// SPDX-License-Identifier: GPL-2.0-only
#include "report/latency.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"

namespace uscx::report {
namespace {

TEST(LatencyHistogram, EmptyIsAllZero) {
  LatencyHistogram latency;
  EXPECT_EQ(latency.percentile_ns(50), 0u);
  EXPECT_EQ(latency.max_ns(), 0u);
  EXPECT_EQ(latency.count(), 0u);
}

TEST(LatencyHistogram, PercentilesAreNearestRank) {
  LatencyHistogram latency;
  for (u64 value : {50, 10, 40, 20, 30}) latency.add(value);
  EXPECT_EQ(latency.percentile_ns(1), 10u);
  EXPECT_EQ(latency.percentile_ns(20), 10u);
  EXPECT_EQ(latency.percentile_ns(21), 20u);
  EXPECT_EQ(latency.percentile_ns(50), 30u);
  EXPECT_EQ(latency.percentile_ns(99), 50u);
  latency.add(5);  // After a query.
  EXPECT_EQ(latency.percentile_ns(1), 5u);
  EXPECT_EQ(latency.percentile_ns(100), 50u);
  EXPECT_EQ(latency.sum_ns(), 155u);
}

// Against a sorted array: exact while the values are kept, then never too low and at most 1/1024 too high.
TEST(LatencyHistogram, StaysWithinATenthOfAPercent) {
  for (size_t count :
       {size_t{100}, LatencyHistogram::kExactValues, LatencyHistogram::kExactValues + 1, size_t{50'000}}) {
    for (u64 bits : {4, 11, 30, 63}) {
      Rng rng(count * 100 + bits, "latency_test");
      LatencyHistogram latency;
      std::vector<u64> values;
      for (size_t i = 0; i < count; i++) {
        values.push_back(rng.next() >> (64 - rng.between(1, bits)));
        latency.add(values.back());
      }
      std::sort(values.begin(), values.end());
      for (u32 percent : {1, 50, 90, 99, 100}) {
        const u64 exact = values[(values.size() * percent + 99) / 100 - 1];
        const u64 got = latency.percentile_ns(percent);
        EXPECT_GE(got, exact);
        EXPECT_LE(got - exact, count <= LatencyHistogram::kExactValues ? 0 : exact / 1024);
      }
      EXPECT_EQ(latency.percentile_ns(100), values.back());
      EXPECT_EQ(latency.max_ns(), values.back());
    }
  }
}

}  // namespace
}  // namespace uscx::report
