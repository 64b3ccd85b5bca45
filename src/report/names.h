// SPDX-License-Identifier: GPL-2.0-only
// How sched_ext's numbers are written for people. Pure functions.
#ifndef USCX_REPORT_NAMES_H_
#define USCX_REPORT_NAMES_H_

#include <string>

#include "report/metrics.h"

namespace uscx::report {

// "SCX_EXIT_UNREG", or "SCX_EXIT_<number>" for a kind that has no name.
std::string exit_kind_name(u64 kind);
// "enabled" and so on, of enum scx_enable_state.
std::string enable_state_name(u64 state);

enum class DsqClass : u8 { kLocal, kGlobal, kBypass, kUser };
DsqClass dsq_class(u64 dsq_id);
// "local dsq 3", "global dsq", "bypass dsq", "dsq 0x5". Local DSQs all have the id SCX_DSQ_LOCAL in the kernel; the
// event's CPU says then which one it is.
std::string dsq_name(u64 dsq_id);
// "dsq 0x5", "custody", "no queue".
std::string place_name(const Place &place);
std::string phase_name(Phase phase);  // "before", "scheduler", "after"
// SCX_DSQ_LOCAL on a CPU as SCX_DSQ_LOCAL_ON of that CPU; all other ids as they are.
u64 dsq_with_cpu(u64 dsq_id, u32 cpu);

}  // namespace uscx::report

#endif  // USCX_REPORT_NAMES_H_
