// SPDX-License-Identifier: GPL-2.0-only
// Helpers that tell about the machine: clocks, the CPU, the current task, random numbers, kernel variables.
#include <errno.h>

#include <algorithm>
#include <cstring>

#include "bpf/exec/exec.h"
#include "bpf/object/alloc.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {
Env &env() { return BpfSystem::current()->env(); }
}  // namespace

USCX_HELPER(BPF_FUNC_ktime_get_ns, 0, ktime_get_ns, u64, (void)) { return env().now_ns(); }
USCX_HELPER(BPF_FUNC_ktime_get_boot_ns, 0, ktime_get_boot_ns, u64, (void)) { return env().boot_ns(); }
USCX_HELPER(BPF_FUNC_ktime_get_coarse_ns, 0, ktime_get_coarse_ns, u64, (void)) {
  const u64 now_ns = env().now_ns();
  return now_ns - now_ns % env().ns_per_jiffy();
}
// FIDELITY: one-clock. Time of day begins at 0 with the machine, and there are no leap seconds.
USCX_HELPER(BPF_FUNC_ktime_get_tai_ns, 0, ktime_get_tai_ns, u64, (void)) { return env().now_ns(); }
USCX_HELPER(BPF_FUNC_jiffies64, 0, jiffies64, u64, (void)) { return env().jiffies64(); }

// The JIT reads these words itself (InlineEnvLoad): the same ones must be read here.
USCX_HELPER(BPF_FUNC_get_smp_processor_id, 0, get_smp_processor_id, u32, (void)) {
  return Invocation::current()->env().cpu;
}
USCX_HELPER(BPF_FUNC_get_current_task_btf, HELPER_RET_PTR, get_current_task_btf, void *, (void)) {
  return reinterpret_cast<void *>(Invocation::current()->env().current_task);
}
USCX_HELPER(BPF_FUNC_get_current_task, 0, get_current_task, u64, (void)) {
  return Invocation::current()->env().current_task;
}

USCX_HELPER(BPF_FUNC_get_current_pid_tgid, 0, get_current_pid_tgid, u64, (void)) { return env().current_pid_tgid(); }

USCX_HELPER(BPF_FUNC_get_current_comm, 0, get_current_comm, s64, (char *buffer, u32 size)) {
  Guard::writable("bpf_get_current_comm", 1, buffer, size);
  if (size == 0) return -EINVAL;
  std::memset(buffer, 0, size);
  const char *comm = env().current_comm();
  std::memcpy(buffer, comm, std::min<size_t>(std::strlen(comm), size - 1));
  return 0;
}

USCX_HELPER(BPF_FUNC_get_numa_node_id, 0, get_numa_node_id, s64, (void)) {
  return env().node_of(Invocation::current()->env().cpu);
}

// The kernel function that a tracing program is attached to.
USCX_HELPER(BPF_FUNC_get_func_ip, 0, get_func_ip, u64, (void *ctx)) {
  (void)ctx;
  const Prog *prog = running_prog();
  return prog != nullptr && prog->attr().attach_btf_id != 0 ? kernel_text_address(prog->attr().attach_btf_id) : 0;
}

// FIDELITY: backtrace. There is no kernel stack to walk.
USCX_HELPER(BPF_FUNC_get_stack, 0, get_stack, s64, (void *ctx, void *buffer, u32 size, u64 flags)) {
  (void)ctx;
  constexpr u64 kKnown = u64{BPF_F_SKIP_FIELD_MASK} | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID;
  Guard::writable("bpf_get_stack", 2, buffer, size);
  std::memset(buffer, 0, size);
  return flags & ~kKnown ? -EINVAL : -EFAULT;
}

USCX_HELPER(BPF_FUNC_copy_from_user, HELPER_SLEEPS, copy_from_user, s64, (void *dst, u32 size, const void *user)) {
  Guard::writable("bpf_copy_from_user", 1, dst, size);
  if (env().read_user(reinterpret_cast<u64>(user), dst, size)) return 0;
  std::memset(dst, 0, size);
  return -EFAULT;
}

USCX_HELPER(BPF_FUNC_get_prandom_u32, 0, get_prandom_u32, u32, (void)) { return env().random_u32(); }

USCX_HELPER(BPF_FUNC_per_cpu_ptr, HELPER_RET_PTR_OR_NULL, per_cpu_ptr, void *, (void *variable, u32 cpu)) {
  BpfSystem *system = BpfSystem::current();
  if (cpu >= system->nr_cpus()) return nullptr;
  if (void *copy = system->allocs().percpu_copy(variable, cpu)) return copy;
  return env().per_cpu_address(variable, cpu);
}
USCX_HELPER(BPF_FUNC_this_cpu_ptr, HELPER_RET_PTR, this_cpu_ptr, void *, (void *variable)) {
  const u32 cpu = Invocation::current()->env().cpu;
  if (void *copy = BpfSystem::current()->allocs().percpu_copy(variable, cpu)) return copy;
  return env().per_cpu_address(variable, cpu);
}

// Whoever runs a program that is attached hands its cookie on with the invocation.
USCX_HELPER(BPF_FUNC_get_attach_cookie, 0, get_attach_cookie, u64, (u64)) {
  return reinterpret_cast<u64>(Invocation::current()->user_data());
}

}  // namespace uscx::bpf
