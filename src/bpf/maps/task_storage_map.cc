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
    : Map(system, attr), pool_(Half::kReadWrite, (attr.value_size + 7) / 8 * 8, 8) {
  std::lock_guard hold(system.registry_lock_);
  system.task_storages_.push_back(this);
}

TaskStorageMap::~TaskStorageMap() {
  {
    std::lock_guard hold(system().registry_lock_);
    std::erase(system().task_storages_, this);
  }
  Table *const table = table_.load(std::memory_order_relaxed);
  for (RcuList<Node> &bucket : table->buckets) {
    while (Node *node = bucket.first()) {
      bucket.remove(node);
      release_fields(node->value);
      delete node;
    }
  }
  delete table;
}

TaskStorageMap::Node *TaskStorageMap::find(const void *task) const {
  Node *node = table_.load(std::memory_order_acquire)->bucket_of(task).first();
  while (node != nullptr && node->task != task) node = RcuList<Node>::next(node);
  return node;
}

void *TaskStorageMap::get(const void *task, bool create, const void *initial) {
  if (Node *node = find(task)) return node->value;
  return create ? make(task, initial) : nullptr;
}

void *TaskStorageMap::make(const void *task, const void *initial) {
  const machine::SpinGuard guard(lock_);
  // Another CPU may have been first.
  if (Node *node = find(task)) return node->value;
  Node *node = new Node;
  node->task = task;
  node->value = pool_.alloc();
  std::memset(node->value, 0, value_size());
  if (initial != nullptr) copy_around_fields(node->value, initial);
  Table *const table = table_.load(std::memory_order_relaxed);
  table->bucket_of(task).push_front(node);
  if (++nr_values_ > 2 * table->buckets.size()) grow();
  return node->value;
}

// Readers that are in the old table find all that was there when they began. Its nodes stay theirs; the new table has
// its own.
void TaskStorageMap::grow() {
  Table *const old = table_.load(std::memory_order_relaxed);
  Table *const bigger = new Table(64 - old->shift + 1);
  for (RcuList<Node> &bucket : old->buckets) {
    for (Node *node = bucket.first(); node != nullptr; node = RcuList<Node>::next(node)) {
      Node *copy = new Node;
      copy->task = node->task;
      copy->value = node->value;
      bigger->bucket_of(node->task).push_front(copy);
    }
  }
  machine::atomic_write(&table_);
  table_.store(bigger, std::memory_order_release);
  old->free = [](Deferred &item) {
    Table &table = static_cast<Table &>(item);
    for (RcuList<Node> &bucket : table.buckets) {
      while (Node *node = bucket.first()) {
        bucket.remove(node);
        delete node;
      }
    }
    delete &table;
  };
  system().defer(*old);
}

int TaskStorageMap::remove(const void *task) {
  Node *node;
  {
    const machine::SpinGuard guard(lock_);
    node = find(task);
    if (node == nullptr) return -ENOENT;
    table_.load(std::memory_order_relaxed)->bucket_of(task).remove(node);
    nr_values_--;
  }
  release_fields(node->value);
  node->map = shared_from_this();
  node->free = [](Deferred &item) {
    Node *const dead = static_cast<Node *>(&item);
    const std::shared_ptr<Object> map = std::move(dead->map);  // may end with this
    static_cast<TaskStorageMap &>(*map).pool_.free(dead->value);
    delete dead;
  };
  system().defer(*node);
  return 0;
}

void *TaskStorageMap::value_around(const void *address) {
  for (const RcuList<Node> &bucket : table_.load(std::memory_order_acquire)->buckets) {
    for (const Node *node = bucket.first(); node != nullptr; node = RcuList<Node>::next(node)) {
      const u64 offset = static_cast<const char *>(address) - static_cast<const char *>(node->value);
      if (offset < value_size()) return node->value;
    }
  }
  return nullptr;
}

int TaskStorageMap::next_key(const void *, void *) { return -kENotSupp; }

int TaskStorageMap::user_lookup(const void *key, void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  const void *task = system().env().task_of_pidfd(*static_cast<const int *>(key));
  if (task == nullptr) return -EBADF;
  const void *found = get(task, false, nullptr);
  if (found == nullptr) return -ENOENT;
  copy_out(found, value, 0);
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
