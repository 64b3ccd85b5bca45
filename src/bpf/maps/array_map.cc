// SPDX-License-Identifier: GPL-2.0-only
// ARRAY and PERCPU_ARRAY. An mmap-able array lives in its memfd, which user space and programs both map; a map that
// programs may not write lies in the read-only half. Other arrays end at an unmapped page.
#include <errno.h>

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/map.h"

namespace uscx::bpf {
namespace {

constexpr u64 kElementAlign = 8;
// The kernel's smallest per-CPU allocation unit bounds a per-CPU value.
constexpr u32 kMaxPerCpuValue = 32u << 10;
constexpr u32 kAccessFlags = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
// What one array may take of a half of the reserved range.
constexpr u64 kMaxArrayBytes = 16ull << 30;

u64 round_up(u64 value, u64 to) { return (value + to - 1) / to * to; }

int check_array_attr(const MapAttr &attr, u32 extra_flags) {
  if (attr.max_entries == 0 || attr.key_size != 4 || attr.value_size == 0) return -EINVAL;
  if (attr.flags & ~(BPF_F_NUMA_NODE | kAccessFlags | extra_flags)) return -EINVAL;
  if ((attr.flags & BPF_F_RDONLY && attr.flags & BPF_F_WRONLY) ||
      (attr.flags & BPF_F_RDONLY_PROG && attr.flags & BPF_F_WRONLY_PROG))
    return -EINVAL;
  return 0;
}

int array_next_key(const Map &map, const void *key, void *next) {
  const u32 index = key != nullptr ? *static_cast<const u32 *>(key) : ~0u;
  if (index >= map.max_entries()) {
    *static_cast<u32 *>(next) = 0;
    return 0;
  }
  if (index == map.max_entries() - 1) return -ENOENT;
  *static_cast<u32 *>(next) = index + 1;
  return 0;
}

// The key that callbacks get: a word for each CPU, which programs can read.
class KeyWord {
 public:
  explicit KeyWord(BpfSystem &system) : system_(system) {}
  ~KeyWord() {
    if (u64 *words = words_.load()) Region::get().free_pages(words);
  }
  KeyWord(const KeyWord &) = delete;
  KeyWord &operator=(const KeyWord &) = delete;
  u32 *set(u32 value) {
    u64 *words = words_.load(std::memory_order_acquire);
    if (words == nullptr) words = make();
    u32 *word = reinterpret_cast<u32 *>(words + system_.running_cpu());
    *word = value;
    return word;
  }

 private:
  // Made at first use. CPUs that come at once each make one, and all but the first give theirs back.
  u64 *make() {
    u64 *const made = static_cast<u64 *>(Region::get().alloc_at_end(Half::kReadWrite, sizeof(u64) * system_.nr_cpus()));
    u64 *first = nullptr;
    if (words_.compare_exchange_strong(first, made)) return made;
    Region::get().free_pages(made);
    return first;
  }
  BpfSystem &system_;
  std::atomic<u64 *> words_ = nullptr;
};

class ArrayMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
    int err = check_array_attr(attr, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
    if (err != 0) return err;
    if (attr.value_size > INT32_MAX) return -E2BIG;
    const u64 bytes = u64{attr.max_entries} * round_up(attr.value_size, kElementAlign);
    if (bytes > kMaxArrayBytes) return -ENOMEM;
    auto map = std::make_shared<ArrayMap>(system, attr);
    if ((err = map->allocate(bytes)) != 0) return err;
    *out = std::move(map);
    return 0;
  }
  ArrayMap(BpfSystem &system, const MapAttr &attr)
      : Map(system, attr), stride_(round_up(attr.value_size, kElementAlign)), key_(system) {}
  ~ArrayMap() override {
    if (values_ == nullptr) return;
    for (u32 i = 0; !fields().empty() && i < max_entries(); i++) release_fields(values_ + i * stride_);
    Region::get().free_pages(values_);
  }

  void *lookup(const void *key) override {
    const u32 index = *static_cast<const u32 *>(key);
    return index < max_entries() ? values_ + index * stride_ : nullptr;
  }
  int update(const void *key, const void *value, u64 flags) override {
    const u32 index = *static_cast<const u32 *>(key);
    if (int err = check_update_flags(flags); err != 0) return err;
    if (index >= max_entries()) return -E2BIG;
    if (flags & BPF_NOEXIST) return -EEXIST;
    if (!(flags & BPF_F_LOCK)) note_helper_access(values_ + index * stride_, value_size(), true);
    copy_value(values_ + index * stride_, value, flags);
    return 0;
  }
  int erase(const void *) override { return -EINVAL; }
  int next_key(const void *key, void *next) override { return array_next_key(*this, key, next); }
  u64 mmap_size() const override {
    return attr().flags & BPF_F_MMAPABLE ? round_up(stride_ * max_entries(), kPageBytes) : 0;
  }
  u64 direct_value(u32 offset, int *error) override {
    *error = max_entries() != 1 ? -EOPNOTSUPP : offset >= value_size() ? -EINVAL : 0;
    return *error == 0 ? reinterpret_cast<u64>(values_) + offset : 0;
  }
  void *value_of(const void *address) override {
    const u64 offset = static_cast<const char *>(address) - values_;
    return offset < stride_ * max_entries() ? values_ + offset / stride_ * stride_ : nullptr;
  }
  bool can_unshare() const override { return true; }
  void unshare() override {
    if (attr().flags & BPF_F_MMAPABLE) Region::get().unshare(values_, memfd());
  }
  void *key_of(void *value) override { return key_.set((static_cast<char *>(value) - values_) / stride_); }
  s64 for_each(Visitor &visitor) override {
    for (u32 i = 0; i < max_entries(); i++) {
      if (visitor.visit(key_.set(i), values_ + i * stride_) != 0) return i + 1;
    }
    return max_entries();
  }
  InlineOp inline_lookup() const override {
    if (!values_writable()) return {};
    return {InlineOp::Kind::kArrayLookup, {values_, static_cast<u32>(stride_), max_entries(), 0}, {}};
  }
  bool values_writable() const override { return !(attr().flags & BPF_F_RDONLY_PROG); }

