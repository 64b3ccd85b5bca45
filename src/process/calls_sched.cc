// SPDX-License-Identifier: GPL-2.0-only
// Scheduling calls: they are the simulated kernel's, and may name any task of the machine.
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstring>
#include <vector>

#include "process/calls.h"
#include "process/supervisor.h"
#include "sched/classes.h"
#include "sched/fair.h"

namespace uscx::process {
namespace {

constexpr int kExtPolicy = 7;       // SCHED_EXT
constexpr int kDeadlinePolicy = 6;  // SCHED_DEADLINE
constexpr u64 kResetOnFork = 0x40000000;

// The task of a pid; 0 is the caller.
sched::Task *task_of_pid(Supervisor &s, Thread &t, u64 pid) {
  return static_cast<int>(pid) == 0 ? t.task : s.kernel().find_task(static_cast<int>(pid));
}

Outcome do_sched_yield(Supervisor &, Thread &t) { return t.started ? Outcome::answer(0) : Outcome::yield(); }

Outcome do_getaffinity(Supervisor &s, Thread &t) {
  const sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  const u32 nr_cpus = s.kernel().nr_cpus();
  const u64 bytes = machine::mask_words(nr_cpus) * sizeof(u64);
  if (t.call.args[1] * 8 < nr_cpus || t.call.args[1] % sizeof(u64) != 0) return Outcome::answer(-EINVAL);
  machine::CpuMask mask = *task->cpus;
  mask.and_with(s.kernel().online_mask());
  if (t.process->remote.write(t.call.args[2], mask.view().words(), bytes) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(static_cast<s64>(bytes));
}

Outcome do_setaffinity(Supervisor &s, Thread &t) {
  sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  if (task->ts.flags & PF_NO_SETAFFINITY) return Outcome::answer(-EINVAL);
  const u32 nr_cpus = s.kernel().nr_cpus();
  std::vector<u8> bits(std::min<u64>(t.call.args[1], machine::mask_words(nr_cpus) * sizeof(u64)));
  if (t.process->remote.read(bits.data(), t.call.args[2], bits.size()) != 0) return Outcome::answer(-EFAULT);
  machine::CpuMask mask(nr_cpus);
  for (u32 cpu = 0; cpu < nr_cpus && cpu / 8 < bits.size(); cpu++)
    if (bits[cpu / 8] >> (cpu % 8) & 1) mask.set(cpu);
  return Outcome::answer(s.kernel().set_cpus_allowed(*task, mask));
}

Outcome do_getscheduler(Supervisor &s, Thread &t) {
  const sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  return Outcome::answer(task ? static_cast<s64>(task->ts.policy) : -ESRCH);
}

int set_policy(Supervisor &s, sched::Task &task, int policy, u32 priority, int nice) {
  const bool realtime = policy == SCHED_FIFO || policy == SCHED_RR;
  const bool known = policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == kExtPolicy;
  if (!known && !realtime) {
    const char *name = policy == kDeadlinePolicy ? "SCHED_DEADLINE" : "unknown";
    s.note(fmt::format("scheduling policy {} ({}) is not implemented", policy, name));
    return -EINVAL;
  }
  if (realtime ? priority < 1 || priority > 99 : priority != 0) return -EINVAL;
  return s.kernel().set_scheduler(task, policy, priority, nice);
}

Outcome do_setscheduler(Supervisor &s, Thread &t) {
  sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  sched_param param{};
  if (t.process->remote.get(&param, t.call.args[2]) != 0) return Outcome::answer(-EFAULT);
  const int policy = static_cast<int>(t.call.args[1] & ~kResetOnFork);
  return Outcome::answer(set_policy(s, *task, policy, static_cast<u32>(param.sched_priority), task->nice()));
}

Outcome do_getparam(Supervisor &s, Thread &t) {
  const sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  sched_param param{};
  param.sched_priority = static_cast<int>(task->rt_priority);
  return Outcome::answer(t.process->remote.put(t.call.args[1], param));
}

Outcome do_setparam(Supervisor &s, Thread &t) {
  sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  sched_param param{};
  if (!task) return Outcome::answer(-ESRCH);
  if (t.process->remote.get(&param, t.call.args[1]) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(
      set_policy(s, *task, static_cast<int>(task->ts.policy), static_cast<u32>(param.sched_priority), task->nice()));
}

// struct sched_attr, in its first version.
struct SchedAttr {
  u32 size, policy;
  u64 flags;
  s32 nice;
  u32 priority;
  u64 runtime, deadline, period;
};

Outcome do_getattr(Supervisor &s, Thread &t) {
  const sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  if (t.call.args[2] < sizeof(SchedAttr)) return Outcome::answer(-EINVAL);
  const SchedAttr attr{sizeof(SchedAttr), task->ts.policy, 0, task->nice(), task->rt_priority, 0, 0, 0};
  return Outcome::answer(t.process->remote.put(t.call.args[1], attr));
}

Outcome do_setattr(Supervisor &s, Thread &t) {
  sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  SchedAttr attr{};
  if (!task) return Outcome::answer(-ESRCH);
  if (t.process->remote.get(&attr, t.call.args[1]) != 0) return Outcome::answer(-EFAULT);
  if (attr.nice < -20 || attr.nice > 19) return Outcome::answer(-EINVAL);
  return Outcome::answer(set_policy(s, *task, static_cast<int>(attr.policy), attr.priority, attr.nice));
}

Outcome do_priority_max(Supervisor &, Thread &t) {
  const u64 policy = t.call.args[0];
  return Outcome::answer(policy == SCHED_FIFO || policy == SCHED_RR ? 99 : policy <= kExtPolicy ? 0 : -EINVAL);
}
Outcome do_priority_min(Supervisor &, Thread &t) {
  const u64 policy = t.call.args[0];
  return Outcome::answer(policy == SCHED_FIFO || policy == SCHED_RR ? 1 : policy <= kExtPolicy ? 0 : -EINVAL);
}

// As in Linux: the turn of SCHED_RR, the slice of the fair class, and 0 for all others.
Outcome do_rr_get_interval(Supervisor &s, Thread &t) {
  const sched::Task *task = task_of_pid(s, t, t.call.args[0]);
  if (!task) return Outcome::answer(-ESRCH);
  const sched::SchedClass &fair = s.kernel().fair_class();
  const u32 hz = s.kernel().machine().hz();
  const u64 ns = task->ts.policy == SCHED_RR  ? u64{sched::rr_turn_ticks(hz)} * (kNsPerSec / hz)
                 : task->sched_class == &fair ? static_cast<const sched::FairClass &>(fair).slice_ns()
                                              : 0;
  return Outcome::answer(t.process->remote.put(t.call.args[1], timespec_of(ns)));
}

Outcome do_getpriority(Supervisor &s, Thread &t) {
  constexpr int kOffset = 20;  // The call itself gives 40 to 1.
  if (t.call.args[0] != PRIO_PROCESS) return Outcome::answer(-EINVAL);
  const sched::Task *task = task_of_pid(s, t, t.call.args[1]);
  return Outcome::answer(task ? kOffset - task->nice() : -ESRCH);
}

Outcome do_setpriority(Supervisor &s, Thread &t) {
  if (t.call.args[0] != PRIO_PROCESS) return Outcome::answer(-EINVAL);
  sched::Task *task = task_of_pid(s, t, t.call.args[1]);
  if (!task) return Outcome::answer(-ESRCH);
  s.kernel().set_user_nice(*task, std::clamp(static_cast<int>(t.call.args[2]), -20, 19));
  return Outcome::answer(0);
}

Outcome do_getcpu(Supervisor &s, Thread &t) {
  const u32 cpu = machine::this_cpu(), node = s.host().machine().topology().node_of(cpu);
  const Remote &remote = t.process->remote;
  if (t.call.args[0] != 0 && remote.put(t.call.args[0], cpu) != 0) return Outcome::answer(-EFAULT);
  return Outcome::answer(t.call.args[1] != 0 ? remote.put(t.call.args[1], node) : 0);
}

constexpr CallEntry kTable[] = {
    {SYS_sched_yield, "sched_yield", 300, do_sched_yield, 16 * kUserCodeNs},
    {SYS_sched_getaffinity, "sched_getaffinity", 300, do_getaffinity},
    {SYS_sched_setaffinity, "sched_setaffinity", 4000, do_setaffinity},
    {SYS_sched_getscheduler, "sched_getscheduler", 150, do_getscheduler},
    {SYS_sched_setscheduler, "sched_setscheduler", 1500, do_setscheduler},
    {SYS_sched_getparam, "sched_getparam", 150, do_getparam},
    {SYS_sched_setparam, "sched_setparam", 1500, do_setparam},
    {SYS_sched_getattr, "sched_getattr", 200, do_getattr},
    {SYS_sched_setattr, "sched_setattr", 1500, do_setattr},
    {SYS_sched_get_priority_max, "sched_get_priority_max", 100, do_priority_max},
    {SYS_sched_get_priority_min, "sched_get_priority_min", 100, do_priority_min},
    {SYS_sched_rr_get_interval, "sched_rr_get_interval", 200, do_rr_get_interval},
    {SYS_getpriority, "getpriority", 150, do_getpriority},
    {SYS_setpriority, "setpriority", 800, do_setpriority},
    {SYS_getcpu, "getcpu", 30, do_getcpu},
};

}  // namespace

const std::span<const CallEntry> kSchedCalls = kTable;

}  // namespace uscx::process
