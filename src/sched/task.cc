// SPDX-License-Identifier: GPL-2.0-only
#include "sched/task.h"

#include <cstring>

namespace uscx::sched {

bool Task::allowed_on(u32 c) const {
  if (migration_disabled() && c != cpu) return false;
  return allowed->bits[c / 64] >> (c % 64) & 1;
}

std::string Task::comm() const { return std::string(ts.comm, strnlen(ts.comm, TASK_COMM_LEN)); }

}  // namespace uscx::sched
