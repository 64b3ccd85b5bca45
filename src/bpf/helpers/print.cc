// SPDX-License-Identifier: GPL-2.0-only
// Helpers that format text. A violation drops frames without destructors, so checks come before any string.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "bpf/object/bpf_system.h"
#include "bpf/object/format.h"
#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

// The kernel's trace buffer for one message.
constexpr size_t kMaxTraceBytes = 1024;

s64 trace(const char *format, u32 format_size, std::span<const u64> words) {
  if (format_size == 0 || format[format_size - 1] != 0) return -EINVAL;
  std::string text;
  if (int err = format_words({format, std::strlen(format)}, words, program_strings(), &text); err != 0) return err;
  text.resize(std::min(text.size(), kMaxTraceBytes - 1));
  BpfSystem::current()->env().trace_print(text);
  return static_cast<s64>(text.size());
}

bool words_ok(const void *data, u32 size) {
  return size % sizeof(u64) == 0 && size <= kMaxFormatArgs * sizeof(u64) && (size == 0 || data != nullptr);
}

}  // namespace

USCX_HELPER(BPF_FUNC_trace_printk, 0, trace_printk, s64,
            (const char *format, u32 format_size, u64 a1, u64 a2, u64 a3)) {
  Guard::readable("bpf_trace_printk", 1, format, format_size);
  const u64 words[] = {a1, a2, a3};
  return trace(format, format_size, words);
}

USCX_HELPER(BPF_FUNC_trace_vprintk, 0, trace_vprintk, s64,
            (const char *format, u32 format_size, const u64 *data, u32 data_size)) {
  Guard::readable("bpf_trace_vprintk", 1, format, format_size);
  if (!words_ok(data, data_size)) return -EINVAL;
  if (data_size != 0) Guard::readable("bpf_trace_vprintk", 3, data, data_size);
  return trace(format, format_size, {data, data_size / sizeof(u64)});
}

USCX_HELPER(BPF_FUNC_snprintf, 0, snprintf, s64,
            (char *out, u32 out_size, const char *format, const u64 *data, u32 data_size)) {
  if (!words_ok(data, data_size)) return -EINVAL;
  if (out_size != 0) Guard::writable("bpf_snprintf", 1, out, out_size);
  if (data_size != 0) Guard::readable("bpf_snprintf", 4, data, data_size);
  constexpr size_t kMaxFormatBytes = 4096;
  std::string format_text;
  std::string text;
  if (!program_strings().read(reinterpret_cast<u64>(format), &format_text, kMaxFormatBytes)) return -EINVAL;
  if (int err = format_words(format_text, {data, data_size / sizeof(u64)}, program_strings(), &text); err != 0)
    return err;
  if (out_size != 0) {
    const size_t length = std::min<size_t>(text.size(), out_size - 1);
    std::memcpy(out, text.data(), length);
    out[length] = 0;
  }
  return static_cast<s64>(text.size() + 1);
}

}  // namespace uscx::bpf
