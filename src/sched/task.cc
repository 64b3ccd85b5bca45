// SPDX-License-Identifier: GPL-2.0-only
#include "sched/task.h"

#include <cstring>

#include "sched/kernel.h"
#include "sched/trace_hooks.h"

namespace uscx::sched {

bool Task::allowed_on(u32 c) const {
  if (migration_disabled() && c != cpu) return false;
  return allowed->bits[c / 64] >> (c % 64) & 1;
}

std::string Task::comm() const { return std::string(ts.comm, strnlen(ts.comm, TASK_COMM_LEN)); }

// Who reads the name meanwhile may see some of both, as in the kernel; it ends within its 16 bytes either way.
void Kernel::rename(Task &p, std::string_view comm) {
  char name[TASK_COMM_LEN] = {};
  comm.substr(0, comm.find('\0')).copy(name, TASK_COMM_LEN - 1);
  if (trace_hooks_) {
    const KernelText text(objects_, name);
    trace_point(*this, TracePoint::task_rename, task_arg(p), text.arg());
  }
  std::memcpy(p.ts.comm, name, sizeof name);
  machine_.trace(trace::EventType::task_rename, static_cast<u64>(p.pid()), machine_.tracer().text(p.comm()));
}

}  // namespace uscx::sched
