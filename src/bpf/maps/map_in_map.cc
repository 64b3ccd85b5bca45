// SPDX-License-Identifier: GPL-2.0-only
// ARRAY_OF_MAPS and HASH_OF_MAPS: maps as values. User space gives a map's descriptor and reads its id; a program's
// lookup gives the map itself. Which maps may be in there is said by the map that was given at creation.
//
// Threading: lock_ protects the entries. A map that is taken out stays until no invocation can hold it any more.
#include <errno.h>

#include <map>
#include <mutex>

#include "base/hash.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {
namespace {

constexpr u32 kAccessFlags = BPF_F_RDONLY | BPF_F_WRONLY;
constexpr u32 kMaxKeySize = 512;

class MapInMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
    const bool array = attr.type == BPF_MAP_TYPE_ARRAY_OF_MAPS;
    const u32 allowed = BPF_F_NUMA_NODE | kAccessFlags | (array ? 0 : BPF_F_NO_PREALLOC | BPF_F_ZERO_SEED);
    if (attr.value_size != sizeof(u32) || attr.max_entries == 0 || attr.flags & ~allowed ||
        (attr.flags & kAccessFlags) == kAccessFlags || (array ? attr.key_size != sizeof(u32) : attr.key_size == 0))
      return -EINVAL;
    if (attr.key_size > kMaxKeySize) return -E2BIG;
    if (attr.inner == nullptr) return -EBADF;
    // One level is all there is.
    if (attr.inner->attr.inner != nullptr) return -EINVAL;
    if (attr.inner->attr.type == BPF_MAP_TYPE_STRUCT_OPS || attr.inner->attr.type == BPF_MAP_TYPE_PROG_ARRAY)
      return -kENotSupp;
    *out = std::make_shared<MapInMap>(system, attr);
    return 0;
  }
  MapInMap(BpfSystem &system, const MapAttr &attr) : Map(system, attr) {}

  void *lookup(const void *key) override {
    machine::SpinGuard guard(lock_);
    auto it = entries_.find(key_of_bytes(key));
    return it != entries_.end() ? it->second->handle() : nullptr;
  }
  int update(const void *, const void *, u64) override { return -kENotSupp; }
  int erase(const void *key) override {
    if (is_array() && index_of(key) >= max_entries()) return -E2BIG;
    std::shared_ptr<Map> old;
    {
      machine::SpinGuard guard(lock_);
      auto it = entries_.find(key_of_bytes(key));
      if (it == entries_.end()) return -ENOENT;
      old = std::move(it->second);
      entries_.erase(it);
    }
    system().defer_call([old] {});
    return 0;
  }
  int next_key(const void *key, void *next) override;

  int user_lookup(const void *key, void *value, u64 flags) override {
    if (flags & ~u64{BPF_F_LOCK} || flags & BPF_F_LOCK) return -EINVAL;
    machine::SpinGuard guard(lock_);
    auto it = entries_.find(key_of_bytes(key));
    if (it == entries_.end()) return -ENOENT;
    const u32 id = it->second->id();
    std::memcpy(value, &id, sizeof(id));
    return 0;
  }
  int user_update(const void *key, const void *value, u64 flags) override;
  u32 nr_buckets() const override { return is_array() ? 0 : max_entries(); }
  std::vector<std::vector<u64>> bucket_keys(u32 bucket) override;
  // What a lookup gives is no memory that a program may write.
  bool values_writable() const override { return false; }

 private:
  // Keys of a hash table stand by bucket, as its batches go over them.
  struct Key {
    u32 bucket;
    std::string bytes;
    auto operator<=>(const Key &) const = default;
  };
  bool is_array() const { return type() == BPF_MAP_TYPE_ARRAY_OF_MAPS; }
  static u32 index_of(const void *key) { return *static_cast<const u32 *>(key); }
  Key key_of_bytes(const void *key) const {
    std::string bytes(static_cast<const char *>(key), key_size());
    Hash64 hash;
    hash.add_bytes(bytes.data(), bytes.size());
    return {is_array() ? 0 : static_cast<u32>(hash.value() % max_entries()), std::move(bytes)};
  }

  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf_map_in_map"};
  std::map<Key, std::shared_ptr<Map>> entries_;  // guarded by lock_
};

int MapInMap::user_update(const void *key, const void *value, u64 flags) {
  if (is_array() && flags != BPF_ANY) return -EINVAL;
  if (!is_array() && flags > BPF_EXIST) return -EINVAL;
  if (is_array() && index_of(key) >= max_entries()) return -E2BIG;
  s32 fd;
  std::memcpy(&fd, value, sizeof(fd));
  const std::shared_ptr<Object> object = system().object_of_fd(fd);
  if (object == nullptr) return -EBADF;
  std::shared_ptr<Map> map = std::dynamic_pointer_cast<Map>(object);
  if (map == nullptr || !map->fits_as_inner(*attr().inner)) return -EINVAL;
  {
    machine::SpinGuard guard(lock_);
    const Key bytes = key_of_bytes(key);
    auto it = entries_.find(bytes);
    if (!is_array()) {
      if (it != entries_.end() && flags == BPF_NOEXIST) return -EEXIST;
      if (it == entries_.end() && flags == BPF_EXIST) return -ENOENT;
      if (it == entries_.end() && entries_.size() >= max_entries()) return -E2BIG;
    }
    std::swap(entries_[bytes], map);
  }
  // What was there before.
  if (map != nullptr) system().defer_call([map] {});
  return 0;
}

int MapInMap::next_key(const void *key, void *next) {
  if (is_array()) {
    const u32 index = key != nullptr ? index_of(key) : ~0u;
    if (index < max_entries() && index + 1 >= max_entries()) return -ENOENT;
    const u32 following = index < max_entries() ? index + 1 : 0;
    std::memcpy(next, &following, sizeof(following));
    return 0;
  }
  machine::SpinGuard guard(lock_);
  auto it = entries_.begin();
  if (key != nullptr) {
    if (auto found = entries_.find(key_of_bytes(key)); found != entries_.end()) it = std::next(found);
  }
  if (it == entries_.end()) return -ENOENT;
  std::memcpy(next, it->first.bytes.data(), key_size());
  return 0;
}

std::vector<std::vector<u64>> MapInMap::bucket_keys(u32 bucket) {
  std::vector<std::vector<u64>> keys;
  machine::SpinGuard guard(lock_);
  for (auto it = entries_.lower_bound({bucket, ""}); it != entries_.end() && it->first.bucket == bucket; ++it) {
    keys.emplace_back((key_size() + 7) / 8);
    std::memcpy(keys.back().data(), it->first.bytes.data(), key_size());
  }
  return keys;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_ARRAY_OF_MAPS, array_of_maps, MapInMap::create, MAP_KEYED | MAP_INDEXED | MAP_HOLDS_MAPS);
USCX_MAP_TYPE(BPF_MAP_TYPE_HASH_OF_MAPS, hash_of_maps, MapInMap::create, MAP_KEYED | MAP_HOLDS_MAPS);

}  // namespace
}  // namespace uscx::bpf
