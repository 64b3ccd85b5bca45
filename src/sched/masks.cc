// SPDX-License-Identifier: GPL-2.0-only
// CPU masks of tasks are interned: tasks with equal affinity share one mask and one kernel form of it (1 KiB), for as
// long as the Kernel lives. So masks are compared by address, and do not change while another CPU reads them. What
// programs read of a task's mask is the task's own copy.
#include <algorithm>
#include <cstddef>

#include "base/hash.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::CpuMask;
using machine::MaskWord;

const CpuMask *Kernel::intern_mask(const CpuMask &mask) {
  CHECK(mask.nr_cpus() == nr_cpus());
  const machine::MaskView view = mask;
  Hash64 hash;
  hash.add_bytes(view.words(), machine::mask_words(nr_cpus()) * sizeof(MaskWord));
  machine::SpinGuard guard(mask_lock_);
  std::vector<Interned *> &same_hash = masks_by_hash_[hash.value()];
  for (Interned *known : same_hash)
    if (known->mask.view().equals(view)) return &known->mask;
  Interned &interned = masks_.emplace_back();
  interned.mask = mask;
  interned.kernel = static_cast<cpumask *>(objects_.alloc(ObjectType::kCpumask, sizeof(cpumask)));
  std::copy_n(view.words(), machine::mask_words(nr_cpus()), interned.kernel->bits);
  interned.weight = view.weight();
  same_hash.push_back(&interned);
  return &interned.mask;
}

const CpuMask *Kernel::single_cpu_mask(u32 cpu) {
  const CpuMask *known = single_masks_[cpu].load_acquire();
  if (!known) {
    CpuMask mask(nr_cpus());
    mask.set(cpu);
    known = intern_mask(mask);  // Two CPUs that come here at once get the same one.
    single_masks_[cpu].store_release(known);
  }
  return known;
}

const cpumask *Kernel::kernel_mask(const CpuMask *interned) {
  static_assert(offsetof(Interned, mask) == 0);
  return reinterpret_cast<const Interned *>(interned)->kernel;
}

u32 Kernel::mask_weight(const CpuMask *interned) { return reinterpret_cast<const Interned *>(interned)->weight; }

cpumask *Kernel::online_kernel_mask() { return const_cast<cpumask *>(kernel_mask(intern_mask(online_))); }

u32 Kernel::pick_distributed(machine::MaskView mask) {
  u32 cpu = mask.next_and(active_, distribute_cursor_);
  if (cpu == nr_cpus()) cpu = mask.next_and(active_, 0);
  if (cpu != nr_cpus()) distribute_cursor_ = cpu + 1;
  return cpu;
}

}  // namespace uscx::sched
