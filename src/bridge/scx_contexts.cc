// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/scx_contexts.h"

#include "bpf/object/kfunc.h"

namespace uscx::bridge {
namespace {

using bpf::kUnlocked;

// Callbacks that are not here may call what all of them may. The select_cpu set takes in the unlocked callbacks through
// the kfuncs' own groups.
struct Context {
  const char *member;
  u32 groups;
};
constexpr Context kContexts[] = {
    {"select_cpu", bpf::kSelectCpu | bpf::kEnqueue},
    {"select_cid", bpf::kSelectCpu | bpf::kEnqueue},
    {"enqueue", bpf::kSelectCpu | bpf::kEnqueue},
    {"dispatch", bpf::kEnqueue | bpf::kDispatch},
    {"cpu_release", bpf::kCpuRelease},
    {"init", kUnlocked | bpf::kInit},
    {"init_task", kUnlocked},
    {"dump", kUnlocked},
    {"cgroup_init", kUnlocked},
    {"cgroup_exit", kUnlocked},
    {"cgroup_prep_move", kUnlocked},
    {"cgroup_cancel_move", kUnlocked},
    {"cgroup_set_weight", kUnlocked},
    {"cgroup_set_bandwidth", kUnlocked},
    {"cgroup_set_idle", kUnlocked},
    {"sub_attach", kUnlocked},
    {"sub_detach", kUnlocked},
    {"cpu_online", kUnlocked},
    {"cpu_offline", kUnlocked},
    {"cid_online", kUnlocked},
    {"cid_offline", kUnlocked},
    {"exit", kUnlocked},
};

// Arguments that may be NULL, by their place.
struct NullableArg {
  const char *member;
  u32 word;
  const char *name;
};
constexpr NullableArg kNullableArgs[] = {
    {"dispatch", 1, "prev"},
    {"yield", 1, "to"},
};

}  // namespace

bpf::VerifyRules callback_rules(std::string_view member, bool cid_form) {
  bpf::VerifyRules rules;
  rules.caller = "ops." + std::string(member);
  rules.groups = bpf::kAny | bpf::kIdle | bpf::kCid | (cid_form ? 0 : u32{bpf::kCpuForm});
  for (const Context &context : kContexts) {
    if (member == context.member) rules.groups |= context.groups;
  }
  for (const NullableArg &arg : kNullableArgs) {
    if (member != arg.member) continue;
    rules.nullable_words |= 1u << arg.word;
    rules.args.resize(arg.word + 1);
    rules.args[arg.word] = arg.name;
  }
  return rules;
}

}  // namespace uscx::bridge
