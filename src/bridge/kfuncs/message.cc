// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs that carry text: exits, errors, debug dumps.
#include "bpf/memory/fault.h"
#include "bpf/object/format.h"
#include "bridge/kfuncs/context.h"

namespace uscx::bridge {
namespace {

using namespace bpf;  // The registry's words.

// Formats what *_bstr() kfuncs got. On bad arguments the scheduler has been aborted, with the kernel's message, and
// the result is empty.
std::optional<std::string> format_bstr(const Caller &c, const char *fmt, const u64 *data, u32 data_size) {
  if (data_size % 8 != 0 || data_size > kMaxFormatArgs * 8 || (data_size && !data)) {
    c.ext().error(*c.sched, fmt::format("invalid data={} and data__sz={}", static_cast<const void *>(data), data_size));
    return std::nullopt;
  }
  u64 words[kMaxFormatArgs] = {};
  if (data_size && !(Region::contains(data) && probe_copy(words, data, data_size))) {
    c.ext().error(*c.sched, fmt::format("failed to read data fields ({})", -EFAULT));
    return std::nullopt;
  }
  std::string text;
  const int error = format_words(fmt, std::span<const u64>(words, data_size / 8), program_strings(), &text);
  if (error) {
    c.ext().error(*c.sched, fmt::format("format preparation failed ({})", error));
    return std::nullopt;
  }
  if (text.size() > SCX_EXIT_MSG_LEN - 1) text.resize(SCX_EXIT_MSG_LEN - 1);
  return text;
}

}  // namespace

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_exit_bstr,
           (s64 exit_code, const char *fmt, unsigned long long *data__ign, u32 data_size)) {
  const Caller c = caller();
  if (!c.sched) return;
  if (auto text = format_bstr(c, fmt, reinterpret_cast<const u64 *>(data__ign), data_size))
    c.ext().exit(*c.sched, SCX_EXIT_UNREG_BPF, exit_code, *text);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_error_bstr,
           (const char *fmt, unsigned long long *data__ign, u32 data_size)) {
  const Caller c = caller();
  if (!c.sched) return;
  if (auto text = format_bstr(c, fmt, reinterpret_cast<const u64 *>(data__ign), data_size))
    c.ext().exit(*c.sched, SCX_EXIT_ERROR_BPF, 0, *text);
}

USCX_KFUNC(kAny, KF_IMPLICIT_ARGS, void, scx_bpf_dump_bstr,
           (const char *fmt, unsigned long long *data__ign, u32 data_size)) {
  const Caller c = caller();
  if (!c.sched) return;
  if (auto text = format_bstr(c, fmt, reinterpret_cast<const u64 *>(data__ign), data_size))
    c.ext().dump_text(*c.sched, *text);
}

}  // namespace uscx::bridge
