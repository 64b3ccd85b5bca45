// SPDX-License-Identifier: GPL-2.0-only
// QUEUE and STACK: values without keys. Programs copy them in and out, so they lie in ordinary memory, under one lock.
#include <errno.h>

#include <deque>
#include <vector>

#include "bpf/object/bpf_system.h"
#include "bpf/object/map.h"
#include "machine/sync.h"

namespace uscx::bpf {
namespace {

constexpr u32 kAccessFlags = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
constexpr u32 kMaxValueSize = 4u << 20;

class QueueMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
    if (attr.max_entries == 0 || attr.key_size != 0 || attr.value_size == 0 ||
        attr.flags & ~(BPF_F_NUMA_NODE | kAccessFlags))
      return -EINVAL;
    if ((attr.flags & BPF_F_RDONLY && attr.flags & BPF_F_WRONLY) ||
        (attr.flags & BPF_F_RDONLY_PROG && attr.flags & BPF_F_WRONLY_PROG))
      return -EINVAL;
    if (attr.value_size > kMaxValueSize) return -E2BIG;
    *out = std::make_shared<QueueMap>(system, attr);
    return 0;
  }
  QueueMap(BpfSystem &system, const MapAttr &attr) : Map(system, attr), stack_(attr.type == BPF_MAP_TYPE_STACK) {}

  int push(const void *value, u64 flags) override {
    const bool replace = flags & BPF_EXIST;
    if (flags & BPF_NOEXIST || flags > BPF_EXIST) return -EINVAL;
    const machine::SpinGuard guard(lock_);
    if (values_.size() == max_entries()) {
      if (!replace) return -E2BIG;
      values_.pop_front();
    }
    const u8 *bytes = static_cast<const u8 *>(value);
    values_.emplace_back(bytes, bytes + value_size());
    return 0;
  }
  int peek(void *value) override {
    const machine::SpinGuard guard(lock_);
    return copy_next(value);
  }
  int pop(void *value) override {
    const machine::SpinGuard guard(lock_);
    if (int err = copy_next(value); err != 0) return err;
    stack_ ? values_.pop_back() : values_.pop_front();
    return 0;
  }

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -EINVAL; }
  int erase(const void *) override { return -EINVAL; }
  int next_key(const void *, void *) override { return -EINVAL; }
  int user_lookup(const void *, void *value, u64 flags) override {
    return flags & ~u64{BPF_F_LOCK} || flags & BPF_F_LOCK ? -EINVAL : peek(value);
  }
  int user_update(const void *, const void *value, u64 flags) override { return push(value, flags); }
  int user_lookup_and_delete(const void *, void *value, u64 flags) override {
    return flags != 0 ? -EINVAL : pop(value);
  }

 private:
  int copy_next(void *value) const {
    if (values_.empty()) {
      std::memset(value, 0, value_size());
      return -ENOENT;
    }
    const std::vector<u8> &next = stack_ ? values_.back() : values_.front();
    std::memcpy(value, next.data(), value_size());
    return 0;
  }

  const bool stack_;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf queue"};
  std::deque<std::vector<u8>> values_;  // the newest last; guarded by lock_
};

USCX_MAP_TYPE(BPF_MAP_TYPE_QUEUE, queue, QueueMap::create, MAP_WRITTEN);
USCX_MAP_TYPE(BPF_MAP_TYPE_STACK, stack, QueueMap::create, MAP_WRITTEN);

}  // namespace
}  // namespace uscx::bpf
