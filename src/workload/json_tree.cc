// SPDX-License-Identifier: GPL-2.0-only
#include "workload/json_tree.h"

#include <algorithm>

namespace uscx::workload {
namespace {

using Kind = JsonNode::Kind;

bool is_plain_key(const std::string &key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

}  // namespace

const JsonNode *JsonNode::find(std::string_view member) const {
  for (const JsonNode &child : children)
    if (child.key == member) return &child;
  return nullptr;
}

const char *kind_text(JsonNode::Kind kind) {
  switch (kind) {
    case Kind::kMissing: return "without a value";
    case Kind::kNull: return "null";
    case Kind::kBool: return "true or false";
    case Kind::kInteger: return "a whole number";
    case Kind::kFraction: return "a number with a fraction, or too large";
    case Kind::kString: return "a string";
    case Kind::kArray: return "an array";
    case Kind::kObject: return "an object";
  }
  return "?";
}

std::string JsonPath::text() const {
  if (!parent) return "";
  std::string out = parent->text();
  if (!key) return out + fmt::format("[{}]", index);
  if (!is_plain_key(*key)) return out + fmt::format("[\"{}\"]", printable(*key, 40));
  return (out.empty() ? out : out + ".") + printable(*key, 40);
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out += c >= ' ' && c < 0x7f ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

std::string quoted(std::string_view text) { return "'" + printable(text, 40) + "'"; }

}  // namespace uscx::workload
