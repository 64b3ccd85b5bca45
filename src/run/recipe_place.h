// SPDX-License-Identifier: GPL-2.0-only
// What a value of a recipe can depend on: the machine, the place that a list is at, the object's types, and what
// programs left for later ones.
//
// Threading: pure.
#ifndef USCX_RUN_RECIPE_PLACE_H_
#define USCX_RUN_RECIPE_PLACE_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/types.h"
#include "machine/topology.h"
#include "schedulers/common/btf_value.h"

namespace uscx::cli {

// Numbers that programs left, by the name that `save` gave them: one for each time that the program was run.
using RecipeSaved = std::map<std::string, std::vector<schedulers::Integer>, std::less<>>;

struct RecipePlace {
  const machine::Topology *topology = nullptr;
  u32 hz = 0;
  const btf *types = nullptr;  // The object's.
  const RecipeSaved *saved = nullptr;
  // Where a list is.
  std::optional<u32> cpu, core, llc, node;
  std::vector<std::pair<std::string, s64>> named;  // By `as`.

  // How many of a kind there are ("cpu", "core", "llc", "node"); nothing for another word.
  std::optional<u32> count(std::string_view kind) const;
  // The same at number `i` of that kind. A CPU has a core, an LLC and a node; a core an LLC and a node; an LLC a node.
  RecipePlace at(std::string_view kind, u32 i) const;
  // The same with a name for a number.
  RecipePlace with(std::string name, s64 number) const;
  // The lowest CPU of what the place is, if it is one.
  std::optional<u32> first_cpu() const;
};

// The CPUs of a core; all of them for a core that is not there.
const machine::CpuMask &core_mask(const machine::Topology &topology, u32 core);
u32 first_of(machine::MaskView cpus);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_PLACE_H_
