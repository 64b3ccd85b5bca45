// SPDX-License-Identifier: GPL-2.0-only
// HASH, LRU_HASH, PERCPU_HASH and LRU_PERCPU_HASH. An element is one slot of the map's pool: the key, then the value
// (or each CPU's). Replacing a value makes a new element, as in the kernel, so that a program that holds the old value
// goes on reading it; old elements return to the pool once no program can be using them. Buckets are walked by number
// and each from its newest element, so iteration depends on keys and operations alone: the hash has a fixed seed.
//
// Threading: lookups and walks read a bucket's list without a lock; changes take the bucket's lock. Many buckets share
// one. The order of use of LRU_HASH has its own lock, which is never held together with a bucket's: an element is in a
// bucket first and in that order afterwards, and leaves the bucket first.
//
// FIDELITY: lru-exact. LRU_HASH evicts exactly the least recently used element; the kernel approximates that with lists
// per CPU.
#include <errno.h>

#include <bit>
#include <map>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "bpf/maps/rcu_list.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {
namespace {

constexpr u32 kAccessFlags = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
constexpr u32 kMaxKeySize = 512;
constexpr u32 kMaxPerCpuValue = 32u << 10;
// The largest object of the kernel's allocator, less what it keeps beside a value.
constexpr u64 kMaxElementBytes = (4u << 20) - 64;
constexpr u64 kMaxBuckets = 1u << 20;
constexpr u64 kMaxLocks = 256;

u64 round_up8(u64 value) { return (value + 7) & ~7ull; }

class HashMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
    if (int err = check_attr(attr); err != 0) return err;
    *out = std::make_shared<HashMap>(system, attr);
    return 0;
  }

  HashMap(BpfSystem &system, const MapAttr &attr)
      : Map(system, attr),
        lru_(is_lru(attr.type)),
        nr_copies_(is_per_cpu(attr.type) ? system.nr_cpus() : 1),
        key_bytes_(round_up8(attr.key_size)),
        value_stride_(round_up8(attr.value_size)),
        pool_(attr.flags & BPF_F_RDONLY_PROG ? Half::kReadOnly : Half::kReadWrite,
              key_bytes_ + value_stride_ * nr_copies_, 8),
        buckets_(std::min<u64>(std::bit_ceil(u64{attr.max_entries}), kMaxBuckets)),
        locks_(std::min<u64>(buckets_.size(), kMaxLocks)) {}

  ~HashMap() override {
    for (Bucket &bucket : buckets_) {
      while (Node *node = bucket.first()) {
        bucket.remove(node);
        if (!per_cpu()) release_fields(value_of_node(node));
        delete node;
      }
    }
  }

  void *lookup(const void *key) override { return value_for_cpu(key, system().running_cpu()); }
  void *lookup_percpu(const void *key, u32 cpu) override {
    return per_cpu() && cpu < nr_copies_ ? value_for_cpu(key, cpu) : nullptr;
  }
  int update(const void *key, const void *value, u64 flags) override {
    return put(key, flags, [&](char *element) {
      if (per_cpu())
        copy_shared(element + key_bytes_ + system().running_cpu() * value_stride_, value, value_size());
      else
        copy_value(element + key_bytes_, value, flags);
    });
  }
  int erase(const void *key) override {
    const u64 index = index_of(key);
    Node *node;
    {
      const machine::SpinGuard guard(lock_of(index));
      node = find(index, key);
      if (node == nullptr) return -ENOENT;
      take_out(index, node);
    }
    nr_elements_.fetch_sub(1, std::memory_order_relaxed);
    retire(node);
    return 0;
  }
  int next_key(const void *key, void *next) override;
  s64 for_each(Visitor &visitor) override;

  u64 user_value_size() const override { return per_cpu() ? value_stride_ * nr_copies_ : value_size(); }
  int user_lookup(const void *key, void *value, u64 flags) override {
    if (!per_cpu()) return lookup_without_use(key, value, flags);
    if (flags != 0) return -EINVAL;
    const Node *node = find(index_of(key), key);
    if (node == nullptr) return -ENOENT;
    copy_shared(value, node->element + key_bytes_, value_stride_ * nr_copies_);
    return 0;
  }
  int user_update(const void *key, const void *value, u64 flags) override {
    if (!per_cpu()) return update(key, value, flags);
    return put(key, flags, [&](char *element) {
      for (u32 cpu = 0; cpu < nr_copies_; cpu++)
        copy_shared(element + key_bytes_ + cpu * value_stride_, static_cast<const char *>(value) + cpu * value_stride_,
                    value_size());
    });
  }
  int user_lookup_and_delete(const void *key, void *value, u64 flags) override {
    if (int err = user_lookup(key, value, flags); err != 0) return err;
    return erase(key);
  }

  void *value_of(const void *address) override {
    // Timers sit in values of elements that are in the map; the walk is the price of no index, paid at init only.
    for (const Bucket &bucket : buckets_) {
      for (const Node *node = bucket.first(); node != nullptr; node = Bucket::next(node)) {
        char *value = value_of_node(node);
        if (address >= value && address < value + value_stride_ * nr_copies_) return value;
      }
    }
    return nullptr;
  }
  void *key_of(void *value) override { return static_cast<char *>(value) - key_bytes_; }
  u32 nr_buckets() const override { return static_cast<u32>(buckets_.size()); }
  std::vector<std::vector<u64>> bucket_keys(u32 index) override {
    std::vector<std::vector<u64>> keys;
    for (const Node *node = buckets_[index].first(); node != nullptr; node = Bucket::next(node)) {
      keys.emplace_back(key_bytes_ / sizeof(u64));
      std::memcpy(keys.back().data(), node->element, key_size());
    }
    return keys;
  }
  bool values_writable() const override { return !(attr().flags & BPF_F_RDONLY_PROG); }

 private:
  // An element's place in its bucket and in the order of use; in our own memory, where no program can write.
  struct Node : Deferred {
    std::atomic<Node *> next;
    char *element;
    bool there = true;             // In its bucket; under that one's lock.
    std::atomic<u64> used_at = 0;  // Of LRU_HASH: counts uses.
    u64 listed_at = 0;             // Its key in by_use_, 0: not there. Under use_lock_.
    bool retired = false;          // Not to be listed any more. Under use_lock_.
    std::shared_ptr<Object> map;   // Held from when it is deferred on.
  };
  using Bucket = RcuList<Node>;
  struct BucketLock : machine::SpinLock {
    BucketLock() : SpinLock(Kind::kPrivate, "bpf hash bucket") {}
  };

  static int check_attr(const MapAttr &attr) {
    const bool lru = is_lru(attr.type);
    const u32 allowed = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | kAccessFlags;
    if (attr.flags & ~allowed || (attr.flags & BPF_F_RDONLY && attr.flags & BPF_F_WRONLY) ||
        (attr.flags & BPF_F_RDONLY_PROG && attr.flags & BPF_F_WRONLY_PROG))
      return -EINVAL;
    if (attr.flags & BPF_F_NO_COMMON_LRU && !lru) return -EINVAL;
    if (attr.flags & BPF_F_NO_PREALLOC && lru) return -kENotSupp;
    if (attr.max_entries == 0 || attr.key_size == 0 || attr.value_size == 0) return -EINVAL;
    if (attr.key_size > kMaxKeySize || u64{attr.key_size} + attr.value_size >= kMaxElementBytes) return -E2BIG;
    if (is_per_cpu(attr.type) && round_up8(attr.value_size) > kMaxPerCpuValue) return -E2BIG;
    return attr.max_entries > 1u << 31 ? -E2BIG : 0;
  }

  static bool is_lru(u32 type) { return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }
  static bool is_per_cpu(u32 type) { return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH; }
  bool per_cpu() const { return is_per_cpu(type()); }
  u64 hash_of(const void *key) const {
    Hash64 hash;
    hash.add_bytes(key, key_size());
    return hash.value();
  }
  u64 index_of(const void *key) const { return hash_of(key) & (buckets_.size() - 1); }
  BucketLock &lock_of(u64 index) { return locks_[index & (locks_.size() - 1)]; }
  char *value_of_node(const Node *node) const { return node->element + key_bytes_; }
  Node *find(u64 index, const void *key) const {
    Node *node = buckets_[index].first();
    while (node != nullptr && std::memcmp(node->element, key, key_size()) != 0) node = Bucket::next(node);
    return node;
  }
  void *value_for_cpu(const void *key, u32 cpu) {
    Node *node = find(index_of(key), key);
    if (node == nullptr) return nullptr;
    if (lru_) used(node);
    return value_of_node(node) + (per_cpu() ? cpu * value_stride_ : 0);
  }
  // User space's lookups do not count as a use.
  int lookup_without_use(const void *key, void *value, u64 flags) {
    if (flags & ~u64{BPF_F_LOCK} || (flags & BPF_F_LOCK && !has_field(FieldKind::kSpinLock))) return -EINVAL;
    const Node *node = find(index_of(key), key);
    if (node == nullptr) return -ENOENT;
    copy_out(value_of_node(node), value, flags);
    return 0;
  }

  template <typename Fill>
  int put(const void *key, u64 flags, Fill fill);
  // Room for one more element, given back if it is not used.
  class Room {
   public:
    explicit Room(HashMap &map) : map_(map) {}
    ~Room() {
      if (taken_) map_.nr_elements_.fetch_sub(1, std::memory_order_relaxed);
    }
    Room(const Room &) = delete;
    Room &operator=(const Room &) = delete;
    bool take() {
      taken_ = map_.nr_elements_.fetch_add(1, std::memory_order_relaxed) < map_.max_entries();
      if (!taken_) map_.nr_elements_.fetch_sub(1, std::memory_order_relaxed);
      return taken_;
    }
    bool taken() const { return taken_; }
    void adopt() { taken_ = true; }  // That of an element that was evicted.
    void use() { taken_ = false; }

   private:
    HashMap &map_;
    bool taken_ = false;
  };
  // Its bucket's lock is held.
  void take_out(u64 index, Node *node) {
    buckets_[index].remove(node);
    node->there = false;
  }
  template <typename Fill>
  Node *make(const void *key, Fill fill) {
    Node *node = new Node;
    node->element = static_cast<char *>(pool_.alloc());
    std::memset(node->element, 0, key_bytes_ + value_stride_ * nr_copies_);
    std::memcpy(node->element, key, key_size());
    fill(node->element);
    return node;
  }
  // The element has left its bucket.
  void retire(Node *node) {
    if (lru_) {
      const machine::SpinGuard guard(use_lock_);
      node->retired = true;
      if (node->listed_at != 0) by_use_.erase(node->listed_at);
    }
    if (!per_cpu()) release_fields(value_of_node(node));
    node->map = shared_from_this();
    node->free = [](Deferred &item) {
      Node *const dead = static_cast<Node *>(&item);
      const std::shared_ptr<Object> map = std::move(dead->map);  // may end with this
      static_cast<HashMap &>(*map).pool_.free(dead->element);
      delete dead;
    };
    system().defer(*node);
  }

  // --- Use order of LRU_HASH. A use takes no lock: it leaves its number in the element. by_use_ has elements by the
  // number that they had when they were listed; the first one whose number is still the same is the oldest. ---
  void used(Node *node) {
    node->used_at.store(1 + uses_.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
  }
  void list(Node *node) {
    used(node);
    const machine::SpinGuard guard(use_lock_);
    if (node->retired) return;
    node->listed_at = node->used_at.load(std::memory_order_relaxed);
    by_use_[node->listed_at] = node;
  }
  Node *take_oldest() {
    const machine::SpinGuard guard(use_lock_);
    while (!by_use_.empty()) {
      Node *node = by_use_.begin()->second;
      by_use_.erase(by_use_.begin());
      const u64 used_at = node->used_at.load(std::memory_order_relaxed);
      const bool oldest = used_at == node->listed_at;
      node->listed_at = oldest ? 0 : used_at;
      if (oldest) return node;
      by_use_[used_at] = node;
    }
    return nullptr;
  }
  // Makes room by removing the oldest element; the room is the caller's. False if all are just coming or going.
  bool evict() {
    while (Node *node = take_oldest()) {
      const u64 index = index_of(node->element);
      {
        const machine::SpinGuard guard(lock_of(index));
        if (!node->there) continue;
        take_out(index, node);
      }
      retire(node);
      return true;
    }
    return false;
  }

  const bool lru_;
  const u32 nr_copies_;
  const u64 key_bytes_;
  const u64 value_stride_;
  RegionPool pool_;
  std::vector<Bucket> buckets_;
  std::vector<BucketLock> locks_;
  std::atomic<u32> nr_elements_ = 0;
  std::atomic<u64> uses_ = 0;
  machine::SpinLock use_lock_{machine::SpinLock::Kind::kPrivate, "bpf lru"};
  std::map<u64, Node *> by_use_;  // guarded by use_lock_
};

