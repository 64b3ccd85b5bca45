// SPDX-License-Identifier: GPL-2.0-only
// Kernel objects that programs see (tasks, masks, cgroups, run queues), in the read-only half of the reserved range.
// Each carries a tag in front that depends on its address and type, so that a pointer that a program hands back is
// checked in constant time: an address is a live object of a type exactly if the tag in front of it says so. Programs
// cannot write there, and freed objects are poisoned, tag included.
//
// Threading: allocation locks inside RegionHeap; is_live() and find_store() only read.
#ifndef USCX_BRIDGE_OBJECTS_H_
#define USCX_BRIDGE_OBJECTS_H_

#include <atomic>
#include <functional>

#include "bpf/memory/region.h"
#include "bpf/object/env.h"
#include "sched/object_space.h"

namespace uscx::bridge {

class KernelObjects final : public sched::ObjectSpace {
 public:
  KernelObjects();
  ~KernelObjects() override;

  void *alloc(sched::ObjectType type, size_t size) override;
  void free(sched::ObjectType type, void *object, size_t size) override;
  u64 live_bytes() const override { return live_bytes_.load(std::memory_order_relaxed); }
  void owner_freed(void *object) override;
  void set_owner_freed_listener(std::function<void(void *)> listener) { on_owner_freed_ = std::move(listener); }

  // Whether `object` is the start of a live object of the type. Any address may be asked about.
  static bool is_live(sched::ObjectType type, const void *object);
  // A mask of its own, or a live task's cpus_mask.
  static bool is_live_cpumask(const void *object);

 private:
  bpf::RegionHeap heap_{bpf::Half::kReadOnly};
  std::atomic<u64> live_bytes_{0};
  std::function<void(void *)> on_owner_freed_;
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_OBJECTS_H_
