// SPDX-License-Identifier: GPL-2.0-only
// Tells the core which instruction of which BPF program is calling it (sched/ext/call_site.h).
#ifndef USCX_BRIDGE_CALL_SITES_H_
#define USCX_BRIDGE_CALL_SITES_H_

#include "sched/ext/call_site.h"

namespace uscx::bridge {

class BpfCallSites final : public sched::CallSites {
 public:
  sched::CallSite here() const override;
  std::string text(const sched::CallSite &site) const override;
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_CALL_SITES_H_
