// SPDX-License-Identifier: GPL-2.0-only
// Helpers that tell about the machine: clocks, the CPU, the current task, random numbers, kernel variables.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "bpf/bpf_system.h"
#include "bpf/exec.h"
#include "bpf/helper.h"

namespace uscx::bpf {

namespace {
Env &env() { return BpfSystem::current()->env(); }
}  // namespace

USCX_HELPER(BPF_FUNC_ktime_get_ns, ktime_get_ns, u64, (void)) { return env().now_ns(); }
USCX_HELPER(BPF_FUNC_ktime_get_boot_ns, ktime_get_boot_ns, u64, (void)) { return env().boot_ns(); }
USCX_HELPER(BPF_FUNC_ktime_get_coarse_ns, ktime_get_coarse_ns, u64, (void)) {
  const u64 now_ns = env().now_ns();
  return now_ns - now_ns % env().ns_per_jiffy();
}
USCX_HELPER(BPF_FUNC_jiffies64, jiffies64, u64, (void)) { return env().jiffies64(); }

// The JIT reads these words itself (InlineEnvLoad): the same ones must be read here.
USCX_HELPER(BPF_FUNC_get_smp_processor_id, get_smp_processor_id, u32, (void)) {
  return Invocation::current()->env().cpu;
}
USCX_HELPER(BPF_FUNC_get_current_task_btf, get_current_task_btf, void *, (void)) {
  return reinterpret_cast<void *>(Invocation::current()->env().current_task);
}
USCX_HELPER(BPF_FUNC_get_current_task, get_current_task, u64, (void)) {
  return Invocation::current()->env().current_task;
}

USCX_HELPER(BPF_FUNC_get_current_pid_tgid, get_current_pid_tgid, u64, (void)) { return env().current_pid_tgid(); }

USCX_HELPER(BPF_FUNC_get_current_comm, get_current_comm, s64, (char *buffer, u32 size)) {
  Guard::writable("bpf_get_current_comm", 1, buffer, size);
  if (size == 0) return -EINVAL;
  std::memset(buffer, 0, size);
  const char *comm = env().current_comm();
  std::memcpy(buffer, comm, std::min<size_t>(std::strlen(comm), size - 1));
  return 0;
}

USCX_HELPER(BPF_FUNC_get_prandom_u32, get_prandom_u32, u32, (void)) { return env().random_u32(); }

USCX_HELPER(BPF_FUNC_per_cpu_ptr, per_cpu_ptr, void *, (void *variable, u32 cpu)) {
  return cpu < BpfSystem::current()->nr_cpus() ? env().per_cpu_address(variable, cpu) : nullptr;
}
USCX_HELPER(BPF_FUNC_this_cpu_ptr, this_cpu_ptr, void *, (void *variable)) {
  return env().per_cpu_address(variable, Invocation::current()->env().cpu);
}

}  // namespace uscx::bpf
