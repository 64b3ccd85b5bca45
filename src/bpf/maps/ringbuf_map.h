// SPDX-License-Identifier: GPL-2.0-only
// RINGBUF and USER_RINGBUF, in the layout that user space maps: the consumer's position in page 0, the producer's in
// page 1, then the data, which every mapping has twice, one behind the other, so that a record never seems to wrap.
// The memfd holds the data once; see mmap_pieces().
//
// A RINGBUF with BPF_F_RB_OVERWRITE never lacks room for want of a consumer: its oldest records make way for new ones,
// but for those that are still being written.
//
// A record is its length word (with the busy and discard bits), a page offset, and the payload, rounded up to 8. Only
// the data is visible to programs.
//
// Threading: lock_ orders producers among programs (RINGBUF) and keeps drains apart (USER_RINGBUF). Positions and
// length words are shared with user space: each is read with acquire and written with release, partner of the same in
// libbpf. Invariants: positions are never trusted to be in range; user space may write anything to the pages it may
// write.
#ifndef USCX_BPF_MAPS_RINGBUF_MAP_H_
#define USCX_BPF_MAPS_RINGBUF_MAP_H_

#include <algorithm>

#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {

class RingbufMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  RingbufMap(BpfSystem &system, const MapAttr &attr) : Map(system, attr) {}
  ~RingbufMap() override;

  bool from_user() const { return type() == BPF_MAP_TYPE_USER_RINGBUF; }

  // --- RINGBUF ---
  // The payload, or null.
  void *reserve(u64 size);
  // Ends a reservation; false if the address is not a record of this ring that is reserved.
  bool commit(void *payload, u64 flags, bool discard);
  s64 output(const void *data, u64 size, u64 flags);
  u64 query(u64 flags) const;
  // The ring that an address lies in, of any system; null if it is in none.
  static RingbufMap *find(const void *payload);

  // --- USER_RINGBUF ---
  // The next sample: its payload and size, or -errno (-ENODATA: none; -EAGAIN: one was discarded).
  int next_sample(void **payload, u32 *size);
  void release(u32 size);
  bool try_begin_drain();
  void end_drain(u64 flags, u64 nr_samples);

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -kENotSupp; }
  int erase(const void *) override { return -kENotSupp; }
  int next_key(const void *, void *) override { return -kENotSupp; }
  int user_lookup(const void *, void *, u64) override { return -kENotSupp; }
  u64 mmap_size() const override;
  int check_mmap(u64 *address, u64 size, int prot, u64 offset, bool own_process) override;
  std::vector<MmapPiece> mmap_pieces(u64 offset, u64 size) const override;
  u32 poll_events() const override;
  bool can_poll() const override { return true; }

 private:
  struct Record;
  u64 data_bytes() const { return max_entries(); }
  u64 &position(int page) const;
  u64 consumer() const { return __atomic_load_n(&position(0), __ATOMIC_ACQUIRE); }
  u64 producer() const { return __atomic_load_n(&position(1), __ATOMIC_ACQUIRE); }
  bool overwrites() const { return attr().flags & BPF_F_RB_OVERWRITE; }
  // Where the oldest record is that has not been written over; beside the producer's position.
  u64 &oldest() const { return (&position(1))[2]; }
  u64 available() const { return producer() - (overwrites() ? std::max(consumer(), oldest()) : consumer()); }
  Record *record_at(u64 position) const;

  mutable machine::SpinLock lock_{machine::SpinLock::Kind::kContended, "bpf_ringbuf"};
  char *positions_ = nullptr;  // our own view of the two pages
  char *data_ = nullptr;       // in the read-write half, twice
  u64 pending_ = 0;            // guarded by lock_: all before it has been committed
  bool draining_ = false;      // guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_RINGBUF_MAP_H_
