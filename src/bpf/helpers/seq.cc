// SPDX-License-Identifier: GPL-2.0-only
// Helpers with which iterators write their text.
#include <errno.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include <bpf/btf.h>

#include "bpf/exec/exec.h"
#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/format.h"
#include "bpf/object/helper.h"
#include "bpf/object/seq_file.h"

namespace uscx::bpf {

namespace {

SeqFile *file(const char *who, const void *m) {
  SeqFile *found = SeqFile::find(m);
  if (found == nullptr) Invocation::current()->violation("helper {}: argument 1 is not a seq_file", who);
  return found;
}

}  // namespace

USCX_HELPER(BPF_FUNC_seq_write, 0, seq_write, s64, (const void *m, const char *data, u32 len)) {
  SeqFile *to = file("bpf_seq_write", m);
  Guard::readable("bpf_seq_write", 2, data, len);
  return to->write({data, len});
}

USCX_HELPER(BPF_FUNC_seq_printf, 0, seq_printf, s64,
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

namespace {

// The text of an object of a kernel type; libbpf knows how the kernel writes them.
int describe(const char *who, int arg, const btf_ptr *described, u32 described_size, u64 flags, std::string *text) {
  if (described_size != sizeof(btf_ptr) || flags & ~u64{BTF_F_COMPACT | BTF_F_NONAME | BTF_F_PTR_RAW | BTF_F_ZERO})
    return -EINVAL;
  Guard::readable(who, arg, described, described_size);
  const struct btf *btf = BpfSystem::current()->kernel_btf().parsed();
  if (described->flags != 0 || described->type_id == 0 || described->type_id >= btf__type_cnt(btf)) return -EINVAL;
  const s64 size = btf__resolve_size(btf, described->type_id);
  if (size <= 0) return -EINVAL;
  const char *from = static_cast<const char *>(described->ptr);
  std::vector<char> copy(static_cast<size_t>(size));
  if (!Region::contains(from) || !Region::contains(from + size - 1) || !probe_copy(copy.data(), from, copy.size()))
    return -EFAULT;
  const auto append = [](void *to, const char *format, va_list list) {
    char piece[256];
    va_list again;
    va_copy(again, list);
    const int length = std::vsnprintf(piece, sizeof(piece), format, list);
    std::string whole(static_cast<size_t>(std::max(length, 0)) + 1, '\0');
    std::vsnprintf(whole.data(), whole.size(), format, again);
    va_end(again);
    whole.pop_back();
    *static_cast<std::string *>(to) += whole;
  };
  btf_dump *dump = btf_dump__new(btf, append, text, nullptr);
  if (dump == nullptr) return -ENOMEM;
  LIBBPF_OPTS(btf_dump_type_data_opts, opts, .compact = (flags & BTF_F_COMPACT) != 0,
              .skip_names = (flags & BTF_F_NONAME) != 0, .emit_zeroes = (flags & BTF_F_ZERO) != 0);
  const int result = btf_dump__dump_type_data(dump, described->type_id, copy.data(), copy.size(), &opts);
  btf_dump__free(dump);
  return std::min(result, 0);
}

}  // namespace

USCX_HELPER(BPF_FUNC_snprintf_btf, 0, snprintf_btf, s64,
            (char *str, u32 str_size, const btf_ptr *ptr, u32 btf_ptr_size, u64 flags)) {
  Guard::writable("bpf_snprintf_btf", 1, str, str_size);
  std::string text;
  if (int err = describe("bpf_snprintf_btf", 3, ptr, btf_ptr_size, flags, &text); err != 0) return err;
  if (str_size != 0) {
    const size_t bytes = std::min<size_t>(text.size(), str_size - 1);
    std::memcpy(str, text.data(), bytes);
    str[bytes] = 0;
  }
  return static_cast<s64>(text.size());
}

USCX_HELPER(BPF_FUNC_seq_printf_btf, 0, seq_printf_btf, s64,
            (const void *m, const btf_ptr *ptr, u32 ptr_size, u64 flags)) {
  SeqFile *to = file("bpf_seq_printf_btf", m);
  std::string text;
  if (int err = describe("bpf_seq_printf_btf", 2, ptr, ptr_size, flags, &text); err != 0) return err;
  return to->write(text);
}

}  // namespace uscx::bpf
