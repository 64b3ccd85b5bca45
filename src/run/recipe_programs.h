// SPDX-License-Identifier: GPL-2.0-only
// Entries of a recipe's lists of programs to run.
//
// Threading: as recipe.h.
#ifndef USCX_RUN_RECIPE_PROGRAMS_H_
#define USCX_RUN_RECIPE_PROGRAMS_H_

#include "run/recipe.h"

namespace uscx::cli {

// The shape of an entry. `time` is filled if entries of its list have one, else null.
Status check_program_entry(const workload::JsonNode &entry, const workload::JsonPath &path, Recipe::StepTime *time);
Status run_program_entry(const Recipe::Target &target, const workload::JsonNode &entry, const workload::JsonPath &path);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_PROGRAMS_H_
