// SPDX-License-Identifier: GPL-2.0-only
// Objects that programs allocate (bpf_obj_new() and its per-CPU kin). Our knowledge of an object is kept here, not in
// its bytes, which programs may write: the fields of its type, its references, whether it is in a list or tree.
//
// Threading: lock_ is a leaf and is never held while a program or a release runs.
// Invariant: an object is live from its making to its last drop; its memory is given back after a grace period.
#ifndef USCX_BPF_OBJECT_ALLOC_H_
#define USCX_BPF_OBJECT_ALLOC_H_

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "bpf/memory/region.h"
#include "bpf/object/fields.h"

namespace uscx::bpf {

class AllocTable {
 public:
  explicit AllocTable(BpfSystem &system) : system_(system) {}
  ~AllocTable();

  void *make(std::shared_ptr<const AllocType> type);
  // One copy for each CPU; null where the kernel has no room for such a size.
  void *make_percpu(std::shared_ptr<const AllocType> type);
  bool is_live(const void *object) const;
  bool is_percpu(const void *object) const;
  size_t live() const;
  // The copy of a CPU.
  void *percpu_copy(const void *object, u32 cpu) const;

  // One more reference; only for types with a bpf_refcount. False if there is no such object.
  bool acquire(const void *object);
  // One reference less. With the last, the fields are released and the object ends.
  void drop(void *object);

  // The object that has a field of this kind at an address; null if none has.
  void *owner_of(const void *field, FieldKind kind) const;

 private:
  struct Object {
    std::shared_ptr<const AllocType> type;
    u32 refs = 1;
    u64 cpu_stride = 0;  // of a per-CPU object
  };
  void *add(std::shared_ptr<const AllocType> type, u64 bytes, u64 cpu_stride);

  BpfSystem &system_;
  mutable std::mutex lock_;
  RegionHeap heap_{Half::kReadWrite};
  std::map<u64, Object> objects_;  // by address; guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_ALLOC_H_
