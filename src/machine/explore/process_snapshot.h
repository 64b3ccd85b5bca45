// SPDX-License-Identifier: GPL-2.0-only
// A snapshot of all private memory of this process, to which the process can return without a new process: heap,
// globals, thread-local variables and stacks, those of other libraries and of the allocator included. Memory that is
// shared with other processes is not part of it, nor is state that only the host's kernel keeps: restore() refuses if
// mappings or descriptors are not what they were.
//
// A return costs a copy of the pages that were written since the snapshot, in this or an earlier round. A process that
// does the same again and again therefore has no page faults any more, and asks the kernel which pages are written only
// if there were some. A page counts as written if the kernel says that it is this process's own. The child of a fork()
// should call take() soon: most of its pages are still shared with the parent then.
//
// Threading: one thread in the process. take() and restore() run on a stack that is not part of the snapshot. Their
// caller goes on; all other code finds itself as it was. Neither function allocates.
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
