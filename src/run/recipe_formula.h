// SPDX-License-Identifier: GPL-2.0-only
// Formulas of recipes: what a value is on this machine ("llc(cpu) * 2 + 1", "smt ? sibling(cpu, 1) : -1").
//
//   number    123, 0x7f
//   name      of the place that a list goes through: cpu, core, llc, node, and what `as` calls it; of the machine:
//             nr_cpus, nr_cores, nr_llcs, nr_nodes, nr_threads (of a core), smt, hz; what `save` kept; an enumerator of
//             the object
//   call      functions of the machine (recipe_functions.cc); sizeof(TYPE) of the object's types; NAME(i), the i-th
//             number that `save` kept under that name
//   set       cpus_of_core(core), cpus_of_llc(llc), cpus_of_node(node), all_cpus(): a set of CPUs, which a bitmap takes
//   operator  C's, with C's precedence, on 64-bit numbers: ?: || && | & == != < <= > >= << >> + - * / % ! -
//             What && || and ?: leave out has to be well formed, but its value may be missing (a division by zero).
//
// Threading: pure.
#ifndef USCX_RUN_RECIPE_FORMULA_H_
#define USCX_RUN_RECIPE_FORMULA_H_

#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "run/recipe_place.h"

namespace uscx::cli {

struct FormulaValue {
  schedulers::Integer number;
  std::optional<machine::CpuMask> cpus;  // a set has no number
};

Result<FormulaValue> evaluate_formula(std::string_view text, const RecipePlace &place);
// The same for what must be a number.
Result<schedulers::Integer> evaluate_number(std::string_view text, const RecipePlace &place);

// A function of the machine.
Result<FormulaValue> call_function(std::string_view name, const std::vector<schedulers::Integer> &args,
                                   const machine::Topology &topology);
bool is_less(schedulers::Integer a, schedulers::Integer b);

// An error unless a recipe may use the word as a name of its own: letters, digits and _, and no name of the machine's.
Status check_own_name(std::string_view word);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_FORMULA_H_
