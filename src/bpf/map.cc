// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/map.h"

#include <bpf/btf.h>
#include <errno.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "bpf/bpf_system.h"
#include "bpf/btf_object.h"
#include "bpf/region.h"
#include "bpf/timers.h"
#include "bpf/value_lock.h"

namespace uscx::bpf {

namespace {

RegionPool &handle_pool() {
  static RegionPool &pool = *new RegionPool(Half::kReadOnly, sizeof(MapHandle), alignof(MapHandle));
  return pool;
}

// A field that a type as a whole stands for.
bool special_type(const struct btf *btf, const btf_type *type, FieldKind *kind) {
  if (btf_is_ptr(type)) {
    const btf_type *target = btf__type_by_id(btf, type->type);
    if (!btf_is_type_tag(target)) return false;
    const std::string_view tag = btf__name_by_offset(btf, target->name_off);
    *kind = FieldKind::kKptr;
    return tag == "kptr" || tag == "kptr_untrusted" || tag == "percpu_kptr";
  }
  if (!btf_is_struct(type)) return false;
  const std::string_view name = btf__name_by_offset(btf, type->name_off);
  if (name == "bpf_spin_lock")
    *kind = FieldKind::kSpinLock;
  else if (name == "bpf_timer")
    *kind = FieldKind::kTimer;
  else
    return false;
  return true;
}

void find_fields(const struct btf *btf, u32 id, u32 offset, int depth, std::vector<SpecialField> *fields) {
  static constexpr int kMaxDepth = 8;
  const s32 resolved = depth > kMaxDepth ? -1 : btf__resolve_type(btf, id);
  const btf_type *type = resolved < 0 ? nullptr : btf__type_by_id(btf, static_cast<u32>(resolved));
  if (type == nullptr) return;
  FieldKind kind;
  if (special_type(btf, type, &kind)) {
    const u32 size = kind == FieldKind::kSpinLock ? 4 : kind == FieldKind::kTimer ? 16 : 8;
    fields->push_back({kind, offset, size});
  } else if (btf_is_struct(type)) {
    for (u32 i = 0; i < btf_vlen(type); i++) {
      if (btf_member_bitfield_size(type, i) == 0)
        find_fields(btf, btf_members(type)[i].type, offset + btf_member_bit_offset(type, i) / 8, depth + 1, fields);
    }
  } else if (btf_is_datasec(type)) {
    for (u32 i = 0; i < btf_vlen(type); i++) {
      const btf_var_secinfo &info = btf_var_secinfos(type)[i];
      find_fields(btf, btf__type_by_id(btf, info.type)->type, offset + info.offset, depth + 1, fields);
    }
  } else if (btf_is_array(type)) {
    const struct btf_array *array = btf_array(type);
    const s64 element = btf__resolve_size(btf, array->type);
    std::vector<SpecialField> first;
    find_fields(btf, array->type, 0, depth + 1, &first);
    for (u32 i = 0; element > 0 && !first.empty() && i < array->nelems; i++) {
      for (const SpecialField &field : first)
        fields->push_back({field.kind, offset + static_cast<u32>(i * element) + field.offset, field.size});
    }
  }
}

}  // namespace

Map::Map(BpfSystem &system, const MapAttr &attr) : Object(system, ObjectKind::kMap, attr.name), attr_(attr) {
  handle_ = static_cast<MapHandle *>(handle_pool().alloc());
  *handle_ = {kMapHandleMagic, this, reinterpret_cast<u64>(handle_)};
  if (attr.btf != nullptr && attr.btf_value_type_id != 0)
    find_fields(attr.btf->parsed(), attr.btf_value_type_id, 0, 0, &fields_);
  std::sort(fields_.begin(), fields_.end(),
            [](const SpecialField &a, const SpecialField &b) { return a.offset < b.offset; });
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

u64 Map::direct_value(u32, int *error) {
  *error = -EINVAL;
  return 0;
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

void Map::release_fields(void *value) {
  for (const SpecialField &field : fields_) {
    char *at = static_cast<char *>(value) + field.offset;
    // Whoever holds the value's lock now still lets go of it.
    if (field.kind == FieldKind::kSpinLock) continue;
    if (field.kind == FieldKind::kTimer) system().timers().forget(at);
    for (u32 word = 0; word < field.size; word += sizeof(u64))
      __atomic_store_n(reinterpret_cast<u64 *>(at + word), 0, __ATOMIC_RELAXED);
  }
}

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
