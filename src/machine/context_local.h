// SPDX-License-Identifier: GPL-2.0-only
// ContextLocal: a thread-local variable whose value belongs to the code that runs on a CPU, such as the invocation in
// progress. On a machine of threads each CPU is a thread, and the variable alone is enough. In explore mode one thread
// plays the code of all CPUs in turn, and the value is kept apart for each CPU.
//
// Threading: made at static initialisation. Code may keep the value's address only while it cannot be suspended.
#ifndef USCX_MACHINE_CONTEXT_LOCAL_H_
#define USCX_MACHINE_CONTEXT_LOCAL_H_

#include <cstddef>

namespace uscx::machine {

// Announces such a value; it starts as zero bytes on each CPU.
struct ContextLocal {
  ContextLocal(void *(*address)(), size_t size);
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_CONTEXT_LOCAL_H_
