// SPDX-License-Identifier: GPL-2.0-only
// The memory of the simulated machine, which nothing uses.
//
// Threading: a constant.
#ifndef USCX_PROCESS_MEMORY_SIZE_H_
#define USCX_PROCESS_MEMORY_SIZE_H_

#include "base/types.h"

namespace uscx::process {

inline constexpr u64 kMemoryBytes = 16ull << 30;  // Half of it is free.

}  // namespace uscx::process

#endif  // USCX_PROCESS_MEMORY_SIZE_H_
