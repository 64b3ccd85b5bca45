// SPDX-License-Identifier: GPL-2.0-only
// The rules that apply to a program when it is loaded (load/verify/verify.h checks them). Threading: values.
#ifndef USCX_BPF_OBJECT_VERIFY_RULES_H_
#define USCX_BPF_OBJECT_VERIFY_RULES_H_

#include <string>
#include <vector>

#include "base/types.h"

namespace uscx::bpf {

struct VerifyRules {
  std::string caller;             // for messages: "ops.dispatch", "a syscall program"
  u32 groups = ~0u;               // KfuncGroup bits: whose kfuncs may be called; kCpuForm among them, if such may be
  bool sleepable = false;         // may it sleep?
  u32 nullable_words = 0;         // bit i: 64-bit word i of the context may be NULL
  std::vector<std::string> args;  // names of those words, for messages; may be shorter
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_VERIFY_RULES_H_
