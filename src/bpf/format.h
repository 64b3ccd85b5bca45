// SPDX-License-Identifier: GPL-2.0-only
// The format language of bpf_trace_printk(), bpf_snprintf(), bpf_trace_vprintk() and sched_ext's *_bstr kfuncs: printf's
// %d %i %u %x %X %o (with l, ll, h and hh), %c, %s, %p and the kernel's %pK, %px, %ps, %pS, %pB, %pks and %pus, with the flags -, +, space, #, 0, a
// width and a precision. Arguments are 64-bit words; a string argument is the address of its bytes.
//
// Threading: pure, except that strings are read from the running program's memory.
#ifndef USCX_BPF_FORMAT_H_
#define USCX_BPF_FORMAT_H_

#include <span>
#include <string>
#include <string_view>

#include "base/types.h"

namespace uscx::bpf {

// Where strings come from. Returns false if the address cannot be read.
class StringReader {
 public:
  virtual ~StringReader() = default;
  virtual bool read(u64 address, std::string *out, size_t limit) const = 0;
};
// Reads from the reserved range of the current BpfSystem; nothing else is readable.
const StringReader &program_strings();

// The most arguments that the kernel takes.
inline constexpr size_t kMaxFormatArgs = 12;

// 0 and the text in *out, or -EINVAL for a format that the kernel's preparation rejects (an unknown conversion, too few
// arguments, a character that is neither printable ASCII nor white space). `words` beyond what the format uses are an error only where the
// kernel says so, which is the caller's to check through *used.
int format_words(std::string_view format, std::span<const u64> words, const StringReader &strings, std::string *out,
                 size_t *used = nullptr);

}  // namespace uscx::bpf

#endif  // USCX_BPF_FORMAT_H_
