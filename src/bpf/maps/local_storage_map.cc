// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/local_storage_map.h"

#include <errno.h>

#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

namespace {
// The kernel keeps an element and its bookkeeping within 64 KiB.
constexpr u32 kMaxValueSize = 0xffff - 256;
}  // namespace

int LocalStorageMap::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  if (attr.flags & ~(BPF_F_NO_PREALLOC | BPF_F_CLONE) || !(attr.flags & BPF_F_NO_PREALLOC) || attr.max_entries != 0 ||
      attr.key_size != sizeof(int) || attr.value_size == 0 || attr.btf_key_type_id == 0 || attr.btf_value_type_id == 0)
    return -EINVAL;
  if (attr.value_size > kMaxValueSize) return -E2BIG;
  *out = std::make_shared<LocalStorageMap>(system, attr);
  return 0;
}

LocalStorageMap::LocalStorageMap(BpfSystem &system, const MapAttr &attr)
    : Map(system, attr), pool_(Half::kReadWrite, (attr.value_size + 7) / 8 * 8, 8) {
  std::lock_guard hold(system.registry_lock_);
  system.maps_with_owners_.push_back(this);
}

LocalStorageMap::~LocalStorageMap() {
  {
    std::lock_guard hold(system().registry_lock_);
    std::erase(system().maps_with_owners_, this);
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

const void *LocalStorageMap::owner_of(const void *key) const {
  const int fd = *static_cast<const int *>(key);
  Env &env = system().env();
  return type() == BPF_MAP_TYPE_TASK_STORAGE ? env.task_of_pidfd(fd) : env.cgroup_of_fd(fd);
}

LocalStorageMap::Node *LocalStorageMap::find(const void *owner) const {
  Node *node = table_.load(std::memory_order_acquire)->bucket_of(owner).first();
  while (node != nullptr && node->owner != owner) node = RcuList<Node>::next(node);
  return node;
}

void *LocalStorageMap::get(const void *owner, bool create, const void *initial) {
  if (Node *node = find(owner)) return node->value;
  return create ? make(owner, initial) : nullptr;
}

void *LocalStorageMap::make(const void *owner, const void *initial) {
  const machine::SpinGuard guard(lock_);
  // Another CPU may have been first.
  if (Node *node = find(owner)) return node->value;
  Node *node = new Node;
  node->owner = owner;
  node->value = pool_.alloc();
  std::memset(node->value, 0, value_size());
  if (initial != nullptr) copy_around_fields(node->value, initial);
  Table *const table = table_.load(std::memory_order_relaxed);
  table->bucket_of(owner).push_front(node);
  if (++nr_values_ > 2 * table->buckets.size()) grow();
  return node->value;
}

// Readers that are in the old table find all that was there when they began. Its nodes stay theirs; the new table has
// its own.
void LocalStorageMap::grow() {
  Table *const old = table_.load(std::memory_order_relaxed);
  Table *const bigger = new Table(64 - old->shift + 1);
  for (RcuList<Node> &bucket : old->buckets) {
    for (Node *node = bucket.first(); node != nullptr; node = RcuList<Node>::next(node)) {
      Node *copy = new Node;
      copy->owner = node->owner;
      copy->value = node->value;
      bigger->bucket_of(node->owner).push_front(copy);
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

int LocalStorageMap::remove(const void *owner) {
  Node *node;
  {
    const machine::SpinGuard guard(lock_);
    node = find(owner);
    if (node == nullptr) return -ENOENT;
    table_.load(std::memory_order_relaxed)->bucket_of(owner).remove(node);
    nr_values_--;
  }
  release_fields(node->value);
  node->map = shared_from_this();
  node->free = [](Deferred &item) {
    Node *const dead = static_cast<Node *>(&item);
    const std::shared_ptr<Object> map = std::move(dead->map);  // may end with this
    static_cast<LocalStorageMap &>(*map).pool_.free(dead->value);
    delete dead;
  };
  system().defer(*node);
  return 0;
}

void *LocalStorageMap::value_around(const void *address) {
  for (const RcuList<Node> &bucket : table_.load(std::memory_order_acquire)->buckets) {
    for (const Node *node = bucket.first(); node != nullptr; node = RcuList<Node>::next(node)) {
      const u64 offset = static_cast<const char *>(address) - static_cast<const char *>(node->value);
      if (offset < value_size()) return node->value;
    }
  }
  return nullptr;
}

int LocalStorageMap::next_key(const void *, void *) { return -kENotSupp; }

int LocalStorageMap::user_lookup(const void *key, void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  const void *owner = owner_of(key);
  if (owner == nullptr) return -EBADF;
  const void *found = get(owner, false, nullptr);
  if (found == nullptr) return -ENOENT;
  copy_out(found, value, 0);
  return 0;
}

int LocalStorageMap::user_update(const void *key, const void *value, u64 flags) {
  if (flags > BPF_EXIST) return -EINVAL;
  const void *owner = owner_of(key);
  if (owner == nullptr) return -EBADF;
  void *found = get(owner, false, nullptr);
  if (found != nullptr && flags == BPF_NOEXIST) return -EEXIST;
  if (found == nullptr && flags == BPF_EXIST) return -ENOENT;
  if (found != nullptr)
    copy_around_fields(found, value);
  else
    get(owner, true, value);
  return 0;
}

int LocalStorageMap::user_erase(const void *key) {
  const void *owner = owner_of(key);
  return owner == nullptr ? -EBADF : remove(owner);
}

USCX_MAP_TYPE(BPF_MAP_TYPE_TASK_STORAGE, task_storage, LocalStorageMap::create, MAP_WRITTEN);
USCX_MAP_TYPE(BPF_MAP_TYPE_CGRP_STORAGE, cgrp_storage, LocalStorageMap::create, MAP_WRITTEN);

}  // namespace uscx::bpf
