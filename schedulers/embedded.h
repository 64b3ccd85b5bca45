// SPDX-License-Identifier: GPL-2.0-only
// The bytes of our BPF objects, and of the source that `uscx new` writes, which the build puts into the program
// (embedded.cc.in).
#ifndef USCX_SCHEDULERS_EMBEDDED_H_
#define USCX_SCHEDULERS_EMBEDDED_H_

#include <span>

#include "base/types.h"

namespace uscx::schedulers {

std::span<const u8> embedded_scx_central();
std::span<const u8> embedded_scx_simple();
std::span<const u8> embedded_scx_qmap();
std::span<const u8> embedded_template();

}  // namespace uscx::schedulers

#endif  // USCX_SCHEDULERS_EMBEDDED_H_
