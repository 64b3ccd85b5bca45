// SPDX-License-Identifier: GPL-2.0-only
#include "machine/cpumask.h"

namespace uscx::machine {

std::string MaskView::to_hex() const {
  constexpr u32 kChunkBits = 32;
  std::string text;
  const u32 nr_chunks = (nr_cpus_ + kChunkBits - 1) / kChunkBits;
  for (u32 chunk = nr_chunks; chunk-- > 0;) {
    const u32 value = static_cast<u32>(word_at(chunk / 2) >> (chunk % 2 * kChunkBits));
    const u32 bits = chunk + 1 == nr_chunks ? nr_cpus_ - chunk * kChunkBits : kChunkBits;
    text += fmt::format("{:0{}x}", value, (bits + 3) / 4);
    if (chunk) text += ',';
  }
  return text;
}

std::string MaskView::to_list() const {
  std::string text;
  for (u32 cpu = first(); cpu < nr_cpus_;) {
    u32 last = cpu;
    while (test(last + 1)) last++;
    if (!text.empty()) text += ',';
    text += last == cpu ? fmt::format("{}", cpu) : fmt::format("{}-{}", cpu, last);
    cpu = next(last + 1);
  }
  return text;
}

}  // namespace uscx::machine
