// SPDX-License-Identifier: GPL-2.0-only
// Variables of the kernel that programs use as ksyms. A program holds the address of a variable, and each CPU has a
// copy behind it. Constant once made, except for run queues, which belong to the core.
#ifndef USCX_BRIDGE_KERNEL_VARIABLES_H_
#define USCX_BRIDGE_KERNEL_VARIABLES_H_

#include <string_view>

#include "base/types.h"

namespace uscx::sched {
class Kernel;
}

namespace uscx::bridge {

class KernelVariables {
 public:
  explicit KernelVariables(sched::Kernel &kernel);
  ~KernelVariables();
  KernelVariables(const KernelVariables &) = delete;
  KernelVariables &operator=(const KernelVariables &) = delete;

  // Null: not modelled.
  void *address(std::string_view name) const;
  void *per_cpu(const void *address, u32 cpu) const;

 private:
  sched::Kernel &kernel_;
  u64 *values_;  // by variable and CPU
  u32 stride_;   // of a variable: one for each CPU
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_KERNEL_VARIABLES_H_
