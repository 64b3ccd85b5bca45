// SPDX-License-Identifier: GPL-2.0-only
// TASK_STORAGE and CGRP_STORAGE: a value per task or cgroup (here: owner), found by the owner's address, gone with the
// owner. Never walked, so that addresses decide nothing. User space's key is a descriptor of a process or a cgroup.
//
// Threading: lookups read a hash table without a lock; making and removing a value take the map's lock. A table that
// has become too full is replaced as a whole, and freed like an element.
#ifndef USCX_BPF_MAPS_LOCAL_STORAGE_MAP_H_
#define USCX_BPF_MAPS_LOCAL_STORAGE_MAP_H_

#include "bpf/maps/rcu_list.h"
#include "bpf/memory/region.h"
#include "bpf/object/env.h"
#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {

class LocalStorageMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  LocalStorageMap(BpfSystem &system, const MapAttr &attr);
  ~LocalStorageMap() override;

  // The owner's value; made from `initial` (zero if null) where `create` says so.
  void *get(const void *owner, bool create, const void *initial);
  int remove(const void *owner);
  void owner_freed(const void *owner) override { remove(owner); }

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -EOPNOTSUPP; }
  int erase(const void *) override { return -EOPNOTSUPP; }
  int next_key(const void *, void *) override;
  int user_lookup(const void *key, void *value, u64 flags) override;
  int user_update(const void *key, const void *value, u64 flags) override;
  int user_erase(const void *key) override;
  void *value_around(const void *address) override;

 private:
  // One owner's value. It holds the map from when it is deferred on.
  struct Node : Deferred {
    std::atomic<Node *> next;
    const void *owner;
    void *value;
    std::shared_ptr<Object> map;
  };
  struct Table : Deferred {
    explicit Table(u32 bits) : shift(64 - bits), buckets(1u << bits) {}
    RcuList<Node> &bucket_of(const void *owner) {
      return buckets[reinterpret_cast<u64>(owner) * 0x9e3779b97f4a7c15ull >> shift];
    }
    const u32 shift;
    std::vector<RcuList<Node>> buckets;
  };
  static constexpr u32 kFirstBits = 6;

  // The owner behind a descriptor of user space; null if there is none.
  const void *owner_of(const void *key) const;
  Node *find(const void *owner) const;
  void *make(const void *owner, const void *initial);
  void grow();

  RegionPool pool_;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf local storage"};
  std::atomic<Table *> table_{new Table(kFirstBits)};  // replaced under lock_
  u64 nr_values_ = 0;                                  // guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_LOCAL_STORAGE_MAP_H_
