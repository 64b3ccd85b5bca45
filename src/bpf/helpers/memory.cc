// SPDX-License-Identifier: GPL-2.0-only
// Helpers that read memory which may not be there. Only the reserved range is: any other address is a fault.
#include <errno.h>

#include <cstring>

#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

s64 read_memory(const char *who, void *to, u32 size, const void *from) {
  Guard::writable(who, 1, to, size);
  if (size == 0) return 0;
  const char *last = static_cast<const char *>(from) + size - 1;
  if (Region::contains(from) && Region::contains(last) && probe_copy(to, from, size)) return 0;
  std::memset(to, 0, size);
  return -EFAULT;
}

// The length with its NUL.
s64 read_string(const char *who, char *to, u32 size, const void *from) {
  Guard::writable(who, 1, to, size);
  if (size == 0) return 0;
  const u64 address = reinterpret_cast<u64>(from);
  for (u32 i = 0; i < size; i++) {
    u64 byte;
    if (!Region::contains(address + i) || !probe_load(address + i, 1, &byte)) {
      std::memset(to, 0, size);
      return -EFAULT;
    }
    to[i] = static_cast<char>(byte);
    if (byte == 0) return i + 1;
  }
  to[size - 1] = 0;
  return size;
}

}  // namespace

USCX_HELPER(BPF_FUNC_probe_read_kernel, 0, probe_read_kernel, s64, (void *dst, u32 size, const void *src)) {
  return read_memory("bpf_probe_read_kernel", dst, size, src);
}
USCX_HELPER(BPF_FUNC_probe_read, 0, probe_read, s64, (void *dst, u32 size, const void *src)) {
  return read_memory("bpf_probe_read", dst, size, src);
}
USCX_HELPER(BPF_FUNC_probe_read_kernel_str, 0, probe_read_kernel_str, s64, (char *dst, u32 size, const void *src)) {
  return read_string("bpf_probe_read_kernel_str", dst, size, src);
}
USCX_HELPER(BPF_FUNC_probe_read_str, 0, probe_read_str, s64, (char *dst, u32 size, const void *src)) {
  return read_string("bpf_probe_read_str", dst, size, src);
}

USCX_HELPER(BPF_FUNC_strncmp, 0, strncmp, s64, (const char *s1, u32 s1_size, const char *s2)) {
  Guard::readable("bpf_strncmp", 1, s1, s1_size);
  // The second string is a constant of the program that ends within its map; the first bounds the walk.
  for (u32 i = 0; i < s1_size; i++) {
    u64 other;
    if (!Region::contains(s2 + i) || !probe_load(reinterpret_cast<u64>(s2) + i, 1, &other))
      Guard::readable("bpf_strncmp", 3, s2 + i, 1);
    const s32 difference = static_cast<s32>(static_cast<u8>(s1[i])) - static_cast<s32>(static_cast<u8>(other));
    if (difference != 0) return difference < 0 ? -1 : 1;
    if (s1[i] == 0) break;
  }
  return 0;
}

}  // namespace uscx::bpf
