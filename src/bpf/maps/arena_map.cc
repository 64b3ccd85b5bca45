// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/arena_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

namespace {
constexpr u32 kKnownFlags = BPF_F_SEGV_ON_FAULT | BPF_F_MMAPABLE | BPF_F_NO_USER_CONV;
// Where an arena without an address of its own is said to be when user space is this very process.
constexpr u64 kDefaultUserStart = 1ull << 44;
}  // namespace

int ArenaMap::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  if (attr.key_size != 0 || attr.value_size != 0 || attr.max_entries == 0 || !(attr.flags & BPF_F_MMAPABLE) ||
      attr.flags & ~kKnownFlags || attr.extra % kPageBytes != 0)
    return -EINVAL;
  const u64 bytes = u64{attr.max_entries} * kPageBytes;
  if (bytes > kArenaWindowBytes) return -E2BIG;
  if (attr.extra >> 32 != (attr.extra + bytes - 1) >> 32) return -ERANGE;
  auto map = std::make_shared<ArenaMap>(system, attr);
  if (int err = map->resize_memfd(bytes); err != 0) return err;
  map->free_[0] = attr.max_entries;
  if (attr.extra != 0) {
    if (int err = map->settle(attr.extra); err != 0) return err;
  }
  *out = std::move(map);
  return 0;
}

ArenaMap::~ArenaMap() {
  if (window_.base == 0) return;
  ArenaWindow::remove(&window_);
  Region::get().free_pages(reinterpret_cast<void *>(window_.base));
}

int ArenaMap::settle(u64 user_start) {
  void *base = Region::get().reserve(Half::kReadWrite, kArenaWindowBytes, kArenaWindowBytes);
  if (base == nullptr) return -ENOMEM;
  window_.base = reinterpret_cast<u64>(base);
  window_.pages_at = window_.base + static_cast<u32>(user_start);
  window_.bytes = mmap_size();
  window_.fd = memfd();
  window_.stale = &stale_;
  user_start_ = user_start;
  ArenaWindow::enter(&window_);
  return Region::get().map_inside(window_.pages_at, memfd(), 0, window_.bytes, PROT_NONE) ? 0 : -ENOMEM;
}

int ArenaMap::check_mmap(u64 *address, u64 size, int prot, u64 offset, bool own_process) {
  if (offset != 0 || prot & PROT_EXEC) return -EINVAL;
  if (size > mmap_size()) return -E2BIG;
  if (user_start_ == 0) {
    // One that does not say where is put behind those of all maps before it.
    const u64 start = own_process     ? kDefaultUserStart
                      : *address == 0 ? kDefaultUserStart + id() * kArenaWindowBytes
                                      : *address;
    if (start >> 32 != (start + mmap_size() - 1) >> 32) return -EINVAL;
    if (int err = settle(start); err != 0) return err;
  }
  // Our own process keeps its address space to itself: what libbpf maps there lies anywhere.
  if (own_process) {
    *address = 0;
    return 0;
  }
  if (size != mmap_size()) return -E2BIG;
  if (*address == 0) *address = user_start_;
  return *address == user_start_ ? 0 : -EINVAL;
}

u64 ArenaMap::direct_value(u32 offset, int *error) {
  *error = offset > mmap_size() ? -ERANGE : 0;
  return *error == 0 ? user_start_ + offset : 0;
}

bool ArenaMap::all_free(u64 page, u64 count) const {
  auto after = free_.upper_bound(page);
  if (after == free_.begin()) return false;
  const auto &[start, length] = *std::prev(after);
  return page + count <= start + length;
}

void ArenaMap::take(u64 page, u64 count) {
  auto it = std::prev(free_.upper_bound(page));
  const auto [start, length] = *it;
  CHECK(start <= page && page + count <= start + length);
  free_.erase(it);
  if (start < page) free_[start] = page - start;
  if (page + count < start + length) free_[page + count] = start + length - page - count;
}

void ArenaMap::give_back(u64 page, u64 count) {
  // What is free already in there, or touches it, becomes one range with it.
  u64 start = page, end = page + count;
  auto it = free_.upper_bound(end);
  while (it != free_.begin()) {
    it = std::prev(it);
    if (it->first + it->second < start) break;
    start = std::min(start, it->first);
    end = std::max(end, it->first + it->second);
    it = free_.erase(it);
  }
  free_[start] = end - start;
}

void ArenaMap::take_touched() {
  // Present stretches of the file, each against what is free there.
  for (u64 at = 0; at < mmap_size();) {
    const off_t data = ::lseek(memfd(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) break;
    const off_t hole = ::lseek(memfd(), data, SEEK_HOLE);
    CHECK(hole > data);
    for (u64 page = static_cast<u64>(data) / kPageBytes; page < static_cast<u64>(hole) / kPageBytes; page++) {
      if (all_free(page, 1)) take(page, 1);
    }
    at = static_cast<u64>(hole);
  }
  stale_.store(false, std::memory_order_relaxed);
}

u64 ArenaMap::alloc_pages(u64 user_address, u32 count) {
  if (user_start_ == 0 || count == 0 || count > max_entries() || user_address % kPageBytes != 0) return 0;
  machine::SpinGuard guard(lock_);
  u64 page = 0;
  // A range that user space has touched is found to be so only by a look at the file: then once more.
  for (;;) {
    if (user_address != 0) {
      page = page_of(user_address);
      if (page > max_entries() - count || !all_free(page, count)) return 0;
    } else {
      auto best = free_.end();
      for (auto it = free_.begin(); it != free_.end(); ++it) {
        if (it->second >= count && (best == free_.end() || it->second < best->second)) best = it;
      }
      if (best == free_.end()) return 0;
      page = best->first;
    }
    if (window_.absent(page, count)) break;
    take_touched();
  }
  if (::fallocate(memfd(), 0, static_cast<off_t>(page * kPageBytes), static_cast<off_t>(count * kPageBytes)) != 0)
    return 0;
  take(page, count);
  window_.protect(page, count, true);
  return user_base() + static_cast<u32>(user_start_ + page * kPageBytes);
}

void ArenaMap::free_pages(u64 user_address, u32 count) {
  if (user_start_ == 0 || count == 0 || user_address == 0) return;
  const u64 start = user_base() + (static_cast<u32>(user_address) & ~(kPageBytes - 1));
  const u64 end = std::min(user_start_ + mmap_size(), start + u64{count} * kPageBytes);
  if (start < user_start_ || start >= end) return;
  machine::SpinGuard guard(lock_);
  const u64 page = page_of(start);
  const u64 pages = (end - start) / kPageBytes;
  window_.protect(page, pages, false);
  const int err = ::fallocate(memfd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(page * kPageBytes), static_cast<off_t>(pages * kPageBytes));
  CHECK(err == 0, "cannot free {} arena pages: errno {}", pages, errno);
  give_back(page, pages);
}

int ArenaMap::reserve_pages(u64 user_address, u32 count) {
  if (count == 0) return 0;
  const u64 page = page_of(user_address);
  if (page + count > max_entries()) return -EINVAL;
  machine::SpinGuard guard(lock_);
  take_touched();
  if (!all_free(page, count)) return -EBUSY;
  take(page, count);
  return 0;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_ARENA, arena, ArenaMap::create, MAP_EXTRA);

}  // namespace uscx::bpf
