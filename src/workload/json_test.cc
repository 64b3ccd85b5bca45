// SPDX-License-Identifier: GPL-2.0-only
#include <gtest/gtest.h>

#include "workload/json_tree.h"

namespace uscx::workload {
namespace {

using Kind = JsonNode::Kind;

TEST(Json, LenientSyntaxIsThatOfRtApp) {
  auto document = parse_lenient_json(R"(// a comment
    {'a': TRUE, /* another */ "b": [1, -2.5, nan,], "c", "a": Null, "d": 'it"s',} } rest)");
  ASSERT_TRUE(document.ok()) << document.message();
  EXPECT_EQ(document->rest_line, 2u);
  const std::vector<JsonNode> &members = document->root.children;
  ASSERT_EQ(members.size(), 5u);
  EXPECT_EQ(members[0].key, "a");
  EXPECT_TRUE(members[0].kind == Kind::kBool && members[0].integer == 1);
  ASSERT_EQ(members[1].children.size(), 3u);
  EXPECT_EQ(members[1].children[0].integer, 1);
  EXPECT_EQ(members[1].children[1].text, "-2.5");
  EXPECT_EQ(members[1].children[2].kind, Kind::kFraction);
  EXPECT_EQ(members[2].kind, Kind::kMissing);
  EXPECT_TRUE(members[3].key == "a" && members[3].kind == Kind::kNull);
  EXPECT_EQ(members[4].text, "it\"s");
}

std::string strict(std::string_view text) {
  auto root = parse_json(text);
  return root.ok() ? "" : root.message();
}
std::string lenient(std::string_view text) {
  auto document = parse_lenient_json(text);
  return document.ok() ? "" : document.message();
}

TEST(Json, WhatOnlyRtAppTakesIsRefusedElsewhere) {
  EXPECT_EQ(strict("{\"a\": 1, /* x */ \"b\": [true, null, 2]} // end"), "");
  EXPECT_EQ(strict("{\"a\": 1,}"), "line 1, column 9: unexpected '}'; expected a key");
  EXPECT_EQ(strict("[1,]"), "line 1, column 4: unexpected ']'; expected a value");
  EXPECT_EQ(strict("{'a': 1}"), "line 1, column 2: unexpected '''; expected a key in quotes, or '}'");
  EXPECT_EQ(strict("{\"a\"}"), "line 1, column 5: unexpected '}'; expected ':'");
  EXPECT_EQ(strict("[True]"), "line 1, column 2: unexpected 'T'; expected a value");
  EXPECT_EQ(strict("[nan]"), "line 1, column 2: unexpected 'n'; expected a value");
  EXPECT_EQ(strict("{} x"), "line 1, column 4: unexpected 'x'; expected the end of the file");
  EXPECT_NE(strict("{\"a\": 1, \"a\": 2}").find("key 'a' is there twice"), std::string::npos);
}

TEST(Json, BothRefuse) {
  for (std::string (*parse)(std::string_view) : {strict, lenient}) {
    EXPECT_EQ(parse(""), "line 1, column 1: unexpected end of the file; expected a value");
    EXPECT_EQ(parse("{a: 1}"), "line 1, column 2: unexpected 'a'; expected a key in quotes, or '}'");
    EXPECT_EQ(parse("[0x10]"), "line 1, column 3: unexpected 'x'; expected a decimal number");
    EXPECT_EQ(parse("[1 2]"), "line 1, column 4: unexpected '2'; expected ',' or ']'");
    EXPECT_EQ(parse("[\"a"), "line 1, column 4: a string without an end");
    EXPECT_EQ(parse("[\n/* a"), "line 2, column 1: a comment without an end");
    EXPECT_EQ(parse("[\"\\q\"]").substr(0, 36), "line 1, column 4: unexpected 'q'; ex");
    EXPECT_EQ(parse("[1e]"), "line 1, column 4: unexpected ']'; expected an exponent");
    EXPECT_EQ(parse("[-]"), "line 1, column 3: unexpected ']'; expected a digit");
  }
}

TEST(Json, StringsHaveEscapes) {
  auto root = parse_json(R"(["a\n\u0041\u00e9\u20ac\ud83d\ude00\ud800"])");
  ASSERT_TRUE(root.ok()) << root.message();
  EXPECT_EQ(root->children[0].text, "a\nA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd");
}

TEST(Json, NumbersTooLargeAreNoIntegers) {
  auto root = parse_json("[9223372036854775807, -9223372036854775808, 9223372036854775808, 1e3]");
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->children[0].integer, INT64_MAX);
  EXPECT_EQ(root->children[1].integer, INT64_MIN);
  EXPECT_EQ(root->children[2].kind, Kind::kFraction);
  EXPECT_EQ(root->children[3].kind, Kind::kFraction);
}

TEST(Json, DepthAndSizeAreBounded) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(strict(nested(kMaxJsonDepth + 1)), "nested more than 16 deep");
  EXPECT_EQ(strict(nested(kMaxJsonDepth)), "");
  EXPECT_EQ(lenient(std::string(kMaxJsonBytes + 1, ' ')), "larger than 16 MiB");
}

}  // namespace
}  // namespace uscx::workload
