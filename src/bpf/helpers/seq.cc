// SPDX-License-Identifier: GPL-2.0-only
// Helpers with which iterators write their text.
#include <errno.h>

#include <cstring>

#include "bpf/bpf_system.h"
#include "bpf/exec.h"
#include "bpf/format.h"
#include "bpf/helper.h"
#include "bpf/seq_file.h"

namespace uscx::bpf {

namespace {

SeqFile *file(const char *who, const void *m) {
  SeqFile *found = SeqFile::find(m);
  if (found == nullptr) Invocation::current()->violation("helper {}: argument 1 is not a seq_file", who);
  return found;
}

}  // namespace

USCX_HELPER(BPF_FUNC_seq_write, seq_write, s64, (const void *m, const char *data, u32 len)) {
  SeqFile *to = file("bpf_seq_write", m);
  Guard::readable("bpf_seq_write", 2, data, len);
  return to->write({data, len});
}

USCX_HELPER(BPF_FUNC_seq_printf, seq_printf, s64,
            (const void *m, const char *format, u32 format_size, const u64 *data, u32 data_len)) {
  SeqFile *to = file("bpf_seq_printf", m);
  Guard::readable("bpf_seq_printf", 2, format, format_size);
  if (data_len % sizeof(u64) != 0 || data_len > kMaxFormatArgs * sizeof(u64) || (data_len != 0 && data == nullptr) ||
      format_size == 0 || format[format_size - 1] != 0)
    return -EINVAL;
  if (data_len != 0) Guard::readable("bpf_seq_printf", 4, data, data_len);
  std::string text;
  if (int err = format_words({format, std::strlen(format)}, {data, data_len / sizeof(u64)}, program_strings(), &text);
      err != 0)
    return err;
  return to->write(text);
}

}  // namespace uscx::bpf
