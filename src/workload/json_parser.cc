// SPDX-License-Identifier: GPL-2.0-only
// Text to a JSON tree, by recursive descent. Each function reads one thing at the cursor and fails at the character
// that is wrong.
#include <algorithm>
#include <charconv>
#include <set>

#include "workload/json_tree.h"

namespace uscx::workload {
namespace {

using Kind = JsonNode::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool same_word(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (is_letter(a) ? static_cast<char>(a | 0x20) : a) == b; });
}

void append_utf8(std::string &out, u32 code) {
  const auto tail = [&](u32 shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    tail(12), tail(6), tail(0);
  }
}

class Parser {
 public:
  Parser(std::string_view text, bool lenient) : text_(text), lenient_(lenient) {}

  Status parse(JsonDocument &document) {
    if (Status status = skip_blank(); !status.ok()) return status;
    if (Status status = value(document.root, 0); !status.ok()) return status;
    // What does not even read as blank is text behind the end, too.
    const size_t end = at_;
    const Status blank = skip_blank();
    if (!lenient_ && (!blank.ok() || !done())) return blank.ok() ? unexpected("the end of the file") : blank;
    if (!blank.ok()) at_ = end;
    if (!done()) document.rest_line = line_of(at_);
    return Status::ok_status();
  }

 private:
  bool done() const { return at_ == text_.size(); }
  bool is_quote(char c) const { return c == '"' || (lenient_ && c == '\''); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (done() || text_[at_] != c) return false;
    at_++;
    return true;
  }
  size_t line_of(size_t at) const {
    return 1 + static_cast<size_t>(std::count(text_.begin(), text_.begin() + static_cast<s64>(at), '\n'));
  }
  // "line 2, column 7: unexpected '{'; expected ':'"
  Status unexpected(const char *expected) const {
    const std::string what = done() ? "end of the file" : "'" + printable(text_.substr(at_, 1), 1) + "'";
    return wrong(fmt::format("unexpected {}; expected {}", what, expected));
  }
  Status wrong(const std::string &what) const {
    const std::string_view before = text_.substr(0, at_);
    const size_t start = before.rfind('\n');
    const size_t column = 1 + before.size() - (start == std::string_view::npos ? 0 : start + 1);
    return Status::error("line {}, column {}: {}", line_of(at_), column, what);
  }

  Status skip_blank() {
    for (;;) {
      while (!done() && is_blank(text_[at_])) at_++;
      if (peek() != '/') return Status::ok_status();
      const char kind = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
      if (kind != '/' && kind != '*') return unexpected("a value or a comment");
      const size_t end = text_.find(kind == '/' ? "\n" : "*/", at_ + 2);
      if (end == std::string_view::npos && kind == '*') return wrong("a comment without an end");
      at_ = end == std::string_view::npos ? text_.size() : end + (kind == '*' ? 2 : 1);
    }
  }

  Status value(JsonNode &node, size_t depth) {
    if (++nr_nodes_ > kMaxJsonNodes) return Status::error("more than {} values", kMaxJsonNodes);
    const char c = peek();
    if (c == '{' || c == '[') {
      if (depth >= kMaxJsonDepth) return Status::error("nested more than {} deep", kMaxJsonDepth);
      return c == '{' ? object(node, depth + 1) : array(node, depth + 1);
    }
    if (is_quote(c)) {
      node.kind = Kind::kString;
      return string(node.text);
    }
    if (is_digit(c) || c == '-') return number(node);
    if (is_letter(c)) return literal(node);
    return unexpected("a value");
  }

  Status array(JsonNode &node, size_t depth) {
    node.kind = Kind::kArray;
    at_++;
    for (;;) {
      if (Status status = skip_blank(); !status.ok()) return status;
      if (take(']')) return Status::ok_status();
      if (Status status = value(node.children.emplace_back(), depth); !status.ok()) return status;
      if (Status status = separator(']'); !status.ok()) return status;
    }
  }

  // Behind a value.
  Status separator(char end) {
    if (Status status = skip_blank(); !status.ok()) return status;
    if (take(',')) {
      if (Status status = skip_blank(); !status.ok()) return status;
      return lenient_ || peek() != end ? Status::ok_status() : unexpected(end == ']' ? "a value" : "a key");
    }
    if (peek() == end) return Status::ok_status();
    return unexpected(end == ']' ? "',' or ']'" : "',' or '}'");
  }

  Status object(JsonNode &node, size_t depth) {
    std::set<std::string> keys;
    node.kind = Kind::kObject;
    at_++;
    for (;;) {
      if (Status status = skip_blank(); !status.ok()) return status;
      if (take('}')) return Status::ok_status();
      if (!is_quote(peek())) return unexpected("a key in quotes, or '}'");
      JsonNode &child = node.children.emplace_back();
      if (Status status = member(child, depth); !status.ok()) return status;
      if (!lenient_ && !keys.insert(child.key).second) return wrong("key " + quoted(child.key) + " is there twice");
      if (Status status = separator('}'); !status.ok()) return status;
    }
  }