template <typename Fill>
int HashMap::put(const void *key, u64 flags, Fill fill) {
  if (int err = check_update_flags(flags); err != 0) return err;
  const u64 index = index_of(key);
  const u64 mode = flags & ~u64{BPF_F_LOCK};
  Room room(*this);
  for (;;) {
    Node *old, *fresh = nullptr;
    {
      const machine::SpinGuard guard(lock_of(index));
      old = find(index, key);
      if (old != nullptr && mode == BPF_NOEXIST) return -EEXIST;
      if (old == nullptr && mode == BPF_EXIST) return -ENOENT;
      if (old != nullptr && (per_cpu() || flags & BPF_F_LOCK)) {
        fill(old->element);  // per-CPU copies, and values under their lock
        return 0;
      }
      if (old != nullptr || room.taken() || room.take()) {
        fresh = make(key, fill);
        buckets_[index].push_front(fresh);
        old != nullptr ? take_out(index, old) : room.use();
      }
    }
    if (fresh != nullptr) {
      if (old != nullptr) retire(old);
      if (lru_) list(fresh);
      return 0;
    }
    // An eviction takes the locks of other buckets, so this one's had to go.
    if (!lru_) return -E2BIG;
    if (!evict()) return -ENOMEM;
    room.adopt();
  }
}

