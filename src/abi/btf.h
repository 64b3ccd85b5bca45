// SPDX-License-Identifier: GPL-2.0-only
// The base of the BTF that is served as the kernel's: every type of this folder's headers, and no functions. The code
// that serves it adds the prototypes of kfuncs to a copy. Immutable bytes; any thread may read them.
#ifndef USCX_ABI_BTF_H_
#define USCX_ABI_BTF_H_

#include <cstddef>
#include <span>

namespace uscx::abi {

// Raw BTF, as btf__new() of libbpf takes it: header, types, strings.
std::span<const std::byte> base_btf();

}  // namespace uscx::abi

#endif  // USCX_ABI_BTF_H_
