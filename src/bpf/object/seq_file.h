// SPDX-License-Identifier: GPL-2.0-only
// SeqFile: the text that an iterator's programs write for user space (bpf_seq_write(), bpf_seq_printf()). Programs know
// it as the address of a struct seq_file, which lies where they cannot write. The code that runs an iterator makes a
// SeqFile, puts address() into the context, and takes the bytes afterwards.
//
// Threading: one CPU at a time, as an iterator's read() runs.
#ifndef USCX_BPF_OBJECT_SEQ_FILE_H_
#define USCX_BPF_OBJECT_SEQ_FILE_H_

#include <string>
#include <string_view>

#include "base/types.h"

namespace uscx::bpf {

class SeqFile {
 public:
  // `limit` is the room that the kernel's buffer has: what does not fit is -EOVERFLOW, and nothing of it is kept.
  explicit SeqFile(size_t limit = 32768);
  ~SeqFile();
  SeqFile(const SeqFile &) = delete;
  SeqFile &operator=(const SeqFile &) = delete;

  void *address() const { return handle_; }
  // The file behind an address that a program holds; null if it is none.
  static SeqFile *find(const void *address);

  int write(std::string_view bytes);
  bool overflowed() const { return overflowed_; }
  std::string take();

 private:
  const size_t limit_;
  void *handle_;
  std::string text_;
  bool overflowed_ = false;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_SEQ_FILE_H_
