// SPDX-License-Identifier: GPL-2.0-only
// What programs print to their own streams, which user space reads with BPF_PROG_STREAM_READ_BY_FD. It is traced too.
#include <errno.h>

#include <cstring>

#include "bpf/object/bpf_system.h"
#include "bpf/object/format.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {

s32 print(s32 stream_id, const char *format, const void *args, u32 size) {
  Prog *prog = running_prog();
  if (prog == nullptr || !Prog::is_stream(static_cast<u32>(stream_id))) return -ENOENT;
  if (size % sizeof(u64) != 0 || size > kMaxFormatArgs * sizeof(u64)) return -EINVAL;
  std::string text;
  const std::span<const u64> words(static_cast<const u64 *>(args), size / sizeof(u64));
  if (int err = format_words({format, std::strlen(format)}, words, program_strings(), &text); err != 0) return err;
  prog->print_to(static_cast<u32>(stream_id), text);
  BpfSystem::current()->env().trace_print(text);
  return static_cast<s32>(text.size());
}

}  // namespace

USCX_KFUNC(kGeneric, KF_IMPLICIT_ARGS, s32, bpf_stream_vprintk,
           (s32 stream_id, const char *fmt__str, const void *args, u32 len__sz)) {
  return print(stream_id, fmt__str, args, len__sz);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_stream_vprintk_impl,
           (s32 stream_id, const char *fmt__str, const void *args, u32 len__sz, void *aux__ign)) {
  (void)aux__ign;
  return print(stream_id, fmt__str, args, len__sz);
}

}  // namespace uscx::bpf
