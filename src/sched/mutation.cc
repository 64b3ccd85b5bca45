// SPDX-License-Identifier: GPL-2.0-only
#include "sched/mutation.h"

namespace uscx::sched {

Mutation active_mutation = Mutation::none;

namespace {
constexpr const char *kNames[] = {"none",
#define X(name, what) #name,
                                  USCX_MUTATIONS(X)
#undef X
};
constexpr const char *kTexts[] = {"nothing is wrong",
#define X(name, what) what,
                                  USCX_MUTATIONS(X)
#undef X
};
}  // namespace

const char *mutation_name(Mutation mutation) { return kNames[static_cast<u32>(mutation)]; }
const char *mutation_text(Mutation mutation) { return kTexts[static_cast<u32>(mutation)]; }

Mutation mutation_named(std::string_view name) {
  u32 i = 0;
  while (i < static_cast<u32>(Mutation::count) && name != kNames[i]) i++;
  return static_cast<Mutation>(i);
}

}  // namespace uscx::sched
