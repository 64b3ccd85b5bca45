// SPDX-License-Identifier: GPL-2.0-only
// The one range of addresses that BPF programs may see. It is reserved once per process at a fixed address and handed
// out in a fixed order, so a program sees the same pointers in every run (it may hash them).
//
//   [guard | read-write half | guard][guard | read-only half | guard]
//
// Read-write half: map values, BPF stacks, objects that programs allocate, contexts that programs may write, arenas.
// Read-only half: kernel objects (tasks, cpumasks, cgroups), frozen .rodata, arguments of callbacks. Only BPF code is
// held to "read-only"; our own code writes there freely. A few fields of it may be stored to by programs: see
// set_store_filter().
//
// Threads: allocation takes a lock; contains(), in_rw() and in_ro() are pure.
// Invariants: the first and last kGuardBytes of each half, and kGuardBytes before and after the region, are never
// mapped, so that an access at a checked pointer plus any 16-bit offset stays inside or faults.
#ifndef USCX_BPF_MEMORY_REGION_H_
#define USCX_BPF_MEMORY_REGION_H_

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "base/types.h"

namespace uscx::bpf {

enum class Half : u8 { kReadWrite, kReadOnly };

// Both halves have 128 GiB. The place is inside the application range of ThreadSanitizer (its 47-bit x86-64 layout
// leaves 512 GiB there), inside AddressSanitizer's high memory, and below where Linux places libraries and stacks.
inline constexpr u32 kHalfShift = 37;
inline constexpr u32 kRegionShift = 38;
inline constexpr u64 kHalfBytes = 1ull << kHalfShift;
inline constexpr u64 kRegionBytes = 1ull << kRegionShift;
inline constexpr u64 kRegionBase = 0x7e8000000000ull;
inline constexpr u64 kRwBase = kRegionBase;
inline constexpr u64 kRoBase = kRegionBase + kHalfBytes;
inline constexpr u64 kGuardBytes = 1ull << 20;
inline constexpr u64 kPageBytes = 4096;
static_assert(kRegionBase % kRegionBytes == 0);

class Region {
 public:
  static Region &get();

  // Zeroed pages. With `guard`, an unmapped page lies before and after. Ends the process (CHECK) when a half is full
  // or the host has no memory: neither depends on a scheduler alone.
  void *alloc_pages(Half half, size_t bytes, bool guard);
  // The same at a multiple of `align` (a power of two, at least a page); for arenas.
  void *alloc_aligned(Half half, size_t bytes, size_t align);
  // Reserves unmapped addresses at a multiple of `align`, with guard bytes before and after; nullptr when the half has
  // no room. map_inside() puts parts of a file there.
  void *reserve(Half half, size_t bytes, size_t align);
  bool map_inside(u64 address, int fd, u64 offset, size_t bytes, int protection);
  // A shared view of a memfd's first `bytes` bytes, with guard pages around. nullptr when mmap refuses (errno is set).
  // FIDELITY: mmap-padding. The rest of the last page belongs to the map.
  void *map_fd(Half half, int fd, size_t bytes);
  // An object of exactly `bytes` bytes whose end, rounded up to 8, touches an unmapped page.
  // FIDELITY: far-store. A store that reaches another map is not seen.
  void *alloc_at_end(Half half, size_t bytes);
  // Puts a private copy, made as it is written to, in the place of what map_fd() returned.
  void unshare(void *address, int fd);
  // Gives back what one of the above returned. The addresses are used again for requests of the same size.
  void free_pages(void *address);

  static bool contains(const void *address) { return contains(reinterpret_cast<u64>(address)); }
  static bool contains(u64 address) { return address >> kRegionShift == kRegionBase >> kRegionShift; }
  static bool in_rw(const void *address) { return in_rw(reinterpret_cast<u64>(address)); }
  static bool in_rw(u64 address) { return address >> kHalfShift == kRwBase >> kHalfShift; }
  static bool in_ro(const void *address) { return in_ro(reinterpret_cast<u64>(address)); }
  static bool in_ro(u64 address) { return address >> kHalfShift == kRoBase >> kHalfShift; }

  // Says whether a program may store `size` bytes at `address`, which is in the read-only half. Asked on the slow path
  // of a store only. Without a filter the answer is no.
  using StoreOkFn = bool (*)(void *address, unsigned size);
  void set_store_filter(StoreOkFn fn) { store_ok_ = fn; }
  bool store_ok(void *address, unsigned size) const { return store_ok_ != nullptr && store_ok_(address, size); }

  size_t mapped_bytes() const { return mapped_bytes_; }

 private:
  struct Block {
    u64 start;  // of the reservation, guards included
    size_t bytes;
    Half half;
    size_t mapped;
  };
  Region();
  // Addresses for `bytes` (a multiple of the page size), reused or fresh. Needs lock_.
  // With `front`, it is the address behind that many bytes that is aligned.
  u64 take(Half half, size_t bytes, size_t align, size_t front = 0);
  bool has_room(Half half, size_t bytes, size_t align, size_t front) const;
  void *remember(u64 object, u64 start, size_t bytes, Half half, size_t mapped);

  std::mutex lock_;  // a leaf: nothing is called under it but mmap
  u64 next_[2];
  std::map<u64, Block> blocks_;                              // by the address given out; guarded by lock_
  std::map<std::pair<int, size_t>, std::vector<u64>> free_;  // by half and size; guarded by lock_
  size_t mapped_bytes_ = 0;
  StoreOkFn store_ok_ = nullptr;
};

// Objects of one size in one half, in slabs. A freed object is filled with 0x6b, as the kernel's slab poisoning does,
// and its memory stays readable: a program that keeps a stale pointer sees poison, not another object at once (free
// slots are reused first in, first out).
// Threads: takes a lock of its own.
class RegionPool {
 public:
  static constexpr u8 kFreePoison = 0x6b;

  RegionPool(Half half, size_t object_bytes, size_t align = 8);
  ~RegionPool();
  RegionPool(const RegionPool &) = delete;
  RegionPool &operator=(const RegionPool &) = delete;

  // Zeroed.
  void *alloc();
  void free(void *object);
  // Whether `address` is the start of a slot of this pool (allocated or not).
  bool is_slot(const void *address) const;
  size_t object_bytes() const { return object_bytes_; }
  size_t live() const { return live_; }

 private:
  mutable std::mutex lock_;
  const Half half_;
  const size_t object_bytes_;
  const size_t stride_;
  const size_t slab_objects_;
  std::vector<char *> slabs_;  // guarded by lock_
  size_t next_in_slab_;
  std::vector<void *> free_;  // a queue: free_head_ is the oldest
  size_t free_head_ = 0;
  size_t live_ = 0;
};

// Objects of any size in one half: size classes up to kMaxPooled, pages beyond.
// Threads: each class has its own lock.
class RegionHeap {
 public:
  static constexpr size_t kMaxPooled = 2048;

  explicit RegionHeap(Half half);
  ~RegionHeap();
  void *alloc(size_t bytes);
  void free(void *object, size_t bytes);

 private:
  const Half half_;
  std::vector<RegionPool *> classes_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MEMORY_REGION_H_
