// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for BPF object files: whatever the bytes are, the scan gives a result or one line of text.
#include <bpf/btf.h>

#include <cstddef>
#include <cstdint>

#include "abi/btf.h"
#include "base/check.h"
#include "bpf/load/scan/scan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  using namespace uscx;
  static const bpf::ScanTarget &target = *[] {
    auto *made = new bpf::ScanTarget();
    made->kernel_btf = btf__new(abi::base_btf().data(), static_cast<u32>(abi::base_btf().size()));
    CHECK(made->kernel_btf != nullptr);
    return made;
  }();
  Result<bpf::ScanResult> result = bpf::scan_object({data, size}, target);
  if (!result.ok()) {
    for (const char c : result.message()) CHECK(c >= ' ' && c < 0x7f, "byte {} in a message", static_cast<int>(c));
    return 0;
  }
  CHECK(result->unreached_info_at.size() <= size);
  return 0;
}
