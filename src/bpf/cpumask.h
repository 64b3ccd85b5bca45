// SPDX-License-Identifier: GPL-2.0-only
// The bpf_cpumask objects of a run: reference-counted CPU masks that programs make and change through kfuncs only, so
// they lie in the half of the reserved range that programs cannot write.
#ifndef USCX_BPF_CPUMASK_H_
#define USCX_BPF_CPUMASK_H_

#include <memory>
#include <unordered_set>
#include <vector>

#include "abi/kernel_types.h"
#include "bpf/region.h"

namespace uscx::bpf {

class CpumaskPool {
 public:
  CpumaskPool();
  // A new empty mask with one reference.
  bpf_cpumask *create();
  void acquire(bpf_cpumask *mask);
  // Drops a reference; true if it was the last, and then the caller frees the mask once no invocation runs.
  bool release(bpf_cpumask *mask);
  void free(bpf_cpumask *mask);
  bool is_live(const void *address) const { return live_.contains(address); }

  // Where each CPU's rotating choice left off.
  u32 &rotor(u32 cpu);

 private:
  RegionPool pool_;
  std::unordered_set<const void *> live_;  // never iterated
  std::vector<u32> rotors_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_CPUMASK_H_
