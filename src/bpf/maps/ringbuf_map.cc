// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/ringbuf_map.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <bit>
#include <map>
#include <mutex>

#include "base/check.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/dynptr.h"

namespace uscx::bpf {

struct RingbufMap::Record {
  u32 length;
  u32 page;  // the record's page in the ring
  char payload[];
};

namespace {

constexpr u64 kMaxRecord = 0xffffffffu / 4;
constexpr u64 kPositionPages = 2;

u64 round_up8(u64 value) { return (value + 7) & ~7ull; }
u64 total_bytes(u32 payload) { return round_up8(u64{payload} + BPF_RINGBUF_HDR_SZ); }

// All rings of the process by where their data starts: a program hands back a payload's address alone.
struct Rings {
  std::mutex lock;  // a leaf
  std::map<u64, RingbufMap *> by_data;
  static Rings &get() {
    static Rings *rings = new Rings;
    return *rings;
  }
};

}  // namespace

int RingbufMap::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  const u32 flags = BPF_F_NUMA_NODE | (attr.type == BPF_MAP_TYPE_RINGBUF ? u32{BPF_F_RB_OVERWRITE} : 0);
  if (attr.flags & ~flags || attr.key_size != 0 || attr.value_size != 0 || !std::has_single_bit(attr.max_entries) ||
      attr.max_entries % kPageBytes != 0)
    return -EINVAL;
  auto map = std::make_shared<RingbufMap>(system, attr);
  const u64 bytes = attr.max_entries;
  if (int err = map->resize_memfd(kPositionPages * kPageBytes + bytes); err != 0) return err;
  void *positions = ::mmap(nullptr, kPositionPages * kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, map->memfd(), 0);
  if (positions == MAP_FAILED) return -ENOMEM;
  map->positions_ = static_cast<char *>(positions);
  Region &region = Region::get();
  void *data = region.reserve(Half::kReadWrite, 2 * bytes, kPageBytes);
  if (data == nullptr) return -ENOMEM;
  map->data_ = static_cast<char *>(data);
  for (u64 copy = 0; copy < 2; copy++) {
    if (!region.map_inside(reinterpret_cast<u64>(data) + copy * bytes, map->memfd(), kPositionPages * kPageBytes, bytes,
                           PROT_READ | PROT_WRITE))
      return -ENOMEM;
  }
  Rings &rings = Rings::get();
  std::lock_guard hold(rings.lock);
  rings.by_data[reinterpret_cast<u64>(data)] = map.get();
  *out = std::move(map);
  return 0;
}

RingbufMap::~RingbufMap() {
  if (positions_ != nullptr) ::munmap(positions_, kPositionPages * kPageBytes);
  if (data_ == nullptr) return;
  {
    Rings &rings = Rings::get();
    std::lock_guard hold(rings.lock);
    rings.by_data.erase(reinterpret_cast<u64>(data_));
  }
  Region::get().free_pages(data_);
}

RingbufMap *RingbufMap::find(const void *payload) {
  Rings &rings = Rings::get();
  std::lock_guard hold(rings.lock);
  const u64 address = reinterpret_cast<u64>(payload);
  auto after = rings.by_data.upper_bound(address);
  if (after == rings.by_data.begin()) return nullptr;
  RingbufMap *map = std::prev(after)->second;
  return address - reinterpret_cast<u64>(map->data_) < 2 * map->data_bytes() ? map : nullptr;
}

u64 &RingbufMap::position(int page) const { return *reinterpret_cast<u64 *>(positions_ + page * kPageBytes); }

RingbufMap::Record *RingbufMap::record_at(u64 position) const {
  return reinterpret_cast<Record *>(data_ + (position & (data_bytes() - 1)));
}

void *RingbufMap::reserve(u64 size) {
  if (size > kMaxRecord) return nullptr;
  const u64 length = total_bytes(static_cast<u32>(size));
  if (length > data_bytes()) return nullptr;
  const u64 consumed = consumer();
  machine::SpinGuard guard(lock_);
  const u64 produced = producer();
  while (pending_ < produced) {
    const u32 word = __atomic_load_n(&record_at(pending_)->length, __ATOMIC_ACQUIRE);
    if (word & BPF_RINGBUF_BUSY_BIT) break;
    pending_ += total_bytes(word & ~u32{BPF_RINGBUF_DISCARD_BIT});
  }
  const u64 end = produced + length;
  if (end - pending_ > data_bytes() - 1 || (!overwrites() && end - consumed > data_bytes() - 1)) return nullptr;
  u64 oldest = this->oldest();
  while (overwrites() && end - oldest > data_bytes() - 1)
    oldest += total_bytes(record_at(oldest)->length & ~u32{BPF_RINGBUF_DISCARD_BIT});
  // A consumer that sees the new producer's position sees this too.
  if (overwrites()) __atomic_store_n(&this->oldest(), oldest, __ATOMIC_RELAXED);
  Record *record = record_at(produced);
  record->page = static_cast<u32>((produced & (data_bytes() - 1)) / kPageBytes) + kPositionPages;
  __atomic_store_n(&record->length, static_cast<u32>(size) | BPF_RINGBUF_BUSY_BIT, __ATOMIC_RELAXED);
  __atomic_store_n(&position(1), end, __ATOMIC_RELEASE);
  return record->payload;
}

