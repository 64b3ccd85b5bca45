// SPDX-License-Identifier: GPL-2.0-only
// The format language of bpf_trace_printk(), bpf_trace_vprintk(), bpf_snprintf() and sched_ext's *_bstr kfuncs: %d %i
// %u %x %X (also with l and ll), %c, %s, %p with the kernel's suffixes K x s S B, %pks and %pus, %%; the flags 0 + -
// and space, and a width. There is no precision. Arguments are 64-bit words; a string argument is the address of its
// bytes.
//
// FIDELITY: plain-pointers. Pointers print as they are (the kernel hashes %p, and %ps prints a symbol's name).
//
// Threading: pure, except that strings are read from the running program's memory.
#ifndef USCX_BPF_OBJECT_FORMAT_H_
#define USCX_BPF_OBJECT_FORMAT_H_

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
// Reads from the reserved range; nothing else is readable.
const StringReader &program_strings();

// The most arguments that the kernel takes.
inline constexpr size_t kMaxFormatArgs = 12;

// 0 and the text in *out, or -EINVAL for what the kernel's preparation rejects: an unknown conversion, too few
// arguments, a character that is neither printable ASCII nor white space. A string that cannot be read prints as "".
int format_words(std::string_view format, std::span<const u64> words, const StringReader &strings, std::string *out);

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_FORMAT_H_
