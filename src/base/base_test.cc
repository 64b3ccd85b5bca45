// SPDX-License-Identifier: GPL-2.0-only
#include <gtest/gtest.h>

#include "base/nearest.h"
#include "base/rng.h"
#include "base/units.h"

namespace uscx {
namespace {

TEST(Duration, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*parse_duration("5ms"), 5 * kNsPerMs);
  EXPECT_EQ(*parse_duration("1.5s"), 1500 * kNsPerMs);
  EXPECT_EQ(*parse_duration("0"), 0u);
  EXPECT_EQ(*parse_duration("0.7ms"), 700 * kNsPerUs);
  EXPECT_EQ(*parse_duration("2m"), 120 * kNsPerSec);
}

TEST(Duration, RefusesWhatIsNone) {
  for (const char *text : {"", "5", "ms", "-1ms", "5 ms", "1.2.3s", "0.5ns", "99999999999999999999s", "5msx", "1e3s"})
    EXPECT_FALSE(parse_duration(text).ok()) << text;
}

TEST(Duration, PrintsShortest) {
  EXPECT_EQ(format_duration(0), "0ns");
  EXPECT_EQ(format_duration(999), "999ns");
  EXPECT_EQ(format_duration(200 * kNsPerUs), "200us");
  EXPECT_EQ(format_duration(1234567890), "1.235s");
  EXPECT_EQ(format_duration(10 * kNsPerSec), "10s");
}

TEST(Number, RangeIsChecked) {
  EXPECT_EQ(*parse_number("8192", 1, 8192), 8192u);
  EXPECT_EQ(*parse_number("0x10", 0, 100), 16u);
  EXPECT_FALSE(parse_number("8193", 1, 8192).ok());
  EXPECT_FALSE(parse_number("-1", 0, 10).ok());
  EXPECT_FALSE(parse_number("0x", 0, 10).ok());
  EXPECT_EQ(*parse_signed("-20", -20, 19), -20);
}

TEST(Nearest, DistanceCountsLetters) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("run", "run"), 0u);
  EXPECT_EQ(edit_distance("rnu", "run"), 1u);
  EXPECT_EQ(edit_distance("workload", "workloads"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Nearest, NameIsNearOrNone) {
  const std::vector<std::string> known{"run", "list", "replay", "session"};
  EXPECT_EQ(nearest_name("rnu", known), "run");
  EXPECT_EQ(nearest_name("sesion", known), "session");
  EXPECT_EQ(nearest_name("repaly", known), "replay");
  EXPECT_EQ(nearest_name("resolve", known), "");
  EXPECT_EQ(nearest_name("x", {"a", "b"}), "");
  EXPECT_EQ(nearest_name("tun", {"fun", "run"}), "fun");
  EXPECT_EQ(nearest_name(std::string(100000, 'r'), known), "");
  EXPECT_EQ(did_you_mean("lst", known), " (did you mean 'list'?)");
  EXPECT_EQ(did_you_mean("nothing", known), "");
}

TEST(Rng, StreamsAreIndependentAndRepeat) {
  Rng a(1, "mixed"), b(1, "mixed"), c(1, "other"), d(2, "mixed");
  const u64 first = a.next();
  EXPECT_EQ(first, b.next());
  EXPECT_NE(first, c.next());
  EXPECT_NE(first, d.next());
  for (int i = 0; i < 1000; i++) EXPECT_LT(a.below(7), 7u);
}

}  // namespace
}  // namespace uscx
