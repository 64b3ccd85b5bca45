// SPDX-License-Identifier: GPL-2.0-only
// The rules for each callback of a scheduler, from the table in sched/ext/op_table.h: which kfuncs it may call, whether
// it may sleep, and which of its arguments may be NULL. The kernel filters by the callback's place in its table
// (docs/reference/ops.md). Threading: pure.
#ifndef USCX_BRIDGE_SCX_CONTEXTS_H_
#define USCX_BRIDGE_SCX_CONTEXTS_H_

#include <string_view>

#include "bpf/object/verify_rules.h"

namespace uscx::bridge {

// The rules of a callback of sched_ext_ops or, in the cid form, of sched_ext_ops_cid.
bpf::VerifyRules callback_rules(std::string_view member, bool cid_form);
// Whether its program may be a sleepable one.
bool callback_may_sleep(std::string_view member);

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_SCX_CONTEXTS_H_
