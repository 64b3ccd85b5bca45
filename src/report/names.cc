// SPDX-License-Identifier: GPL-2.0-only
#include "report/names.h"

#include <fmt/format.h>

#include "abi/scx.h"

namespace uscx::report {

std::string exit_kind_name(u64 kind) {
  switch (kind) {
#define KIND(name) \
  case name: return #name
    KIND(SCX_EXIT_NONE);
    KIND(SCX_EXIT_DONE);
    KIND(SCX_EXIT_UNREG);
    KIND(SCX_EXIT_UNREG_BPF);
    KIND(SCX_EXIT_UNREG_KERN);
    KIND(SCX_EXIT_SYSRQ);
    KIND(SCX_EXIT_PARENT);
    KIND(SCX_EXIT_ERROR);
    KIND(SCX_EXIT_ERROR_BPF);
    KIND(SCX_EXIT_ERROR_STALL);
#undef KIND
    default: return fmt::format("SCX_EXIT_{}", kind);
  }
}

std::string enable_state_name(u64 state) {
  switch (state) {
    case SCX_ENABLING: return "enabling";
    case SCX_ENABLED: return "enabled";
    case SCX_DISABLING: return "disabling";
    case SCX_DISABLED: return "disabled";
    default: return fmt::format("state {}", state);
  }
}

DsqClass dsq_class(u64 dsq_id) {
  if (!(dsq_id & SCX_DSQ_FLAG_BUILTIN)) return DsqClass::kUser;
  if (dsq_id & SCX_DSQ_FLAG_LOCAL_ON || dsq_id == SCX_DSQ_LOCAL) return DsqClass::kLocal;
  return dsq_id == SCX_DSQ_GLOBAL ? DsqClass::kGlobal : DsqClass::kBypass;
}

std::string dsq_name(u64 dsq_id) {
  switch (dsq_class(dsq_id)) {
    case DsqClass::kLocal:
      return dsq_id == SCX_DSQ_LOCAL ? "local dsq" : fmt::format("local dsq {}", dsq_id & SCX_DSQ_LOCAL_CPU_MASK);
    case DsqClass::kGlobal: return "global dsq";
    case DsqClass::kBypass: return "bypass dsq";
    case DsqClass::kUser: break;
  }
  return fmt::format("dsq {:#x}", dsq_id);
}

std::string place_name(const Place &place) {
  switch (place.kind) {
    case Place::Kind::kNoQueue: return "no queue";
    case Place::Kind::kCustody: return "custody";
    case Place::Kind::kDsq: break;
  }
  return dsq_name(place.dsq_id);
}

std::string phase_name(Phase phase) {
  switch (phase) {
    case Phase::kBefore: return "before";
    case Phase::kScheduler: return "scheduler";
    case Phase::kAfter: break;
  }
  return "after";
}

u64 dsq_with_cpu(u64 dsq_id, u32 cpu) { return dsq_id == SCX_DSQ_LOCAL ? u64{SCX_DSQ_LOCAL_ON} | cpu : dsq_id; }

}  // namespace uscx::report
