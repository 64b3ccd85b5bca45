// SPDX-License-Identifier: GPL-2.0-only
#include "workload/json_tree.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace uscx::workload {
namespace {

using Kind = JsonNode::Kind;
using Json = nlohmann::json;

// Positions count from 1; `offset` characters have been read, the last of them is the one that is wrong.
std::string line_and_column(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, std::min(text.size(), offset > 0 ? offset - 1 : 0));
  const size_t line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n');
  const size_t column = 1 + before.size() - (start == std::string_view::npos ? 0 : start + 1);
  return fmt::format("line {}, column {}", line, column);
}

// What nlohmann's message says after its prefix and position: "syntax error while parsing ...".
std::string_view reason_of(std::string_view what) {
  const size_t colon = what.find(": ", what.find("column"));
  if (colon != std::string_view::npos) return what.substr(colon + 2);
  const size_t bracket = what.find("] ");
  return bracket == std::string_view::npos ? what : what.substr(bracket + 2);
}

// One line, whatever bytes the file has.
std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out += c >= ' ' && c < 0x7f ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

class TreeBuilder {
 public:
  explicit TreeBuilder(std::string_view text) : text_(text) {}
  Status error = Status::ok_status();
  JsonNode root;

  bool null() { return add(Kind::kNull) != nullptr; }
  bool boolean(bool value) { return add_integer(Kind::kBool, value); }
  bool number_integer(s64 value) { return add_integer(Kind::kInteger, value); }
  bool number_unsigned(u64 value) {
    if (value <= static_cast<u64>(INT64_MAX)) return add_integer(Kind::kInteger, static_cast<s64>(value));
    return number_float(0, std::to_string(value));
  }
  bool number_float(double, const std::string &text) {
    JsonNode *node = add(Kind::kFraction);
    if (node) node->text = text;
    return node != nullptr;
  }
  bool string(std::string &value) {
    JsonNode *node = add(Kind::kString);
    if (node) node->text = std::move(value);
    return node != nullptr;
  }
  bool binary(Json::binary_t &) { return fail("binary values are not JSON"); }
  bool start_object(size_t) {
    if (!open(Kind::kObject)) return false;
    keys_.emplace_back();
    return true;
  }
  bool key(std::string &name) {
    if (!keys_.back().insert(name).second)
      return fail(fmt::format("{}: the key is there twice; {}", path_to(name), kHint));
    key_ = std::move(name);
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) { return open(Kind::kArray); }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool parse_error(size_t offset, const std::string &, const nlohmann::detail::exception &exception) {
    return fail(fmt::format("{}: {}", line_and_column(text_, offset), printable(reason_of(exception.what()), 160)));
  }

 private:
  static constexpr const char *kHint = "number repeated events (run0, run1, ...)";

  bool fail(const std::string &message) {
    error = Status::error("{}", message);
    return false;
  }
  JsonNode *add(Kind kind) {
    if (++nr_nodes_ > kMaxJsonNodes) {
      fail(fmt::format("more than {} values", kMaxJsonNodes));
      return nullptr;
    }
    if (open_.empty()) {
      root.kind = kind;
      return &root;
    }
    JsonNode &parent = *open_.back();
    JsonNode &node = parent.children.emplace_back();
    node.kind = kind;
    if (parent.kind == Kind::kObject) node.key = std::move(key_);
    return &node;
  }
  bool add_integer(Kind kind, s64 value) {
    JsonNode *node = add(kind);
    if (node) node->integer = value;
    return node != nullptr;
  }
  // A node's children are complete before its own siblings come, so these pointers hold while the node is open.
  bool open(Kind kind) {
    if (open_.size() >= kMaxJsonDepth) return fail(fmt::format("nested more than {} deep", kMaxJsonDepth));
    JsonNode *node = add(kind);
    if (node) open_.push_back(node);
    return node != nullptr;
  }
  std::string path_to(const std::string &name) const {
    std::vector<JsonPath> path(1);
    path.reserve(open_.size() + 1);
    for (size_t i = 1; i < open_.size(); i++) {
      const JsonNode &parent = *open_[i - 1];
      path.push_back(parent.kind == Kind::kObject ? path.back().member(*open_[i])
                                                  : path.back().item(parent.children.size() - 1));
    }
    return JsonPath{&path.back(), &name, 0}.text();
  }

  std::string_view text_;
  std::vector<JsonNode *> open_;
  std::vector<std::set<std::string>> keys_;  // Of the objects that are open.
  std::string key_;
  size_t nr_nodes_ = 0;
};

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

std::string quoted(std::string_view text) { return "'" + printable(text, 40) + "'"; }

Result<JsonNode> parse_json(std::string_view text) {
  if (text.size() > kMaxJsonBytes) return Status::error("larger than {} MiB", kMaxJsonBytes >> 20);
  TreeBuilder builder(text);
  const bool done = Json::sax_parse(text.begin(), text.end(), &builder, Json::input_format_t::json, /*strict=*/true,
                                    /*ignore_comments=*/true);
  if (!done) {
    if (builder.error.ok()) return Status::error("not JSON");
    return builder.error;
  }
  return std::move(builder.root);
}

}  // namespace uscx::workload
