// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/map.h"

#include <bpf/btf.h>
#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "base/check.h"
#include "bpf/memory/region.h"
#include "bpf/memory/value_lock.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/btf_object.h"
#include "bpf/object/timers.h"

namespace uscx::bpf {

namespace {

RegionPool &handle_pool() {
  static RegionPool &pool = *new RegionPool(Half::kReadOnly, sizeof(MapHandle), alignof(MapHandle));
  return pool;
}

}  // namespace

Map::Map(BpfSystem &system, const MapAttr &attr)
    : Object(system, ObjectKind::kMap, attr.name), attr_(attr), uses_(find_map_type(attr.type)->uses) {
  handle_ = static_cast<MapHandle *>(handle_pool().alloc());
  *handle_ = {kMapHandleMagic, this, reinterpret_cast<u64>(handle_)};
  if (attr.btf != nullptr && attr.btf_value_type_id != 0)
    fields_ = find_fields(attr.btf->parsed(), attr.btf_value_type_id);
  std::erase_if(fields_, [&](const SpecialField &field) { return field.offset + field.size > value_size(); });
}

Map::~Map() {
  handle_->magic = 0;
  handle_pool().free(handle_);
}

void Map::user_released() {
  Object::user_released();
  system().timers().forget_map(this);
}

int Map::user_lookup(const void *key, void *value, u64 flags) {
  const bool locked = flags & BPF_F_LOCK;
  if (flags & ~u64{BPF_F_LOCK} || (locked && !has_field(FieldKind::kSpinLock))) return -EINVAL;
  void *element = lookup(key);
  if (element == nullptr) return -ENOENT;
  copy_out(element, value, flags);
  return 0;
}

int Map::user_update(const void *key, const void *value, u64 flags) { return update(key, value, flags); }

int Map::freeze() {
  if (frozen_) return -EBUSY;
  frozen_ = true;
  return 0;
}

int Map::check_mmap(u64 *, u64 size, int prot, u64 offset, bool) {
  if (mmap_size() == 0 || !fields_.empty()) return -ENOTSUP;
  if (prot & PROT_WRITE && (frozen_ || attr_.flags & BPF_F_RDONLY)) return -EPERM;
  return offset + size > mmap_size() ? -EINVAL : 0;
}

u64 Map::direct_value(u32, int *error) {
  *error = -EINVAL;
  return 0;
}

bool Map::fits_as_inner(const InnerPattern &like) const {
  if (type() != like.attr.type || key_size() != like.attr.key_size || value_size() != like.attr.value_size ||
      attr_.flags != like.attr.flags || fields_.size() != like.fields.size())
    return false;
  for (size_t i = 0; i < fields_.size(); i++) {
    if (fields_[i].kind != like.fields[i].kind || fields_[i].offset != like.fields[i].offset) return false;
  }
  // Programs are translated for the pattern's number of elements, unless it says otherwise.
  return !supports(MAP_DENSE) || attr_.flags & BPF_F_INNER_MAP || max_entries() == like.attr.max_entries;
}

bool Map::has_field(FieldKind kind) const {
  return std::any_of(fields_.begin(), fields_.end(), [&](const SpecialField &field) { return field.kind == kind; });
}

const SpecialField *Map::field_at(FieldKind kind, u64 offset) const {
  auto it = std::find_if(fields_.begin(), fields_.end(),
                         [&](const SpecialField &field) { return field.kind == kind && field.offset == offset; });
  return it == fields_.end() ? nullptr : &*it;
}

void copy_shared(void *to, const void *from, size_t bytes) {
  char *target = static_cast<char *>(to);
  const char *source = static_cast<const char *>(from);
  const bool aligned = (reinterpret_cast<u64>(to) | reinterpret_cast<u64>(from)) % sizeof(u64) == 0;
  for (; aligned && bytes >= sizeof(u64); bytes -= sizeof(u64), target += sizeof(u64), source += sizeof(u64))
    __atomic_store_n(reinterpret_cast<u64 *>(target),
                     __atomic_load_n(reinterpret_cast<const u64 *>(source), __ATOMIC_RELAXED), __ATOMIC_RELAXED);
  for (; bytes > 0; bytes--, target++, source++)
    __atomic_store_n(target, __atomic_load_n(source, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

void Map::copy_around_fields(void *to, const void *from) const {
  u32 at = 0;
  for (const SpecialField &field : fields_) {
    copy_shared(static_cast<char *>(to) + at, static_cast<const char *>(from) + at, field.offset - at);
    at = field.offset + field.size;
  }
  copy_shared(static_cast<char *>(to) + at, static_cast<const char *>(from) + at, value_size() - at);
}

namespace {

// Holds the lock word of a value, if `flags` ask for it. One that can never become free is passed by.
class ValueGuard {
 public:
  ValueGuard(const Map &map, const void *value, u64 flags) {
    if (!(flags & BPF_F_LOCK)) return;
    for (const SpecialField &field : map.fields()) {
      if (field.kind != FieldKind::kSpinLock) continue;
      u32 *lock = reinterpret_cast<u32 *>(static_cast<char *>(const_cast<void *>(value)) + field.offset);
      if (try_value_lock(lock)) held_ = lock;
      return;
    }
  }
  ~ValueGuard() {
    if (held_ != nullptr) value_unlock(held_);
  }
  ValueGuard(const ValueGuard &) = delete;
  ValueGuard &operator=(const ValueGuard &) = delete;

 private:
  u32 *held_ = nullptr;
};

}  // namespace

void Map::copy_value(void *to, const void *from, u64 flags) const {
  const ValueGuard guard(*this, to, flags);
  copy_around_fields(to, from);
}

void Map::copy_out(const void *element, void *value, u64 flags) const {
  {
    const ValueGuard guard(*this, element, flags);
    copy_around_fields(value, element);
  }
  for (const SpecialField &field : fields_) std::memset(static_cast<char *>(value) + field.offset, 0, field.size);
}

void Map::release_fields(void *value) { bpf::release_fields(system(), fields_, value); }

int Map::check_update_flags(u64 flags) const {
  if ((flags & ~u64{BPF_F_LOCK}) > BPF_EXIST) return -EINVAL;
  if ((flags & BPF_F_LOCK) && !has_field(FieldKind::kSpinLock)) return -EINVAL;
  return 0;
}

// --- Registry ---

namespace {
constinit MapTypeEntry *map_type_head = nullptr;
}

MapTypeRegistrar::MapTypeRegistrar(MapTypeEntry &entry) {
  entry.next = map_type_head;
  map_type_head = &entry;
}

const std::vector<const MapTypeEntry *> &list_map_types() {
  static const std::vector<const MapTypeEntry *> &all = *[] {
    auto *list = new std::vector<const MapTypeEntry *>();
    for (MapTypeEntry *entry = map_type_head; entry != nullptr; entry = entry->next) list->push_back(entry);
    std::sort(list->begin(), list->end(),
              [](const MapTypeEntry *a, const MapTypeEntry *b) { return a->type < b->type; });
    return list;
  }();
  return all;
}

const MapTypeEntry *find_map_type(u32 type) {
  for (const MapTypeEntry *entry : list_map_types()) {
    if (entry->type == type) return entry;
  }
  return nullptr;
}

const char *map_type_name(u32 type) {
  static constexpr const char *kNames[] = {"unspec",
                                           "hash",
                                           "array",
                                           "prog_array",
                                           "perf_event_array",
                                           "percpu_hash",
                                           "percpu_array",
                                           "stack_trace",
                                           "cgroup_array",
                                           "lru_hash",
                                           "lru_percpu_hash",
                                           "lpm_trie",
                                           "array_of_maps",
                                           "hash_of_maps",
                                           "devmap",
                                           "sockmap",
                                           "cpumap",
                                           "xskmap",
                                           "sockhash",
                                           "cgroup_storage",
                                           "reuseport_sockarray",
                                           "percpu_cgroup_storage",
                                           "queue",
                                           "stack",
                                           "sk_storage",
                                           "devmap_hash",
                                           "struct_ops",
                                           "ringbuf",
                                           "inode_storage",
                                           "task_storage",
                                           "bloom_filter",
                                           "user_ringbuf",
                                           "cgrp_storage",
                                           "arena",
                                           "insn_array"};
  return type < std::size(kNames) ? kNames[type] : nullptr;
}

}  // namespace uscx::bpf
