// SPDX-License-Identifier: GPL-2.0-only
// The base BTF, parsed once, for the tests of this folder.
#ifndef USCX_ABI_BTF_READER_TEST_H_
#define USCX_ABI_BTF_READER_TEST_H_

#include <bpf/btf.h>

#include "abi/btf.h"
#include "base/check.h"

// Freed at exit, so that a leak checker sees none of it.
inline const btf *base_types() {
  struct Owner {
    btf *types = btf__new(uscx::abi::base_btf().data(), static_cast<__u32>(uscx::abi::base_btf().size()));
    ~Owner() { btf__free(types); }
  };
  static const Owner owner;
  CHECK(owner.types != nullptr);
  return owner.types;
}

#endif  // USCX_ABI_BTF_READER_TEST_H_
