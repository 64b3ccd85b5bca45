// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/objects.h"

#include <cstddef>

#include "abi/kernel.h"
#include "base/check.h"
#include "bpf/memory/fault.h"

namespace uscx::bridge {
namespace {

// In front of each object; 16 bytes so that objects keep the alignment of the heap.
struct Header {
  u64 tag;
  u64 unused;
};

u64 tag_of(sched::ObjectType type, u64 address) {
  return (address ^ (static_cast<u64>(type) + 1) * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;
}

struct WritableField {
  size_t offset;
  size_t size;
};
// What the kernel lets a scheduler store to in a task (docs/reference/ops.md, "Verifier-facing access").
constexpr WritableField kWritableFields[] = {
    {offsetof(task_struct, scx.slice), sizeof(u64)},
    {offsetof(task_struct, scx.dsq_vtime), sizeof(u64)},
    {offsetof(task_struct, scx.disallow), sizeof(bool)},
};

bool store_ok(void *address, unsigned size) {
  for (const WritableField &field : kWritableFields) {
    if (size != field.size) continue;
    const u64 task = reinterpret_cast<u64>(address) - field.offset;
    if (KernelObjects::is_live(sched::ObjectType::kTask, reinterpret_cast<void *>(task))) return true;
  }
  return false;
}

}  // namespace

KernelObjects::KernelObjects() { bpf::Region::get().set_store_filter(store_ok); }
KernelObjects::~KernelObjects() = default;

void *KernelObjects::alloc(sched::ObjectType type, size_t size) {
  Header *header = static_cast<Header *>(heap_.alloc(sizeof(Header) + size));
  void *object = header + 1;
  live_bytes_.fetch_add(size, std::memory_order_relaxed);
  header->tag = tag_of(type, reinterpret_cast<u64>(object));
  return object;
}

void KernelObjects::free(sched::ObjectType type, void *object, size_t size) {
  CHECK(is_live(type, object), "free of {}", object);
  live_bytes_.fetch_sub(size, std::memory_order_relaxed);
  Header *header = static_cast<Header *>(object) - 1;
  header->tag = 0;
  heap_.free(header, sizeof(Header) + size);
}

void KernelObjects::owner_freed(void *object) {
  if (on_owner_freed_) on_owner_freed_(object);
}

bool KernelObjects::is_live(sched::ObjectType type, const void *object) {
  const u64 address = reinterpret_cast<u64>(object);
  if (!bpf::Region::in_ro(address) || address % alignof(u64) != 0) return false;
  u64 tag = 0;
  return bpf::probe_load(address - sizeof(Header), sizeof(tag), &tag) && tag == tag_of(type, address);
}

bool KernelObjects::is_live_cpumask(const void *object) {
  return is_live(sched::ObjectType::kCpumask, object) ||
         is_live(sched::ObjectType::kTask, static_cast<const char *>(object) - kCpusMaskOffset);
}

}  // namespace uscx::bridge
