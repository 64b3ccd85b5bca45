// SPDX-License-Identifier: GPL-2.0-only
// bpf(2)'s commands on many elements of a map at once. Where the walk goes on is a key for arrays and a bucket's number
// for hash tables, of which a batch holds whole buckets.
#include <errno.h>

#include <cstring>

#include "bpf/object/bpf_system.h"
#include "bpf/object/command.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

namespace {

bool is_array(const Map &map) { return map.supports(MAP_INDEXED); }
bool is_hash(const Map &map) { return map.nr_buckets() != 0; }

// What a batch of user space's names, element by element.
class Batch {
 public:
  Batch(Map &map, union bpf_attr *attr)
      : map_(map), batch_(attr->batch), key_((map.key_size() + 7) / 8), value_((map.user_value_size() + 7) / 8) {}

  u32 wanted() const { return batch_.count; }
  const void *key() const { return key_.data(); }
  const void *value() const { return value_.data(); }

  int read_key(u32 at) { return copy_from_user(key_.data(), batch_.keys + u64{at} * map_.key_size(), map_.key_size()); }
  int read_value(u32 at) {
    return copy_from_user(value_.data(), batch_.values + at * map_.user_value_size(), map_.user_value_size());
  }
  // Writes an element; -ENOENT if it has gone meanwhile.
  int write(u32 at, const void *key) {
    if (int err = map_.user_lookup(key, value_.data(), batch_.elem_flags); err != 0) return err;
    if (copy_to_user(batch_.keys + u64{at} * map_.key_size(), key, map_.key_size()) != 0 ||
        copy_to_user(batch_.values + at * map_.user_value_size(), value_.data(), map_.user_value_size()) != 0)
      return -EFAULT;
    return 0;
  }

 private:
  Map &map_;
  const decltype(bpf_attr{}.batch) & batch_;
  std::vector<u64> key_;
  std::vector<u64> value_;
};

int lookup_by_key(Map &map, union bpf_attr *attr) {
  auto &batch = attr->batch;
  std::vector<u64> previous((map.key_size() + 7) / 8), key(previous.size());
  bool first = batch.in_batch == 0;
  if (!first && copy_from_user(previous.data(), batch.in_batch, map.key_size()) != 0) return -EFAULT;
  Batch elements(map, attr);
  u32 done = 0;
  int err = 0;
  while (done < elements.wanted()) {
    err = map.next_key(first ? nullptr : previous.data(), key.data());
    if (err != 0) break;
    const int written = elements.write(done, key.data());
    if (written != 0 && written != -ENOENT) return written;
    done += written == 0;
    previous = key;
    first = false;
  }
  batch.count = done;
  if (done != 0 && copy_to_user(batch.out_batch, previous.data(), map.key_size()) != 0) return -EFAULT;
  return err;
}

int lookup_by_bucket(Map &map, union bpf_attr *attr, bool erase) {
  auto &batch = attr->batch;
  u32 bucket = 0;
  if (batch.in_batch != 0 && copy_from_user(&bucket, batch.in_batch, sizeof(bucket)) != 0) return -EFAULT;
  if (bucket >= map.nr_buckets()) return -ENOENT;
  Batch elements(map, attr);
  u32 done = 0;
  int err = 0;
  for (; bucket < map.nr_buckets(); bucket++) {
    const std::vector<std::vector<u64>> keys = map.bucket_keys(bucket);
    if (keys.size() > elements.wanted() - done) {
      if (done == 0) err = -ENOSPC;
      break;
    }
    for (const std::vector<u64> &key : keys) {
      const int written = elements.write(done, key.data());
      if (written == -ENOENT) continue;
      if (written != 0) return written;
      done++;
      if (erase) map.user_erase(key.data());
    }
  }
  if (err == 0 && bucket == map.nr_buckets()) err = -ENOENT;
  batch.count = done;
  if (err == -ENOSPC) return err;
  return copy_to_user(batch.out_batch, &bucket, sizeof(bucket)) != 0 ? -EFAULT : err;
}

}  // namespace

namespace {

int batch_map(const BpfSystem &system, union bpf_attr *attr, bool reads, bool writes, std::shared_ptr<Map> *map) {
  if (int err = system.map_of_fd(attr->batch.map_fd, map); err != 0) return err;
  if (writes && ((*map)->attr().flags & BPF_F_RDONLY || (*map)->frozen())) return -EPERM;
  if (reads && (*map)->attr().flags & BPF_F_WRONLY) return -EPERM;
  if (!is_array(**map) && !is_hash(**map)) return -kENotSupp;
  if (attr->batch.elem_flags & ~u64{BPF_F_LOCK} ||
      (attr->batch.elem_flags & BPF_F_LOCK && !(*map)->has_field(FieldKind::kSpinLock)))
    return -EINVAL;
  return 0;
}

}  // namespace

USCX_BPF_COMMAND(MAP_LOOKUP_BATCH, batch.flags) {
  std::shared_ptr<Map> map;
  if (int err = batch_map(system, attr, true, false, &map); err != 0) return err;
  if (attr->batch.flags != 0) return -EINVAL;
  if (attr->batch.count == 0) return 0;
  return is_hash(*map) ? lookup_by_bucket(*map, attr, false) : lookup_by_key(*map, attr);
}

USCX_BPF_COMMAND(MAP_LOOKUP_AND_DELETE_BATCH, batch.flags) {
  std::shared_ptr<Map> map;
  if (int err = batch_map(system, attr, true, true, &map); err != 0) return err;
  if (!is_hash(*map)) return -kENotSupp;
  if (attr->batch.flags != 0) return -EINVAL;
  return attr->batch.count == 0 ? 0 : lookup_by_bucket(*map, attr, true);
}

USCX_BPF_COMMAND(MAP_UPDATE_BATCH, batch.flags) {
  std::shared_ptr<Map> map;
  if (int err = batch_map(system, attr, false, true, &map); err != 0) return err;
  Batch elements(*map, attr);
  const u32 wanted = elements.wanted();
  u32 done = 0;
  int err = 0;
  for (; done < wanted && err == 0; done += err == 0) {
    err = elements.read_key(done) != 0 || elements.read_value(done) != 0
              ? -EFAULT
              : map->user_update(elements.key(), elements.value(), attr->batch.elem_flags);
  }
  attr->batch.count = done;
  return err;
}

USCX_BPF_COMMAND(MAP_DELETE_BATCH, batch.flags) {
  std::shared_ptr<Map> map;
  if (int err = batch_map(system, attr, false, true, &map); err != 0) return err;
  if (is_array(*map)) return -kENotSupp;
  Batch elements(*map, attr);
  const u32 wanted = elements.wanted();
  u32 done = 0;
  int err = 0;
  for (; done < wanted && err == 0; done += err == 0)
    err = elements.read_key(done) != 0 ? -EFAULT : map->user_erase(elements.key());
  attr->batch.count = done;
  return err;
}

}  // namespace uscx::bpf
