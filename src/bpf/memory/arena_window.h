// SPDX-License-Identifier: GPL-2.0-only
// ArenaWindow: the table in which the fault handler looks up the arena of an address. Programs see an arena through a
// window of 4 GiB, aligned to 4 GiB, in the read-write half: a pointer is the window's base plus its low 32 bits. Pages
// of the window are mapped when they come into being: by bpf_arena_alloc_pages(), or when user space touches its own
// mapping. Nothing notifies us of the latter, so that a fault in a window first asks the arena's file whether it has
// the page by now.
//
// Threads: find() and fault_in() read atomics and make system calls only, so that they are safe in a signal handler.
// Invariant: a window is entered after its addresses are reserved and removed before they are given back.
#ifndef USCX_BPF_MEMORY_ARENA_WINDOW_H_
#define USCX_BPF_MEMORY_ARENA_WINDOW_H_

#include <atomic>

#include "base/types.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {

inline constexpr u64 kArenaWindowBytes = 1ull << 32;

struct ArenaWindow {
  u64 base = 0;                        // a multiple of 4 GiB
  u64 pages_at = 0;                    // where the first page lies in the window
  u64 bytes = 0;                       // of all pages
  int fd = -1;                         // the pages; page n is at n * kPageBytes
  std::atomic<bool> *stale = nullptr;  // set when a page turned out to be there that the arena did not allocate

  // Null if the address is in no arena's window.
  static ArenaWindow *find(u64 address);
  static void enter(ArenaWindow *window);
  static void remove(ArenaWindow *window);

  // Whether a pointer of such a program is the low half of one into the arena.
  static bool lost_base(u64 base, u64 pointer) { return base != 0 && pointer >> 32 == 0 && pointer >= 1ull << 16; }

  // Makes the page at a faulting address accessible if it exists; false if it does not.
  static bool fault_in(u64 address);
  // Whether an access at `address` is one through an arena pointer of a program with this base: within the window or as
  // far from it as an instruction's offset reaches, or as near to 0 (a NULL that was cast). FIDELITY: arena-null.
  static bool is_access(u64 base, u64 address) {
    constexpr u64 kReach = 1ull << 16;
    return base != 0 && (address - base + kReach < kArenaWindowBytes + 2 * kReach || address < kReach);
  }

  // Makes pages of the window accessible, or not.
  void protect(u64 page, u64 count, bool accessible) const;
  // Whether all of these pages are missing in the file.
  bool absent(u64 page, u64 count) const;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MEMORY_ARENA_WINDOW_H_
