// SPDX-License-Identifier: GPL-2.0-only
// JSON as a tree that keeps the order of members. Two syntaxes: JSON with comments (/* */ and //), in which no key is
// there twice; and what rt-app's parser takes, and its files need: besides, a comma before } or ], strings in single
// quotes, literals in any case, NaN, keys that are there twice (in a task script each is an event), a key without a
// value, text behind the end.
//
// Bounded, because scripts come from anywhere: bytes, nodes and depth have limits.
#ifndef USCX_WORKLOAD_JSON_TREE_H_
#define USCX_WORKLOAD_JSON_TREE_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::workload {

inline constexpr size_t kMaxJsonBytes = 16 << 20;
inline constexpr size_t kMaxJsonNodes = 2000000;
inline constexpr size_t kMaxJsonDepth = 16;

struct JsonNode {
  enum class Kind : u8 { kMissing, kNull, kBool, kInteger, kFraction, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  s64 integer = 0;                 // Of kInteger; 0 or 1 of kBool.
  std::string key;                 // As a member of an object.
  std::string text;                // Of kString; a number's own text of kFraction.
  std::vector<JsonNode> children;  // Items, or members in the order of the file.

  const JsonNode *find(std::string_view member) const;
};
const char *kind_text(JsonNode::Kind kind);  // "a string"

// A place in the tree, as a chain of callers' frames; text is made for messages only.
struct JsonPath {
  const JsonPath *parent = nullptr;
  const std::string *key = nullptr;  // A member, or
  size_t index = 0;                  // an item.
  std::string text() const;          // tasks.hog.phases["odd name"].wakes[3]
  JsonPath member(const JsonNode &node) const { return {this, &node.key, 0}; }
  JsonPath item(size_t i) const { return {this, nullptr, i}; }
};

struct JsonDocument {
  JsonNode root;
  size_t rest_line = 0;  // Where text begins that stands behind the root value; 0: there is none.
};

// The message has no file name; it has a line and column, or a path.
Result<JsonNode> parse_json(std::string_view text);
Result<JsonDocument> parse_lenient_json(std::string_view text);

// One line of printable characters, not too long.
std::string printable(std::string_view text, size_t limit);
// Text from a file as part of a message.
std::string quoted(std::string_view text);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_JSON_TREE_H_
