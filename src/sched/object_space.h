// SPDX-License-Identifier: GPL-2.0-only
// Memory for the kernel objects that BPF programs see. The core takes it from here so that it need not know where the
// programs' address range is. Memory comes zeroed; freed memory is poisoned. Addresses must repeat from run to run.
#ifndef USCX_SCHED_OBJECT_SPACE_H_
#define USCX_SCHED_OBJECT_SPACE_H_

#include <cstddef>

#include "base/types.h"

namespace uscx::sched {

enum class ObjectType { kTask, kCpumask, kCgroup, kRq, kOther };

class ObjectSpace {
 public:
  virtual ~ObjectSpace() = default;
  virtual void *alloc(ObjectType type, size_t size) = 0;
  virtual void free(ObjectType type, void *object, size_t size) = 0;
  virtual u64 live_bytes() const = 0;  // Of objects that are not freed.
  // Told when a task or cgroup is gone for good, before its memory is freed (local storage).
  virtual void owner_freed(void *object) { (void)object; }
};

// Plain heap memory, for tests and native schedulers.
ObjectSpace &heap_object_space();

}  // namespace uscx::sched

#endif  // USCX_SCHED_OBJECT_SPACE_H_
