// SPDX-License-Identifier: GPL-2.0-only
// A value of the thread that belongs to what runs on a CPU (the invocation in progress). On a machine of threads a CPU
// is a thread; in explore mode, where one thread plays all CPUs' code in turn, the value is kept apart for each CPU.
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