int HashMap::next_key(const void *key, void *next) {
  const Node *node = nullptr;
  u64 bucket = 0;
  if (key != nullptr) {
    const u64 index = index_of(key);
    if (const Node *found = find(index, key)) {
      node = Bucket::next(found);
      bucket = index + 1;
    }
  }
  while (node == nullptr && bucket < buckets_.size()) node = buckets_[bucket++].first();
  if (node == nullptr) return -ENOENT;
  std::memcpy(next, node->element, key_size());
  return 0;
}

s64 HashMap::for_each(Visitor &visitor) {
  s64 nr_calls = 0;
  const u64 copy = per_cpu() ? system().running_cpu() * value_stride_ : 0;
  for (const Bucket &bucket : buckets_) {
    // A callback may delete the element that it is at, which then still leads on.
    for (const Node *node = bucket.first(); node != nullptr; node = Bucket::next(node)) {
      nr_calls++;
      if (visitor.visit(node->element, value_of_node(node) + copy) != 0) return nr_calls;
    }
  }
  return nr_calls;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_HASH, hash, HashMap::create, MAP_KEYED | MAP_WRITTEN | MAP_ITERATED);
USCX_MAP_TYPE(BPF_MAP_TYPE_LRU_HASH, lru_hash, HashMap::create, MAP_KEYED | MAP_WRITTEN | MAP_ITERATED);
USCX_MAP_TYPE(BPF_MAP_TYPE_PERCPU_HASH, percpu_hash, HashMap::create, MAP_KEYED | MAP_WRITTEN | MAP_ITERATED);
USCX_MAP_TYPE(BPF_MAP_TYPE_LRU_PERCPU_HASH, lru_percpu_hash, HashMap::create, MAP_KEYED | MAP_WRITTEN | MAP_ITERATED);

}  // namespace
}  // namespace uscx::bpf
