// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/format.h"

#include <errno.h>
#include <fmt/format.h>

#include <cctype>

#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {

namespace {

// What the kernel copies of one string argument.
constexpr size_t kMaxStringBytes = 512;
// No sane message is wider; a width beyond it is cut so that one conversion cannot fill the memory.
constexpr u32 kMaxWidth = 4096;

class ProgramStrings final : public StringReader {
 public:
  bool read(u64 address, std::string *out, size_t limit) const override {
    out->clear();
    for (u64 at = address; out->size() < limit; at++) {
      u64 byte;
      if (!Region::contains(at) || !probe_load(at, 1, &byte)) return false;
      if (byte == 0) break;
      out->push_back(static_cast<char>(byte));
    }
    return true;
  }
};

struct Spec {
  bool zero = false;
  bool plus = false;
  bool minus = false;
  bool space = false;
  u32 width = 0;
};

bool acceptable(char c) {
  const unsigned char byte = static_cast<unsigned char>(c);
  return byte < 0x80 && (std::isprint(byte) || std::isspace(byte));
}

// Pads `digits` (with its sign or prefix in `head`) to the width.
void put_padded(const Spec &spec, const std::string &head, const std::string &body, bool zero, std::string *out) {
  const size_t length = head.size() + body.size();
  const size_t pad = spec.width > length ? spec.width - length : 0;
  if (spec.minus)
    *out += head + body + std::string(pad, ' ');
  else if (zero)
    *out += head + std::string(pad, '0') + body;
  else
    *out += std::string(pad, ' ') + head + body;
}

void put_signed(const Spec &spec, s64 value, std::string *out) {
  const u64 magnitude = value < 0 ? 0 - static_cast<u64>(value) : static_cast<u64>(value);
  const char *head = value < 0 ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  put_padded(spec, head, fmt::format("{}", magnitude), spec.zero, out);
}

class Formatter {
 public:
  Formatter(std::string_view format, std::span<const u64> words, const StringReader &strings, std::string *out)
      : format_(format), words_(words), strings_(strings), out_(out) {}

  int run() {
    while (at_ < format_.size()) {
      const char c = format_[at_++];
      if (!acceptable(c)) return -EINVAL;
      if (c != '%') {
        *out_ += c;
      } else if (peek() == '%') {
        *out_ += '%';
        at_++;
      } else if (!conversion()) {
        return -EINVAL;
      }
    }
    return 0;
  }

 private:
  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  Spec read_spec() {
    Spec spec;
    for (;; at_++) {
      switch (peek()) {
        case '0': spec.zero = true; continue;
        case '+': spec.plus = true; continue;
        case '-': spec.minus = true; continue;
        case ' ': spec.space = true; continue;
        default: break;
      }
      break;
    }
    for (; std::isdigit(static_cast<unsigned char>(peek())); at_++)
      spec.width = std::min(spec.width * 10 + static_cast<u32>(peek() - '0'), kMaxWidth);
    return spec;
  }

  bool conversion() {
    const Spec spec = read_spec();
    if (next_ >= words_.size()) return false;
    const u64 word = words_[next_++];
    int longs = 0;
    if (peek() == 'p') {
      at_++;
      return pointer(spec, word);
    }
    for (; peek() == 'l' && longs < 2; at_++) longs++;
    const char kind = peek();
    at_++;
    const u64 value = longs > 0 ? word : static_cast<u32>(word);
    switch (kind) {
      case 'd':
      case 'i': put_signed(spec, longs > 0 ? static_cast<s64>(word) : static_cast<s32>(word), out_); return true;
      case 'u': put_padded(spec, "", fmt::format("{}", value), spec.zero, out_); return true;
      case 'x': put_padded(spec, "", fmt::format("{:x}", value), spec.zero, out_); return true;
      case 'X': put_padded(spec, "", fmt::format("{:X}", value), spec.zero, out_); return true;
      case 's': return longs == 0 && string(spec, word);
      case 'c':
        if (longs == 0) put_padded(spec, "", std::string(1, static_cast<char>(word)), false, out_);
        return longs == 0;
      default: return false;
    }
  }

  bool string(const Spec &spec, u64 address) {
    std::string text;
    if (!strings_.read(address, &text, kMaxStringBytes - 1)) text.clear();
    put_padded(spec, "", text, false, out_);
    return true;
  }

  bool pointer(const Spec &spec, u64 word) {
    const char suffix = peek();
    if ((suffix == 'k' || suffix == 'u') && at_ + 1 < format_.size() && format_[at_ + 1] == 's') {
      at_ += 2;
      // User space's memory is not the program's to read here, so %pus prints nothing, as for a faulting address.
      return string(spec, suffix == 'k' ? word : 0);
    }
    const bool symbol = suffix == 's' || suffix == 'S' || suffix == 'B';
    if (suffix == 'K' || suffix == 'x' || symbol)
      at_++;
    else if (std::isalnum(static_cast<unsigned char>(suffix)))
      return false;
    put_padded(spec, "", symbol ? fmt::format("{:#x}", word) : fmt::format("{:016x}", word), false, out_);
    return true;
  }

  std::string_view format_;
  std::span<const u64> words_;
  const StringReader &strings_;
  std::string *out_;
  size_t at_ = 0;
  size_t next_ = 0;
};

}  // namespace

const StringReader &program_strings() {
  static const ProgramStrings strings;
  return strings;
}

int format_words(std::string_view format, std::span<const u64> words, const StringReader &strings, std::string *out) {
  out->clear();
  const int err = Formatter(format, words, strings, out).run();
  if (err != 0) out->clear();
  return err;
}

}  // namespace uscx::bpf
