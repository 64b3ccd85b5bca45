// SPDX-License-Identifier: GPL-2.0-only
// Helpers that turn text into numbers: white space, a sign, a base by prefix or by the flags, then digits. The result
// is how many bytes were read.
#include <errno.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

constexpr u64 kBaseMask = 0x1f;
constexpr size_t kMaxText = 63;

struct Number {
  u64 value = 0;
  bool negative = false;
  s64 consumed = 0;  // or -errno
};

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

// The base that a prefix asks for; moves *at behind it.
u64 resolve_base(std::string_view text, u64 base, size_t *at) {
  const bool zero = *at < text.size() && text[*at] == '0';
  const bool hex = zero && *at + 2 < text.size() && (text[*at + 1] | 0x20) == 'x' && digit_of(text[*at + 2]) < 16;
  if (base == 0) base = hex ? 16 : zero ? 8 : 10;
  if (base == 16 && hex) *at += 2;
  return base;
}

Number parse(const char *buffer, u64 size, u64 flags) {
  Number number;
  u64 base = flags & kBaseMask;
  if (size == 0 || flags & ~kBaseMask || (base != 0 && base != 8 && base != 10 && base != 16)) {
    number.consumed = -EINVAL;
    return number;
  }
  const std::string_view text(buffer, std::min<size_t>(size, kMaxText));
  size_t at = 0;
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) at++;
  if (at < text.size() && text[at] == '-') {
    number.negative = true;
    at++;
  }
  base = resolve_base(text, base, &at);
  const size_t first = at;
  bool overflow = false;
  for (; at < text.size() && static_cast<u64>(digit_of(text[at])) < base; at++) {
    overflow |= __builtin_mul_overflow(number.value, base, &number.value);
    overflow |= __builtin_add_overflow(number.value, static_cast<u64>(digit_of(text[at])), &number.value);
  }
  number.consumed = overflow ? -ERANGE : at == first ? -EINVAL : static_cast<s64>(at);
  return number;
}

}  // namespace

USCX_HELPER(BPF_FUNC_strtol, 0, strtol, s64, (const char *buffer, u64 size, u64 flags, s64 *result)) {
  Guard::readable("bpf_strtol", 1, buffer, size);
  Guard::writable("bpf_strtol", 4, result, sizeof(*result));
  const Number number = parse(buffer, size, flags);
  if (number.consumed < 0) return number.consumed;
  const u64 most = number.negative ? 1ull << 63 : (1ull << 63) - 1;
  if (number.value > most) return -ERANGE;
  *result = static_cast<s64>(number.negative ? 0 - number.value : number.value);
  return number.consumed;
}

USCX_HELPER(BPF_FUNC_strtoul, 0, strtoul, s64, (const char *buffer, u64 size, u64 flags, u64 *result)) {
  Guard::readable("bpf_strtoul", 1, buffer, size);
  Guard::writable("bpf_strtoul", 4, result, sizeof(*result));
  const Number number = parse(buffer, size, flags);
  if (number.consumed < 0) return number.consumed;
  if (number.negative) return -EINVAL;
  *result = number.value;
  return number.consumed;
}

}  // namespace uscx::bpf
