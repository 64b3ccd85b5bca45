// SPDX-License-Identifier: GPL-2.0-only
// The vDSO answers clock_gettime() and its like without a system call, from the host's clock. In each new program image
// its functions are overwritten with plain system calls, which the supervisor gets to see.
#ifndef USCX_PROCESS_VDSO_H_
#define USCX_PROCESS_VDSO_H_

#include "base/status.h"
#include "process/remote.h"

namespace uscx::process {

// Patches the image that `remote` runs now, before it has executed anything of consequence. *fresh says whether it was
// an image that had not been patched before.
Status patch_vdso(const Remote &remote, bool *fresh);

}  // namespace uscx::process

#endif  // USCX_PROCESS_VDSO_H_
