// SPDX-License-Identifier: GPL-2.0-only
// HASH, LRU_HASH and PERCPU_HASH. An element is one slot of the map's pool: the key, then the value (or each CPU's).
// Replacing a value makes a new element, as in the kernel, so that a program that holds the old value goes on reading
// it; old elements return to the pool once no invocation runs. Buckets are walked by number and each from its newest
// element, so iteration depends on keys and operations alone: the hash has a fixed seed.
//
// FIDELITY: lru-exact. LRU_HASH evicts exactly the least recently used element; the kernel approximates that with lists
// per CPU.
#include <errno.h>

#include <bit>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "bpf/bpf_system.h"
#include "bpf/map.h"
#include "bpf/region.h"

namespace uscx::bpf {
namespace {

constexpr u32 kAccessFlags = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
constexpr u32 kMaxKeySize = 512;
constexpr u32 kMaxPerCpuValue = 32u << 10;
// The largest object of the kernel's allocator, less what it keeps beside a value.
constexpr u64 kMaxElementBytes = (4u << 20) - 64;
constexpr u64 kMaxBuckets = 1u << 20;

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
        lru_(attr.type == BPF_MAP_TYPE_LRU_HASH),
        nr_copies_(attr.type == BPF_MAP_TYPE_PERCPU_HASH ? system.nr_cpus() : 1),
        key_bytes_(round_up8(attr.key_size)),
        value_stride_(round_up8(attr.value_size)),
        pool_(attr.flags & BPF_F_RDONLY_PROG ? Half::kReadOnly : Half::kReadWrite,
              key_bytes_ + value_stride_ * nr_copies_, 8),
        buckets_(std::min<u64>(std::bit_ceil(u64{attr.max_entries}), kMaxBuckets)) {}

  ~HashMap() override {
    for (const Bucket &bucket : buckets_) {
      for (char *element : bucket) release(element);
    }
  }

  void *lookup(const void *key) override { return value_for_cpu(key, system().running_cpu()); }
  void *lookup_percpu(const void *key, u32 cpu) override {
    return per_cpu() && cpu < nr_copies_ ? value_for_cpu(key, cpu) : nullptr;
  }
  int update(const void *key, const void *value, u64 flags) override {
    return put(key, flags, [&](char *element, const char *old) {
      if (!per_cpu())
        copy_around_fields(element + key_bytes_, value);
      else
        copy_percpu(element, old, value);
    });
  }
  int erase(const void *key) override {
    Bucket &bucket = bucket_of(key);
    const ssize_t at = find(bucket, key);
    if (at < 0) return -ENOENT;
    remove(bucket, at);
    return 0;
  }
  int next_key(const void *key, void *next) override;
  s64 for_each(Visitor &visitor) override;

