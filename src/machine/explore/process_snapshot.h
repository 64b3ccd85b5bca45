// SPDX-License-Identifier: GPL-2.0-only
// All private memory of this process as it was once, to which it goes back without a new process: heap, globals,
// thread-local variables and stacks, other libraries' and the allocator's included. What is shared with other processes
// is not part of it, and neither is what only the kernel keeps: restore() refuses if mappings or descriptors are not
// what they were.
//
// Going back costs a copy of the pages that have been written since, in this or an earlier round: a process that does
// the same again and again makes no page faults any more, and the kernel is asked which pages are written only if there
// were some. Written are those that it tells to be this process's own, so that take() is best called soon after a
// fork(), by the child: most pages are shared with the parent then.
//
// Threading: one thread in the process. take() and restore() run on a stack that is left out; whoever calls goes on,
// and all others find themselves as they were. Neither allocates.
#ifndef USCX_MACHINE_EXPLORE_PROCESS_SNAPSHOT_H_
#define USCX_MACHINE_EXPLORE_PROCESS_SNAPSHOT_H_

#include <cstddef>

#include "base/types.h"

namespace uscx::machine {

class ProcessSnapshot {
 public:
  // Takes address space and descriptors now, so that they are the same in all processes that this one forks, whether or
  // not they take a snapshot.
  ProcessSnapshot();
  ~ProcessSnapshot();
  ProcessSnapshot(const ProcessSnapshot &) = delete;
  ProcessSnapshot &operator=(const ProcessSnapshot &) = delete;

  // `stack` is left out. False: this process cannot go back, for instance because a sanitizer or Valgrind keeps
  // memory of its own about what the program does.
  bool take(const void *stack, size_t stack_bytes);
  // False: it cannot, and must end. Also if nothing was taken.
  bool restore();

 private:
  struct State;

  bool parse_regions(const char *stack, size_t stack_bytes);
  void add_region(u64 begin, u64 end, bool of_file, u64 hole_begin, u64 hole_end);
  bool copy_out();
  bool find_written();

  State *state_ = nullptr;  // In memory that is no part of the snapshot; null: no address space for it.
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_PROCESS_SNAPSHOT_H_
