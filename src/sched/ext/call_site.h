// SPDX-License-Identifier: GPL-2.0-only
// Where a scheduler's code asked for something, so that an error which shows only later can say so. The core does not
// know what that code is: whoever runs it (src/bridge) says where it is, and makes text of it.
#ifndef USCX_SCHED_EXT_CALL_SITE_H_
#define USCX_SCHED_EXT_CALL_SITE_H_

#include <optional>
#include <string>

#include "sched/ext/ops.h"

namespace uscx::sched {

struct CallSite {
  const void *code = nullptr;  // Null: not from a scheduler's code.
  u32 insn = 0;
  std::optional<Op> op;  // The callback that was running.
};

class CallSites {
 public:
  virtual ~CallSites() = default;
  // Of the code that calls the core now, on this CPU; `op` is left out.
  virtual CallSite here() const = 0;
  // "qmap_dispatch, scx_qmap.bpf.c:388: TEXT". The code must still be there.
  virtual std::string text(const CallSite &site) const = 0;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_CALL_SITE_H_
