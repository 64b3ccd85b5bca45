// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/perf_event_array.h"

#include <errno.h>

#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

int PerfEventArray::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  constexpr u32 kFlags = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_PRESERVE_ELEMS;
  if (attr.max_entries == 0 || attr.key_size != 4 || attr.value_size != 4 || attr.flags & ~kFlags) return -EINVAL;
  *out = std::make_shared<PerfEventArray>(system, attr);
  return 0;
}

int PerfEventArray::event_for(u64 flags, std::shared_ptr<PerfEvent> *event) {
  if (flags & ~u64{BPF_F_INDEX_MASK}) return -EINVAL;
  const u64 index = flags == BPF_F_CURRENT_CPU ? system().running_cpu() : flags;
  if (index >= max_entries()) return -E2BIG;
  machine::SpinGuard guard(lock_);
  auto it = events_.find(static_cast<u32>(index));
  if (it == events_.end()) return -ENOENT;
  *event = it->second;
  return 0;
}

int PerfEventArray::user_update(const void *key, const void *value, u64 flags) {
  if (flags != BPF_ANY) return -EINVAL;
  const u32 index = *static_cast<const u32 *>(key);
  if (index >= max_entries()) return -E2BIG;
  s32 fd;
  std::memcpy(&fd, value, sizeof(fd));
  std::shared_ptr<PerfEvent> event = system().get<PerfEvent>(fd);
  if (event == nullptr) return -EBADF;
  machine::SpinGuard guard(lock_);
  events_[index] = std::move(event);
  return 0;
}

int PerfEventArray::erase(const void *key) {
  const u32 index = *static_cast<const u32 *>(key);
  if (index >= max_entries()) return -E2BIG;
  machine::SpinGuard guard(lock_);
  return events_.erase(index) != 0 ? 0 : -ENOENT;
}

int PerfEventArray::next_key(const void *key, void *next) {
  const u32 index = key != nullptr ? *static_cast<const u32 *>(key) : ~0u;
  if (index < max_entries() && index + 1 >= max_entries()) return -ENOENT;
  const u32 following = index < max_entries() ? index + 1 : 0;
  std::memcpy(next, &following, sizeof(following));
  return 0;
}

void PerfEventArray::user_released() {
  Map::user_released();
  if (attr().flags & BPF_F_PRESERVE_ELEMS) return;
  machine::SpinGuard guard(lock_);
  events_.clear();
}

USCX_MAP_TYPE(BPF_MAP_TYPE_PERF_EVENT_ARRAY, perf_event_array, PerfEventArray::create, MAP_KEYED);

}  // namespace uscx::bpf
