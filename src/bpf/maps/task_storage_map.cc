// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/task_storage_map.h"

#include <errno.h>

#include "bpf/bpf_system.h"

namespace uscx::bpf {

namespace {
// The kernel keeps an element and its bookkeeping within 64 KiB.
constexpr u32 kMaxValueSize = 0xffff - 256;
}  // namespace

int TaskStorageMap::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  if (attr.flags & ~(BPF_F_NO_PREALLOC | BPF_F_CLONE) || !(attr.flags & BPF_F_NO_PREALLOC) || attr.max_entries != 0 ||
      attr.key_size != sizeof(int) || attr.value_size == 0 || attr.btf_key_type_id == 0 || attr.btf_value_type_id == 0)
    return -EINVAL;
  if (attr.value_size > kMaxValueSize) return -E2BIG;
  *out = std::make_shared<TaskStorageMap>(system, attr);
  return 0;
}

TaskStorageMap::TaskStorageMap(BpfSystem &system, const MapAttr &attr)
    : Map(system, attr), pool_(Half::kReadWrite, (attr.value_size + 7) / 8 * 8, 8) {}

TaskStorageMap::~TaskStorageMap() {
  for (const auto &[task, value] : values_) release_fields(value);
}

void *TaskStorageMap::get(const void *task, bool create, const void *initial) {
  if (task == last_task_) return last_value_;
  auto it = values_.find(task);
  void *value = nullptr;
  if (it != values_.end()) {
    value = it->second;
  } else {
    if (!create) return nullptr;
    value = pool_.alloc();
    std::memset(value, 0, value_size());
    if (initial != nullptr) copy_around_fields(value, initial);
    values_.emplace(task, value);
  }
  last_task_ = task;
  last_value_ = value;
  return value;
}

int TaskStorageMap::remove(const void *task) {
  auto it = values_.find(task);
  if (it == values_.end()) return -ENOENT;
  void *value = it->second;
  values_.erase(it);
  if (last_task_ == task) last_task_ = nullptr;
  release_fields(value);
  std::shared_ptr<Object> self = shared_from_this();
  system().defer([this, self, value] { pool_.free(value); });
  return 0;
}

int TaskStorageMap::next_key(const void *, void *) { return -kENotSupp; }

int TaskStorageMap::user_lookup(const void *key, void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  const void *task = system().env().task_of_pidfd(*static_cast<const int *>(key));
  if (task == nullptr) return -EBADF;
  const void *found = get(task, false, nullptr);
  if (found == nullptr) return -ENOENT;
  copy_out(found, value);
  return 0;
}

int TaskStorageMap::user_update(const void *key, const void *value, u64 flags) {
  if (flags > BPF_EXIST) return -EINVAL;
  const void *task = system().env().task_of_pidfd(*static_cast<const int *>(key));
  if (task == nullptr) return -EBADF;
  void *found = get(task, false, nullptr);
  if (found != nullptr && flags == BPF_NOEXIST) return -EEXIST;
  if (found == nullptr && flags == BPF_EXIST) return -ENOENT;
  if (found != nullptr)
    copy_around_fields(found, value);
  else
    get(task, true, value);
  return 0;
}

int TaskStorageMap::user_erase(const void *key) {
  const void *task = system().env().task_of_pidfd(*static_cast<const int *>(key));
  return task == nullptr ? -EBADF : remove(task);
}

USCX_MAP_TYPE(BPF_MAP_TYPE_TASK_STORAGE, task_storage, TaskStorageMap::create);

}  // namespace uscx::bpf
