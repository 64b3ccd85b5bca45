// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/format.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "base/rng.h"

namespace uscx::bpf {
namespace {

// Strings are host addresses here.
class HostStrings final : public StringReader {
 public:
  bool read(u64 address, std::string *out, size_t limit) const override {
    if (address < 4096) return false;
    *out = std::string(reinterpret_cast<const char *>(address)).substr(0, limit);
    return true;
  }
};

std::string formatted(const char *format, std::vector<u64> words) {
  std::string out;
  const int err = format_words(format, words, HostStrings(), &out);
  return err == 0 ? out : "error " + std::to_string(err);
}

TEST(Format, IntegersAreAsInPrintf) {
  Rng rng(1, "format-test");
  const char *flags[] = {"", "-", "0", "+", " ", "-+", "0+"};
  const char *kinds[] = {"d", "i", "u", "x", "X", "ld", "lu", "lx", "lld", "llu", "llx", "llX"};
  for (int step = 0; step < 5000; step++) {
    const std::string kind = kinds[rng.below(std::size(kinds))];
    std::string spec = "%";
    spec += flags[rng.below(std::size(flags))];
    if (rng.below(2)) spec += std::to_string(rng.between(1, 24));
    spec += kind;
    const u64 word = rng.below(4) == 0 ? rng.below(1000) : rng.next();
    char expected[128];
    if (kind.find('l') != std::string::npos)
      std::snprintf(expected, sizeof(expected), ("[" + spec + "]").c_str(), word);
    else
      std::snprintf(expected, sizeof(expected), ("[" + spec + "]").c_str(), static_cast<u32>(word));
    EXPECT_EQ(formatted(("[" + spec + "]").c_str(), {word}), expected) << spec << " of " << word;
  }
}

TEST(Format, StringsCharactersAndPointers) {
  const char *text = "abc";
  const u64 address = reinterpret_cast<u64>(text);
  EXPECT_EQ(formatted("<%s>", {address}), "<abc>");
  EXPECT_EQ(formatted("<%5s|%-5s>", {address, address}), "<  abc|abc  >");
  EXPECT_EQ(formatted("<%s>", {8}), "<>") << "a string that cannot be read is empty";
  EXPECT_EQ(formatted("%c%c", {'x', 'y'}), "xy");
  EXPECT_EQ(formatted("%p %px %pK", {0x10, 0x20, 0x30}), "0000000000000010 0000000000000020 0000000000000030");
  EXPECT_EQ(formatted("%pks", {address}), "abc");
  EXPECT_EQ(formatted("100%%", {}), "100%");
}

TEST(Format, WhatTheKernelRejects) {
  EXPECT_EQ(formatted("%d", {}), "error -22");
  EXPECT_EQ(formatted("%q", {1}), "error -22");
  EXPECT_EQ(formatted("%", {1}), "error -22");
  EXPECT_EQ(formatted("%ls", {1}), "error -22");
  EXPECT_EQ(formatted("%.3d", {1}), "error -22");
  EXPECT_EQ(formatted("\x01", {}), "error -22");
  EXPECT_EQ(formatted("\xc3\xa9", {}), "error -22");
  EXPECT_EQ(formatted("no conversions", {1, 2}), "no conversions");
}

}  // namespace
}  // namespace uscx::bpf
