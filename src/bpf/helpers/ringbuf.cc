// SPDX-License-Identifier: GPL-2.0-only
// Helpers on ring buffers in both directions. A reserved record that a program does not give back (only a verifier
// would make it) is discarded at the end of its invocation, so that no consumer waits for it.
#include <errno.h>

#include <algorithm>

#include "bpf/exec/exec.h"
#include "bpf/maps/ringbuf_map.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/dynptr.h"
#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

RingbufMap *ring(const char *who, Map *map, u32 type) {
  if (map->type() != type)
    Invocation::current()->violation("helper {}: not for maps of type {}", who, map_type_name(map->type()));
  return static_cast<RingbufMap *>(map);
}

using HeldRecord = Holdings::HeldRecord;

std::vector<HeldRecord> &reserved() { return Invocation::current()->holdings().rarely().ring_records; }

// The ring may have gone with its map meanwhile.
void discard_record(void *payload) {
  if (RingbufMap *ring = RingbufMap::find(payload)) ring->commit(payload, 0, true);
}

void *reserve(RingbufMap *map, u64 size) {
  void *payload = map->reserve(size);
  if (payload != nullptr) reserved().push_back({payload, discard_record});
  return payload;
}

void finish(const char *who, void *payload, u64 flags, bool discard) {
  std::vector<HeldRecord> &records = reserved();
  auto it = std::ranges::find(records, payload, &HeldRecord::payload);
  RingbufMap *map = it != records.end() ? RingbufMap::find(payload) : nullptr;
  if (map == nullptr || !map->commit(payload, flags, discard))
    Invocation::current()->violation("helper {}: argument 1 is not a reserved record", who);
  records.erase(it);
}

void finish_dynptr(const char *who, Dynptr *ptr, u64 flags, bool discard) {
  Guard::writable(who, 1, ptr, sizeof(*ptr));
  if (ptr->data == nullptr) return;
  finish(who, ptr->data, flags, discard);
  *ptr = {};
}

}  // namespace

USCX_HELPER(BPF_FUNC_ringbuf_output, 0, ringbuf_output, s64, (Map * map, const void *data, u64 size, u64 flags)) {
  RingbufMap *to = ring("bpf_ringbuf_output", map, BPF_MAP_TYPE_RINGBUF);
  Guard::readable("bpf_ringbuf_output", 2, data, size);
  return to->output(data, size, flags);
}

USCX_HELPER(BPF_FUNC_ringbuf_reserve, HELPER_RET_RINGBUF_MEM_OR_NULL, ringbuf_reserve, void *,
            (Map * map, u64 size, u64 flags)) {
  RingbufMap *to = ring("bpf_ringbuf_reserve", map, BPF_MAP_TYPE_RINGBUF);
  return flags != 0 ? nullptr : reserve(to, size);
}

USCX_HELPER(BPF_FUNC_ringbuf_submit, 0, ringbuf_submit, void, (void *record, u64 flags)) {
  finish("bpf_ringbuf_submit", record, flags, false);
}

USCX_HELPER(BPF_FUNC_ringbuf_discard, 0, ringbuf_discard, void, (void *record, u64 flags)) {
  finish("bpf_ringbuf_discard", record, flags, true);
}

USCX_HELPER(BPF_FUNC_ringbuf_query, 0, ringbuf_query, u64, (Map * map, u64 flags)) {
  return ring("bpf_ringbuf_query", map, BPF_MAP_TYPE_RINGBUF)->query(flags);
}

USCX_HELPER(BPF_FUNC_ringbuf_reserve_dynptr, 0, ringbuf_reserve_dynptr, s64,
            (Map * map, u32 size, u64 flags, Dynptr *ptr)) {
  RingbufMap *to = ring("bpf_ringbuf_reserve_dynptr", map, BPF_MAP_TYPE_RINGBUF);
  Guard::writable("bpf_ringbuf_reserve_dynptr", 4, ptr, sizeof(*ptr));
  *ptr = {};
  if (flags != 0) return -EINVAL;
  if (size > Dynptr::kMaxBytes) return -E2BIG;
  void *record = reserve(to, size);
  if (record == nullptr) return -EINVAL;
  *ptr = Dynptr::make(record, Dynptr::kRingbuf, size);
  return 0;
}

USCX_HELPER(BPF_FUNC_ringbuf_submit_dynptr, 0, ringbuf_submit_dynptr, void, (Dynptr * ptr, u64 flags)) {
  finish_dynptr("bpf_ringbuf_submit_dynptr", ptr, flags, false);
}

USCX_HELPER(BPF_FUNC_ringbuf_discard_dynptr, 0, ringbuf_discard_dynptr, void, (Dynptr * ptr, u64 flags)) {
  finish_dynptr("bpf_ringbuf_discard_dynptr", ptr, flags, true);
}

namespace {

// Hands samples to the callback until it has enough or none is left: their number, or -errno.
s64 drain(RingbufMap *map, u32 subprog, u64 ctx, u64 *nr_seen) {
  constexpr u64 kMaxSamples = 128 * 1024;
  Invocation *invocation = Invocation::current();
  Dynptr *ptr = static_cast<Dynptr *>(callback_dynptrs().alloc());
  u64 discarded = 0;
  s64 result = 0;
  u64 samples = 0;
  for (; samples < kMaxSamples && result == 0; samples++) {
    void *payload;
    u32 size;
    const int err = map->next_sample(&payload, &size);
    if (err == -ENODATA) break;
    if (err == -EAGAIN) {
      discarded++;
      continue;
    }
    if (err != 0) {
      result = err;
      break;
    }
    *ptr = Dynptr::make(payload, Dynptr::kLocal, size);
    const RunResult called = invocation->call_back(subprog, {reinterpret_cast<u64>(ptr), ctx});
    if (called.aborted()) break;
    result = static_cast<s64>(called.r0);
    map->release(size);
  }
  callback_dynptrs().free(ptr);
  *nr_seen = samples - discarded;
  return result < 0 ? result : static_cast<s64>(*nr_seen);
}

}  // namespace

USCX_HELPER(BPF_FUNC_user_ringbuf_drain, 0, user_ringbuf_drain, s64, (Map * map, u64 callback, u64 ctx, u64 flags)) {
  RingbufMap *from = ring("bpf_user_ringbuf_drain", map, BPF_MAP_TYPE_USER_RINGBUF);
  Invocation *invocation = Invocation::current();
  const std::optional<u32> subprog = invocation->program()->callback_subprog(callback);
  if (!subprog.has_value()) invocation->violation("helper bpf_user_ringbuf_drain: argument 2 is not a function");
  if (flags & ~u64{BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP}) return -EINVAL;
  if (!from->try_begin_drain()) return -EBUSY;
  u64 nr_samples = 0;
  const s64 result = drain(from, *subprog, ctx, &nr_samples);
  from->end_drain(flags, nr_samples);
  if (invocation->aborted()) invocation->unwind();
  return result;
}

}  // namespace uscx::bpf
