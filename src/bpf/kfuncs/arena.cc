// SPDX-License-Identifier: GPL-2.0-only
// Kfuncs on arenas. What goes wrong gives NULL or an errno, as in the kernel; a map of another type is among that.
#include <errno.h>

#include "bpf/maps/arena_map.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

namespace {

ArenaMap *arena_of(const char *who, void *handle) {
  return dynamic_cast<ArenaMap *>(Guard::map(who, 1, reinterpret_cast<u64>(handle)));
}

constexpr s32 kNoNode = -1;

}  // namespace

// The address that it returns is user space's, which no access of a program may go through before it is cast.
USCX_KFUNC(kGeneric, KF_ARENA_RET, void *, bpf_arena_alloc_pages,
           (void *p__map, void *addr__ign, u32 page_cnt, s32 node_id, u64 flags)) {
  ArenaMap *arena = arena_of("bpf_arena_alloc_pages", p__map);
  if (arena == nullptr || flags != 0) return nullptr;
  if (node_id != kNoNode && static_cast<u32>(node_id) >= BpfSystem::current()->env().nr_node_ids()) return nullptr;
  return reinterpret_cast<void *>(arena->alloc_pages(reinterpret_cast<u64>(addr__ign), page_cnt));
}

USCX_KFUNC(kGeneric, 0, void, bpf_arena_free_pages, (void *p__map, void *ptr__ign, u32 page_cnt)) {
  ArenaMap *arena = arena_of("bpf_arena_free_pages", p__map);
  if (arena != nullptr) arena->free_pages(reinterpret_cast<u64>(ptr__ign), page_cnt);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_arena_reserve_pages, (void *p__map, void *ptr__ign, u32 page_cnt)) {
  ArenaMap *arena = arena_of("bpf_arena_reserve_pages", p__map);
  return arena != nullptr ? arena->reserve_pages(reinterpret_cast<u64>(ptr__ign), page_cnt) : -EINVAL;
}

}  // namespace uscx::bpf
