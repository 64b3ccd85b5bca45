// SPDX-License-Identifier: GPL-2.0-only
// Reservation and allocation of the addresses that programs see (see region.h). The system call is made directly: the
// sanitizers' mmap would clear shadow memory for the whole reservation, and a process under our own shim redirects
// mmap.
#include "bpf/memory/region.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/need.h"

namespace uscx::bpf {
namespace {

void *map_at(u64 address, size_t bytes, int protection, int flags, int fd, u64 offset = 0) {
  const long result = ::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
  return reinterpret_cast<void *>(result);
}

size_t round_up(size_t value, size_t align) { return (value + align - 1) & ~(align - 1); }

u64 half_base(Half half) { return half == Half::kReadWrite ? kRwBase : kRoBase; }

}  // namespace

Region &Region::get() {
  // Never destroyed: programs and kernel objects of static lifetime may outlive any order of destruction.
  static Region *region = new Region;
  return *region;
}

Region::Region() {
#if defined(__SANITIZE_THREAD__)
  // The application range of ThreadSanitizer begins where the region does; it keeps what lies below unmapped itself.
  constexpr u64 kGuardBelow = 0;
#else
  constexpr u64 kGuardBelow = kGuardBytes;
#endif
  const u64 start = kRegionBase - kGuardBelow;
  const size_t bytes = kGuardBelow + kRegionBytes + kGuardBytes;
  void *got = map_at(start, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1);
  NEED(got == reinterpret_cast<void *>(start),
       "cannot reserve {} GiB of addresses at {:#x} for BPF (errno {}); is "
       "an address space limit (ulimit -v) set?",
       bytes >> 30, start, errno);
  next_[0] = kRwBase + kGuardBytes;
  next_[1] = kRoBase + kGuardBytes;
}

bool Region::has_room(Half half, size_t bytes, size_t align, size_t front) const {
  if (auto it = free_.find({int(half), bytes}); it != free_.end()) {
    for (u64 address : it->second)
      if ((address + front) % align == 0) return true;
  }
  return round_up(next_[int(half)] + front, align) - front + bytes <= half_base(half) + kHalfBytes - kGuardBytes;
}

u64 Region::take(Half half, size_t bytes, size_t align, size_t front) {
  auto &spare = free_[{int(half), bytes}];
  for (size_t i = spare.size(); i-- > 0;) {
    if ((spare[i] + front) % align != 0) continue;
    const u64 address = spare[i];
    spare.erase(spare.begin() + ptrdiff_t(i));
    return address;
  }
  u64 &next = next_[int(half)];
  const u64 address = round_up(next + front, align) - front;
  CHECK(address + bytes <= half_base(half) + kHalfBytes - kGuardBytes, "the {} half of the BPF address range is full",
        half == Half::kReadWrite ? "read-write" : "read-only");
  next = address + bytes;
  return address;
}

void *Region::remember(u64 object, u64 start, size_t bytes, Half half, size_t mapped) {
  blocks_[object] = {start, bytes, half, mapped};
  mapped_bytes_ += mapped;
  return reinterpret_cast<void *>(object);
}

void *Region::alloc_pages(Half half, size_t bytes, bool guard) {
  std::lock_guard hold(lock_);
  const size_t size = round_up(bytes ? bytes : 1, kPageBytes);
  const size_t margin = guard ? kPageBytes : 0;
  const u64 start = take(half, size + 2 * margin, kPageBytes);
  void *got =
      map_at(start + margin, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1);
  NEED(got != MAP_FAILED, "no memory of {} bytes for BPF: {}", size, host_error(errno));
  return remember(start + margin, start, size + 2 * margin, half, size);
}

void *Region::alloc_aligned(Half half, size_t bytes, size_t align) {
  std::lock_guard hold(lock_);
  const size_t size = round_up(bytes ? bytes : 1, kPageBytes);
  const u64 start = take(half, size + kGuardBytes, align);
  void *got = map_at(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1);
  NEED(got != MAP_FAILED, "no memory of {} bytes for BPF: {}", size, host_error(errno));
  return remember(start, start, size + kGuardBytes, half, size);
}

void *Region::reserve(Half half, size_t bytes, size_t align) {
  std::lock_guard hold(lock_);
  const size_t size = round_up(bytes, kPageBytes) + 2 * kGuardBytes;
  if (!has_room(half, size, align, kGuardBytes)) return nullptr;
  const u64 start = take(half, size, align, kGuardBytes);
  return remember(start + kGuardBytes, start, size, half, 0);
}

bool Region::map_inside(u64 address, int fd, u64 offset, size_t bytes, int protection) {
  return map_at(address, bytes, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, offset) != MAP_FAILED;
}

void *Region::map_fd(Half half, int fd, size_t bytes) {
  std::lock_guard hold(lock_);
  const size_t size = round_up(bytes ? bytes : 1, kPageBytes);
  const u64 start = take(half, size + 2 * kPageBytes, kPageBytes);
  void *got = map_at(start + kPageBytes, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd);
  if (got == MAP_FAILED) {
    const int error = errno;
    free_[{int(half), size + 2 * kPageBytes}].push_back(start);
    errno = error;
    return nullptr;
  }
  return remember(start + kPageBytes, start, size + 2 * kPageBytes, half, size);
}

void *Region::alloc_at_end(Half half, size_t bytes) {
  std::lock_guard hold(lock_);
  const size_t object = round_up(bytes ? bytes : 1, 8);
  const size_t size = round_up(object, kPageBytes);
  const u64 start = take(half, size + 2 * kPageBytes, kPageBytes);
  void *got = map_at(start + kPageBytes, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1);
  NEED(got != MAP_FAILED, "no memory of {} bytes for BPF: {}", size, host_error(errno));
  return remember(start + kPageBytes + size - object, start, size + 2 * kPageBytes, half, size);
}

void Region::unshare(void *address, int fd) {
  std::lock_guard hold(lock_);
  const auto it = blocks_.find(reinterpret_cast<u64>(address));
  CHECK(it != blocks_.end(), "{} was not allocated here", fmt::ptr(address));
  void *got = map_at(it->first, it->second.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd);
  NEED(got != MAP_FAILED, "no memory of {} bytes for BPF: {}", it->second.mapped, host_error(errno));
}

void Region::free_pages(void *address) {
  std::lock_guard hold(lock_);
  auto it = blocks_.find(reinterpret_cast<u64>(address));
  CHECK(it != blocks_.end(), "{} was not allocated here", fmt::ptr(address));
  const Block block = it->second;
  blocks_.erase(it);
  void *got = map_at(block.start, block.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1);
  CHECK(got != MAP_FAILED, "unmapping {} bytes: errno {}", block.bytes, errno);
  mapped_bytes_ -= block.mapped;
  free_[{int(block.half), block.bytes}].push_back(block.start);
}

RegionPool::RegionPool(Half half, size_t object_bytes, size_t align)
    : half_(half),
      object_bytes_(object_bytes),
      stride_(round_up(object_bytes ? object_bytes : 1, align)),
      slab_objects_(std::max<size_t>(1, 65536 / stride_)),
      next_in_slab_(slab_objects_) {}

RegionPool::~RegionPool() {
  for (char *slab : slabs_) Region::get().free_pages(slab);
}

void *RegionPool::alloc() {
  std::lock_guard hold(lock_);
  live_++;
  if (free_head_ < free_.size()) {
    void *object = free_[free_head_++];
    if (free_head_ == free_.size()) {
      free_.clear();
      free_head_ = 0;
    }
    std::memset(object, 0, object_bytes_);
    return object;
  }
  if (next_in_slab_ == slab_objects_) {
    slabs_.push_back(static_cast<char *>(Region::get().alloc_pages(half_, slab_objects_ * stride_, true)));
    next_in_slab_ = 0;
  }
  return slabs_.back() + next_in_slab_++ * stride_;
}

void RegionPool::free(void *object) {
  std::lock_guard hold(lock_);
  CHECK(live_ > 0);
  live_--;
  std::memset(object, kFreePoison, object_bytes_);
  // The queue is compacted when its dead head dominates, so memory stays in proportion to the live part.
  if (free_head_ > 1024 && free_head_ * 2 > free_.size()) {
    free_.erase(free_.begin(), free_.begin() + ptrdiff_t(free_head_));
    free_head_ = 0;
  }
  free_.push_back(object);
}

bool RegionPool::is_slot(const void *address) const {
  std::lock_guard hold(lock_);
  const char *p = static_cast<const char *>(address);
  for (size_t i = 0; i < slabs_.size(); i++) {
    if (p < slabs_[i] || p >= slabs_[i] + slab_objects_ * stride_) continue;
    const size_t offset = size_t(p - slabs_[i]);
    const size_t used = i + 1 == slabs_.size() ? next_in_slab_ : slab_objects_;
    return offset % stride_ == 0 && offset / stride_ < used;
  }
  return false;
}

RegionHeap::RegionHeap(Half half) : half_(half) {
  for (size_t bytes = 16; bytes <= kMaxPooled; bytes = bytes < 64 ? bytes + 16 : bytes * 5 / 4 / 16 * 16 + 16)
    classes_.push_back(new RegionPool(half, bytes, 16));
  if (classes_.back()->object_bytes() < kMaxPooled) classes_.push_back(new RegionPool(half, kMaxPooled, 16));
}

RegionHeap::~RegionHeap() {
  for (RegionPool *pool : classes_) delete pool;
}

void *RegionHeap::alloc(size_t bytes) {
  for (RegionPool *pool : classes_)
    if (bytes <= pool->object_bytes()) return pool->alloc();
  return Region::get().alloc_at_end(half_, bytes);
}

void RegionHeap::free(void *object, size_t bytes) {
  for (RegionPool *pool : classes_)
    if (bytes <= pool->object_bytes()) return pool->free(object);
  Region::get().free_pages(object);
}

}  // namespace uscx::bpf
