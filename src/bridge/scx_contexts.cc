// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/scx_contexts.h"

#include "bpf/object/kfunc.h"
#include "sched/ext/op_table.h"

namespace uscx::bridge {
namespace {

using namespace bpf;

// A line of the table of callbacks under both its names, where they differ. The select_cpu set takes in the unlocked
// callbacks through the kfuncs' own groups.
struct Callback {
  std::string_view name, cid_name;
  bool sleepable;
  u32 groups;
  const char *nullable;  // the name of the second argument if that may be NULL
};
constexpr Callback kCallbacks[] = {
#define X(name, cid_name, sleepable, groups, nullable) {#name, #cid_name, sleepable, (groups), nullable},
    USCX_SCX_OPS(X)
#undef X
};

const Callback *find_callback(std::string_view member) {
  for (const Callback &callback : kCallbacks)
    if (member == callback.name || member == callback.cid_name) return &callback;
  return nullptr;
}

}  // namespace

VerifyRules callback_rules(std::string_view member, bool cid_form) {
  VerifyRules rules;
  rules.caller = "ops." + std::string(member);
  rules.groups = kAny | kIdle | kCid | (cid_form ? 0 : u32{kCpuForm});
  const Callback *callback = find_callback(member);
  if (!callback) return rules;
  rules.groups |= callback->groups;
  if (callback->nullable) {
    rules.nullable_words = 1u << 1;
    rules.args = {"", callback->nullable};
  }
  return rules;
}

bool callback_may_sleep(std::string_view member) {
  const Callback *callback = find_callback(member);
  return callback && callback->sleepable;
}

}  // namespace uscx::bridge
