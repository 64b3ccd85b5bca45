// SPDX-License-Identifier: GPL-2.0-only
// The bpf_cpumask objects of a run: reference-counted CPU masks that programs make and change through kfuncs only, so
// they lie in the half of the reserved range that programs cannot write. A tag in front of each tells a live one.
//
// Threading: any CPU. Bits are set and cleared atomically, as the kernel's; operations on whole masks are not atomic.
#ifndef USCX_BPF_OBJECT_CPUMASK_H_
#define USCX_BPF_OBJECT_CPUMASK_H_

#include <memory>
#include <vector>

#include "abi/kernel_types.h"
#include "bpf/memory/region.h"
#include "bpf/object/env.h"

namespace uscx::bpf {

class BpfSystem;

class CpumaskPool {
 public:
  explicit CpumaskPool(BpfSystem &system, u32 nr_cpus);
  // A new empty mask with one reference.
  bpf_cpumask *create();
  void acquire(bpf_cpumask *mask);
  // Drops a reference. With the last one the mask is no live one any more, and freed once no program can be using it.
  void release(bpf_cpumask *mask);
  // Any address may be asked about.
  static bool is_live(const void *address);
  // How many masks have not been freed yet.
  size_t live() const { return pool_.live(); }

  // Where each CPU's rotating choice left off.
  u32 &rotor(u32 cpu) { return rotors_[cpu]; }

 private:
  struct Slot {
    Deferred deferred;
    CpumaskPool *pool;
    u64 tag;
    bpf_cpumask mask;
  };
  static Slot *slot_of(const void *mask);

  BpfSystem &system_;
  RegionPool pool_;
  std::vector<u32> rotors_;  // by CPU
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_CPUMASK_H_