 private:
  int allocate(u64 bytes) {
    const Half half = values_writable() ? Half::kReadWrite : Half::kReadOnly;
    Region &region = Region::get();
    if (!(attr().flags & BPF_F_MMAPABLE)) {
      values_ = static_cast<char *>(region.alloc_at_end(half, bytes));
      return 0;
    }
    if (int err = resize_memfd(round_up(bytes, kPageBytes)); err != 0) return err;
    values_ = static_cast<char *>(region.map_fd(half, memfd(), round_up(bytes, kPageBytes)));
    return values_ != nullptr ? 0 : -ENOMEM;
  }

  const u64 stride_;
  char *values_ = nullptr;
  KeyWord key_;
};

class PercpuArrayMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
    if (int err = check_array_attr(attr, 0); err != 0) return err;
    if (attr.value_size > kMaxPerCpuValue) return -E2BIG;
    const u64 per_cpu = round_up(round_up(attr.value_size, kElementAlign) * attr.max_entries, 64);
    if (per_cpu * system.nr_cpus() > kMaxArrayBytes) return -ENOMEM;
    *out = std::make_shared<PercpuArrayMap>(system, attr, per_cpu);
    return 0;
  }
  PercpuArrayMap(BpfSystem &system, const MapAttr &attr, u64 cpu_stride)
      : Map(system, attr), stride_(round_up(attr.value_size, kElementAlign)), cpu_stride_(cpu_stride), key_(system) {
    const Half half = values_writable() ? Half::kReadWrite : Half::kReadOnly;
    values_ = static_cast<char *>(Region::get().alloc_at_end(half, cpu_stride_ * system.nr_cpus()));
  }
  ~PercpuArrayMap() override { Region::get().free_pages(values_); }

  void *lookup(const void *key) override { return lookup_percpu(key, system().running_cpu()); }
  void *lookup_percpu(const void *key, u32 cpu) override {
    const u32 index = *static_cast<const u32 *>(key);
    return index < max_entries() && cpu < system().nr_cpus() ? at(cpu, index) : nullptr;
  }
  int update(const void *key, const void *value, u64 flags) override {
    const u32 index = *static_cast<const u32 *>(key);
    if (int err = check_index(index, flags); err != 0) return err;
    note_helper_access(at(system().running_cpu(), index), value_size(), true);
    copy_shared(at(system().running_cpu(), index), value, value_size());
    return 0;
  }
  int erase(const void *) override { return -EINVAL; }
  int next_key(const void *key, void *next) override { return array_next_key(*this, key, next); }

  u64 user_value_size() const override { return stride_ * system().nr_cpus(); }
  int user_lookup(const void *key, void *value, u64 flags) override {
    const u32 index = *static_cast<const u32 *>(key);
    if (flags != 0) return -EINVAL;
    if (index >= max_entries()) return -ENOENT;
    for (u32 cpu = 0; cpu < system().nr_cpus(); cpu++)
      copy_shared(static_cast<char *>(value) + cpu * stride_, at(cpu, index), stride_);
    return 0;
  }
  int user_update(const void *key, const void *value, u64 flags) override {
    const u32 index = *static_cast<const u32 *>(key);
    if (int err = check_index(index, flags); err != 0) return err;
    for (u32 cpu = 0; cpu < system().nr_cpus(); cpu++)
      copy_shared(at(cpu, index), static_cast<const char *>(value) + cpu * stride_, value_size());
    return 0;
  }
  void *value_around(const void *address) override {
    const u64 offset = static_cast<const char *>(address) - values_;
    if (offset >= cpu_stride_ * system().nr_cpus()) return nullptr;
    return values_ + offset / cpu_stride_ * cpu_stride_ + offset % cpu_stride_ / stride_ * stride_;
  }
  s64 for_each(Visitor &visitor) override {
    const u32 cpu = system().running_cpu();
    for (u32 i = 0; i < max_entries(); i++) {
      if (visitor.visit(key_.set(i), at(cpu, i)) != 0) return i + 1;
    }
    return max_entries();
  }
  InlineOp inline_lookup() const override {
    if (!values_writable()) return {};
    return {InlineOp::Kind::kArrayLookup, {values_, static_cast<u32>(stride_), max_entries(), cpu_stride_}, {}};
  }
  bool values_writable() const override { return !(attr().flags & BPF_F_RDONLY_PROG); }

 private:
  char *at(u32 cpu, u32 index) const { return values_ + cpu * cpu_stride_ + index * stride_; }
  int check_index(u32 index, u64 flags) const {
    if (flags > BPF_EXIST) return -EINVAL;
    if (index >= max_entries()) return -E2BIG;
    return flags == BPF_NOEXIST ? -EEXIST : 0;
  }

  const u64 stride_;
  const u64 cpu_stride_;
  char *values_;
  KeyWord key_;
};

USCX_MAP_TYPE(BPF_MAP_TYPE_ARRAY, array, ArrayMap::create,
              MAP_KEYED | MAP_WRITTEN | MAP_INDEXED | MAP_DENSE | MAP_ITERATED);
USCX_MAP_TYPE(BPF_MAP_TYPE_PERCPU_ARRAY, percpu_array, PercpuArrayMap::create,
              MAP_KEYED | MAP_WRITTEN | MAP_INDEXED | MAP_DENSE | MAP_ITERATED);

}  // namespace
}  // namespace uscx::bpf
