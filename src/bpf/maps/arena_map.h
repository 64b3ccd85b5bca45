// SPDX-License-Identifier: GPL-2.0-only
// ARENA: pages that programs and user space share as plain memory. User space maps them at the address that map_extra
// gives (or that its first mmap chose); programs reach them through a window of their own (arena_window.h), so that two
// arenas of the same user address never meet. A pointer's low 32 bits mean the same on both sides.
//
// A page exists in the memfd or not at all: user space's first touch makes one, as in the kernel, unless a fault there
// is to kill the toucher (BPF_F_SEGV_ON_FAULT). What a program stores to a page that does not exist is skipped and
// counted; a load gives 0.
//
// FIDELITY: arena-segv. With BPF_F_SEGV_ON_FAULT a touch of a missing page by user space makes the page, too.
//
// Threading: lock_ protects which pages are free; nothing is called under it but the file's and mapping's system calls.
// Invariant: a page that is free here is absent in the file, but for those that user space touched since (see take()).
#ifndef USCX_BPF_MAPS_ARENA_MAP_H_
#define USCX_BPF_MAPS_ARENA_MAP_H_

#include <map>

#include "bpf/memory/arena_window.h"
#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {

class ArenaMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  ArenaMap(BpfSystem &system, const MapAttr &attr) : Map(system, attr) {}
  ~ArenaMap() override;

  // What addr_space_cast leads to; 0 as long as the user address is not known.
  u64 window_base() const { return window_.base; }
  u64 user_base() const { return user_start_ & ~(kArenaWindowBytes - 1); }
  u64 user_start() const { return user_start_; }
  bool converts_to_user() const { return !(attr().flags & BPF_F_NO_USER_CONV); }

  // bpf_arena_alloc_pages() and its kin. Addresses are user space's; 0 is failure.
  u64 alloc_pages(u64 user_address, u32 count);
  void free_pages(u64 user_address, u32 count);
  int reserve_pages(u64 user_address, u32 count);

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -EOPNOTSUPP; }
  int erase(const void *) override { return -EOPNOTSUPP; }
  int next_key(const void *, void *) override { return -EOPNOTSUPP; }
  int user_lookup(const void *, void *, u64) override { return -EINVAL; }
  u64 mmap_size() const override { return u64{max_entries()} * kPageBytes; }
  int check_mmap(u64 *address, u64 size, int prot, u64 offset, bool own_process) override;
  u64 direct_value(u32 offset, int *error) override;

 private:
  // Fixes the user address and opens the window there. 0 or -errno.
  int settle(u64 user_start);
  u32 page_of(u64 user_address) const {
    return (static_cast<u32>(user_address) - static_cast<u32>(user_start_)) / static_cast<u32>(kPageBytes);
  }
  bool all_free(u64 page, u64 count) const;
  void take(u64 page, u64 count);
  void give_back(u64 page, u64 count);
  // Takes out of free_ what user space has touched since the last look.
  void take_touched();

  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf_arena"};
  u64 user_start_ = 0;  // constant once it is set
  ArenaWindow window_;
  std::map<u64, u64> free_;  // first page to number of pages; neighbours are merged. Guarded by lock_.
  std::atomic<bool> stale_{false};
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_ARENA_MAP_H_
