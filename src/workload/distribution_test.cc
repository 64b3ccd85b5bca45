// SPDX-License-Identifier: GPL-2.0-only
#include "workload/distribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"

namespace uscx::workload {
namespace {

std::vector<u64> draws(const char *text, size_t count = 100000) {
  const Distribution distribution = Distribution::parse(text).take();
  Rng rng(1, "test");
  std::vector<u64> out(count);
  for (u64 &value : out) value = distribution.draw(rng);
  std::sort(out.begin(), out.end());
  return out;
}
double mean(const std::vector<u64> &values) {
  double sum = 0;
  for (const u64 value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}
double at(const std::vector<u64> &values, double part) {
  return static_cast<double>(values[static_cast<size_t>(part * static_cast<double>(values.size()))]);
}

TEST(Distribution, FixedPointIsThatOfTheLibrary) {
  for (const double x : {1.0, 2.0, 3.0, 1000.0, 123456789.0, 4294967296.0})
    EXPECT_NEAR(static_cast<double>(log2_q32(static_cast<u64>(x))) / 4294967296.0, std::log2(x), 1e-8) << x;
  for (const double x : {0.0, 0.5, 1.0, -1.0, 3.25, -7.125, 12.9, 30.5})
    EXPECT_NEAR(static_cast<double>(exp2_q32(static_cast<s64>(x * 4294967296.0))) / 4294967296.0 / std::exp2(x), 1,
                1e-7)
        << x;
  EXPECT_EQ(exp2_q32(s64{-40} << 32), 0u);
}

TEST(Distribution, DrawsAreOfTheirShape) {
  EXPECT_EQ(draws("5ms", 3), std::vector<u64>(3, 5 * kNsPerMs));
  const std::vector<u64> uniform = draws("uniform:1ms/3ms");
  EXPECT_NEAR(mean(uniform), 2e6, 1e4);
  EXPECT_TRUE(uniform.front() >= 1000000 && uniform.back() <= 3000000);
  const std::vector<u64> exponential = draws("exponential:1ms");
  EXPECT_NEAR(mean(exponential), 1e6, 1e4);
  EXPECT_NEAR(at(exponential, 0.5), 1e6 * std::log(2), 1e4);
  EXPECT_NEAR(at(exponential, 0.99), 1e6 * std::log(100), 1e5);
  const std::vector<u64> lognormal = draws("lognormal:1ms/50");
  EXPECT_NEAR(at(lognormal, 0.5), 1e6, 1e4);
  EXPECT_NEAR(at(lognormal, 0.8413), 1e6 * std::exp(0.5), 2e4);
  EXPECT_NEAR(mean(lognormal), 1e6 * std::exp(0.125), 2e4);
  const std::vector<u64> bimodal = draws("bimodal:1us/1ms/10");
  EXPECT_NEAR(static_cast<double>(std::count(bimodal.begin(), bimodal.end(), 1000000)), 10000, 300);
  const std::vector<u64> empirical = draws("empirical:1us/2us/2us/5us");
  EXPECT_NEAR(static_cast<double>(std::count(empirical.begin(), empirical.end(), 2000)), 50000, 600);
}

TEST(Distribution, BadTextSaysWhatItTakes) {
  for (const char *text : {"", "5", "poisson:5ms", "uniform:1ms", "uniform:3ms/1ms", "exponential:",
                           "lognormal:1ms/301", "bimodal:1us/2us", "bimodal:1us/2us/101", "empirical:1us/x"})
    EXPECT_FALSE(Distribution::parse(text).ok()) << text;
  EXPECT_NE(Distribution::parse("poisson:5ms").message().find("exponential:MEAN"), std::string::npos);
}

}  // namespace
}  // namespace uscx::workload