  u64 user_value_size() const override { return per_cpu() ? value_stride_ * nr_copies_ : value_size(); }
  int user_lookup(const void *key, void *value, u64 flags) override {
    if (!per_cpu()) return lookup_without_use(key, value, flags);
    if (flags != 0) return -EINVAL;
    Bucket &bucket = bucket_of(key);
    const ssize_t at = find(bucket, key);
    if (at < 0) return -ENOENT;
    std::memcpy(value, bucket[at] + key_bytes_, value_stride_ * nr_copies_);
    return 0;
  }
  int user_update(const void *key, const void *value, u64 flags) override {
    if (!per_cpu()) return update(key, value, flags);
    return put(key, flags, [&](char *element, const char *) {
      for (u32 cpu = 0; cpu < nr_copies_; cpu++)
        std::memcpy(element + key_bytes_ + cpu * value_stride_, static_cast<const char *>(value) + cpu * value_stride_,
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
      for (char *element : bucket) {
        const char *value = element + key_bytes_;
        if (address >= value && address < value + value_size()) return element + key_bytes_;
      }
    }
    return nullptr;
  }
  void *key_of(void *value) override { return static_cast<char *>(value) - key_bytes_; }
  bool values_writable() const override { return !(attr().flags & BPF_F_RDONLY_PROG); }

 private:
  using Bucket = std::vector<char *>;  // newest last

  static int check_attr(const MapAttr &attr) {
    const bool lru = attr.type == BPF_MAP_TYPE_LRU_HASH;
    const u32 allowed = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | kAccessFlags;
    if (attr.flags & ~allowed || (attr.flags & BPF_F_RDONLY && attr.flags & BPF_F_WRONLY) ||
        (attr.flags & BPF_F_RDONLY_PROG && attr.flags & BPF_F_WRONLY_PROG))
      return -EINVAL;
    if (attr.flags & BPF_F_NO_COMMON_LRU && !lru) return -EINVAL;
    if (attr.flags & BPF_F_NO_PREALLOC && lru) return -kENotSupp;
    if (attr.max_entries == 0 || attr.key_size == 0 || attr.value_size == 0) return -EINVAL;
    if (attr.key_size > kMaxKeySize || u64{attr.key_size} + attr.value_size >= kMaxElementBytes) return -E2BIG;
    if (attr.type == BPF_MAP_TYPE_PERCPU_HASH && round_up8(attr.value_size) > kMaxPerCpuValue) return -E2BIG;
    return attr.max_entries > 1u << 31 ? -E2BIG : 0;
  }

  bool per_cpu() const { return type() == BPF_MAP_TYPE_PERCPU_HASH; }
  u64 index_of(const void *key) const {
    Hash64 hash;
    hash.add_bytes(key, key_size());
    return hash.value() & (buckets_.size() - 1);
  }
  Bucket &bucket_of(const void *key) { return buckets_[index_of(key)]; }
  ssize_t find(const Bucket &bucket, const void *key) const {
    for (size_t i = bucket.size(); i > 0; i--) {
      if (std::memcmp(bucket[i - 1], key, key_size()) == 0) return static_cast<ssize_t>(i - 1);
    }
    return -1;
  }
  void *value_for_cpu(const void *key, u32 cpu) {
    Bucket &bucket = bucket_of(key);
    const ssize_t at = find(bucket, key);
    if (at < 0) return nullptr;
    if (lru_) used(bucket[at]);
    return bucket[at] + key_bytes_ + (per_cpu() ? cpu * value_stride_ : 0);
  }
  // User space's lookups do not count as a use.
  int lookup_without_use(const void *key, void *value, u64 flags) {
    if (flags & ~u64{BPF_F_LOCK} || (flags & BPF_F_LOCK && !has_field(FieldKind::kSpinLock))) return -EINVAL;
    Bucket &bucket = bucket_of(key);
    const ssize_t at = find(bucket, key);
    if (at < 0) return -ENOENT;
    copy_out(bucket[at] + key_bytes_, value);
    return 0;
  }

  // A program's update of a new element leaves the other CPUs' copies zero, of an old one as they were.
  void copy_percpu(char *element, const char *old, const void *value) {
    if (old != nullptr) std::memcpy(element + key_bytes_, old + key_bytes_, value_stride_ * nr_copies_);
    std::memcpy(element + key_bytes_ + system().running_cpu() * value_stride_, value, value_size());
  }

  template <typename Fill>
  int put(const void *key, u64 flags, Fill fill) {
    if (int err = check_update_flags(flags); err != 0) return err;
    Bucket &bucket = bucket_of(key);
    const ssize_t at = find(bucket, key);
    const u64 mode = flags & ~u64{BPF_F_LOCK};
    if (at >= 0 && mode == BPF_NOEXIST) return -EEXIST;
    if (at < 0 && mode == BPF_EXIST) return -ENOENT;
    if (at >= 0 && (per_cpu() || flags & BPF_F_LOCK)) {
      fill(bucket[at], bucket[at]);  // in place: per-CPU copies, and values under their lock
      return 0;
    }
    if (at < 0 && nr_elements_ >= max_entries()) {
      if (!lru_) return -E2BIG;
      evict();
    }
    char *element = static_cast<char *>(pool_.alloc());
    std::memset(element, 0, key_bytes_ + value_stride_ * nr_copies_);
    std::memcpy(element, key, key_size());
    fill(element, nullptr);
    if (at >= 0) remove(bucket, at);
    bucket.push_back(element);
    nr_elements_++;
    if (lru_) used(element);
    return 0;
  }
  void remove(Bucket &bucket, ssize_t at) {
    char *element = bucket[at];
    bucket.erase(bucket.begin() + at);
    nr_elements_--;
    if (lru_) forget_use(element);
    release_fields(element + key_bytes_);
    // The map outlives what is deferred: the closure holds it.
    std::shared_ptr<Object> self = shared_from_this();
    system().defer([this, self, element] { pool_.free(element); });
  }
  void release(char *element) {
    if (!per_cpu()) release_fields(element + key_bytes_);
    pool_.free(element);
  }

  // --- Use order of LRU_HASH: a list from oldest to newest, and where each element is in it. ---
  void used(char *element) {
    forget_use(element);
    by_element_[element] = by_use_.insert(by_use_.end(), element);
  }
  void forget_use(char *element) {
    if (auto it = by_element_.find(element); it != by_element_.end()) {
      by_use_.erase(it->second);
      by_element_.erase(it);
    }
  }
  void evict() {
    CHECK(!by_use_.empty());
    char *oldest = by_use_.front();
    Bucket &bucket = bucket_of(oldest);
    const ssize_t at = find(bucket, oldest);
    CHECK(at >= 0);
    remove(bucket, at);
  }

  const bool lru_;
  const u32 nr_copies_;
  const u64 key_bytes_;
  const u64 value_stride_;
  RegionPool pool_;
  std::vector<Bucket> buckets_;
  u32 nr_elements_ = 0;
  std::list<char *> by_use_;
  std::unordered_map<char *, std::list<char *>::iterator> by_element_;  // never iterated
};

int HashMap::next_key(const void *key, void *next) {
  size_t bucket = 0;
  ssize_t at = -1;
  if (key != nullptr) {
    const u64 index = index_of(key);
    if (const ssize_t found = find(buckets_[index], key); found >= 0) {
      bucket = index;
      at = found;
    }
  }
  if (at > 0) {
    std::memcpy(next, buckets_[bucket][at - 1], key_size());
    return 0;
  }
  for (size_t i = at == 0 ? bucket + 1 : 0; i < buckets_.size(); i++) {
    if (!buckets_[i].empty()) {
      std::memcpy(next, buckets_[i].back(), key_size());
      return 0;
    }
  }
  return -ENOENT;
}

s64 HashMap::for_each(Visitor &visitor) {
  // A callback may delete the element that it is at: walk a copy of each bucket.
  s64 nr_calls = 0;
  for (size_t i = 0; i < buckets_.size(); i++) {
    const Bucket copy = buckets_[i];
    for (size_t at = copy.size(); at > 0; at--) {
      nr_calls++;
      char *value = copy[at - 1] + key_bytes_ + (per_cpu() ? system().running_cpu() * value_stride_ : 0);
      if (visitor.visit(copy[at - 1], value) != 0) return nr_calls;
    }
  }
  return nr_calls;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_HASH, hash, HashMap::create);
USCX_MAP_TYPE(BPF_MAP_TYPE_LRU_HASH, lru_hash, HashMap::create);
USCX_MAP_TYPE(BPF_MAP_TYPE_PERCPU_HASH, percpu_hash, HashMap::create);

}  // namespace
}  // namespace uscx::bpf
