// SPDX-License-Identifier: GPL-2.0-only
// Access to the bytes that tools/btf_base.cc generates at build time.
#include "abi/btf.h"

extern const unsigned char uscx_base_btf[];
extern const unsigned int uscx_base_btf_size;

namespace uscx::abi {

std::span<const std::byte> base_btf() {
  return {reinterpret_cast<const std::byte *>(uscx_base_btf), uscx_base_btf_size};
}

}  // namespace uscx::abi