bool RingbufMap::commit(void *payload, u64 flags, bool discard) {
  const u64 at = static_cast<u64>(static_cast<char *>(payload) - data_) - BPF_RINGBUF_HDR_SZ;
  if (at % 8 != 0 || at >= data_bytes()) return false;
  Record *record = record_at(at);
  const u32 word = __atomic_load_n(&record->length, __ATOMIC_RELAXED);
  if (!(word & BPF_RINGBUF_BUSY_BIT)) return false;
  const u32 done = (word & ~u32{BPF_RINGBUF_BUSY_BIT}) | (discard ? u32{BPF_RINGBUF_DISCARD_BIT} : 0);
  __atomic_exchange_n(&record->length, done, __ATOMIC_SEQ_CST);
  // Who waits for exactly this record is told; who is behind finds it when it gets there.
  const bool caught_up = (consumer() & (data_bytes() - 1)) == at;
  if (flags & BPF_RB_FORCE_WAKEUP || (caught_up && !(flags & BPF_RB_NO_WAKEUP))) system().env().map_wakeup(*this);
  return true;
}

s64 RingbufMap::output(const void *data, u64 size, u64 flags) {
  if (flags & ~u64{BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP}) return -EINVAL;
  void *payload = reserve(size);
  if (payload == nullptr) return -EAGAIN;
  std::memcpy(payload, data, size);
  commit(payload, flags, false);
  return 0;
}

u64 RingbufMap::query(u64 flags) const {
  switch (flags) {
    case BPF_RB_AVAIL_DATA: return available();
    case BPF_RB_RING_SIZE: return data_bytes();
    case BPF_RB_CONS_POS: return consumer();
    case BPF_RB_PROD_POS: return producer();
    case BPF_RB_OVERWRITE_POS: return oldest();
    default: return 0;
  }
}

int RingbufMap::next_sample(void **payload, u32 *size) {
  const u64 produced = producer();
  if (produced % 8 != 0) return -EINVAL;
  const u64 consumed = consumer();
  if (consumed >= produced) return -ENODATA;
  Record *record = record_at(consumed);
  const u32 word = __atomic_load_n(&record->length, __ATOMIC_ACQUIRE);
  const u32 length = word & ~u32{BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT};
  const u64 total = total_bytes(length);
  if (total > produced - consumed) return -EINVAL;
  if (total > data_bytes() || length > Dynptr::kMaxBytes) return -E2BIG;
  if (word & BPF_RINGBUF_DISCARD_BIT) {
    __atomic_store_n(&position(0), consumed + total, __ATOMIC_RELEASE);
    return -EAGAIN;
  }
  if (word & BPF_RINGBUF_BUSY_BIT) return -ENODATA;
  *payload = record->payload;
  *size = length;
  return 0;
}

void RingbufMap::release(u32 size) { __atomic_store_n(&position(0), consumer() + total_bytes(size), __ATOMIC_RELEASE); }

bool RingbufMap::try_begin_drain() {
  machine::SpinGuard guard(lock_);
  if (draining_) return false;
  return draining_ = true;
}

void RingbufMap::end_drain(u64 flags, u64 nr_samples) {
  {
    machine::SpinGuard guard(lock_);
    draining_ = false;
  }
  if (flags & BPF_RB_FORCE_WAKEUP || (nr_samples > 0 && !(flags & BPF_RB_NO_WAKEUP))) system().env().map_wakeup(*this);
}

u64 RingbufMap::mmap_size() const { return kPositionPages * kPageBytes + 2 * data_bytes(); }

int RingbufMap::check_mmap(u64 *, u64 size, int prot, u64 offset, bool) {
  if (prot & PROT_WRITE) {
    const bool consumer_page = offset == 0 && size == kPageBytes;
    if (from_user() ? offset == 0 : !consumer_page) return -EPERM;
  }
  return offset + size > mmap_size() ? -EINVAL : 0;
}

std::vector<Map::MmapPiece> RingbufMap::mmap_pieces(u64 offset, u64 size) const {
  // The file ends where the second copy of the data would begin.
  const u64 end = kPositionPages * kPageBytes + data_bytes();
  if (offset >= end) return {{offset - data_bytes(), size}};
  if (offset + size <= end) return {{offset, size}};
  return {{offset, end - offset}, {kPositionPages * kPageBytes, offset + size - end}};
}

u32 RingbufMap::poll_events() const {
  if (from_user()) return available() < data_bytes() ? EPOLLOUT | EPOLLWRNORM : 0;
  return available() != 0 ? EPOLLIN | EPOLLRDNORM : 0;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_RINGBUF, ringbuf, RingbufMap::create, MAP_WRITTEN);
USCX_MAP_TYPE(BPF_MAP_TYPE_USER_RINGBUF, user_ringbuf, RingbufMap::create, MAP_WRITTEN);

}  // namespace uscx::bpf