  Status member(JsonNode &node, size_t depth) {
    if (Status status = string(node.key); !status.ok()) return status;
    if (Status status = skip_blank(); !status.ok()) return status;
    if (lenient_ && (peek() == ',' || peek() == '}')) {
      node.kind = Kind::kMissing;
      return Status::ok_status();
    }
    if (!take(':')) return unexpected("':'");
    if (Status status = skip_blank(); !status.ok()) return status;
    return value(node, depth);
  }

  Status string(std::string &out) {
    const char quote = text_[at_++];
    while (!done()) {
      const char c = text_[at_++];
      if (c == quote) return Status::ok_status();
      if (c != '\\') {
        out += c;
      } else if (Status status = escape(out); !status.ok()) {
        return status;
      }
    }
    return wrong("a string without an end");
  }

  Status escape(std::string &out) {
    constexpr std::string_view kNames = "\"'\\/bfnrt", kValues = "\"'\\/\b\f\n\r\t";
    const size_t which = done() ? std::string_view::npos : kNames.find(text_[at_]);
    if (which != std::string_view::npos) {
      out += kValues[which];
      at_++;
      return Status::ok_status();
    }
    if (!take('u')) return unexpected("an escape: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0000");
    u32 code = 0;
    if (Status status = hex4(code); !status.ok()) return status;
    // The first half of a pair; a half alone stands for what cannot be read.
    constexpr u32 kHigh = 0xd800, kLow = 0xdc00, kEnd = 0xe000, kUnreadable = 0xfffd;
    if (code >= kHigh && code < kLow && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      u32 low = 0;
      if (Status status = hex4(low); !status.ok()) return status;
      code = low >= kLow && low < kEnd ? 0x10000 + ((code - kHigh) << 10) + (low - kLow) : kUnreadable;
    }
    append_utf8(out, code >= kHigh && code < kEnd ? kUnreadable : code);
    return Status::ok_status();
  }

  Status hex4(u32 &code) {
    const char *begin = text_.data() + at_;
    const char *end = begin + std::min<size_t>(4, text_.size() - at_);
    const auto [stop, error] = std::from_chars(begin, end, code, 16);
    if (error != std::errc() || stop != begin + 4) return unexpected("four hexadecimal digits");
    at_ += 4;
    return Status::ok_status();
  }

  Status number(JsonNode &node) {
    const size_t start = at_;
    take('-');
    if (is_letter(peek())) return literal(node);  // -Infinity
    if (!is_digit(peek())) return unexpected("a digit");
    bool whole = true;
    while (is_digit(peek())) at_++;
    if (take('.')) {
      whole = false;
      while (is_digit(peek())) at_++;
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      at_++;
      if (peek() == '+' || peek() == '-') at_++;
      if (!is_digit(peek())) return unexpected("an exponent");
      while (is_digit(peek())) at_++;
    }
    if (is_letter(peek())) return unexpected("a decimal number");
    node.text = text_.substr(start, at_ - start);
    const char *end = text_.data() + at_;
    const auto [stop, error] = std::from_chars(text_.data() + start, end, node.integer);
    node.kind = whole && error == std::errc() && stop == end ? Kind::kInteger : Kind::kFraction;
    return Status::ok_status();
  }

  Status literal(JsonNode &node) {
    const size_t start = at_;
    while (is_letter(peek())) at_++;
    const std::string_view word = text_.substr(start, at_ - start);
    if (!lenient_ && word != "true" && word != "false" && word != "null") {
      at_ = start;
      return unexpected("a value");
    }
    if (same_word(word, "true") || same_word(word, "false")) {
      node.kind = Kind::kBool;
      node.integer = same_word(word, "true");
    } else if (same_word(word, "nan") || same_word(word, "infinity")) {
      node.kind = Kind::kFraction;
      node.text = word;
    } else if (same_word(word, "null")) {
      node.kind = Kind::kNull;
    } else {
      at_ = start;
      return unexpected("a value");
    }
    return Status::ok_status();
  }

  const std::string_view text_;
  const bool lenient_;
  size_t at_ = 0;
  size_t nr_nodes_ = 0;
};

Result<JsonDocument> parse(std::string_view text, bool lenient) {
  if (text.size() > kMaxJsonBytes) return Status::error("larger than {} MiB", kMaxJsonBytes >> 20);
  JsonDocument document;
  if (Status status = Parser(text, lenient).parse(document); !status.ok()) return status;
  return document;
}

}  // namespace

Result<JsonNode> parse_json(std::string_view text) {
  Result<JsonDocument> document = parse(text, false);
  if (!document.ok()) return document.status();
  return std::move(document->root);
}

Result<JsonDocument> parse_lenient_json(std::string_view text) { return parse(text, true); }

}  // namespace uscx::workload
