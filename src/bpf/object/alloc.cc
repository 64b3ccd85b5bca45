// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/alloc.h"

#include <algorithm>
#include <cstring>

#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

namespace {
constexpr u32 kMaxPercpuBytes = 512;
}  // namespace

bool AllocType::has(FieldKind kind, u64 offset) const {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const SpecialField &field) { return field.kind == kind && field.offset == offset; });
}

AllocTable::~AllocTable() {
  for (const auto &[address, object] : objects_) {
    const u64 copies = object.cpu_stride != 0 ? system_.nr_cpus() : 1;
    heap_.free(reinterpret_cast<void *>(address), std::max<u64>(object.type->size, object.cpu_stride) * copies);
  }
}

void *AllocTable::add(std::shared_ptr<const AllocType> type, u64 bytes, u64 cpu_stride) {
  std::lock_guard hold(lock_);
  void *object = heap_.alloc(bytes);
  std::memset(object, 0, bytes);
  objects_[reinterpret_cast<u64>(object)] = {std::move(type), 1, cpu_stride};
  return object;
}

void *AllocTable::make(std::shared_ptr<const AllocType> type) {
  const u64 bytes = type->size;
  return add(std::move(type), bytes, 0);
}

void *AllocTable::make_percpu(std::shared_ptr<const AllocType> type) {
  if (type->size > kMaxPercpuBytes) return nullptr;
  const u64 stride = (type->size + 7) / 8 * 8;
  return add(std::move(type), stride * system_.nr_cpus(), stride);
}

bool AllocTable::is_live(const void *object) const {
  std::lock_guard hold(lock_);
  return objects_.contains(reinterpret_cast<u64>(object));
}

size_t AllocTable::live() const {
  std::lock_guard hold(lock_);
  return objects_.size();
}

bool AllocTable::is_percpu(const void *object) const {
  std::lock_guard hold(lock_);
  auto it = objects_.find(reinterpret_cast<u64>(object));
  return it != objects_.end() && it->second.cpu_stride != 0;
}

void *AllocTable::percpu_copy(const void *object, u32 cpu) const {
  std::lock_guard hold(lock_);
  auto it = objects_.find(reinterpret_cast<u64>(object));
  if (it == objects_.end() || it->second.cpu_stride == 0) return nullptr;
  return reinterpret_cast<void *>(it->first + cpu * it->second.cpu_stride);
}

bool AllocTable::acquire(const void *object) {
  std::lock_guard hold(lock_);
  auto it = objects_.find(reinterpret_cast<u64>(object));
  if (it == objects_.end()) return false;
  const auto &fields = it->second.type->fields;
  if (std::none_of(fields.begin(), fields.end(),
                   [](const SpecialField &field) { return field.kind == FieldKind::kRefcount; }))
    return false;
  it->second.refs++;
  return true;
}

void AllocTable::drop(void *object) {
  Object ended;
  {
    std::lock_guard hold(lock_);
    auto it = objects_.find(reinterpret_cast<u64>(object));
    if (it == objects_.end() || --it->second.refs > 0) return;
    ended = std::move(it->second);
    objects_.erase(it);
  }
  // Not under the lock: an object may hold another.
  if (ended.cpu_stride == 0) release_fields(system_, ended.type->fields, object);
  const u64 bytes = ended.cpu_stride != 0 ? ended.cpu_stride * system_.nr_cpus() : ended.type->size;
  system_.defer_call([this, object, bytes] {
    std::lock_guard hold(lock_);
    heap_.free(object, bytes);
  });
}

void *AllocTable::owner_of(const void *field, FieldKind kind) const {
  std::lock_guard hold(lock_);
  const u64 address = reinterpret_cast<u64>(field);
  auto after = objects_.upper_bound(address);
  if (after == objects_.begin()) return nullptr;
  const auto &[start, object] = *std::prev(after);
  return object.cpu_stride == 0 && object.type->has(kind, address - start) ? reinterpret_cast<void *>(start) : nullptr;
}

}  // namespace uscx::bpf
