// SPDX-License-Identifier: GPL-2.0-only
// Iterators that user space reads as files (SEC("iter/X")): one line of a table each (iter_link.cc). The functions in
// the kernel BTF, the programs that may be loaded, and the output of `uscx inspect` derive from the table. A link is a
// program together with the objects that it iterates; BPF_ITER_CREATE gives a file with the program's output.
//
// FIDELITY: iter-snapshot. The programs run when the file is made, not as it is read.
//
// Threading: as BpfSystem's commands.
#ifndef USCX_BPF_OBJECT_ITER_LINK_H_
#define USCX_BPF_OBJECT_ITER_LINK_H_

#include <linux/bpf.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/object/object.h"

namespace uscx::bpf {

class BpfSystem;
class Map;
class Prog;

// The function that stands for an iterator in the BTF is named this and the iterator.
inline constexpr std::string_view kIteratorPrefix = "bpf_iter_";

// What a link's iterator is to go over.
struct IterChoice {
  u32 tid = 0, pid = 0;      // task: one, or those of a process; 0: any
  std::shared_ptr<Map> map;  // bpf_map_elem
};

// Gets the words of the context behind the first, and says whether to go on.
using IterVisitor = std::function<int(std::initializer_list<u64> words)>;

struct Iterator {
  const char *name;
  const char *params;  // of its function behind `meta`, as for kfuncs
  u32 nullable_words;  // of the context
  // 0 or -errno: what the link is made with.
  int (*choose)(BpfSystem &system, const union bpf_iter_link_info &info, bool given, IterChoice *choice);
  // Visits everything until a visit is not 0, which it returns; and at last nothing, as the kernel does.
  int (*walk)(BpfSystem &system, const IterChoice &choice, const IterVisitor &visit);
  // The names of the context's words.
  std::vector<std::string> args() const;
};
std::span<const Iterator> list_iterators();
// By "task"; null if there is none.
const Iterator *find_iterator(std::string_view name);

// BPF_LINK_CREATE: a descriptor or -errno.
long link_iterator(const std::shared_ptr<Prog> &prog, const union bpf_attr &attr);

class IterLink final : public Object {
 public:
  IterLink(BpfSystem &system, std::shared_ptr<Prog> prog, const Iterator &iterator, IterChoice choice);
  const std::shared_ptr<Prog> &prog() const { return prog_; }
  const Iterator &iterator() const { return iterator_; }
  // A descriptor of a file of what the program writes, or -errno.
  long read();

 private:
  int run(std::string *text);

  const std::shared_ptr<Prog> prog_;
  const Iterator &iterator_;
  const IterChoice choice_;
  u64 session_ = 0;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_ITER_LINK_H_
