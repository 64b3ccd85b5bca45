// SPDX-License-Identifier: GPL-2.0-only
#include "machine/static_branch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/types.h"

#if USCX_STATIC_BRANCHES
namespace uscx::machine {
namespace {

// One place, as may_be_concurrent() notes it: both are relative to their own address.
struct Branch {
  s32 code;
  s32 target;
  u8 *place() const { return reinterpret_cast<u8 *>(reinterpret_cast<uintptr_t>(&code) + static_cast<s64>(code)); }
  uintptr_t destination() const { return reinterpret_cast<uintptr_t>(&target) + static_cast<s64>(target); }
};

using Instruction = std::array<u8, 5>;
constexpr Instruction kNop = {0x0f, 0x1f, 0x44, 0x00, 0x00};

Instruction jump(const Branch &branch) {
  Instruction insn = {0xe9};
  const auto next = reinterpret_cast<uintptr_t>(branch.place()) + insn.size();
  const auto distance = static_cast<u32>(branch.destination() - next);
  std::memcpy(insn.data() + 1, &distance, sizeof(distance));
  return insn;
}

}  // namespace
}  // namespace uscx::machine

// The linker makes these for a section with such a name.
extern "C" const uscx::machine::Branch __start_uscx_branches[], __stop_uscx_branches[];

namespace uscx::machine {
namespace {

bool g_needed = false, g_patched = false;

// Makes all tests jumps, or nothing. False if the host does not let us.
bool patch(bool jumps) {
  const Branch *begin = __start_uscx_branches, *end = __stop_uscx_branches;
  const auto [first, last] =
      std::minmax_element(begin, end, [](const Branch &a, const Branch &b) { return a.place() < b.place(); });
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t from = reinterpret_cast<uintptr_t>(first->place()) & ~(page - 1);
  const size_t size = reinterpret_cast<uintptr_t>(last->place()) + kNop.size() - from;
  void *text = reinterpret_cast<void *>(from);
  // This function is in the same text, so that it stays executable meanwhile.
  if (mprotect(text, size, PROT_READ | PROT_WRITE | PROT_EXEC)) return false;
  for (const Branch *branch = begin; branch != end; branch++) {
    const Instruction insn = jumps ? jump(*branch) : kNop;
    std::memcpy(branch->place(), insn.data(), insn.size());
  }
  mprotect(text, size, PROT_READ | PROT_EXEC);
  return true;
}

}  // namespace

void need_concurrency() {
  g_needed = true;
  if (g_patched && patch(true)) g_patched = false;
  CHECK(!g_patched, "the host lets the program's text be changed once, and not again");
}

void expect_run_mode() {
  if (!g_needed && !g_patched) g_patched = patch(false);
}

bool run_mode_is_patched() { return g_patched; }

}  // namespace uscx::machine

#else

namespace uscx::machine {
void need_concurrency() {}
void expect_run_mode() {}
bool run_mode_is_patched() { return false; }
}  // namespace uscx::machine

#endif
