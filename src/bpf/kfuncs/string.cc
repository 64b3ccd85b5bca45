// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs on strings. They may be anywhere that a program can read, and end before kMaxBytes; results that are places
// are counted from the string's start.
#include <errno.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

namespace {

constexpr size_t kMaxBytes = 65536;

// The bytes before the NUL, at most `limit`; -EFAULT or -E2BIG.
s32 read(const void *at, std::string *out, size_t limit = kMaxBytes) {
  const u64 address = reinterpret_cast<u64>(at);
  for (size_t i = 0; i < std::min(limit, kMaxBytes); i++) {
    u64 byte;
    if (!Region::contains(address + i) || !probe_load(address + i, 1, &byte)) return -EFAULT;
    if (byte == 0) return 0;
    *out += static_cast<char>(byte);
  }
  return limit < kMaxBytes ? 0 : -E2BIG;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

s32 found(size_t at) { return at == std::string::npos ? -ENOENT : static_cast<s32>(at); }

s32 compare(const void *s1, const void *s2, bool fold, size_t limit = kMaxBytes) {
  std::string a, b;
  if (s32 err = read(s1, &a, limit); err != 0) return err;
  if (s32 err = read(s2, &b, limit); err != 0) return err;
  if (fold) a = lower(a), b = lower(b);
  const int order = a.compare(b);
  return order < 0 ? -1 : order > 0;
}

s32 find(const void *s1, const void *s2, bool fold, size_t limit = kMaxBytes) {
  std::string text, part;
  if (s32 err = read(s1, &text, limit); err != 0) return err;
  if (s32 err = read(s2, &part); err != 0) return err;
  return fold ? found(lower(text).find(lower(part))) : found(text.find(part));
}

s32 find_char(const void *s, char c, size_t limit) {
  std::string text;
  if (s32 err = read(s, &text, limit); err != 0) return err;
  if (c == 0 && text.size() < limit) return static_cast<s32>(text.size());
  return found(text.find(c));
}

s32 span(const void *s, const void *set, bool accept) {
  std::string text, chars;
  if (s32 err = read(s, &text); err != 0) return err;
  if (s32 err = read(set, &chars); err != 0) return err;
  const size_t end = accept ? text.find_first_not_of(chars) : text.find_first_of(chars);
  return static_cast<s32>(end == std::string::npos ? text.size() : end);
}

}  // namespace

USCX_KFUNC(kGeneric, 0, s32, bpf_strcmp, (const char *s1__ign, const char *s2__ign)) {
  return compare(s1__ign, s2__ign, false);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strcasecmp, (const char *s1__ign, const char *s2__ign)) {
  return compare(s1__ign, s2__ign, true);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strncasecmp, (const char *s1__ign, const char *s2__ign, size_t len)) {
  return compare(s1__ign, s2__ign, true, len);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strnchr, (const char *s__ign, size_t count, char c)) {
  return find_char(s__ign, c, count);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strchr, (const char *s__ign, char c)) { return find_char(s__ign, c, kMaxBytes); }
USCX_KFUNC(kGeneric, 0, s32, bpf_strchrnul, (const char *s__ign, char c)) {
  std::string text;
  if (s32 err = read(s__ign, &text); err != 0) return err;
  const size_t at = text.find(c);
  return static_cast<s32>(at == std::string::npos ? text.size() : at);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strrchr, (const char *s__ign, s32 c)) {
  std::string text;
  if (s32 err = read(s__ign, &text); err != 0) return err;
  return static_cast<char>(c) == 0 ? static_cast<s32>(text.size()) : found(text.rfind(static_cast<char>(c)));
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strnlen, (const char *s__ign, size_t count)) {
  std::string text;
  const s32 err = read(s__ign, &text, count);
  return err != 0 ? err : static_cast<s32>(text.size());
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strlen, (const char *s__ign)) {
  std::string text;
  const s32 err = read(s__ign, &text);
  return err != 0 ? err : static_cast<s32>(text.size());
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strspn, (const char *s__ign, const char *accept__ign)) {
  return span(s__ign, accept__ign, true);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strcspn, (const char *s__ign, const char *reject__ign)) {
  return span(s__ign, reject__ign, false);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strstr, (const char *s1__ign, const char *s2__ign)) {
  return find(s1__ign, s2__ign, false);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strcasestr, (const char *s1__ign, const char *s2__ign)) {
  return find(s1__ign, s2__ign, true);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strnstr, (const char *s1__ign, const char *s2__ign, size_t len)) {
  return find(s1__ign, s2__ign, false, len);
}
USCX_KFUNC(kGeneric, 0, s32, bpf_strncasestr, (const char *s1__ign, const char *s2__ign, size_t len)) {
  return find(s1__ign, s2__ign, true, len);
}

}  // namespace uscx::bpf
