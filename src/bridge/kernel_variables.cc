// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/kernel_variables.h"

#include "bpf/memory/region.h"
#include "bpf/object/hooks.h"
#include "sched/kernel.h"

namespace uscx::bridge {

namespace {

// FIDELITY: kernel-variables. Each CPU's value, the same for as long as the machine is there. A program runs with one
// lock held and nothing to reschedule (the bit is inverted); nothing throttles a CPU, no driver sets its frequency, and
// all cores are equal.
u64 value_of(std::string_view name, const machine::Topology &topology, u32 cpu) {
  constexpr u32 kNoNeedResched = 0x80000000;
  const machine::MaskView llc = topology.llc_mask(topology.llc_of(cpu));
  if (name == "sd_llc_id") return llc.first();
  if (name == "sd_llc_size") return llc.weight();
  if (name == "__preempt_count") return kNoNeedResched | 1;
  return 0;
}

}  // namespace

KernelVariables::KernelVariables(sched::Kernel &kernel) : kernel_(kernel), stride_(kernel.nr_cpus()) {
  const std::span<const bpf::KernelVariable> all = bpf::list_kernel_variables();
  values_ = static_cast<u64 *>(
      bpf::Region::get().alloc_pages(bpf::Half::kReadOnly, all.size() * stride_ * sizeof(u64), true));
  for (size_t i = 0; i < all.size(); i++) {
    for (u32 cpu = 0; cpu < stride_; cpu++)
      values_[i * stride_ + cpu] = value_of(all[i].name, kernel.machine().topology(), cpu);
  }
}

KernelVariables::~KernelVariables() { bpf::Region::get().free_pages(values_); }

void *KernelVariables::address(std::string_view name) const {
  const std::span<const bpf::KernelVariable> all = bpf::list_kernel_variables();
  for (size_t i = 0; i < all.size(); i++) {
    if (name == all[i].name) return &values_[i * stride_];
  }
  return nullptr;
}

void *KernelVariables::per_cpu(const void *address, u32 cpu) const {
  const std::span<const bpf::KernelVariable> all = bpf::list_kernel_variables();
  for (size_t i = 0; i < all.size(); i++) {
    u64 *const first = &values_[i * stride_];
    if (address != first || cpu >= stride_) continue;
    if (std::string_view(all[i].name) == "runqueues") return kernel_.rq(cpu).shared;
    return first + cpu;
  }
  return nullptr;
}

}  // namespace uscx::bridge
